/* SPDX-License-Identifier: MIT */
/*
 * Why a cached value is never stale (core/version.h): one key, one writer
 * whose values count up, readers with a cache each. No read returns less than
 * what was acknowledged, or returned to anybody, before it began.
 *
 * The writer's stores become visible in any order, except across its fences.
 * The readers' loads happen in the order written, as their load fences say.
 *
 * breaks: NO_ODD NO_ODD_FENCE NO_EVEN_FENCE NO_RENEW_ON_ODD NO_RENEW_BEHIND
 * breaks: NOTE_AFTER_SNAPSHOT KEEP_ON_ODD NUMBER_AFTER_EVEN
 */
#define WRITES 2
#define READS 3
#define READERS 2

byte word;   /* the version word of the key */
byte store;  /* what a new snapshot finds */
byte number; /* of the last commit, as published */
byte newest; /* acknowledged or returned: the floor of reads that begin */

/* The writer's stores that are not visible yet. */
bool odd_waits, number_waits, even_waits;
byte odd_value, number_value, even_value;

active proctype memory()
{
end:	do
	:: atomic { odd_waits -> word = odd_value; odd_waits = false }
	:: atomic { number_waits -> number = number_value;
		    number_waits = false }
	/* Stores to one word stay in order. */
	:: atomic { even_waits && !odd_waits -> word = even_value;
		    even_waits = false }
	od
}

#define ALL_VISIBLE (!odd_waits && !number_waits && !even_waits)

inline publish_number(n)
{
	number_value = n;
	number_waits = true
}

inline publish_even(n)
{
	even_value = 2 * n;
	even_waits = true
}

active proctype writer()
{
	byte n;

	for (n : 1 .. WRITES) {
#ifndef NO_ODD
		odd_value = 2 * n - 1;
		odd_waits = true;
#ifndef NO_ODD_FENCE
		ALL_VISIBLE;
#endif
#endif
		store = n;
#ifdef NUMBER_AFTER_EVEN
		publish_even(n);
		ALL_VISIBLE;
		publish_number(n);
#else
		publish_number(n);
#ifndef NO_EVEN_FENCE
		ALL_VISIBLE;
#endif
		publish_even(n);
#endif
		/* The hand-over of the answer has a fence. */
		ALL_VISIBLE;
		atomic { newest = (newest < n -> n : newest) }
	}
}

/* kv_read_renew(): the snapshot is kept while it is not behind. */
inline renew(fresh)
{
	if
#ifndef NO_RENEW_BEHIND
	:: fresh || snapshot < number -> snapshot = store
	:: else
#else
	:: fresh -> snapshot = store
	:: else
#endif
	fi
}

#ifdef NO_RENEW_ON_ODD
#define FRESH false
#else
#define FRESH (noted & 1)
#endif

active [READERS] proctype reader()
{
	byte snapshot, noted, floor, value, n;
	byte kept_word, kept_value;
	bool kept;

	for (n : 1 .. READS) {
		floor = newest;
#ifdef NOTE_AFTER_SNAPSHOT
		noted = word;
		if
		:: kept && kept_word == noted -> value = kept_value
		:: else ->
			renew(FRESH);
			value = snapshot;
			noted = word;
			kept = !(noted & 1);
			kept_word = noted;
			kept_value = value
		fi;
#else
		noted = word;
		if
		:: kept && kept_word == noted -> value = kept_value
		:: else ->
			renew(FRESH);
			value = snapshot;
#ifdef KEEP_ON_ODD
			kept = true;
#else
			kept = !(noted & 1);
#endif
			kept_word = noted;
			kept_value = value
		fi;
#endif
		assert(value >= floor);
		atomic { newest = (newest < value -> value : newest) }
	}
}
