/* SPDX-License-Identifier: MIT */
/*
 * A worker's queue of tasks: a ring, first in first out.
 *
 * The owner pushes and pops; every other worker steals the oldest. FIFO and
 * not the LIFO of fork/join schedulers, since a request that has waited
 * longest is the one that decides the tail. The ring is Concurrency Kit's
 * SPMC ring: a taker reads the slot, then takes it by moving the head with a
 * compare-and-swap. The other order would read a slot that the owner may
 * already have filled again. (tests/models/steal.pml)
 */
#ifndef CORE_RUNQ_H
#define CORE_RUNQ_H

#include <ck_ring.h>
#include <stdlib.h>

#include "core/sched.h"

struct runq {
	/* Head: moved by whoever takes the oldest task. Tail: by the owner.
	 * CK keeps them on lines of their own, and the sizes on a third. */
	alignas(CACHE_LINE) ck_ring_t ring;
	/* Set by runq_init(), then never changed. */
	ck_ring_buffer_t *slots;
};

/* size is a power of two; the ring holds one less. */
MUST_CHECK static inline enum err
runq_init(struct runq *runq, unsigned size)
{
	runq->slots = calloc(size, sizeof(*runq->slots));
	if (!runq->slots)
		return ERR_NOMEM;
	ck_ring_init(&runq->ring, size);
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
	return runq_stealable(runq) == 0;
}

/* Owner only. False means full. */
MUST_CHECK static inline bool
runq_push(struct runq *runq, struct task *task) ON_WORKER
{
	HANDS_OVER(task);
	return ck_ring_enqueue_spmc(&runq->ring, runq->slots, task);
}

/* Any worker, the owner too: the oldest task, or NULL. */
static inline struct task *
runq_take(struct runq *runq) ON_WORKER
{
	struct task *task;

	if (!ck_ring_dequeue_spmc(&runq->ring, runq->slots, &task))
		return NULL;
	TAKES_OVER(task);
	return task;
}

#endif
