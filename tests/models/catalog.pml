/* SPDX-License-Identifier: MIT */
/*
 * When an old catalog of services may be destroyed (http/service/service.h):
 * workers that take up catalogs and put them down, requests that keep one
 * over runs and end on any worker, work beside a request that outlives it,
 * and a deploy that publishes new ones. Nobody uses one that is destroyed.
 *
 * Stores become visible in any order, except across the fences of who made
 * them; what nobody can see yet is one step with the load before it. Loads
 * happen in the order written, as the load fences say.
 *
 * breaks: NO_TAKE_UP_FENCE NO_RECHECK NO_PUBLISH_FENCE NO_PUT_DOWN_FENCE
 * breaks: NO_LOOK_AT_WORKERS NO_COUNTS NO_OTHERS OTHERS_FIRST
 */
#define WORKERS 2
#define CATALOGS 2 /* the first is there from the start */
#define RUNS 2 /* of the first worker; the other has one */

#define NONE 255
/* As it stands in using[]: 0 is nothing. */
#define MARK(which) (which + 1)

byte catalog;          /* published */
byte using[WORKERS];   /* a worker's, 0 between runs */
short users[4];        /* a catalog's, by worker */
byte others[CATALOGS]; /* counted by locked additions: visible at once */
bool destroyed[CATALOGS];

chan requests = [4] of { byte }; /* on their way to any worker */
chan beside = [1] of { byte };

/* Stores that are not visible yet. */
bool catalog_waits, using_waits[WORKERS], users_waits[WORKERS];
byte catalog_value, using_value[WORKERS], users_index[WORKERS];
short users_value[WORKERS];

active proctype memory()
{
end:	do
	:: atomic { catalog_waits -> catalog = catalog_value;
		    catalog_waits = false }
	:: atomic { using_waits[0] -> using[0] = using_value[0];
		    using_waits[0] = false }
	:: atomic { using_waits[1] -> using[1] = using_value[1];
		    using_waits[1] = false }
	:: atomic { users_waits[0] -> users[users_index[0]] = users_value[0];
		    users_waits[0] = false }
	:: atomic { users_waits[1] -> users[users_index[1]] = users_value[1];
		    users_waits[1] = false }
	od
}

#define MINE_ARE_VISIBLE (!using_waits[me] && !users_waits[me])

inline store_using(value)
{
	atomic {
		!using_waits[me];
		using_value[me] = value;
		using_waits[me] = true
	}
}

inline store_users(which)
{
	atomic {
		!users_waits[me];
		users_index[me] = which * WORKERS + me;
		users_value[me] = mine[which];
		users_waits[me] = true
	}
}

/* A slow statement of it is looked at beside it, or not; then it ends:
 * catalog_release(). */
inline end_request(which)
{
	assert(!destroyed[which]);
	if
	:: atomic { nfull(beside) -> others[which]++; beside ! which }
	:: true
	fi;
	MINE_ARE_VISIBLE;
	atomic { mine[which]--; store_users(which) }
}

active [WORKERS] proctype worker()
{
	byte me = _pid - 1;
	byte c, r, turn;
	byte kept = NONE; /* a request that stays here */
	short mine[CATALOGS];

	for (turn : 1 .. RUNS - me) {
		/* catalog_take_up() */
		do
		:: atomic { c = catalog; store_using(MARK(c)) };
#ifndef NO_TAKE_UP_FENCE
		   MINE_ARE_VISIBLE;
#endif
#ifdef NO_RECHECK
		   break
#else
		   if
		   :: catalog == c -> break
		   :: else
		   fi
#endif
		od;
		assert(!destroyed[c]);
		/* One begins, or one of before ends. */
		if
		:: kept == NONE ->
			atomic { mine[c]++; store_users(c); kept = c }
		:: true ->
			atomic { mine[c]++; store_users(c) };
			/* What hands it over has a fence. */
			MINE_ARE_VISIBLE;
			requests ! c
		:: kept != NONE ->
			end_request(kept);
			kept = NONE
		:: requests ? r -> end_request(r); r = 0
		:: true
		fi;
		assert(!destroyed[c]);
		/* catalog_put_down() */
#ifndef NO_PUT_DOWN_FENCE
		MINE_ARE_VISIBLE;
#endif
		store_using(0)
	}
	if
	:: kept != NONE -> assert(!destroyed[kept])
	:: else
	fi;
	c = 0
}

active proctype looker()
{
	byte r;

end:	do
	:: beside ? r ->
		assert(!destroyed[r]);
		others[r]--;
		r = 0
	od
}

/* catalog_is_put_down(), catalog_is_unused() */
inline reap(which)
{
	sum = 0;
#ifndef NO_LOOK_AT_WORKERS
	if
	:: using[0] == MARK(which) -> sum = 100
	:: else
	fi;
	if
	:: using[1] == MARK(which) -> sum = 100
	:: else
	fi;
#endif
#ifdef OTHERS_FIRST
	sum = sum + others[which];
#endif
#ifndef NO_COUNTS
	sum = sum + users[which * WORKERS];
	sum = sum + users[which * WORKERS + 1];
#endif
#ifndef OTHERS_FIRST
#ifndef NO_OTHERS
	sum = sum + others[which];
#endif
#endif
	if
	:: sum == 0 -> destroyed[which] = true
	:: else
	fi
}

/* It looks once for each; when it does is left open. */
active proctype deploy()
{
	byte n, old;
	short sum;

	for (n : 1 .. CATALOGS - 1) {
		atomic { catalog_value = n; catalog_waits = true }
#ifndef NO_PUBLISH_FENCE
		!catalog_waits;
#endif
		for (old : 0 .. n - 1) {
			reap(old)
		}
		!catalog_waits
	}
}
