/* SPDX-License-Identifier: MIT */
/*
 * What a run has counted. Each thread has a tally of its own; they are added
 * up at the end.
 */
#ifndef TOOLS_BENCH_TALLY_H
#define TOOLS_BENCH_TALLY_H

#include "tools/bench/spread.h"

/* What goes wrong with a connection, with its name in JSON. */
#define TROUBLE_LIST(X) \
	X(CONNECT, "connect") \
	X(CLOSED, "closed") \
	X(TIMEOUT, "timeout") \
	X(MALFORMED, "malformed")

enum trouble {
#define TROUBLE_ENUM(name, text) TROUBLE_##name,
	TROUBLE_LIST(TROUBLE_ENUM)
#undef TROUBLE_ENUM
		TROUBLE_COUNT
};

enum { STATUS_END = 600 };

/* "connect" */
const char *trouble_text(enum trouble trouble);

struct tally_kind {
	uint64_t requests, errors;
	struct spread latency;
};

struct tally {
	/* Of requests that began within the measured time. */
	uint64_t requests; /* that got a reply, whatever its status */
	uint64_t errors;   /* a wrong status, or trouble */
	uint64_t unsent;   /* were due, but no connection was free until the
			    * end; their latency counts up to there */
	uint64_t statuses[STATUS_END];
	uint64_t troubles[TROUBLE_COUNT];
	/* How much later than it could have a request was sent, which is the
	 * generator's own doing; open loop only. */
	struct spread late;

	/* Of all that came and went within the measured time. */
	uint64_t replies, bytes_in, bytes_out;
	uint64_t reconnects; /* after a reply that closes its connection */
	uint64_t cpu_ns;
	uint64_t window_ns; /* how long that was */

	unsigned kind_count;
	struct tally_kind kinds[];
};

/* NULL: no memory. The caller frees. */
struct tally *tally_create(unsigned kind_count);
void tally_merge(struct tally *into, const struct tally *from);
/* All kinds together, into an empty one. */
void tally_latency(const struct tally *tally, struct spread *all);

#endif
