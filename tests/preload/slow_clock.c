/* SPDX-License-Identifier: MIT */
/*
 * A monotonic clock that goes slower: LD_PRELOAD this, and say in SLOW_CLOCK
 * how many times. For a daemon under an instrument that makes it so much
 * slower: what it measures of itself, and decides by, is then what it is
 * without.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

static int (*real)(clockid_t clock, struct timespec *now);
static uint64_t begin_ns, times = 1;

static uint64_t
ns_of(const struct timespec *time)
{
	return (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_nsec;
}

/* Constructors of other libraries ask for the time, and may be first; there is
 * one thread then. */
static void
begin(void)
{
	const char *text = getenv("SLOW_CLOCK");
	struct timespec now;

	*(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
	if (!real || real(CLOCK_MONOTONIC, &now))
		abort();
	begin_ns = ns_of(&now);
	if (text && atoi(text) > 1)
		times = (uint64_t)atoi(text);
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	uint64_t ns;
	int rc;

	if (!real)
		begin();
	rc = real(clock, now);
	if (rc || (clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_COARSE))
		return rc;
	ns = ns_of(now);
	/* The coarse one may be behind the moment of our beginning. */
	if (ns < begin_ns)
		ns = begin_ns;
	ns = begin_ns + (ns - begin_ns) / times;
	now->tv_sec = (time_t)(ns / NS_PER_S);
	now->tv_nsec = (long)(ns % NS_PER_S);
	return 0;
}
