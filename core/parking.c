/* SPDX-License-Identifier: MIT */
#include "core/parking.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum err
parking_init(struct parking *parking, unsigned workers)
{
	memset(parking, 0, sizeof(*parking));
	for (; parking->workers < workers; parking->workers++) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

		if (fd < 0) {
			enum err err = err_from_errno(errno);

			parking_fini(parking);
			return err;
		}
		parking->eventfds[parking->workers] = fd;
	}
	return ERR_OK;
}

void
parking_fini(struct parking *parking)
{
	while (parking->workers > 0)
		close(parking->eventfds[--parking->workers]);
}

/* Never read: the descriptor is edge triggered, and the counter has room for
 * a write a nanosecond over 500 years. */
static void
ring_bell(struct parking *parking, unsigned index)
{
	int rc = eventfd_write(parking->eventfds[index], 1);

	assert(rc == 0);
	(void)rc;
}

void
parking_enter(struct parking *parking, unsigned index)
{
	ck_pr_or_64(&parking->idle, WORKER_BIT(index));
	/* Pairs with the fences in parking_wake() and parking_wake_one(). A
	 * locked instruction is one already where those are serializing. */
	ck_pr_fence_atomic_load();
}

bool
parking_leave(struct parking *parking, unsigned index)
{
	/* Whoever woke us has cleared it. */
	bool rung = !parking_is_idle(parking, index);

	if (!rung)
		ck_pr_and_64(&parking->idle, ~WORKER_BIT(index));
	/* Before parking_was_sent(): who saw our bit set had set the other. */
	ck_pr_fence_memory();
	return rung;
}

/* True: the bit was set and we are the one who cleared it. */
static bool
claim(struct parking *parking, unsigned index)
{
	uint64_t idle = ck_pr_load_64(&parking->idle);

	while (idle & WORKER_BIT(index)) {
		if (ck_pr_cas_64_value(&parking->idle, idle,
				       idle & ~WORKER_BIT(index), &idle))
			return true;
	}
	return false;
}

bool
parking_wake(struct parking *parking, unsigned index)
{
	/* Pairs with parking_enter(). */
	ck_pr_fence_memory();
	if (!claim(parking, index))
		return false;
	ring_bell(parking, index);
	return true;
}

/*
 * The searcher's bit is set before the idle bit is cleared, so that a worker
 * that finds itself awake knows what for. If that worker woke by itself just
 * then, the bit is taken back; in the meantime another may have parked
 * without looking, because it saw a searcher, so we look once more.
 */
bool
parking_wake_one(struct parking *parking)
{
	/* Pairs with parking_enter(), and with parking_search_end(). */
	ck_pr_fence_memory();
	while (!ck_pr_load_64(&parking->searching)) {
		uint64_t idle = ck_pr_load_64(&parking->idle);
		unsigned index;

		if (!idle)
			return false;
		/* The lowest: the others sleep longer. */
		index = (unsigned)__builtin_ctzll(idle);
		if (!ck_pr_cas_64(&parking->searching, 0, WORKER_BIT(index)))
			return false;
		if (claim(parking, index)) {
			ring_bell(parking, index);
			return true;
		}
		ck_pr_and_64(&parking->searching, ~WORKER_BIT(index));
		ck_pr_fence_atomic_load();
	}
	return false;
}

void
parking_wake_all(struct parking *parking)
{
	for (unsigned i = 0; i < parking->workers; i++)
		ring_bell(parking, i);
}

bool
parking_search_begin(struct parking *parking, unsigned index)
{
	uint64_t searching = ck_pr_load_64(&parking->searching);
	uint64_t idle = ck_pr_load_64(&parking->idle);
	unsigned awake =
		parking->workers - (unsigned)__builtin_popcountll(idle);

	if (2 * (unsigned)__builtin_popcountll(searching) >= awake)
		return false;
	ck_pr_or_64(&parking->searching, WORKER_BIT(index));
	return true;
}

bool
parking_search_end(struct parking *parking, unsigned index)
{
	ck_pr_and_64(&parking->searching, ~WORKER_BIT(index));
	/* Pairs with the fence in parking_wake_one(): a push that saw us
	 * searching, and woke nobody, is seen by the look that follows. */
	ck_pr_fence_atomic_load();
	return !ck_pr_load_64(&parking->searching);
}

bool
parking_was_sent(const struct parking *parking, unsigned index)
{
	return ck_pr_load_64(&parking->searching) & WORKER_BIT(index);
}

void
parking_set_behind(struct parking *parking, unsigned index)
{
	ck_pr_or_64(&parking->behind, WORKER_BIT(index));
}

void
parking_clear_behind(struct parking *parking, unsigned index)
{
	ck_pr_and_64(&parking->behind, ~WORKER_BIT(index));
}
