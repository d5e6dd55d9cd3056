/* SPDX-License-Identifier: MIT */
/*
 * The search for the highest rate that is kept, without the runs: between
 * which rates it lies, and which one to try next. Doubles until a rate fails
 * (or halves until one is kept), then halves what is between the two in
 * proportion until they are within 5%.
 */
#ifndef TOOLS_BENCH_BRACKET_H
#define TOOLS_BENCH_BRACKET_H

#include "core/base.h"

enum { BRACKET_RATE_MAX = 100 * 1000 * 1000 };

struct bracket {
	uint64_t first;     /* to begin with */
	uint64_t good, bad; /* the highest kept, the lowest failed; 0: none */
	/* All between were kept since bad failed: a bad moment of the machine
	 * may have been all that was wrong with it. */
	bool doubtful;
};

/* 0: the search is over, and good is its result. */
uint64_t bracket_next(const struct bracket *bracket);
/* How bracket_next() went. */
void bracket_tried(struct bracket *bracket, uint64_t rate, bool kept);

#endif
