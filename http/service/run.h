/* SPDX-License-Identifier: MIT */
/*
 * Running a route: from a request to its answer.
 *
 *	bind.c     the parameters' values
 *	run.c      whose route it is
 *	run_place.c
 *		   where it runs: in place, on a fiber, on a slow thread, on the
 *		   database's committer
 *	run_read.c running what reads
 *	answer.c   from rows to a reply
 *	replies.c  what is kept of it;  flight.c  running once for many
 *	limit.c    what a service may use
 *
 * A run belongs to its request from the moment run.c takes it. It is worked on
 * by whoever has the request.
 */
#ifndef HTTP_SERVICE_RUN_H
#define HTTP_SERVICE_RUN_H

#include <jansson.h>

#include "core/buffer.h"
#include "core/clock.h"
#include "http/request.h"
#include "http/service/service.h"
#include "http/shard.h"
#include "http/sql/rows.h"

enum {
	/* A worker keeps so many for the next, each with a buffer of this. */
	RUNS_KEEP = 64,
	RUN_BUFFER_KEEP = 16 << 10,
	/* More than a Location may have: see answer.c. */
	LOCATION_BUFFER = 4096,
};

struct run {
	struct run *next_free;
	struct request *request;
	const struct route *route;

	/* bind.c */
	json_t *json; /* the body; NULL: none */
	struct sql_op *ops;
	struct bytes path_values[TREE_PARAMETERS_MAX]; /* decoded */
	struct parameter *form;
	unsigned form_count;

	/* answer.c */
	struct buffer body;
	struct rows rows;
	struct buffer location;
	bool found;   /* there was a first row */
	bool refused; /* answer.c has stopped it: error says why */
	unsigned rows_seen;

	/* run_place.c, run_read.c */
	struct sql_deps deps;
	struct sql_limits limits;
	struct sql_error error;
	enum err err;
	uint64_t tag;  /* 0: none */
	size_t length; /* not_modified: of the reply that there would be */
	uint64_t run_ns, longest_ns;
	uint64_t op_ns[ROUTE_STATEMENTS_MAX];
	uint32_t op_rows[ROUTE_STATEMENTS_MAX];
	uint64_t op_begun_ns;
	unsigned ops_run; /* statements that were begun */
	uint64_t deadline_ns;
	bool was_slow;     /* it was run on a slow thread */
	bool moved;        /* from a fiber, which it did not suit */
	bool leads;        /* others wait for it */
	bool alone;        /* it does not join a flight */
	bool counted;      /* among the statements of its tenant */
	bool not_modified; /* the tag is what the client has */
	struct kept_reply *kept;
	struct sql_write write;
};

/* ---- bind.c -------------------------------------------------------------- */

/* False: answered. match is that of the route. */
MUST_CHECK bool bind_values(struct run *run,
			    const struct tree_match *match) ON_WORKER;
/* The value of a parameter by its name, as text for a Location. False: there
 * is none. */
bool bind_text(const struct run *run, struct bytes name, struct buffer *out);

/* ---- answer.c ------------------------------------------------------------ */

void answer_begin(struct run *run);
/* A row of the last statement. False: stop. */
bool answer_row(struct run *run, const struct sql_stmt *stmt);
/* After its last row. False: the request fails. */
bool answer_end(struct run *run);
/* The sink of writes. */
extern const struct sql_sink answer_sink;

void answer_send(struct run *run) ON_WORKER;
/* hit: it was in the cache; otherwise another request has made it. */
void answer_send_kept(struct request *request, struct kept_reply *kept,
		      bool hit) ON_WORKER;

/* ---- limit.c ------------------------------------------------------------- */

/* A request more: false: beyond the service's rate, and answered. */
MUST_CHECK bool limit_admit(struct request *request) ON_WORKER;
/* A statement more, beside those in place. */
MUST_CHECK bool limit_statement_begin(const struct service *service);
void limit_statement_end(const struct service *service);

/* ---- statements' times --------------------------------------------------- */

static inline void
run_op_begin(struct run *run)
{
	run->op_rows[run->ops_run] = 0;
	run->op_begun_ns = clock_mono_ns();
}

static inline void
run_op_end(struct run *run, unsigned index)
{
	run->op_ns[index] = clock_mono_ns() - run->op_begun_ns;
	run->ops_run = index + 1;
}

/* ---- run_place.c --------------------------------------------------------- */

/* Run and answered, here or elsewhere. */
void run_read(struct run *run) ON_WORKER;
void run_write(struct run *run) ON_WORKER;

/* ---- run_read.c ---------------------------------------------------------- */

/* Whoever has the request. run->limits are set; the reader is given back. */
void run_read_rows(struct run *run, struct sql_reader *reader);

/* ---- run.c --------------------------------------------------------------- */

/* The statement is over; also where its client has left, and nobody finishes
 * the request. */
void run_uncount(struct run *run);

static inline struct server *
run_server(const struct run *run)
{
	return shard_server(run->request->shard);
}

static inline struct route_counters *
run_counters(const struct route *route) ON_WORKER
{
	return route->counters[local_self()->index];
}

/* The request is over: counts it for its route. */
void service_count(const struct request *request, uint64_t ns) ON_WORKER;
/* After the workers have ended. */
void runs_fini(struct local *local);

#endif
