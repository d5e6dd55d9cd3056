/* SPDX-License-Identifier: MIT */
/*
 * A source that its home worker and a helper run by turns (core/source.c).
 * Edges and parcels come at any time; the helper comes, runs it, and is gone
 * for good, at any time. Nothing that came may be left: the home worker alone
 * must find it.
 *
 * breaks: RETURN_FREE NO_RETURN_WAKE CLEAR_LATE NO_HOLD NO_RECHECK
 */
#define EDGES 2
#define PARCELS 2
#define HELPS 2

mtype = { FREE, HELD, RETURNED };
mtype holder = FREE;

byte inner;    /* what its own descriptor has */
bool edge;     /* what the home worker's epoll has of it */
byte inbox;
bool notified;
bool idle, bell; /* of the home worker */
byte served, runners;

#define ALL (EDGES + PARCELS)

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
	:: claimed -> bell = true
	:: else
	fi
}

/* source_try_hold() */
inline try_hold()
{
	seen = holder;
	held = false;
#ifdef NO_HOLD
	holder = HELD;
	held = true;
#else
	if
	:: seen == HELD
	:: else ->
		atomic {
			if
			:: holder == seen -> holder = HELD; held = true
			:: else
			fi
		}
	fi
#endif
}

/* source_run_once(): the inbox, then the descriptor. */
inline run_it()
{
	runners++;
	assert(runners == 1);
#ifndef CLEAR_LATE
	notified = false;
#endif
	atomic { served = served + inbox; inbox = 0 }
#ifdef CLEAR_LATE
	notified = false;
#endif
	atomic { served = served + inner; inner = 0 }
	runners--
}

#define WANTED (holder == RETURNED || (holder == FREE && notified))

active proctype home()
{
	bool held, ready;
	mtype seen;

	do
	:: served == ALL -> break
	:: else ->
		if
		:: ready || WANTED ->
			ready = false;
			try_hold();
			if
			:: held -> run_it(); holder = FREE
			:: else
			fi
		:: else ->
			idle = true;
#ifndef NO_RECHECK
			if
			:: WANTED -> goto awake
			:: else
			fi;
#endif
			if
			:: atomic { edge -> edge = false; ready = true }
			:: atomic { bell -> bell = false }
			:: served == ALL
			fi;
awake:
			idle = false
		fi
	od
}

active proctype helper()
{
	bool held, claimed;
	mtype seen;
	byte n;

	for (n : 1 .. HELPS) {
		try_hold();
		if
		:: held ->
			run_it();
#ifdef RETURN_FREE
			holder = FREE;
#else
			holder = RETURNED;
#endif
#ifndef NO_RETURN_WAKE
			wake_home()
#endif
		:: else
		fi
	}
}

active proctype network()
{
	byte n;

	for (n : 1 .. EDGES) {
		atomic { inner++; edge = true }
	}
}

/* source_post(), source_wake() */
active proctype committer()
{
	bool claimed, before;
	byte n;

	for (n : 1 .. PARCELS) {
		inbox++;
		atomic { before = notified; notified = true }
		if
		:: before
		:: else -> wake_home()
		fi
	}
}
