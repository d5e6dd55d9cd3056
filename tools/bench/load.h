/* SPDX-License-Identifier: MIT */
/*
 * One run: the threads from beginning to end, with a live line and Ctrl-C.
 */
#ifndef TOOLS_BENCH_LOAD_H
#define TOOLS_BENCH_LOAD_H

#include "tools/bench/plan.h"
#include "tools/bench/tally.h"

/* A run that is over. */
struct load {
	uint64_t rate; /* 0: it was a closed loop */
	unsigned threads;
	bool interrupted;
	struct tally *tally;
	struct spread *latency; /* of all kinds together */
};

/* Runs the plan at a rate, or as a closed loop if that is 0. Says what kept it
 * from running. */
MUST_CHECK enum outcome load_run(struct load *load, const struct plan *plan,
				 uint64_t rate);
/* After a load_run() that was OUTCOME_OK; also of one that is all zeros. */
void load_fini(struct load *load);

#endif
