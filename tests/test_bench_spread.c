/* SPDX-License-Identifier: MIT */
#include "tools/bench/spread.h"

#include <stdlib.h>

#include "tests/tap.h"
#include "tools/bench/draw.h"

/* 250 KB each: not on the stack. */
static struct spread first, second, third;

static void
buckets_follow_each_other(void)
{
	uint64_t low = 0;
	bool joined = true, narrow = true, found = true;

	for (unsigned i = 0; i < SPREAD_BUCKETS; i++) {
		uint64_t high = spread_bucket_max(i);

		joined &= high >= low;
		narrow &= high - low <= low / SPREAD_STEPS;
		found &= spread_bucket(low) == i && spread_bucket(high) == i;
		low = high + 1;
	}
	ok(joined, "each bucket begins where the one before ends");
	ok(narrow, "none is wider than 1/1024 of what is in it");
	ok(found, "a value is found in the bucket that has it, at both ends");
	is_u64(low - 1, SPREAD_VALUE_MAX, "the last ends with the largest");
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Against the sorted values themselves. */
static void
percentiles_are_within_the_bound(void)
{
	enum { COUNT = 20000 };
	static const double percents[] = { 0,  1,  25,   50,    75,
					   90, 99, 99.9, 99.99, 100 };
	static uint64_t values[COUNT];
	struct draw draw = draw_begin(7, 0);
	bool good = true;

	memset(&first, 0, sizeof(first));
	for (unsigned i = 0; i < COUNT; i++) {
		/* All magnitudes alike, from 1 ns to a quarter of an hour. */
		values[i] = draw_word(&draw) >> (24 + draw_below(&draw, 40));
		spread_add(&first, values[i]);
	}
	qsort(values, COUNT, sizeof(*values), compare);
	for (size_t i = 0; i < ARRAY_LEN(percents); i++) {
		size_t rank = (size_t)(percents[i] / 100 * COUNT);
		uint64_t exact = values[rank > 0 ? rank - 1 : 0];
		uint64_t got = spread_percentile(&first, percents[i]);

		if (got >= exact && got - exact <= exact / 1024)
			continue;
		good = false;
		printf("# p%g: %llu for %llu\n", percents[i],
		       (unsigned long long)got, (unsigned long long)exact);
	}
	ok(good, "percentiles are never below the true value, nor 1/1024 "
		 "above it");
	is_u64(first.min, values[0], "the least is exact");
	is_u64(first.max, values[COUNT - 1], "the largest is exact");
}

static void
small_numbers(void)
{
	memset(&first, 0, sizeof(first));
	is_u64(spread_percentile(&first, 99), 0, "nothing: 0");
	spread_add(&first, 1500);
	is_u64(spread_percentile(&first, 0), 1500, "one value is all of them");
	is_u64(spread_percentile(&first, 100), 1500, "at both ends");
	for (unsigned i = 1; i <= 1000; i++)
		spread_add(&second, i);
	is_u64(spread_percentile(&second, 50), 500, "the 500th of 1000");
	is_u64(spread_percentile(&second, 99.9), 999, "the 999th of 1000");
	is_u64(spread_percentile(&second, 99.91), 1000, "and the next");
	ok(spread_mean(&second) == 500.5, "the mean is exact");
	spread_add(&second, UINT64_MAX);
	is_u64(second.max, SPREAD_VALUE_MAX, "what is too long is the longest");
}

static void
merging_is_adding(void)
{
	struct draw draw = draw_begin(3, 0);

	memset(&first, 0, sizeof(first));
	memset(&second, 0, sizeof(second));
	memset(&third, 0, sizeof(third));
	for (unsigned i = 0; i < 5000; i++) {
		uint64_t value = draw_below(&draw, 1000000);

		spread_add(i % 3 ? &first : &second, value);
		spread_add(&third, value);
	}
	spread_merge(&first, &second);
	ok(!memcmp(&first, &third, sizeof(first)),
	   "two that are merged are the one that had all");
	memset(&second, 0, sizeof(second));
	spread_merge(&first, &second);
	ok(!memcmp(&first, &third, sizeof(first)), "an empty one adds nothing");
	spread_merge(&second, &third);
	ok(!memcmp(&second, &third, sizeof(first)), "into an empty one");
}

static void
since_is_what_came_later(void)
{
	memset(&first, 0, sizeof(first));
	spread_add(&first, 10);
	spread_add(&first, 5000);
	second = first;
	spread_add(&first, 100);
	spread_add(&first, 100);
	spread_add(&first, 200);
	spread_since(&second, &first);
	is_u64(second.count, 3, "three came");
	is_u64(second.sum, 400, "their sum");
	is_u64(second.min, 100, "their least");
	is_u64(second.max, 200, "their largest");
	is_u64(spread_percentile(&second, 50), 100, "their median");
}

static void
counts_between_edges(void)
{
	memset(&first, 0, sizeof(first));
	for (unsigned i = 1; i <= 100; i++)
		spread_add(&first, i * 1000);
	is_u64(spread_between(&first, 0, 1024), 1, "one up to 1 us");
	is_u64(spread_between(&first, 0, SPREAD_VALUE_MAX), 100, "all");
	is_u64(spread_between(&first, 0, 50100) +
		       spread_between(&first, 50100, SPREAD_VALUE_MAX),
	       100, "each in one of two neighbours");
}

int
main(void)
{
	buckets_follow_each_other();
	percentiles_are_within_the_bound();
	small_numbers();
	merging_is_adding();
	since_is_what_came_later();
	counts_between_edges();
	return tap_done();
}
