/* SPDX-License-Identifier: MIT */
/*
 * A histogram of durations in fixed buckets: 50 us, 100 us, doubling to 26 s,
 * and one for all above.
 *
 * One thread adds, any thread reads: plain loads and stores of whole words,
 * no locked instruction. A reader may see a duration in its bucket and not
 * yet in the sum; nothing here is worth a fence.
 */
#ifndef CORE_HISTOGRAM_H
#define CORE_HISTOGRAM_H

#include <ck_pr.h>

#include "core/base.h"

#define HISTOGRAM_FIRST_NS UINT64_C(50000)
enum {
	HISTOGRAM_BOUNDS = 20,
	HISTOGRAM_BUCKETS = HISTOGRAM_BOUNDS + 1, /* the last: +Inf */
};

struct histogram {
	uint64_t buckets[HISTOGRAM_BUCKETS]; /* each its own, not cumulative */
	uint64_t count, sum_ns;
};

/* The bound of bucket i in seconds, itself included; the last has none. */
static inline double
histogram_bucket_le(unsigned i)
{
	assert(i < HISTOGRAM_BOUNDS);
	return (double)(HISTOGRAM_FIRST_NS << i) / 1e9;
}

/* The first bucket whose bound is not below ns. */
static inline unsigned
histogram_bucket(uint64_t ns)
{
	/* Whole first buckets below ns: bucket i holds 2^(i-1) to 2^i - 1. */
	uint64_t below = (ns - (ns > 0)) / HISTOGRAM_FIRST_NS;
	unsigned i = below ? 64 - (unsigned)__builtin_clzll(below) : 0;

	return i < HISTOGRAM_BOUNDS ? i : HISTOGRAM_BOUNDS;
}

/* The writing thread only. */
static inline void
histogram_add(struct histogram *histogram, uint64_t ns)
{
	uint64_t *bucket = &histogram->buckets[histogram_bucket(ns)];

	ck_pr_store_64(bucket, *bucket + 1);
	ck_pr_store_64(&histogram->count, histogram->count + 1);
	ck_pr_store_64(&histogram->sum_ns, histogram->sum_ns + ns);
}

/* Adds what from holds to into, which is the caller's own. */
static inline void
histogram_sum(struct histogram *into, const struct histogram *from)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t n = ck_pr_load_64(&from->buckets[i]);

		into->buckets[i] += n;
		/* Not from->count, which may be ahead of or behind them: the
		 * buckets must add up to the count that is shown. */
		into->count += n;
	}
	into->sum_ns += ck_pr_load_64(&from->sum_ns);
}

#endif
