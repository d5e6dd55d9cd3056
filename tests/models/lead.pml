/* SPDX-License-Identifier: MIT */
/*
 * A worker that parks in its lead (core/seat.c, seats_wait()), helpers that
 * hold the lead by turns, and whoever rings. The bell is in two epolls, the
 * worker's own and the lead's; its edge comes once in each, and a helper's look
 * at the lead takes that one. Whatever was published must be taken: the worker
 * does not sleep on it.
 *
 * breaks: NO_SECOND_LOOK LEAD_ONLY_BELL NO_RECHECK
 */
#define WORKS 2
#define HELPS 2

mtype = { FREE, HELD, RETURNED };
mtype holder = FREE;

bool idle;
bool own_bell, lead_bell; /* edges */
byte work, taken;

/* parking_wake() */
inline wake_home()
{
	atomic {
		if
		:: idle -> idle = false; claimed = true
		:: else -> claimed = false
		fi
	}
	if
	:: claimed ->
#ifdef LEAD_ONLY_BELL
		lead_bell = true
#else
		atomic { own_bell = true; lead_bell = true }
#endif
	:: else
	fi
}

/* source_try_hold() */
inline try_hold()
{
	atomic {
		if
		:: holder != HELD -> holder = HELD; held = true
		:: else -> held = false
		fi
	}
}

#define WANTED (work > 0 || holder == RETURNED)

active proctype home()
{
	bool held;

	do
	:: taken == WORKS -> break
	:: else ->
		/* a turn */
		atomic { taken = taken + work; work = 0 }
		if
		:: holder == RETURNED -> try_hold(); if :: held -> holder = FREE :: else fi
		:: else
		fi;
		/* park() */
		idle = true;
#ifndef NO_RECHECK
		if
		:: WANTED -> goto awake
		:: else
		fi;
#endif
		try_hold();
		if
		:: held ->
#ifndef NO_SECOND_LOOK
			if
			:: !idle -> lead_bell = false /* a look, no wait */
			:: else ->
#endif
				if
				:: atomic { lead_bell -> lead_bell = false }
				:: taken == WORKS
				fi
#ifndef NO_SECOND_LOOK
			fi
#endif
			;
			holder = FREE
		:: else ->
			if
			:: atomic { own_bell -> own_bell = false }
			:: taken == WORKS
			fi
		fi;
awake:
		idle = false
	od
}

active proctype helper()
{
	bool held, claimed;
	byte n;

	for (n : 1 .. HELPS) {
		try_hold();
		if
		:: held ->
			lead_bell = false; /* its look */
			holder = RETURNED;
			wake_home()
		:: else
		fi
	}
}

active proctype outside()
{
	bool claimed;
	byte n;

	for (n : 1 .. WORKS) {
		work++;
		wake_home()
	}
}
