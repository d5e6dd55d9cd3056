/* SPDX-License-Identifier: MIT */
#include "tools/bench/draw.h"

#include <math.h>

static uint64_t
mix(uint64_t word)
{
	word = (word ^ word >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	word = (word ^ word >> 27) * UINT64_C(0x94D049BB133111EB);
	return word ^ word >> 31;
}

struct draw
draw_begin(uint64_t seed, uint64_t number)
{
	/* Mixed twice: neighbours in seed and number have nothing to do with
	 * each other's streams. */
	return (struct draw){ mix(mix(seed + 1) ^ number) };
}

uint64_t
draw_word(struct draw *draw)
{
	return mix(draw->state += UINT64_C(0x9E3779B97F4A7C15));
}

double
draw_unit(struct draw *draw)
{
	return (double)(draw_word(draw) >> 11) * 0x1p-53;
}

/* The high half of a product. Its bias is below n / 2^64. */
uint64_t
draw_below(struct draw *draw, uint64_t n)
{
	return (uint64_t)((unsigned __int128)draw_word(draw) * n >> 64);
}

/* ---- Zipf ---------------------------------------------------------------- */

/* x to the power of -exponent. */
static double
hat(const struct zipf *zipf, double x)
{
	return exp(-zipf->exponent * log(x));
}

/* Its integral from 1 to x: (x^e - 1) / e with e = 1 - exponent, and log(x)
 * where e is 0. expm1() keeps its digits where e is near 0. */
static double
integral(const struct zipf *zipf, double x)
{
	double e = 1 - zipf->exponent;

	return fabs(e) < 1e-12 ? log(x) : expm1(e * log(x)) / e;
}

static double
integral_inverse(const struct zipf *zipf, double y)
{
	double e = 1 - zipf->exponent;
	double t = e * y;

	if (fabs(e) < 1e-12)
		return exp(y);
	/* Rounding may take it below the least value there is. */
	return exp(log1p(t > -1 ? t : -1) / e);
}

void
zipf_init(struct zipf *zipf, uint64_t n, double exponent)
{
	*zipf = (struct zipf){ .n = n, .exponent = exponent };
	zipf->first = integral(zipf, 1.5) - 1;
	zipf->last = integral(zipf, (double)n + 0.5);
	zipf->near =
		2 - integral_inverse(zipf, integral(zipf, 2.5) - hat(zipf, 2));
}

uint64_t
zipf_draw(const struct zipf *zipf, struct draw *draw)
{
	for (;;) {
		double u = zipf->last +
			   draw_unit(draw) * (zipf->first - zipf->last);
		double x = integral_inverse(zipf, u);
		double k = floor(x + 0.5);

		if (k < 1)
			k = 1;
		if (k > (double)zipf->n)
			k = (double)zipf->n;
		if (k - x <= zipf->near ||
		    u >= integral(zipf, k + 0.5) - hat(zipf, k))
			return (uint64_t)k;
	}
}

uint64_t
scatter(uint64_t rank, uint64_t n)
{
	/* A prime above n makes a permutation of the multiples modulo n; this
	 * one is near 2^32 divided by the golden ratio. */
	static const uint64_t prime = 2654435761;

	assert(n < prime);
	return rank * prime % n;
}
