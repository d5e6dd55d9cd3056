/* SPDX-License-Identifier: MIT */
#include "tools/bench/search.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/clock.h"
#include "tools/bench/bracket.h"
#include "tools/bench/live.h"
#include "tools/bench/report.h"

enum {
	FIRST_RATE = 1000,
	/* Doubling to the highest rate, halving what is between, and second
	 * tries. */
	TRIES_MAX = 64,
};

struct search {
	const struct plan *plan;
	unsigned tries;
	struct bracket bracket;
	struct load best, last; /* best is that of the bracket's good */
};

/* NULL: it was kept. */
static const char *
failure(const struct plan *plan, const struct load *load)
{
	const struct tally *tally = load->tally;
	uint64_t latency = spread_percentile(load->latency, plan->find_percent);
	uint64_t late = spread_percentile(&tally->late, plan->find_percent);

	if (tally->requests == 0)
		return "no reply";
	/* One in a thousand: a search is not ended by one bad request. */
	if (tally->errors > tally->requests / 1000)
		return "errors";
	if (late > plan->find_ns)
		return "the generator itself was late";
	/* Waited in the schedule until the end: more than a moment's worth. */
	if (latency > plan->find_ns || tally->unsent > load->rate / 10)
		return "too slow";
	return NULL;
}

static void
say_try(const struct search *search, const char *failed)
{
	const struct load *load = &search->last;
	char text[LATENCY_SIZE];

	fprintf(stderr,
		"find-rate: try %u: %" PRIu64 "/s: p%g %s, %" PRIu64
		" errors: %s\n",
		search->tries, load->rate, search->plan->find_percent,
		latency_text(text, (double)spread_percentile(
					   load->latency,
					   search->plan->find_percent)),
		load->tally->errors, failed ? failed : "kept");
}

/* One run, which becomes the last. */
static enum outcome
try_once(struct search *search, uint64_t rate, bool *kept)
{
	enum outcome outcome;
	const char *failed;

	load_fini(&search->last);
	search->tries++;
	outcome = load_run(&search->last, search->plan, rate);
	if (outcome != OUTCOME_OK)
		return outcome;
	failed = failure(search->plan, &search->last);
	*kept = !failed && !search->last.interrupted;
	if (search->last.interrupted)
		failed = "interrupted";
	say_try(search, failed);
	return OUTCOME_OK;
}

static enum outcome
try_rate(struct search *search, uint64_t rate)
{
	bool kept = false;
	enum outcome outcome = try_once(search, rate, &kept);

	if (outcome == OUTCOME_OK && !kept && !search->last.interrupted)
		outcome = try_once(search, rate, &kept);
	if (outcome != OUTCOME_OK || search->last.interrupted)
		return outcome;
	bracket_tried(&search->bracket, rate, kept);
	if (!kept)
		return OUTCOME_OK;
	load_fini(&search->best);
	search->best = search->last;
	search->last = (struct load){ 0 };
	return OUTCOME_OK;
}

static bool
goes_on(const struct search *search)
{
	/* A rate may take two. */
	return !search->last.interrupted && search->tries + 2 <= TRIES_MAX;
}

enum outcome
search_run(struct load *load, const struct plan *plan, uint64_t *found)
{
	struct search search = {
		.plan = plan,
		.bracket.first = plan->rate ? plan->rate : FIRST_RATE,
	};
	enum outcome outcome = OUTCOME_OK;
	uint64_t rate;

	while (outcome == OUTCOME_OK && goes_on(&search) &&
	       (rate = bracket_next(&search.bracket)) > 0)
		outcome = try_rate(&search, rate);
	if (outcome != OUTCOME_OK) {
		load_fini(&search.best);
		load_fini(&search.last);
		return outcome;
	}
	*found = search.bracket.good;
	*load = *found ? search.best : search.last;
	load_fini(*found ? &search.last : &search.best);
	return OUTCOME_OK;
}
