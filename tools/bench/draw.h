/* SPDX-License-Identifier: MIT */
/*
 * What is drawn by lot: kinds and keys. A request's lots depend only on the
 * seed and on the request's number, so the same requests are made whatever
 * the number of threads and connections is.
 */
#ifndef TOOLS_BENCH_DRAW_H
#define TOOLS_BENCH_DRAW_H

#include "core/base.h"

/* splitmix64 (Steele, Lea and Flood, 2014). */
struct draw {
	uint64_t state;
};

struct draw draw_begin(uint64_t seed, uint64_t number);
uint64_t draw_word(struct draw *draw);
/* From 0 to below 1. */
double draw_unit(struct draw *draw);
/* From 0 to n - 1; n is not 0. */
uint64_t draw_below(struct draw *draw, uint64_t n);

/*
 * Zipf's distribution over 1 to n: k comes with a probability that is
 * proportional to k to the power of -exponent. By rejection-inversion
 * (Hoermann and Derflinger, 1996, "Rejection-inversion to generate variates
 * from monotone discrete distributions"): exact, for any exponent above 0,
 * without a table or a sum over n.
 */
struct zipf {
	uint64_t n;
	double exponent;
	/* Of the paper: the integral of the hat at its two ends, and how near
	 * the right edge of its step a value is accepted at once. */
	double first, last, near;
};

void zipf_init(struct zipf *zipf, uint64_t n, double exponent);
uint64_t zipf_draw(const struct zipf *zipf, struct draw *draw);

/* Which key is the rank-th most popular (from 0) of n: a permutation, so that
 * popular keys do not lie side by side in the server's tree. */
uint64_t scatter(uint64_t rank, uint64_t n);

#endif
