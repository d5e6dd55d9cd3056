/* SPDX-License-Identifier: MIT */
/*
 * Time. Durations are measured on the monotonic clock in nanoseconds; what is
 * stored or shown (expiry, Last-Modified) is wall time in milliseconds since
 * 1970. Both cost a vDSO call, about 25 ns.
 */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

/* UINT64_MAX where it is longer than that, 584 years. */
static inline uint64_t
clock_ms_ns(uint64_t ms)
{
	return ms <= UINT64_MAX / NS_PER_MS ? ms * NS_PER_MS : UINT64_MAX;
}

static inline uint64_t
clock_mono_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* A tick of the kernel behind at most (4 ms here, 10 ms where CONFIG_HZ is
 * 100), a quarter of the cost: for deadlines of seconds. Who sleeps until such
 * a deadline sleeps that much longer, or wakes before it has come. */
#define CLOCK_COARSE_LAG_NS (10 * NS_PER_MS)

static inline uint64_t
clock_coarse_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* The same of wall time, in seconds. */
static inline uint64_t
clock_coarse_wall_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (uint64_t)now.tv_sec;
}

static inline uint64_t
clock_wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / NS_PER_MS;
}

#endif
