/* SPDX-License-Identifier: MIT */
/*
 * jackdaw bench: from the command line to the report.
 */
#include "tools/bench/load.h"
#include "tools/bench/report.h"
#include "tools/bench/search.h"
#include "tools/bench/peer.h"
#include "tools/command.h"
#include "tools/out.h"

static enum outcome
report(const struct plan *plan, const struct load *load, bool json,
       uint64_t found)
{
	if (json ? !report_json(plan, load, found) : !report_text(plan, load))
		return OUTCOME_ERROR;
	/* Latency alone may be that of requests that had no reply. */
	if (load->tally->requests == 0) {
		say("nothing was measured: no reply came in");
		return OUTCOME_ERROR;
	}
	return OUTCOME_OK;
}

static enum outcome
run_once(const struct plan *plan, bool json)
{
	struct load load;
	enum outcome outcome = load_run(&load, plan, plan->rate);

	if (outcome != OUTCOME_OK)
		return outcome;
	outcome = report(plan, &load, json, 0);
	load_fini(&load);
	return outcome;
}

static enum outcome
find_rate(const struct plan *plan, bool json)
{
	struct load load;
	uint64_t found;
	enum outcome outcome = search_run(&load, plan, &found);

	if (outcome != OUTCOME_OK)
		return outcome;
	outcome = report(plan, &load, json, found);
	load_fini(&load);
	if (outcome != OUTCOME_OK)
		return outcome;
	if (!found) {
		say("no rate that was tried keeps it");
		return OUTCOME_ERROR;
	}
	if (!json)
		printf("\nfound rate  %llu/s\n", (unsigned long long)found);
	return OUTCOME_OK;
}

enum outcome
bench_run(const struct call *call)
{
	bool json = call->options->json;
	enum outcome outcome;
	struct plan plan;

	outcome = plan_init(&plan, call->options, call->argument);
	if (outcome == OUTCOME_OK)
		outcome = peer_probe(&plan);
	if (outcome == OUTCOME_OK)
		outcome = plan.find_ns ? find_rate(&plan, json)
				       : run_once(&plan, json);
	plan_fini(&plan);
	return outcome;
}
