/* SPDX-License-Identifier: MIT */
#include "tools/bench/bracket.h"

#include "tests/tap.h"

/* Searches from first where rates up to limit are kept; the fails-th and the
 * tries after it fail until there were count of them. Returns the tries. */
static unsigned
search(struct bracket *bracket, uint64_t first, uint64_t limit, unsigned fails,
       unsigned count)
{
	unsigned tries = 0;
	uint64_t rate;

	*bracket = (struct bracket){ .first = first };
	while ((rate = bracket_next(bracket)) > 0 && tries < 1000) {
		bool unlucky = tries >= fails && tries < fails + count;

		tries++;
		bracket_tried(bracket, rate, rate <= limit && !unlucky);
	}
	return tries;
}

static bool
is_found(uint64_t found, uint64_t limit)
{
	return found <= limit && (limit - found <= 1 || found * 1.05 >= limit);
}

static void
the_limit_is_found(void)
{
	static const uint64_t firsts[] = { 1, 1000, 333333 };
	unsigned most = 0;
	bool good = true;

	for (size_t i = 0; i < ARRAY_LEN(firsts); i++)
		for (uint64_t limit = 1; limit < 1000000;
		     limit += 1 + limit / 7) {
			struct bracket bracket;
			unsigned tries = search(&bracket, firsts[i], limit,
						UINT32_MAX, 0);

			if (!is_found(bracket.good, limit)) {
				good = false;
				printf("# from %llu: %llu for %llu\n",
				       (unsigned long long)firsts[i],
				       (unsigned long long)bracket.good,
				       (unsigned long long)limit);
			}
			most = tries > most ? tries : most;
		}
	ok(good, "within 5%% below, wherever it begins");
	/* Twenty doublings or halvings, and six for the rest. */
	ok(most <= 28, "after few tries");
	printf("# %u\n", most);
}

static void
one_bad_moment_is_no_limit(void)
{
	bool good = true;
	struct bracket bracket;

	/* While it doubles: whatever fails then is doubted, and tried again. */
	for (unsigned at = 0; at < 5; at++) {
		search(&bracket, 1000, 50000, at, 1);
		good &= is_found(bracket.good, 50000);
	}
	ok(good, "a failure on the way up is tried again");
}

static void
none_and_all(void)
{
	struct bracket bracket;
	unsigned tries = search(&bracket, 1000, 0, UINT32_MAX, 0);

	is_u64(bracket.good, 0, "nothing is kept: none");
	ok(tries <= 11, "that is soon known");
	tries = search(&bracket, 1000, UINT64_MAX, UINT32_MAX, 0);
	ok(bracket.good > BRACKET_RATE_MAX / 2 &&
		   bracket.good <= BRACKET_RATE_MAX,
	   "everything is kept: there is an end");
	ok(tries <= 18, "that is soon known too");
}

int
main(void)
{
	the_limit_is_found();
	one_bad_moment_is_no_limit();
	none_and_all();
	return tap_done();
}
