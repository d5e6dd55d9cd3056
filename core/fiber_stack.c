/* SPDX-License-Identifier: MIT */
/*
 * Fibers are made when all that a worker has are in use, which costs some 10
 * us, and kept for the next tasks when theirs have ended: a batch of commits
 * ends as many at once, and the next one begins as many. Of those that were not
 * used for a second all but SPARE_KEPT are unmapped, and the others give back
 * what is deeper than SPARE_BYTES. So a busy worker makes no system call for a
 * fiber, and an idle one has returned what a burst took.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "core/worker.h"

enum { ROOM_FIRST = 64 };

static bool
make_room(struct fibers *fibers)
{
	unsigned room = fibers->room ? 2 * fibers->room : ROOM_FIRST;
	struct fiber **array;

	if (fibers->count < fibers->room)
		return true;
	array = realloc(fibers->all, room * sizeof(struct fiber *));
	if (!array)
		return false;
	fibers->all = array;
	array = realloc(fibers->timers, room * sizeof(struct fiber *));
	if (!array)
		return false;
	fibers->timers = array;
	fibers->room = room;
	return true;
}

static char *
map_stack(void)
{
	char *map = mmap(
		NULL, FIBER_GUARD + FIBER_STACK, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (map == MAP_FAILED)
		return NULL;
	if (mprotect(map + FIBER_GUARD, FIBER_STACK, PROT_READ | PROT_WRITE)) {
		munmap(map, FIBER_GUARD + FIBER_STACK);
		return NULL;
	}
	return map;
}

static struct fiber *
make(struct worker *worker)
{
	struct fibers *fibers = &worker->fibers;
	struct fiber *fiber;

	if (!make_room(fibers))
		return NULL;
	fiber = aligned_alloc(alignof(struct fiber), sizeof(*fiber));
	if (!fiber)
		return NULL;
	*fiber = (struct fiber){ .worker = worker, .timer = NO_TIMER };
	fiber->map = map_stack();
	if (!fiber->map) {
		free(fiber);
		return NULL;
	}
	context_init(&fiber->context, fiber->map + FIBER_GUARD, FIBER_STACK,
		     fiber_main, fiber);
	fiber->place = fibers->count;
	fibers->all[fibers->count++] = fiber;
	ck_pr_store_64(&worker->stats.fiber_stacks, fibers->count);
	return fiber;
}

static void
unmake(struct fibers *fibers, struct fiber *fiber)
{
	struct fiber *last = fibers->all[--fibers->count];

	fibers->all[fiber->place] = last;
	last->place = fiber->place;
	context_fini(&fiber->context);
	munmap(fiber->map, FIBER_GUARD + FIBER_STACK);
	free(fiber);
}

struct fiber *
fiber_take(struct worker *worker)
{
	struct fibers *fibers = &worker->fibers;
	struct fiber *fiber = fibers->spare;

	if (!fiber)
		return make(worker);
	fibers->spare = fiber->next;
	if (--fibers->spare_count < fibers->unused)
		fibers->unused = fibers->spare_count;
	return fiber;
}

void
fiber_give(struct worker *worker, struct fiber *fiber)
{
	struct fibers *fibers = &worker->fibers;

	fiber->untrimmed = true;
	fiber->next = fibers->spare;
	fibers->spare = fiber;
	fibers->spare_count++;
	if (!fibers->trim_ns)
		fibers->trim_ns = worker->now_ns + TRIM_NS;
}

/* A stack grows down: what is deep is at the beginning. */
static void
trim(struct fiber *fiber)
{
	if (fiber->untrimmed)
		(void)madvise(fiber->map + FIBER_GUARD,
			      FIBER_STACK - SPARE_BYTES, MADV_DONTNEED);
	fiber->untrimmed = false;
}

/* The last so many, a part of them. */
static void
unmake_last(struct fibers *fibers, struct fiber **last, unsigned count)
{
	for (unsigned n = 0; n < count && n < TRIM_BATCH; n++) {
		struct fiber *fiber = *last;

		*last = fiber->next;
		unmake(fibers, fiber);
		fibers->spare_count--;
		fibers->unused--;
	}
}

/* The list's last `unused` were not taken since it began to count. */
void
fiber_trim(struct worker *worker, uint64_t now)
{
	struct fibers *fibers = &worker->fibers;
	struct fiber **link = &fibers->spare;
	unsigned used = fibers->spare_count - fibers->unused;
	unsigned kept = used > SPARE_KEPT ? used : SPARE_KEPT;

	for (unsigned n = 0; *link && n < kept; n++) {
		if (n >= used)
			trim(*link);
		link = &(*link)->next;
	}
	if (fibers->spare_count > kept)
		unmake_last(fibers, link, fibers->spare_count - kept);
	if (fibers->spare_count > kept) {
		fibers->trim_ns = now + TRIM_AGAIN_NS;
	} else {
		fibers->unused = fibers->spare_count;
		fibers->trim_ns = used ? now + TRIM_NS : 0;
	}
	ck_pr_store_64(&worker->stats.fiber_stacks, fibers->count);
}

void
fibers_fini(struct worker *worker)
{
	struct fibers *fibers = &worker->fibers;

	while (fibers->count > 0)
		unmake(fibers, fibers->all[fibers->count - 1]);
	free(fibers->all);
	free(fibers->timers);
}
