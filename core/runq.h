/* SPDX-License-Identifier: MIT */
/*
 * A worker's queue of tasks: a ring, first in first out, and one slot for the
 * task that was just made ready.
 *
 * The owner pushes and pops; every other worker steals the oldest. FIFO and
 * not the LIFO of fork/join schedulers, since a request that has waited
 * longest is the one that decides the tail. The ring is Concurrency Kit's
 * SPMC ring: a taker reads the slot, then takes it by moving the head with a
 * compare-and-swap. The other order would read a slot that the owner may
 * already have filled again. (tests/models/steal.pml)
 *
 * The slot saves a round through the queue when one task hands its result to
 * the next. It is not stealable, so it is emptied before anything long; and it
 * wins at most NEXT_MAX times in a row, or two tasks that ready each other
 * would keep the rest out for ever.
 */
#ifndef CORE_RUNQ_H
#define CORE_RUNQ_H

#include <ck_ring.h>
#include <stdlib.h>

#include "core/sched.h"

enum { NEXT_MAX = 3 };

struct runq {
	/* Head: moved by whoever takes the oldest task. Tail: by the owner.
	 * CK keeps them on lines of their own, and the sizes on a third. */
	alignas(CACHE_LINE) ck_ring_t ring;
	/* Set by runq_init(), then never changed. */
	ck_ring_buffer_t *slots;

	/* The owner's. */
	alignas(CACHE_LINE) struct task *next;
	unsigned streak; /* tasks in a row that came from `next` */
};

/* size is a power of two; the ring holds one less. */
MUST_CHECK static inline enum err
runq_init(struct runq *runq, unsigned size)
{
	runq->slots = calloc(size, sizeof(*runq->slots));
	if (!runq->slots)
		return ERR_NOMEM;
	ck_ring_init(&runq->ring, size);
	runq->next = NULL;
	runq->streak = 0;
	return ERR_OK;
}

static inline void
runq_fini(struct runq *runq)
{
	free(runq->slots);
}

/*
 * Any worker: how many could be stolen. Never 0 for tasks that were pushed
 * before the caller's last full fence and are still there. The two loads are
 * not one, so it can be too high.
 */
static inline unsigned
runq_stealable(const struct runq *runq)
{
	unsigned head = ck_pr_load_uint(&runq->ring.c_head);

	/* Tail after head, or the difference could be negative. */
	ck_pr_fence_load();
	return ck_pr_load_uint(&runq->ring.p_tail) - head;
}

/* Owner only. Thieves only make more room. */
static inline unsigned
runq_room(const struct runq *runq) ON_WORKER
{
	return runq->ring.size - 1 - runq_stealable(runq);
}

/* Owner only. */
static inline bool
runq_is_empty(const struct runq *runq) ON_WORKER
{
	return !runq->next && runq_stealable(runq) == 0;
}

/* Owner only. False means full. */
MUST_CHECK static inline bool
runq_push(struct runq *runq, struct task *task) ON_WORKER
{
	HANDS_OVER(task);
	return ck_ring_enqueue_spmc(&runq->ring, runq->slots, task);
}

/* Any worker: the oldest task, or NULL. */
static inline struct task *
runq_steal(struct runq *runq) ON_WORKER
{
	struct task *task;

	if (!ck_ring_dequeue_spmc(&runq->ring, runq->slots, &task))
		return NULL;
	TAKES_OVER(task);
	return task;
}

/* Owner only: what runs next, or NULL. */
static inline struct task *
runq_pop(struct runq *runq) ON_WORKER
{
	struct task *task = runq->next;

	if (task) {
		runq->next = NULL;
		runq->streak++;
		return task;
	}
	runq->streak = 0;
	return runq_steal(runq);
}

/* Owner only: runs task next. Returns what must go to the ring for it: what
 * was in the slot, task itself when the slot has had its turns, or NULL. */
MUST_CHECK static inline struct task *
runq_push_next(struct runq *runq, struct task *task) ON_WORKER
{
	struct task *out = task;

	if (runq->streak < NEXT_MAX) {
		out = runq->next;
		runq->next = task;
	}
	return out;
}

/* Owner only: empties the slot. */
static inline struct task *
runq_take_next(struct runq *runq) ON_WORKER
{
	struct task *task = runq->next;

	runq->next = NULL;
	return task;
}

#endif
