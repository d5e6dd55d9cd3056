/* SPDX-License-Identifier: MIT */
/*
 * Who sleeps, who searches, who is behind: one mask of workers each, and an
 * eventfd a worker to wake it by.
 *
 * Sleeping is safe because both sides store first and look second, with a
 * full fence between (tests/models/parking.pml):
 *
 *	worker parks			someone has work
 *	  sets its bit in `idle`	  publishes the work
 *	  full fence			  full fence
 *	  looks for work, all kinds	  looks at `idle`
 *	  waits, or goes on		  clears one bit, writes its eventfd
 *
 * Leave out either fence and each can look before the other's store is
 * visible: the work lies there and the worker sleeps. Who clears the bit is
 * the one who writes, so one push wakes one worker.
 *
 * Waking is dear, so nobody is woken while a worker searches: the searcher
 * will find the work. That is safe because a worker that stops searching
 * leaves `searching` first and looks again after: when it found something it
 * wakes the next one if there is more, when it found nothing it parks as
 * above (tests/models/search.pml). A worker is woken as a searcher: its bit
 * is set for it, so that the pushes that follow wake no second one while it
 * is still on its way.
 */
#ifndef CORE_PARKING_H
#define CORE_PARKING_H

#include <ck_pr.h>

#include "core/base.h"
#include "core/err.h"
#include "core/sched.h"

#define WORKER_BIT(index) (UINT64_C(1) << (index))

struct parking {
	/* Set by parking_init(), then never changed. */
	unsigned workers;
	int eventfds[WORKERS_MAX];

	/* Changed by workers that park or search and by whoever wakes one. A
	 * push reads both, so they share a line. */
	alignas(CACHE_LINE) uint64_t idle;
	uint64_t searching;

	/* A bit is changed by its worker, rarely; read by idle workers and by
	 * who wakes a source. */
	alignas(CACHE_LINE) uint64_t behind;
};

MUST_CHECK enum err parking_init(struct parking *parking, unsigned workers);
void parking_fini(struct parking *parking);

/* The worker itself: look for work between these two, and sleep if there is
 * none. Both are full fences. */
void parking_enter(struct parking *parking, unsigned index);
/* False: somebody woke us already. */
static inline bool
parking_is_idle(const struct parking *parking, unsigned index)
{
	return ck_pr_load_64(&parking->idle) & WORKER_BIT(index);
}

/* True: somebody woke us meanwhile. */
bool parking_leave(struct parking *parking, unsigned index);

/* Any thread that published something, full fence included. True when this
 * call woke the worker: that one, or some one to search. */
bool parking_wake(struct parking *parking, unsigned index);
bool parking_wake_one(struct parking *parking);
/* At the end, whatever they do. */
void parking_wake_all(struct parking *parking);

/* The worker itself. False: half of those awake are searching already. */
MUST_CHECK bool parking_search_begin(struct parking *parking, unsigned index);
/* Full fence. True: nobody searches now. */
bool parking_search_end(struct parking *parking, unsigned index);
/* Was woken as a searcher? Only right after parking_leave(). */
bool parking_was_sent(const struct parking *parking, unsigned index);

static inline bool
parking_is_searched(const struct parking *parking)
{
	return ck_pr_load_64(&parking->searching) != 0;
}

/* The worker itself: its sources and tasks wait while it does something
 * long. Idle workers help; wake one after setting it. */
void parking_set_behind(struct parking *parking, unsigned index);
void parking_clear_behind(struct parking *parking, unsigned index);

static inline uint64_t
parking_behind(const struct parking *parking)
{
	return ck_pr_load_64(&parking->behind);
}

#endif
