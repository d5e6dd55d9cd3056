/* SPDX-License-Identifier: MIT */
/*
 * The work-stealing scheduler: workers, tasks and sources.
 *
 * A worker is a thread, one a processor. It polls its sources (things with a
 * descriptor: an HTTP shard, a listening socket), runs tasks, steals from
 * others when it has nothing, and parks when nobody has. It never blocks
 * anywhere else.
 *
 * A task is a short run to completion. It is embedded in an object of its
 * owner; the scheduler holds a pointer from sched_submit() until it calls
 * run(), and allocates nothing. A task whose work is longer than a slice does
 * a part, checks sched_slice_over(), and submits itself again.
 *
 * A source is run by one thread at a time, whoever holds it: usually its home
 * worker, or an idle one while the home worker is busy with something else.
 * Other threads leave entries in its inbox and wake it.
 */
#ifndef CORE_SCHED_H
#define CORE_SCHED_H

#include <ck_stack.h>

#include "core/affinity.h"
#include "core/base.h"
#include "core/err.h"

/* One bit each in a word (parking.h). */
enum { WORKERS_MAX = 64 };

struct sched;
struct task;

typedef void (*task_fn)(struct task *task);

struct task {
	/* The owner's, set before submit. */
	task_fn run;

	/* The scheduler's, from submit until run. */
	ck_stack_entry_t link;
	uint64_t queued_ns;
};

/* What a source did when it was run, and what it wants next. */
struct source_run {
	unsigned work;    /* units done, such as requests answered */
	bool again;       /* more is ready: run me again without waiting */
	bool pause;       /* a shared source only: leave its descriptor alone
			     for 100 ms (descriptors are exhausted) */
	uint64_t tick_ns; /* run me at this monotonic time even if nothing
			     happens; UINT64_MAX: never */
};

/*
 * What is left in a source's inbox. Embedded in objects of different kinds,
 * so it carries what to do with it: the holder calls open().
 */
struct parcel {
	ck_stack_entry_t link;
	void (*open)(struct parcel *parcel); /* set by who posts it */
};

struct source;
typedef void (*source_fn)(struct source *source, struct source_run *result);
typedef void (*source_wait_fn)(struct source *source, int timeout_ms,
			       struct source_run *result);

struct source {
	/* Set before sched_add_source(), then never changed. run() leaves fd
	 * unreadable, or asks for `again`. */
	source_fn run;
	int fd; /* readable means run me; -1: inbox and ticks only */
	/*
	 * NULL, or: waits for fd, for timeout_ms at most (-1: without end),
	 * and goes on as run() does, but opens no parcels; calls sched_awake()
	 * before the first thing that it does. fd is then an epoll, to which
	 * the scheduler adds descriptors of its own with data.ptr NULL; they
	 * end the wait and mean nothing else to the source.
	 */
	source_wait_fn wait;
	bool shared;   /* polled by every worker (EPOLLEXCLUSIVE): a
			  listening socket, and has no inbox. Not shared:
			  has a home. */
	unsigned home; /* index of its worker; by sched_add_source() */
	struct sched *sched;

	/* Atomic, zero before sched_add_source(). See source.c. */
	alignas(64) unsigned holder;
	/* Atomic: pushed by any thread, taken whole by the holder. */
	ck_stack_t inbox;
	/* Atomic: set by who wakes the source, cleared by a holder before it
	 * looks into the inbox. */
	unsigned notified;
};

struct sched_options {
	unsigned workers;   /* 0: one a processor we may use; at most 64 */
	unsigned ring_size; /* power of two; 0: 256. Tests use 2 and 4. */
	uint64_t slice_ns;  /* a fiber's; 0: 100 us. A turn has two. */
};

MUST_CHECK enum err sched_create(struct sched **out,
				 const struct sched_options *options);
unsigned sched_workers(const struct sched *sched);

/* Before sched_start(). A source that is not shared gets a home in turn. */
MUST_CHECK enum err sched_add_source(struct sched *sched,
				     struct source *source);
/* Starts the workers. Each calls begin(arg, index) first and end(arg, index)
 * last, on its own thread; either may be NULL. */
MUST_CHECK enum err sched_start(struct sched *sched,
				void (*begin)(void *arg, unsigned index),
				void (*end)(void *arg, unsigned index),
				void *arg);
/* Workers finish what they run now, leave the rest, and are joined. */
void sched_stop(struct sched *sched);
void sched_destroy(struct sched *sched);

/* Any thread. Gives the task to the scheduler; never fails, never allocates.
 * From a worker it goes to the end of that worker's queue. */
void sched_submit(struct sched *sched, struct task *task);

/* Any thread: leaves parcel for the source's holder. Waking is separate, so
 * that many parcels need one wake. Publishes what the caller wrote before. */
void source_post(struct source *source, struct parcel *parcel);
void source_wake(struct source *source);
/* Holder only: opens everything posted so far, oldest first. Returns how
 * many. A parcel may be posted again, or freed, by its open(). */
unsigned source_open_parcels(struct source *source);

/* Worker only, within a source's wait(): there is something to do, so from here
 * on the worker is not parked. Cheap when called again. */
void sched_awake(void);

/* The calling worker's index; asserts on other threads. */
unsigned sched_worker_index(void);
bool sched_on_worker(void);
/* Worker only. True when the current turn has used two slices: a task should
 * submit itself again. Also lets an idle worker take over what waits behind
 * this one. Cheap enough to call for every item of a loop. */
bool sched_slice_over(void);
/* Worker only: before work that is long and cannot be sliced. An idle worker
 * takes over this worker's sources and tasks meanwhile. */
void sched_expect_long(void);

/* Counters, one set a worker; written by that worker, read by anybody with
 * sched_stats(). Durations in nanoseconds. */
struct sched_stats {
	uint64_t tasks;          /* run */
	uint64_t stolen;         /* tasks taken from another worker's queue */
	uint64_t sources_helped; /* runs of another worker's source */
	uint64_t source_runs;
	uint64_t parks;         /* waits for descriptors */
	uint64_t polls;         /* looks at descriptors without waiting */
	uint64_t wakes;         /* sent to another worker */
	uint64_t overflows;     /* submits that went to the injector */
	uint64_t queue_wait_ns; /* sum over tasks, from submit to run */
	uint64_t queue_wait_max_ns;
	uint64_t busy_ns;      /* not parked */
	uint64_t fibers;       /* begun */
	uint64_t fibers_ended; /* those alive are the difference */
	uint64_t fiber_yields;
	uint64_t fiber_waits;  /* that found no wake, and had to */
	uint64_t fiber_stacks; /* now: of those alive, and spare ones */
};
void sched_stats(const struct sched *sched, unsigned worker,
		 struct sched_stats *stats);

#endif
