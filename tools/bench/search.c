/* SPDX-License-Identifier: MIT */
#include "tools/bench/search.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "core/clock.h"
#include "tools/bench/live.h"
#include "tools/bench/report.h"

enum {
	FIRST_RATE = 1000,
	LAST_RATE = 100 * 1000 * 1000,
	/* Doubling from 1 to the last rate, bisection, and second tries. */
	TRIES_MAX = 64,
};

struct search {
	const struct plan *plan;
	unsigned tries;
	struct load best, last; /* best is that at good */
	uint64_t good, bad;     /* 0: not known */
};

bool
search_near(uint64_t good, uint64_t bad)
{
	return (double)bad <= (double)good * 1.05 || bad - good <= 1;
}

uint64_t
search_middle(uint64_t good, uint64_t bad)
{
	uint64_t middle = (uint64_t)llround(sqrt((double)good * (double)bad));

	if (middle <= good)
		return good + 1;
	return middle < bad ? middle : bad - 1;
}

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
	if (outcome != OUTCOME_OK)
		return outcome;
	if (!kept) {
		search->bad = rate;
		return OUTCOME_OK;
	}
	load_fini(&search->best);
	search->best = search->last;
	search->last = (struct load){ 0 };
	search->good = rate;
	return OUTCOME_OK;
}

/* The next rate to try; 0: the search is over. */
static uint64_t
next_rate(const struct search *search)
{
	if (search->last.interrupted || search->tries + 2 > TRIES_MAX)
		return 0;
	if (!search->good && !search->bad)
		return search->plan->rate ? search->plan->rate : FIRST_RATE;
	if (!search->good)
		return search->bad / 2;
	if (!search->bad)
		return search->good < LAST_RATE / 2 ? search->good * 2 : 0;
	if (search_near(search->good, search->bad))
		return 0;
	return search_middle(search->good, search->bad);
}

enum outcome
search_run(struct load *load, const struct plan *plan, uint64_t *found)
{
	struct search search = { .plan = plan };
	enum outcome outcome = OUTCOME_OK;
	uint64_t rate;

	while (outcome == OUTCOME_OK && (rate = next_rate(&search)) > 0)
		outcome = try_rate(&search, rate);
	if (outcome != OUTCOME_OK) {
		load_fini(&search.best);
		load_fini(&search.last);
		return outcome;
	}
	*found = search.good;
	*load = search.good ? search.best : search.last;
	load_fini(search.good ? &search.last : &search.best);
	return OUTCOME_OK;
}
