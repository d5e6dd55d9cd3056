/* SPDX-License-Identifier: MIT */
/*
 * The inside of the scheduler: a worker and what it does, and the scheduler
 * that all of them share. Included by the scheduler's own files only.
 *
 *	worker.c  the loop, tasks, stealing, parking
 *	seat.c    a worker and its sources: descriptors, ticks, runs
 *	help.c    running the sources of a worker that is behind
 *	fiber.c   a worker and its fibers (see fiber_internal.h)
 *	source.c  who holds a source, and its inbox
 *	sched.c   the start, the end, and what users call
 */
#ifndef CORE_WORKER_H
#define CORE_WORKER_H

#include <pthread.h>
#include <poll.h>

#include "core/clock.h"
#include "core/fiber_internal.h"
#include "core/injector.h"
#include "core/parking.h"
#include "core/runq.h"
#include "core/source.h"

enum {
	/* Sources and injector are looked at after so many tasks... */
	TASKS_PER_TURN = 61,
	/* ...descriptors after so many turns without a wait. */
	TURNS_PER_POLL = 16,
	/* Taken at once from the injector or from another worker. */
	BATCH_MAX = 32,
	/* Units of work that make a source hot. Two make a batch: one request
	 * is answered before its client sends the next, so after a single one
	 * there is nothing to find. */
	HOT_WORK = 2,
	/* sched_slice_over() looks at the clock every so many calls: requests
	 * answered in place take 5 to 10 us, a turn has 200. */
	CALLS_PER_LOOK = 16,
};
/* ...or after this time, whichever is first. */
#define TURN_NS (100 * NS_PER_US)
/* What a worker with a lead has beside it: listening sockets, whose clients
 * can wait that long, and a bell, which rings for who is parked. */
#define LOOK_NS NS_PER_MS
#define PAUSE_NS (100 * NS_PER_MS)

/* A source as one worker sees it: what its last run here asked for. All the
 * worker's own; a shared source has a seat at every worker. */
struct seat {
	struct source *source;
	bool ready;        /* an edge was seen, or `again` was asked */
	bool hot;          /* did so much that there is likely more */
	uint64_t tick_ns;  /* UINT64_MAX: none */
	uint64_t pause_ns; /* its descriptor is out until then; 0: it is in */
};

enum { NO_LEAD = UINT32_MAX };

struct worker {
	/* Set before the start, then never changed. */
	struct sched *sched;
	unsigned index;
	unsigned home_seats; /* sources that have their home here */
	/* The home source that it waits in when it parks, with the bell and
	 * the listening sockets added to its descriptor: the index of its
	 * seat; NO_LEAD. The first one that has wait(). */
	unsigned lead;
	/* Everything but the lead. */
	int epoll_fd;
	pthread_t thread;
	struct pollfd *watched; /* room for every source, and two */

	/* The worker's own. */
	alignas(CACHE_LINE) struct seat *seats;
	unsigned seat_count;
	unsigned turns;      /* since the descriptors were looked at */
	uint64_t polled_ns;  /* when that was */
	uint64_t looked_ns;  /* at those of epoll_fd */
	uint64_t turn_ns;    /* when the current turn began */
	uint64_t counted_ns; /* busy_ns is counted up to here */
	uint64_t now_ns;     /* when what runs now began */
	uint64_t random;
	unsigned calls;  /* of sched_slice_over() */
	bool over;       /* the turn has used its slice */
	bool behind;     /* our bit in parking.behind is set */
	bool searching;  /* our bit in parking.searching is set */
	bool at_home;    /* running a source that has its home here */
	bool parked;     /* our bit in parking.idle may be set */
	bool deferred;   /* ready fibers were passed over in the last turn */
	bool lead_busy;  /* the last wait in the lead found HOT_WORK */
	uint64_t minded; /* workers whose sources we ran before parking */
	uint64_t minded_tick_ns; /* the earliest tick of those */

	struct runq queue;
	struct fibers fibers;

	/* Written by the worker, read by any thread. */
	alignas(CACHE_LINE) struct sched_stats stats;
};

struct sched {
	/* Set before the start, then never changed. */
	struct worker *workers;
	unsigned worker_count;
	uint64_t slice_ns;
	struct source **sources;
	unsigned source_count;
	unsigned next_home;
	unsigned started; /* threads to be joined */
	void (*begin)(void *arg, unsigned index);
	void (*end)(void *arg, unsigned index);
	void *arg;

	/* Atomic: written once, by sched_stop(); read every turn. */
	unsigned stopping;

	struct parking parking;
	struct injector injector;
};

/* Read by any thread, but only its worker adds: no locked instruction. */
static inline void
stat_add(uint64_t *stat, uint64_t n)
{
	ck_pr_store_64(stat, *stat + n);
}

/* ---- worker.c ---- */

/* The thread: argument is the worker. */
void *worker_main(void *argument);
/* This thread, when it is a worker of sched; else NULL. */
struct worker *worker_of(const struct sched *sched);
/* This thread; asserts that it is a worker. */
struct worker *worker_self(void) WORKER_BEGINS;
bool worker_is_self(void);

/* Any thread: one idle worker, to search, unless one searches already. */
void worker_wake_one(struct sched *sched);
/* The caller woke a worker by itself. */
void worker_count_wake(struct sched *sched);

/* Before anything is run. Wakes the next searcher when there is more. */
void worker_search_end(struct worker *worker) ON_WORKER;
/* What runs now has had its slice: others take over what waits. */
void worker_fall_behind(struct worker *worker) ON_WORKER;
/* The end of being parked, whatever ended it. True: somebody rang our bell. */
bool worker_unpark(struct worker *worker) ON_WORKER;
/* Once what ran has ended. */
void worker_catch_up(struct worker *worker) ON_WORKER;
/* Runs a source that this worker holds. */
void worker_run_source(struct worker *worker, struct source *source,
		       struct source_run *result) ON_WORKER;

/* ---- seat.c ---- */

/* Before the start. */
MUST_CHECK enum err seats_init(struct worker *worker);
MUST_CHECK enum err seats_add(struct worker *worker, struct source *source);
void seats_fini(struct worker *worker);
/* Whether it is time for a look at the descriptors. */
bool seats_poll_is_due(const struct worker *worker, uint64_t now) ON_WORKER;
/* Marks those that became readable, and the lead, whose look is its run.
 * Returns the time it was then. */
uint64_t seats_poll(struct worker *worker, int timeout_ms) ON_WORKER;
/* The same without waiting, and only of what can have come since. */
uint64_t seats_glance(struct worker *worker, uint64_t now) ON_WORKER;
/* Parked: waits in the lead, and runs it with what came. False: there is none,
 * or a helper has it. */
MUST_CHECK bool seats_wait(struct worker *worker, int timeout_ms) ON_WORKER;
/* Runs each that is due. True: some want to be run again without waiting. */
bool seats_run(struct worker *worker, uint64_t now) ON_WORKER;
/* Another thread left something for one of ours. */
bool seats_are_wanted(const struct worker *worker) ON_WORKER;
/* The earliest tick, or end of a pause. */
uint64_t seats_deadline(const struct worker *worker) ON_WORKER;

/* ---- fiber.c ---- */

void fibers_init(struct worker *worker);
/* After the thread has ended: those that wait are left where they are. */
void fibers_fini(struct worker *worker);
/* On the worker's thread, around everything. */
void fibers_begin(struct worker *worker) ON_WORKER;
void fibers_end(struct worker *worker) ON_WORKER;

/* Makes those ready that were woken, or whose time has come. */
void fibers_collect(struct worker *worker, uint64_t now) ON_WORKER;
bool fibers_are_ready(const struct worker *worker) ON_WORKER;
/* Ready, or woken by another thread. */
bool fibers_are_wanted(const struct worker *worker) ON_WORKER;
/* The earliest time at which something is to be done. */
uint64_t fibers_deadline(const struct worker *worker) ON_WORKER;
/* Those that are ready, by turns, until none is or the budget is used. */
void fibers_run(struct worker *worker, uint64_t budget_ns) ON_WORKER;

/* ---- help.c ---- */

/* Runs the free sources of workers that are behind, once each. True: some
 * have more. */
bool help_others(struct worker *worker) ON_WORKER;
/* A worker fell behind, or a source was woken, since help_others(). */
bool help_is_wanted(const struct worker *worker) ON_WORKER;
/* Waits until epoll_fd or a minded source is readable, or for the timeout. */
void help_watch(struct worker *worker, int timeout_ms) ON_WORKER;

#endif
