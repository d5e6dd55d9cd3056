/* SPDX-License-Identifier: MIT */
/*
 * Waiting in tests: for a count to be reached, with a deadline that fails the
 * test instead of hanging it.
 */
#ifndef TESTS_WAITING_H
#define TESTS_WAITING_H

#include <ck_pr.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "core/affinity.h"
#include "core/clock.h"

/* Long enough for a machine that is busy with other things. */
#define DEADLINE_NS (20 * NS_PER_S)

#if defined(__SANITIZE_ADDRESS__)
enum { SLOWER = 10 };
#elif defined(UNDER_TSAN)
enum { SLOWER = 25 };
#else
enum { SLOWER = 1 };
#endif

/* Spins first: what most tests wait for takes microseconds. */
__attribute__((unused)) static bool
wait_for_count(const uint64_t *counter, uint64_t count)
{
	uint64_t deadline = clock_mono_ns() + DEADLINE_NS;

	for (unsigned spins = 0; ck_pr_load_64(counter) < count; spins++) {
		if (clock_mono_ns() > deadline)
			return false;
		if (spins > 1000)
			usleep(50);
		else
			sched_yield();
	}
	ck_pr_fence_load();
	return true;
}

__attribute__((unused)) static void
sleep_ms(unsigned ms)
{
	usleep(ms * 1000);
}

#endif
