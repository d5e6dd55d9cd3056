/* SPDX-License-Identifier: MIT */
/*
 * Waking a fiber from other threads (core/fiber.c): a count in the fiber, a
 * push by who makes it 1, and an inbox that the worker takes whole. That a
 * push wakes a parked worker is shown in parking.pml.
 *
 * Two fibers of one worker have been promised two wakes each. A fiber that
 * has got them ends, and its memory is gone: whoever still touches it fails.
 * A wake that is lost leaves its fiber waiting for ever, which is an invalid
 * end state.
 *
 * breaks: PUSH_ALWAYS TOKEN_AT_ONCE NEXT_LATE NO_EXCHANGE
 */
#define FIBERS 2
#define WAKERS 4
#define PROMISED 2 /* to each */
#define NONE 9

byte wakes[FIBERS];  /* atomic */
byte link[FIBERS];   /* what is below it in the stack */
byte head = NONE;    /* the inbox */
byte tokens[FIBERS]; /* the worker's */
bool touching[WAKERS]; /* the waker still needs the fiber's link */
bool gone[FIBERS];

/* fiber_wake() */
proctype waker(byte w; byte f)
{
	byte before, seen;

	assert(!gone[f]);
#ifdef TOKEN_AT_ONCE
	tokens[f]++;
#endif
	atomic { before = wakes[f]; wakes[f]++; touching[w] = before == 0 }
#ifdef PUSH_ALWAYS
	before = 0;
#endif
	if
	:: before > 0
	:: else ->
		/* ck_stack_push_upmc(): the link, then the head. */
again:		seen = head;
		assert(!gone[f]);
		link[f] = seen;
		atomic {
			if
			:: head == seen -> head = f; touching[w] = false
			:: else -> goto again
			fi
		}
	fi
}

/* The worker, with both fibers on it: take_inbox(), then those that have got
 * what they were promised end. */
active proctype worker()
{
	byte f, next, n, steps;

	do
	:: gone[0] && gone[1] -> break
	:: head != NONE ->
		atomic { f = head; head = NONE }
		do
		:: f == NONE -> break
		:: else ->
#ifndef NEXT_LATE
			next = link[f];
#endif
#ifdef NO_EXCHANGE
			n = wakes[f];
			wakes[f] = 0;
#else
			atomic { n = wakes[f]; wakes[f] = 0 }
#endif
#ifdef NEXT_LATE
			next = link[f];
#endif
#ifndef TOKEN_AT_ONCE
			tokens[f] = tokens[f] + n;
#endif
			assert(tokens[f] <= PROMISED);
			f = next;
			/* A stack that leads back to itself. */
			steps++;
			assert(steps <= WAKERS)
		od
	:: !gone[0] && tokens[0] == PROMISED ->
		assert(!touching[0] && !touching[1]);
		gone[0] = true
	:: !gone[1] && tokens[1] == PROMISED ->
		assert(!touching[2] && !touching[3]);
		gone[1] = true
	od
}

init {
	atomic {
		run waker(0, 0);
		run waker(1, 0);
		run waker(2, 1);
		run waker(3, 1)
	}
}
