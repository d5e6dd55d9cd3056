/* SPDX-License-Identifier: MIT */
/*
 * How durations spread: a histogram whose buckets grow with the value, as in
 * HdrHistogram (Gil Tene). Values below 2048 ns have a bucket each; above,
 * each doubling is cut into 1024 equal buckets, so a bucket is at most 1/1024
 * of its value wide: three significant digits, from 1 ns to 18 minutes.
 *
 * One thread adds, any thread reads: plain loads and stores of whole words, no
 * locked instruction. A reader may see a value in its bucket and not yet in
 * the sum.
 */
#ifndef TOOLS_BENCH_SPREAD_H
#define TOOLS_BENCH_SPREAD_H

#include <ck_pr.h>

#include "core/base.h"

enum {
	SPREAD_STEP_BITS = 10, /* of buckets in a doubling */
	SPREAD_STEPS = 1 << SPREAD_STEP_BITS,
	SPREAD_VALUE_BITS = 40,
	SPREAD_BUCKETS =
		(SPREAD_VALUE_BITS - SPREAD_STEP_BITS + 1) * SPREAD_STEPS,
};
#define SPREAD_VALUE_MAX ((UINT64_C(1) << SPREAD_VALUE_BITS) - 1)

/* All zeros is an empty one. */
struct spread {
	uint64_t count, sum, max;
	uint64_t min; /* of no meaning while count is 0 */
	uint64_t buckets[SPREAD_BUCKETS];
};

static inline unsigned
spread_bucket(uint64_t value)
{
	/* How many low bits the bucket does not tell apart. */
	unsigned shift = 0;

	if (value >> (SPREAD_STEP_BITS + 1))
		shift = 63 - SPREAD_STEP_BITS -
			(unsigned)__builtin_clzll(value);
	return shift * SPREAD_STEPS + (unsigned)(value >> shift);
}

/* The largest value of bucket i. */
static inline uint64_t
spread_bucket_max(unsigned i)
{
	unsigned shift = i < 2 * SPREAD_STEPS ? 0 : i / SPREAD_STEPS - 1;
	uint64_t step = i - shift * SPREAD_STEPS;

	return ((step + 1) << shift) - 1;
}

/* The writing thread only. A longer value counts as SPREAD_VALUE_MAX. */
static inline void
spread_add(struct spread *spread, uint64_t value)
{
	uint64_t *bucket;

	if (value > SPREAD_VALUE_MAX)
		value = SPREAD_VALUE_MAX;
	bucket = &spread->buckets[spread_bucket(value)];
	ck_pr_store_64(bucket, *bucket + 1);
	if (spread->count == 0 || value < spread->min)
		ck_pr_store_64(&spread->min, value);
	if (value > spread->max)
		ck_pr_store_64(&spread->max, value);
	ck_pr_store_64(&spread->sum, spread->sum + value);
	ck_pr_store_64(&spread->count, spread->count + 1);
}

/* Adds what from holds to into, which is the caller's own. */
void spread_merge(struct spread *into, const struct spread *from);

/* Makes of before, an earlier state of now, what has come since then; least
 * and largest are those of the buckets. */
void spread_since(struct spread *before, const struct spread *now);

/* The value that percent of all (0 to 100) do not exceed: never less than the
 * true one, and at most 1/1024 above it. 0 in an empty one. */
uint64_t spread_percentile(const struct spread *spread, double percent);
double spread_mean(const struct spread *spread);
/* How many are above low and not above high, to the bucket. */
uint64_t spread_between(const struct spread *spread, uint64_t low,
			uint64_t high);

#endif
