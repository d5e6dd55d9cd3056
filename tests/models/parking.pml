/* SPDX-License-Identifier: MIT */
/*
 * Parking against pushing, with store buffers (core/parking.h). A processor's
 * store waits in its buffer, and becomes visible some time later; a full fence
 * waits for that. Nobody searches here; see search.pml for that.
 *
 * Two producers push one task each, two workers take them. A worker that
 * sleeps while a task waits, for ever, is an invalid end state.
 *
 * breaks: NO_PARK_FENCE NO_PUSH_FENCE NO_RECHECK LOOK_FIRST
 */
#define WORKERS 2
#define PRODUCERS 2

/* What all see. */
bool idle[WORKERS];
byte work;
byte bell[WORKERS];
byte taken;

/* Store buffers: a store that is not yet visible. */
bool idle_waits[WORKERS];
byte work_waits[PRODUCERS];

#define fence_of_worker(w) (!idle_waits[w])
#define fence_of_producer(p) (work_waits[p] == 0)

active proctype memory()
{
end:	do
	:: atomic { idle_waits[0] -> idle[0] = true; idle_waits[0] = false }
	:: atomic { idle_waits[1] -> idle[1] = true; idle_waits[1] = false }
	:: atomic { work_waits[0] > 0 -> work++; work_waits[0]-- }
	:: atomic { work_waits[1] > 0 -> work++; work_waits[1]-- }
	od
}

inline try_take()
{
	atomic {
		if
		:: work > 0 -> work--; taken++; got = true
		:: else -> got = false
		fi
	}
}

/* A locked instruction, so it finds the buffer empty. */
inline leave(w)
{
	atomic { fence_of_worker(w) -> idle[w] = false }
}

proctype worker(byte w)
{
	bool got;

	do
	:: taken == PRODUCERS -> break
	:: else ->
		try_take();
		if
		:: got -> goto again
		:: else
		fi;
#ifdef LOOK_FIRST
		/* The look comes before the bit. */
		if
		:: work > 0 -> goto again
		:: else
		fi;
#endif
		idle_waits[w] = true;
#ifndef NO_PARK_FENCE
		fence_of_worker(w);
#endif
#if !defined(NO_RECHECK) && !defined(LOOK_FIRST)
		if
		:: work > 0 -> leave(w); goto again
		:: else
		fi;
#endif
		/* Edge triggered: a ring that was not waited for ends the
		 * next wait. */
		if
		:: atomic { bell[w] > 0 -> bell[w] = 0 }
		:: taken == PRODUCERS
		fi;
		leave(w);
again:
		skip
	od
}

inline claim_and_ring(w)
{
	atomic {
		if
		:: idle[w] -> idle[w] = false; woken = true
		:: else
		fi
	}
	if
	:: woken -> bell[w] = 1
	:: else
	fi
}

proctype producer(byte p)
{
	bool woken = false;

	work_waits[p]++;
#ifndef NO_PUSH_FENCE
	fence_of_producer(p);
#endif
	if
	:: idle[0] -> claim_and_ring(0)
	:: else
	fi;
	if
	:: !woken && idle[1] -> claim_and_ring(1)
	:: else
	fi
}

init {
	atomic {
		run worker(0);
		run worker(1);
		run producer(0);
		run producer(1)
	}
}
