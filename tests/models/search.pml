/* SPDX-License-Identifier: MIT */
/*
 * "A push wakes nobody while someone searches", and no task waits for it
 * (core/parking.c, core/worker.c). The fences are taken for granted here;
 * parking.pml shows what they are for.
 *
 * An owner pushes tasks into its ring and is then busy for ever. Each of the
 * other workers takes one task and is then busy for ever too, so as many must
 * be woken as there are tasks. A worker that sleeps while a task waits is an
 * invalid end state. Workers also wake for reasons of their own.
 *
 * breaks: NO_LOOK_AFTER NO_SECOND_LOOK NOT_SENT END_LATE
 */
#define WORKERS 3 /* the owner is 0 */
#define TASKS 2
#define BIT(w) (1 << (w))
#define COUNT(mask) (((mask) & 1) + (((mask) >> 1) & 1) + (((mask) >> 2) & 1))

byte idle, searching, ring, taken;
bool bell[WORKERS];

/* parking_wake_one() */
inline wake_one()
{
	do
	:: searching != 0 -> break
	:: else ->
		if
		:: idle == 0 -> break
		:: idle & BIT(1) -> v = 1
		:: idle == BIT(2) -> v = 2
		fi;
		atomic {
			if
			:: searching == 0 -> searching = BIT(v); did = true
			:: else -> did = false
			fi
		}
		if
		:: !did -> break
		:: else
		fi;
		atomic {
			if
			:: idle & BIT(v) -> idle = idle & ~BIT(v); did = true
			:: else -> did = false
			fi
		}
		if
		:: did -> bell[v] = true; break
		:: else -> searching = searching & ~BIT(v)
		fi
#ifdef NO_SECOND_LOOK
		;
		break
#endif
	od
}

/* worker_search_end() */
inline search_end(w)
{
	sent = false;
	searching = searching & ~BIT(w);
#ifndef NO_LOOK_AFTER
	if
	:: searching == 0 && ring > 0 -> wake_one()
	:: else
	fi
#endif
}

active proctype owner()
{
	byte v;
	bool did;
	byte n;

	for (n : 1 .. TASKS) {
		ring++;
		wake_one()
	}
}

proctype thief(byte w)
{
	byte v;
	bool did, sent;
	bool by_itself; /* it does so once */

	do
	:: taken == TASKS -> break
	:: else ->
		/* steal() */
		if
		:: ring == 0 -> goto park
		:: else
		fi;
		if
		:: !sent && 2 * COUNT(searching) >= WORKERS - COUNT(idle) ->
			goto park
		:: else -> searching = searching | BIT(w); sent = true
		fi;
		atomic {
			if
			:: ring > 0 -> ring--; taken++; did = true
			:: else -> did = false
			fi
		}
		if
		:: did -> search_end(w); break
		:: else
		fi;
park:
#ifndef END_LATE
		if
		:: sent -> searching = searching & ~BIT(w)
		:: else
		fi;
#endif
		idle = idle | BIT(w);
		/* work_waits() */
		if
		:: searching == 0 && ring > 0 -> skip
		:: else ->
#ifdef END_LATE
			if
			:: sent -> searching = searching & ~BIT(w)
			:: else
			fi;
#endif
			if
			:: bell[w] -> bell[w] = false
			:: !by_itself -> by_itself = true
			:: taken == TASKS
			fi
		fi;
		idle = idle & ~BIT(w);
#ifdef NOT_SENT
		sent = false
#else
		sent = (searching & BIT(w)) != 0;
		/* Work of its own goes first, and it cannot search then. */
		if
		:: sent && by_itself -> search_end(w)
		:: sent
		:: !sent
		fi
#endif
	od
}

init {
	atomic {
		run thief(1);
		run thief(2)
	}
}
