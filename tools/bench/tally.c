/* SPDX-License-Identifier: MIT */
#include "tools/bench/tally.h"

#include <stdlib.h>

const char *
trouble_text(enum trouble trouble)
{
	static const char *const texts[] = {
#define TROUBLE_TEXT(name, text) text,
		TROUBLE_LIST(TROUBLE_TEXT)
#undef TROUBLE_TEXT
	};

	return texts[trouble];
}

struct tally *
tally_create(unsigned kind_count)
{
	/* Not touched before it is needed: a page of a histogram that no value
	 * falls in is never there. */
	struct tally *tally = calloc(
		1, sizeof(*tally) + kind_count * sizeof(struct tally_kind));

	if (tally)
		tally->kind_count = kind_count;
	return tally;
}

void
tally_merge(struct tally *into, const struct tally *from)
{
	assert(into->kind_count == from->kind_count);
	into->requests += from->requests;
	into->errors += from->errors;
	into->unsent += from->unsent;
	for (unsigned i = 0; i < STATUS_END; i++)
		into->statuses[i] += from->statuses[i];
	for (unsigned i = 0; i < TROUBLE_COUNT; i++)
		into->troubles[i] += from->troubles[i];
	spread_merge(&into->late, &from->late);
	into->replies += from->replies;
	into->bytes_in += from->bytes_in;
	into->bytes_out += from->bytes_out;
	into->reconnects += from->reconnects;
	into->cpu_ns += from->cpu_ns;
	if (from->window_ns > into->window_ns)
		into->window_ns = from->window_ns;
	for (unsigned i = 0; i < into->kind_count; i++) {
		into->kinds[i].requests += from->kinds[i].requests;
		into->kinds[i].errors += from->kinds[i].errors;
		spread_merge(&into->kinds[i].latency, &from->kinds[i].latency);
	}
}

void
tally_latency(const struct tally *tally, struct spread *all)
{
	for (unsigned i = 0; i < tally->kind_count; i++)
		spread_merge(all, &tally->kinds[i].latency);
}
