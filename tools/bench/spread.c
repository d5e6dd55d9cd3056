/* SPDX-License-Identifier: MIT */
#include "tools/bench/spread.h"

#include <math.h>

void
spread_merge(struct spread *into, const struct spread *from)
{
	uint64_t min = ck_pr_load_64(&from->min);
	uint64_t max = ck_pr_load_64(&from->max);
	uint64_t count = 0;

	/* Counted anew: the sum of the buckets is what percentiles need. */
	for (unsigned i = 0; i < SPREAD_BUCKETS; i++) {
		uint64_t here = ck_pr_load_64(&from->buckets[i]);

		into->buckets[i] += here;
		count += here;
	}
	if (count == 0)
		return;
	if (into->count == 0 || min < into->min)
		into->min = min;
	if (max > into->max)
		into->max = max;
	into->sum += ck_pr_load_64(&from->sum);
	into->count += count;
}

void
spread_since(struct spread *before, const struct spread *now)
{
	uint64_t low = 0;

	before->sum = now->sum - before->sum;
	before->count = before->min = before->max = 0;
	for (unsigned i = 0; i < SPREAD_BUCKETS; i++) {
		uint64_t here = now->buckets[i] - before->buckets[i];

		before->buckets[i] = here;
		if (here && before->count == 0)
			before->min = low;
		if (here)
			before->max = spread_bucket_max(i);
		before->count += here;
		low = spread_bucket_max(i) + 1;
	}
}

uint64_t
spread_percentile(const struct spread *spread, double percent)
{
	double exact = percent / 100 * (double)spread->count;
	/* The rank-th smallest; a product such as 99.9 / 100 * 1000 may be a
	 * hair above the whole number that is meant. */
	uint64_t rank = (uint64_t)ceil(exact - 1e-6);
	uint64_t seen = 0;

	if (spread->count == 0)
		return 0;
	if (rank < 1)
		rank = 1;
	for (unsigned i = 0; i < SPREAD_BUCKETS; i++) {
		seen += spread->buckets[i];
		if (seen < rank)
			continue;
		if (spread_bucket_max(i) < spread->max)
			return spread_bucket_max(i);
		return spread->max;
	}
	return spread->max;
}

double
spread_mean(const struct spread *spread)
{
	return spread->count ? (double)spread->sum / (double)spread->count : 0;
}

uint64_t
spread_between(const struct spread *spread, uint64_t low, uint64_t high)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < SPREAD_BUCKETS; i++) {
		uint64_t max = spread_bucket_max(i);

		if (max > low && max <= high)
			count += spread->buckets[i];
	}
	return count;
}
