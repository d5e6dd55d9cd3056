/* SPDX-License-Identifier: MIT */
/*
 * What a run is to do: the command line, checked, with files read and names
 * resolved. It does not change once it is made.
 */
#ifndef TOOLS_BENCH_PLAN_H
#define TOOLS_BENCH_PLAN_H

#include <sys/socket.h>

#include "tools/bench/draw.h"
#include "tools/bench/tally.h"
#include "tools/bench/template.h"
#include "tools/options.h"
#include "tools/outcome.h"

enum {
	KINDS_MAX = 256,
	CONNECTIONS_MAX = 1000000,
	THREADS_MAX = 256,
};

/* A kind of request. */
struct kind {
	uint64_t weight;
	char *method, *path;
	struct buffer headers; /* whole lines, all of its own and of all */
	bool has_host;         /* one of them is the Host */
	struct buffer body;
	bool has_body, body_is_made;
	bool is_head; /* no reply to it has a body */
};

struct plan {
	/* Where to. */
	struct sockaddr_storage address;
	socklen_t address_len;
	char name[280]; /* "http://127.0.0.1:8080", "unix:/path" */
	char host[280]; /* what the Host header says */

	/* What. */
	struct kind kinds[KINDS_MAX];
	unsigned kind_count;
	uint64_t weights; /* their sum */
	uint64_t keys;    /* 0: no {key} */
	bool is_zipf;
	struct zipf zipf;
	uint64_t seed;
	bool expected[STATUS_END];

	/* How. */
	unsigned connections, threads;
	uint64_t rate;     /* requests/s; 0: closed loop */
	uint64_t requests; /* ends after so many; 0: after duration_ns */
	uint64_t duration_ns, warmup_ns, timeout_ns;
	/* --find-rate; 0: not asked for. */
	double find_percent;
	uint64_t find_ns;
};

/* Says what is wrong. The caller runs plan_fini() in any case. */
MUST_CHECK enum outcome plan_init(struct plan *plan,
				  const struct options *options,
				  const char *target);
void plan_fini(struct plan *plan);

/* How many threads are of use at rate (0: in a closed loop). */
unsigned plan_threads(const struct plan *plan, uint64_t rate);

/* The number-th request: which kind, and which key. */
struct pick {
	unsigned kind;
	uint64_t key;
};
struct pick plan_pick(const struct plan *plan, uint64_t number);

/* The parts of a request of that kind. */
struct request_parts plan_parts(const struct plan *plan,
				const struct kind *kind);

#endif
