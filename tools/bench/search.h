/* SPDX-License-Identifier: MIT */
/*
 * The highest rate that keeps a percentile, by runs of an open loop: see
 * bracket.h. A rate that fails is tried once more before that is believed, for
 * a machine has bad moments. Each try says how it went.
 */
#ifndef TOOLS_BENCH_SEARCH_H
#define TOOLS_BENCH_SEARCH_H

#include "tools/bench/load.h"

/* Fills load with the run at the found rate, or with the last one where none
 * keeps it: found is then 0. */
MUST_CHECK enum outcome search_run(struct load *load, const struct plan *plan,
				   uint64_t *found);

#endif
