/* SPDX-License-Identifier: MIT */
#include "tools/bench/bracket.h"

#include <math.h>

static bool
is_narrow(uint64_t good, uint64_t bad)
{
	return bad - good <= 1 || (double)bad <= (double)good * 1.05;
}

static uint64_t
middle(uint64_t good, uint64_t bad)
{
	uint64_t mean = (uint64_t)llround(sqrt((double)good * (double)bad));

	if (mean <= good)
		return good + 1;
	return mean < bad ? mean : bad - 1;
}

uint64_t
bracket_next(const struct bracket *bracket)
{
	uint64_t good = bracket->good, bad = bracket->bad;

	if (!good && !bad)
		return bracket->first;
	if (!good)
		return bad / 2;
	if (!bad)
		return good <= BRACKET_RATE_MAX / 2 ? good * 2 : 0;
	if (!is_narrow(good, bad))
		return middle(good, bad);
	return bracket->doubtful ? bad : 0;
}

void
bracket_tried(struct bracket *bracket, uint64_t rate, bool kept)
{
	if (kept) {
		bracket->good = rate;
		/* It is kept after all: what is the next to fail? */
		if (rate == bracket->bad)
			bracket->bad = 0;
		return;
	}
	/* One that fails again, or after others between were kept, is not for
	 * a bad moment at the beginning. */
	bracket->doubtful = !bracket->good || !bracket->bad;
	bracket->bad = rate;
}
