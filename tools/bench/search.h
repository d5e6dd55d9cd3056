/* SPDX-License-Identifier: MIT */
/*
 * The highest rate that keeps a percentile: doubling from --rate or 1000/s
 * until one fails, then halving the gap between the last two in proportion,
 * until they are within 5%. One that fails is tried once more before that is
 * believed, for a machine has bad moments. Each try says how it went.
 */
#ifndef TOOLS_BENCH_SEARCH_H
#define TOOLS_BENCH_SEARCH_H

#include "tools/bench/load.h"

/* Fills load with the run at the found rate, or with the last one where none
 * keeps it: found is then 0. */
MUST_CHECK enum outcome search_run(struct load *load, const struct plan *plan,
				   uint64_t *found);

/* Within which rates are of a kind, and what bisection asks for next. */
bool search_near(uint64_t good, uint64_t bad);
uint64_t search_middle(uint64_t good, uint64_t bad);

#endif
