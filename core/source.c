/* SPDX-License-Identifier: MIT */
/*
 * A source is run by whoever holds it, one thread at a time.
 *
 *	        hold (home or helper)
 *	FREE ------------------------> HELD
 *	  ^ <------------------------   | ^
 *	        release (home)          | |
 *	                                | | hold (home or helper)
 *	              return (helper)   v |
 *	                             RETURNED
 *
 * Only the home worker watches the descriptor, and its edges come once. An
 * edge that it sees while a helper holds the source is simply forgotten: the
 * helper leaves the source RETURNED, not FREE, and the home worker runs what
 * was returned. That run also learns anew when the source wants to be run
 * again. So nothing of what a source wished is shared between threads.
 * (tests/models/source.pml)
 */
#include "core/source.h"

#include <ck_pr.h>

#include "core/oldest_first.h"
#include "core/worker.h"

enum { SOURCE_FREE, SOURCE_HELD, SOURCE_RETURNED };

bool
source_try_hold(struct source *source)
{
	unsigned holder = ck_pr_load_uint(&source->holder);

	if (holder == SOURCE_HELD ||
	    !ck_pr_cas_uint(&source->holder, holder, SOURCE_HELD))
		return false;
	/* Pairs with the fence of who let go: we see all that it did. */
	ck_pr_fence_lock();
	TAKES_OVER(source);
	return true;
}

static void
let_go(struct source *source, unsigned holder)
{
	HANDS_OVER(source);
	/* Pairs with source_try_hold(). */
	ck_pr_fence_unlock();
	ck_pr_store_uint(&source->holder, holder);
}

void
source_release(struct source *source)
{
	let_go(source, SOURCE_FREE);
}

bool
source_return(struct source *source)
{
	let_go(source, SOURCE_RETURNED);
	/* The home worker may have parked because we held it. */
	return parking_wake(&source->sched->parking, source->home);
}

void
source_run_once(struct source *source, struct source_run *result)
{
	if (ck_pr_load_uint(&source->notified)) {
		ck_pr_store_uint(&source->notified, 0);
		/* Pairs with the exchange in source_wake(): who found the flag
		 * set, and woke nobody, has its parcels seen by this run. */
		ck_pr_fence_memory();
	}
	*result = (struct source_run){ .tick_ns = UINT64_MAX };
	source->run(source, result);
}

bool
source_is_held(const struct source *source)
{
	return ck_pr_load_uint(&source->holder) == SOURCE_HELD;
}

bool
source_is_notified(const struct source *source)
{
	return ck_pr_load_uint(&source->notified);
}

bool
source_is_wanted(const struct source *source)
{
	unsigned holder = ck_pr_load_uint(&source->holder);

	return holder == SOURCE_RETURNED ||
	       (holder == SOURCE_FREE && source_is_notified(source));
}

void
source_post(struct source *source, struct parcel *parcel)
{
	HANDS_OVER(parcel);
	ck_stack_push_upmc(&source->inbox, &parcel->link);
}

/*
 * The home worker is parked: wake it. It is busy: it looks at the flag on its
 * way. It is behind: an idle worker helps. The exchange is a full fence: the
 * flag is set before the looks at who is idle, and who is behind.
 */
void
source_wake(struct source *source)
{
	struct sched *sched = source->sched;

	assert(!source->shared);
	ck_pr_fence_atomic();
	if (ck_pr_fas_uint(&source->notified, 1))
		return;
	if (parking_wake(&sched->parking, source->home))
		worker_count_wake(sched);
	else if (parking_behind(&sched->parking) & WORKER_BIT(source->home))
		worker_wake_one(sched);
}

unsigned
source_open_parcels(struct source *source)
{
	ck_stack_entry_t *link;
	unsigned count = 0;

	/* Most runs find nothing, and need no locked instruction for it. */
	if (!ck_pr_load_ptr(&source->inbox.head))
		return 0;
	link = oldest_first(ck_stack_batch_pop_upmc(&source->inbox));
	while (link) {
		struct parcel *parcel = CONTAINER_OF(link, struct parcel, link);

		link = link->next; /* open() may free it */
		TAKES_OVER(parcel);
		parcel->open(parcel);
		count++;
	}
	return count;
}
