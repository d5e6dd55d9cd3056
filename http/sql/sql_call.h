/* SPDX-License-Identifier: MIT */
/*
 * A request to /v1/sql on its way; the work of its request. Included by the
 * files that do it, in the order in which they do:
 *
 *	sql_api.c     takes the request, answers it
 *	sql_body.c    what it asks for: statements, bounds
 *	sql_params.c  the values of their parameters
 *	sql_read.c    runs what reads, on a fiber or a slow thread
 *	sql_change.c  has the committer run what writes
 *
 * Belongs to whoever works on the request: a worker, a fiber, a slow thread or
 * the committer, one at a time. A reply that has become too large to be kept
 * goes out through the relay while the rest of it is made: then the call is
 * still its writer's, and only the relay is the stream's.
 */
#ifndef HTTP_SQL_SQL_CALL_H
#define HTTP_SQL_SQL_CALL_H

#include "core/buffer.h"
#include "http/kv/kv_json.h"
#include "http/request.h"
#include "http/sql/accept.h"
#include "http/sql/relay.h"
#include "http/sql/rows.h"
#include "storage/sql.h"

enum {
	CALL_STATEMENTS_MAX = 1000, /* of one request */
	CALL_LIMIT_DEFAULT = 1000,  /* rows of a result in JSON */
	CALL_LIMIT_MAX = 100000,
	CALL_RESULT_MAX = 16 << 20, /* bytes of a reply that is made whole, and
				       of a row of a stream */
	CALL_DEPTH_MAX = 32,        /* of the request's JSON */
	CALL_NAME_SHOWN = 64, /* bytes of a client's own name that a message
				 repeats */
};

struct call_statement {
	struct sql_text text;
	const json_t *params; /* an array, an object, or NULL */
	uint64_t ns, rows;    /* what it took, for the statistics; ns 0: it was
				 not run */
};

struct sql_call {
	/* Set by sql_api.c. */
	struct request *request; /* counted: outlives the call */
	struct sql *sql;
	enum accept form;
	bool objects, int64_text;
	bool only_reads; /* the method is QUERY */
	uint64_t max_timeout_ms;
	bool explain;

	/* Set by call_read_body(). */
	struct json_read body; /* texts and values live in its tree */
	bool several;          /* `statements`: results in an array */
	unsigned count;
	struct call_statement *statements;
	struct sql_op *ops; /* the same, with values by number */
	uint64_t limit;     /* rows; UINT64_MAX: all */
	uint64_t timeout_ns, deadline_ns;

	/* The reply so far. */
	struct buffer out;
	struct rows rows;
	bool truncated; /* the current result */
	bool open;      /* its beginning is in out */
	bool mismatch; /* as many values as parameters: see call_set_values() */
	struct sql_write write;

	/* What is known of the statements that were prepared so far. */
	unsigned studied;
	bool writes, schema; /* one of them does, changes it */

	/* What came of it. */
	struct sql_error error; /* err OK: out is the reply */
	int index;              /* of the statement it is about; -1 */

	/* A stream's: see sql_read.c. */
	bool streams;
	struct relay relay;
	uint64_t flush_ns;    /* what has been made is sent from then on */
	uint64_t snapshot_ns; /* the snapshot is given up then */
	struct parcel end;    /* of the writer's part */
};

/* Of a request whose work is a call. */
static inline struct sql_call *
call_of(const struct request *request)
{
	return request->work;
}

/* ---- sql_body.c ---------------------------------------------------------- */

/* Of the request's body. False: call->error, and index. */
MUST_CHECK bool call_read_body(struct sql_call *call);

/* ---- sql_params.c -------------------------------------------------------- */

/*
 * Sets the statement's values from its params. stmt NULL: it cannot be
 * prepared before those before it have run, so nothing is known of its
 * parameters: params must be an array. False: call->error, and index.
 */
MUST_CHECK bool call_set_values(struct sql_call *call, unsigned index,
				const struct sql_stmt *stmt);

/* ---- sql_read.c ---------------------------------------------------------- */

/* On a fiber: does all of it, and gives the request back. */
void call_run(struct request *request);

/* ---- sql_change.c -------------------------------------------------------- */

/* On a fiber or a slow thread. The request is no longer the caller's; false:
 * call->error. */
MUST_CHECK bool call_change(struct sql_call *call);

/* ---- sql_api.c: what the others end with --------------------------------- */

/* The request is no longer the caller's: it is answered with what came of it.
 * Any thread. */
void call_post(struct sql_call *call);
/* Answers: on the shard's holder. */
void call_answer(struct sql_call *call) ON_WORKER;
/* The reply begins, from what will be written to the relay; the caller goes
 * on. Any thread. */
void call_post_stream(struct sql_call *call);
/* The caller has ended the relay and lets go of the call. Any thread. */
void call_post_end(struct sql_call *call);

/* Gives back all but the call itself. */
void call_fini(struct sql_call *call);
/* Before the first row. */
void call_set_form(struct sql_call *call, enum accept form);
/* The beginning and the end of a result in JSON. stmt has columns. */
void call_open_result(struct sql_call *call, const struct sql_stmt *stmt);
void call_close_result(struct sql_call *call);
/* The last line of NDJSON. */
void call_put_end(struct sql_call *call, struct buffer *out);
/* A deadline that was passed, in words. */
void call_name_limit(struct sql_call *call);
/* What call->out failed with, in words. */
void call_say_too_large(struct sql_call *call, enum err err);

#endif
