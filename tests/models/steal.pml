/* SPDX-License-Identifier: MIT */
/*
 * The run queue: an owner that pushes and pops, thieves that steal, on the
 * ring of core/runq.h. Each task is taken exactly once.
 *
 * A taker loads head, then tail, copies the slot, and takes it by moving head
 * with a compare-and-swap.
 *
 * breaks: LATE_READ NO_SWAP TAIL_BEFORE_SLOT FULL_UNCHECKED
 */
#define SIZE 2
#define TASKS 4
#define THIEVES 2

byte slot[SIZE];
byte head, tail;
byte taken[TASKS + 1];
bool pushed_all;
byte ended;

inline publish_tail()
{
	tail = tail + 1
}

inline fill_slot(task)
{
	slot[tail % SIZE] = task
}

/* Tasks are numbered from 1; 0 is none. */
inline take(h, t, task)
{
	task = 0;
	h = head;
	t = tail;
	if
	:: h == t -> skip
	:: else ->
#ifdef LATE_READ
		/* Move head first, copy after: the owner may have filled the
		 * slot again. */
		atomic {
			if
			:: head == h -> head = h + 1; task = 1
			:: else -> skip
			fi
		}
		if
		:: task != 0 -> task = slot[h % SIZE]
		:: else -> skip
		fi
#else
		task = slot[h % SIZE];
#ifdef NO_SWAP
		if
		:: head == h -> head = h + 1
		:: else -> task = 0
		fi
#else
		atomic {
			if
			:: head == h -> head = h + 1
			:: else -> task = 0
			fi
		}
#endif
#endif
		if
		:: task != 0 ->
			assert(taken[task] == 0);
			taken[task] = 1
		:: else -> skip
		fi
	fi
}

active proctype owner()
{
	byte next = 1, h, t, task;

	do
	:: next > TASKS -> break
	:: next <= TASKS ->
		h = head;
		if
#ifndef FULL_UNCHECKED
		:: tail - h == SIZE - 1 -> take(h, t, task)
		:: else ->
#else
		:: true ->
#endif
#ifdef TAIL_BEFORE_SLOT
			tail = tail + 1;
			slot[(tail - 1) % SIZE] = next;
#else
			fill_slot(next);
			publish_tail();
#endif
			next++
		fi
	:: next > 1 && next <= TASKS -> take(h, t, task)
	od;
	pushed_all = true;
	do
	:: head == tail -> break
	:: else -> take(h, t, task)
	od;
	ended++
}

active [THIEVES] proctype thief()
{
	byte h, t, task;

	do
	:: take(h, t, task)
	:: pushed_all && head == tail -> break
	od;
	ended++
}

active proctype judge()
{
	byte i;

	(ended == THIEVES + 1);
	for (i : 1 .. TASKS) {
		assert(taken[i] == 1)
	}
}
