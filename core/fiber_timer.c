/* SPDX-License-Identifier: MIT */
/*
 * A binary heap by until_ns, in an array that has room for every fiber of the
 * worker, so that waiting needs no memory.
 */
#include "core/fiber_internal.h"

static void
put(struct fibers *fibers, int place, struct fiber *fiber)
{
	fibers->timers[place] = fiber;
	fiber->timer = place;
}

/* Toward the root, to where its parent is not later. */
static void
rise(struct fibers *fibers, int place, struct fiber *fiber)
{
	while (place > 0) {
		int above = (place - 1) / 2;
		struct fiber *parent = fibers->timers[above];

		if (parent->until_ns <= fiber->until_ns)
			break;
		put(fibers, place, parent);
		place = above;
	}
	put(fibers, place, fiber);
}

/* Toward the leaves, to where its children are not earlier. */
static void
sink(struct fibers *fibers, int place, struct fiber *fiber)
{
	int count = (int)fibers->timer_count;

	for (;;) {
		int below = 2 * place + 1;
		struct fiber **timers = fibers->timers;

		if (below + 1 < count &&
		    timers[below + 1]->until_ns < timers[below]->until_ns)
			below++;
		if (below >= count ||
		    timers[below]->until_ns >= fiber->until_ns)
			break;
		put(fibers, place, timers[below]);
		place = below;
	}
	put(fibers, place, fiber);
}

void
fiber_timer_add(struct fibers *fibers, struct fiber *fiber)
{
	assert(fiber->timer == NO_TIMER && fibers->timer_count < fibers->room);
	rise(fibers, (int)fibers->timer_count++, fiber);
}

void
fiber_timer_remove(struct fibers *fibers, struct fiber *fiber)
{
	int place = fiber->timer;
	struct fiber *last = fibers->timers[--fibers->timer_count];

	assert(place >= 0);
	fiber->timer = NO_TIMER;
	if (last == fiber)
		return;
	if (last->until_ns < fiber->until_ns)
		rise(fibers, place, last);
	else
		sink(fibers, place, last);
}
