/* SPDX-License-Identifier: MIT */
#include "core/histogram.h"

#include "tests/tap.h"

static void
bounds_belong_to_their_bucket(void)
{
	for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
		uint64_t bound = HISTOGRAM_FIRST_NS << i;

		ok(histogram_bucket(bound) == i &&
			   histogram_bucket(bound - 1) == i &&
			   histogram_bucket(bound + 1) == i + 1,
		   "up to %llu ns in bucket %u", (unsigned long long)bound, i);
		ok(histogram_bucket_le(i) * 1e9 == (double)bound, "le %g",
		   histogram_bucket_le(i));
	}
	is_u64(histogram_bucket(0), 0, "0 in the first bucket");
	is_u64(histogram_bucket(1), 0, "1 ns in the first bucket");
	is_u64(histogram_bucket(UINT64_MAX), HISTOGRAM_BOUNDS,
	       "forever in the last");
}

static void
sums_add_up_over_workers(void)
{
	struct histogram a = { 0 }, b = { 0 }, sum = { 0 };
	uint64_t buckets = 0;

	histogram_add(&a, 10);
	histogram_add(&a, 60000);
	histogram_add(&b, 60000);
	histogram_add(&b, UINT64_C(1) << 40);
	histogram_sum(&sum, &a);
	histogram_sum(&sum, &b);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		buckets += sum.buckets[i];
	is_u64(sum.buckets[0], 1, "first bucket");
	is_u64(sum.buckets[1], 2, "second bucket");
	is_u64(sum.buckets[HISTOGRAM_BOUNDS], 1, "last bucket");
	is_u64(sum.count, 4, "count");
	is_u64(buckets, 4, "the buckets add up to it");
	is_u64(sum.sum_ns, 120010 + (UINT64_C(1) << 40), "sum");
	is_u64(a.count, 2, "the writer's own count");
}

int
main(void)
{
	bounds_belong_to_their_bucket();
	sums_add_up_over_workers();
	return tap_done();
}
