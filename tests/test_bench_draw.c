/* SPDX-License-Identifier: MIT */
#include "tools/bench/draw.h"

#include <math.h>

#include "tests/tap.h"

enum { DRAWS = 200000 };

/* Pearson's chi-square of what was drawn (counts[1] to counts[n]) against the
 * probabilities, with the rare values put together so that each cell expects
 * five at least. Returns it in standard deviations from its mean. */
static double
chi_square(const unsigned *counts, const double *probability, unsigned n)
{
	double sum = 0, expected = 0;
	unsigned cells = 0;
	double got = 0;

	for (unsigned k = 1; k <= n; k++) {
		expected += probability[k] * DRAWS;
		got += counts[k];
		if (expected < 5 && k < n)
			continue;
		sum += (got - expected) * (got - expected) / expected;
		expected = got = 0;
		cells++;
	}
	return (sum - (cells - 1)) / sqrt(2.0 * (cells - 1));
}

static void
zipf_has_its_distribution(void)
{
	enum { N = 1000 };
	static const double exponents[] = { 0.5, 0.99, 1, 1.2, 3 };
	static double probability[N + 1];
	static unsigned counts[N + 1];

	for (size_t e = 0; e < ARRAY_LEN(exponents); e++) {
		double sum = 0, off;
		bool inside = true;
		struct zipf zipf;

		zipf_init(&zipf, N, exponents[e]);
		memset(counts, 0, sizeof(counts));
		for (unsigned k = 1; k <= N; k++)
			sum += probability[k] = pow(k, -exponents[e]);
		for (unsigned k = 1; k <= N; k++)
			probability[k] /= sum;
		for (unsigned i = 0; i < DRAWS; i++) {
			struct draw draw = draw_begin(42, i);
			uint64_t k = zipf_draw(&zipf, &draw);

			inside &= k >= 1 && k <= N;
			counts[inside ? k : 0]++;
		}
		ok(inside, "exponent %g: from 1 to n", exponents[e]);
		off = chi_square(counts, probability, N);
		ok(fabs(off) < 5, "exponent %g: as often as it should",
		   exponents[e]);
		printf("# %.2f standard deviations off\n", off);
	}
}

static void
zipf_at_its_ends(void)
{
	static const uint64_t sizes[] = { 1, 2, 3, 100000000 };
	bool inside = true;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		static const double exponents[] = { 0.01, 1, 10 };

		for (size_t e = 0; e < ARRAY_LEN(exponents); e++) {
			struct draw draw = draw_begin(1, 1);
			struct zipf zipf;

			zipf_init(&zipf, sizes[i], exponents[e]);
			for (unsigned j = 0; j < 2000; j++) {
				uint64_t k = zipf_draw(&zipf, &draw);

				inside &= k >= 1 && k <= sizes[i];
			}
		}
	}
	ok(inside, "one key and all keys, flat and steep: from 1 to n");
}

static void
below_is_uniform(void)
{
	enum { N = 100 };
	static double probability[N + 1];
	static unsigned counts[N + 1];
	double off;

	for (unsigned k = 1; k <= N; k++)
		probability[k] = 1.0 / N;
	for (unsigned i = 0; i < DRAWS; i++) {
		struct draw draw = draw_begin(9, i);

		counts[draw_below(&draw, N) + 1]++;
	}
	off = chi_square(counts, probability, N);
	ok(fabs(off) < 5, "the first draw of each number is uniform");
	printf("# %.2f standard deviations off\n", off);
}

static void
draws_depend_on_seed_and_number(void)
{
	struct draw a = draw_begin(1, 5), b = draw_begin(1, 5);
	struct draw c = draw_begin(2, 5), d = draw_begin(1, 6);
	uint64_t word = draw_word(&a);

	ok(draw_word(&b) == word, "the same seed and number: the same");
	ok(draw_word(&c) != word, "another seed: another");
	ok(draw_word(&d) != word, "another number: another");
}

static void
scatter_is_a_permutation(void)
{
	static const uint64_t sizes[] = { 1, 2, 10, 1000, 4096, 99991 };
	static bool seen[100000];
	bool good = true;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		memset(seen, 0, sizeof(seen));
		for (uint64_t rank = 0; rank < sizes[i]; rank++) {
			uint64_t key = scatter(rank, sizes[i]);

			good &= key < sizes[i] && !seen[key];
			seen[key < sizes[i] ? key : 0] = true;
		}
	}
	ok(good, "each rank has a key of its own");
	ok(scatter(1, 1000) != scatter(0, 1000) + 1,
	   "the first two do not lie side by side");
}

int
main(void)
{
	zipf_has_its_distribution();
	zipf_at_its_ends();
	below_is_uniform();
	draws_depend_on_seed_and_number();
	scatter_is_a_permutation();
	return tap_done();
}
