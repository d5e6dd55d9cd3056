/* SPDX-License-Identifier: MIT */
/*
 * A commit lane: group commit for one store.
 *
 * Workers submit prepared items and go on. The lane's committer thread takes
 * all that wait, gives the store as many as one batch may hold, has it apply
 * and commit them with one sync, and only then completes them: each is posted
 * to its source, each source is woken once.
 *
 * The committer may block on the disk, nobody else does.
 */
#ifndef STORAGE_LANE_H
#define STORAGE_LANE_H

#include <ck_stack.h>

#include "core/affinity.h"
#include "core/base.h"
#include "core/err.h"
#include "core/fiber.h"
#include "core/sched.h"

/* Bounds of one batch, so that it cannot hurt the tail of the others. */
enum {
	LANE_BATCH_OPS = 1000,
	LANE_BATCH_BYTES = 4 << 20,
	LANE_BATCH_APPLY_US = 2000,
};

/* Admission: waiting longer than this is too long ... */
enum { LANE_MAX_AGE_MS = 50 };
/* ... and lasting this long it is overload. A single sync of up to 150 ms
 * refuses nobody. */
enum { LANE_STANDING_MS = 100 };

/* Embedded in what is submitted. The lane holds a pointer from lane_submit()
 * until the item is posted to its source. */
struct lane_item {
	/* The submitter's, set before submit. */
	struct source *source; /* where it is posted when it is done; NULL:
				  done(item) is called on the committer */
	void (*done)(struct lane_item *item);
	unsigned ops; /* for the bounds */
	size_t bytes;
	bool patient; /* of a submitter that sends one at a time and would
			 rather wait: not refused for the queue's age */

	/* Set by the store while it commits: the outcome. */
	enum err err;

	/* parcel.open is the submitter's, for who holds the source. The link in
	 * it is the lane's until then. */
	struct parcel parcel;
	uint64_t queued_ns;

	/* lane_commit_wait()'s. */
	struct fiber *fiber;
	unsigned wake; /* atomic: see lane.c */
};

/*
 * The store's part, called on the committer thread. Applies items in order in
 * one transaction, commits, syncs, publishes, and sets each item's err. May
 * stop early when LANE_BATCH_APPLY_US is over: returns how many of the count
 * items it decided (at least 1); the rest come again in the next batch.
 * *fault is set when the store can no longer be trusted (a failed sync): the
 * lane then answers ERR_FAULT to everything and calls on_fault once.
 */
typedef size_t (*lane_commit_fn)(void *store, struct lane_item **items,
				 size_t count, bool *fault);

/* Called on the committer when it is otherwise idle and the time has come that
 * the last call returned, for sweeping and the like; or when it is poked.
 * Returns the next time, UINT64_MAX for never. */
typedef uint64_t (*lane_idle_fn)(void *store, bool *fault);

struct lane_options {
	const char *name; /* of the store; copied */
	void *store;
	lane_commit_fn commit;
	lane_idle_fn idle;
	void (*on_fault)(void *arg, const char *name);
	void *on_fault_arg;
	uint64_t max_age_ns; /* admission: 0 means LANE_MAX_AGE_MS */
};

struct lane;

/* *out is set before the committer starts, so that a store which keeps it can
 * use it in its callbacks. idle() is called once at the start. */
MUST_CHECK enum err lane_open(struct lane **out,
			      const struct lane_options *options);
/* Commits what waits, completes it, ends the thread. */
void lane_close(struct lane *lane);

/*
 * Any thread. ERR_OVERLOADED: the oldest waiting item has been too old for
 * too long. ERR_FAULT: the store failed. ERR_DRAINING: the lane closes. On an
 * error the item was not taken.
 */
MUST_CHECK enum err lane_submit(struct lane *lane, struct lane_item *item);

/*
 * On a fiber: submits and waits until the item is done, and with it the
 * lane. Errors of lane_submit(), or the outcome, which is item->err too. Sets
 * item.source and item.done. A wake by anybody else that comes meanwhile does
 * not end it, but the fiber's next wait may return at once.
 */
MUST_CHECK enum err lane_commit_wait(struct lane *lane, struct lane_item *item);

/* Any thread: has idle() called soon. */
void lane_poke(struct lane *lane);

/* Items submitted and not yet completed; 0 means drained. */
uint64_t lane_waiting(const struct lane *lane);
/* Waits until that is 0, when nobody submits any more: the committer is
 * through with the sources of all items. Not on a worker. */
void lane_settle(const struct lane *lane);
bool lane_faulty(const struct lane *lane);

enum { LANE_BUCKETS = 20 };
struct lane_stats {
	uint64_t batches, items, ops, bytes;
	uint64_t refused;   /* by admission */
	uint64_t failed;    /* items that ended with FAULT or FULL */
	uint64_t commit_ns; /* sum over batches, apply, commit and sync */
	uint64_t sync_ns;   /* the part of it in mdb_txn_commit or sync */
	uint64_t age_ns;    /* of the oldest item, at the last batch */
	uint64_t waiting;
	/* Histograms. Bucket i counts the values below 2^i (items of a batch)
	 * or 50 us * 2^i (commit time, queue age) that no lower bucket has;
	 * the last one also takes what is larger. */
	uint64_t batch_items[LANE_BUCKETS];
	uint64_t commit_time[LANE_BUCKETS];
	uint64_t queue_age[LANE_BUCKETS];
};
void lane_stats(const struct lane *lane, struct lane_stats *stats);
/* Committer only, from commit(): adds to sync_ns. */
void lane_count_sync(struct lane *lane, uint64_t ns);

#endif
