/* SPDX-License-Identifier: MIT */
/*
 * The queue that everybody shares: tasks from threads that are no workers,
 * and what does not fit a worker's ring.
 *
 * A push is one compare-and-swap on a stack. A worker that takes, moves what
 * has gathered there to the end of a list, in the order of the pushes, and
 * takes its share from the front; the rest stays where others find it. So the
 * order is first in first out over all takers, and no task sits in a place
 * that only a busy worker can reach.
 *
 * One worker takes at a time. Another one does not wait, it goes on as if the
 * injector were empty; so the taker must look again once it has let go.
 */
#ifndef CORE_INJECTOR_H
#define CORE_INJECTOR_H

#include "core/sched.h"

struct injector {
	/* Pushed by any thread, taken whole by the taker. */
	alignas(CACHE_LINE) ck_stack_t fresh;

	/* Changed by the taker; taker and oldest read by every worker. */
	alignas(CACHE_LINE) unsigned taker; /* 1: a worker is taking */
	struct task *oldest;

	/* The taker's. */
	struct task *newest; /* defined while oldest is not NULL */
	size_t count;
};

void injector_init(struct injector *injector);

/* Any thread. */
void injector_push(struct injector *injector, struct task *task);

bool injector_is_empty(const struct injector *injector);
/* Not empty, and nobody is taking. Who parks asks this one: a taker wakes
 * somebody for what it leaves. */
bool injector_is_ready(const struct injector *injector);

/* The oldest tasks: at most max, and no more than a fair share for one of
 * `sharers`. 0 when there are none, or while another worker takes. When it
 * returns, a full fence has passed since it let go. */
unsigned injector_take(struct injector *injector, struct task **tasks,
		       unsigned max, unsigned sharers) ON_WORKER;

#endif
