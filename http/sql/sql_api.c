/* SPDX-License-Identifier: MIT */
/*
 * /v1/sql/{database}: SQL over HTTP. The way of a request is in sql_call.h.
 */
#include <stdlib.h>
#include <strings.h>

#include "core/units.h"
#include "http/conn.h"
#include "http/reply.h"
#include "http/shard.h"
#include "http/sql/care.h"
#include "http/sql/sql_call.h"
#include "http/sql/sql_reply.h"

/* ---- a call ------------------------------------------------------------- */

void
call_fini(struct sql_call *call)
{
	if (call->streams)
		relay_fini(&call->relay);
	for (unsigned i = 0; i < call->count; i++)
		free((void *)(uintptr_t)call->ops[i].values);
	free(call->ops);
	free(call->statements);
	json_read_end(&call->body);
	rows_fini(&call->rows);
	buffer_fini(&call->out);
}

static void
free_call(void *work)
{
	call_fini(work);
	free(work);
}

static enum rows_shape
shape_of(const struct sql_call *call)
{
	switch (call->form) {
	case ACCEPT_NDJSON:
		return ROWS_NDJSON;
	case ACCEPT_CSV:
		return ROWS_CSV;
	case ACCEPT_JSON:
	case ACCEPT_COUNT:
		break;
	}
	return call->objects ? ROWS_OBJECTS : ROWS_ARRAYS;
}

void
call_set_form(struct sql_call *call, enum accept form)
{
	call->form = form;
	rows_init(&call->rows, &call->out, shape_of(call), call->int64_text);
}

/* False: a parameter has a value that it cannot have. */
static bool
read_choice(const struct request *request, const char *name, const char *choice,
	    bool *chosen)
{
	struct bytes value = request_parameter(request, name);

	*chosen = value.data && bytes_equal(value, bytes_of(choice));
	return !value.data || *chosen;
}

static void
begin_call(struct request *request, bool only_reads, bool explain) ON_WORKER
{
	struct sql_call *call = calloc(1, sizeof(*call));

	if (!call) {
		reply_error(request, ERR_NOMEM);
		return;
	}
	request->work = call;
	request->free_work = free_call;
	call->request = request;
	call->sql = request->sql;
	call->only_reads = only_reads;
	call->explain = explain;
	call->max_timeout_ms =
		local_self()->server->config->statement_timeout_ms;
	call->index = -1;
	buffer_init(&call->out, CALL_RESULT_MAX);
	if (!read_choice(request, "shape", "objects", &call->objects) ||
	    !read_choice(request, "int64", "string", &call->int64_text)) {
		reply_problem(request, 400, NULL,
			      "the query may have shape=objects and "
			      "int64=string");
		return;
	}
	call_set_form(call, explain ? ACCEPT_JSON
				    : accept_choose(request->headers.accept));
	request_wait_fiber(request, call_run);
}

/* ---- who may call ------------------------------------------------------- */

/*
 * Exactly JSON, and said so: a page in somebody's browser can send a form or
 * plain text to us without being asked for its permission, but not this (Fetch
 * standard, "CORS-safelisted request-header").
 */
static bool
is_json(struct bytes type)
{
	static const char json[] = "application/json";
	const char *text = type.data;
	size_t len = sizeof(json) - 1;

	return type.len >= len && !strncasecmp(text, json, len) &&
	       (type.len == len || strchr("; \t", text[len]));
}

static bool
may_call(struct request *request) ON_WORKER
{
	if (!request->conn->local) {
		reply_problem(request, 403, NULL,
			      "until there are tokens, SQL is answered to this "
			      "machine only: over a loopback address or a Unix "
			      "socket");
		return false;
	}
	if (!is_json(request->headers.content_type)) {
		reply_problem(request, 415, NULL,
			      "the body must be JSON, and its Content-Type "
			      "application/json");
		return false;
	}
	return true;
}

void
sql_post(struct request *request)
{
	if (may_call(request))
		begin_call(request, false, false);
}

void
sql_query(struct request *request)
{
	if (may_call(request))
		begin_call(request, true, false);
}

void
sql_explain(struct request *request)
{
	if (may_call(request))
		begin_call(request, true, true);
}

/* ---- JSON around the rows ----------------------------------------------- */

void
call_open_result(struct sql_call *call, const struct sql_stmt *stmt)
{
	buffer_add(&call->out, "{", 1);
	rows_columns(&call->out, stmt);
	buffer_add_str(&call->out, ",\"rows\":[");
}

void
call_close_result(struct sql_call *call)
{
	buffer_add_str(&call->out, call->truncated ? "],\"truncated\":true}"
						   : "],\"truncated\":false}");
}

void
call_put_end(struct sql_call *call, struct buffer *out)
{
	buffer_add_str(out, "{\"end\":true,\"rows\":");
	buffer_add_u64(out, call->rows.count);
	if (call->truncated)
		buffer_add_str(out, ",\"truncated\":true");
	buffer_add(out, "}\n", 2);
}

void
call_say_too_large(struct sql_call *call, enum err err)
{
	if (err != ERR_TOO_LARGE)
		sql_error_set(&call->error, err, NULL);
	else if (call->form == ACCEPT_JSON)
		sql_error_set(&call->error, err,
			      "the result is larger than %d bytes: ask for "
			      "fewer rows with \"limit\", or read it as lines "
			      "with Accept: application/x-ndjson",
			      CALL_RESULT_MAX);
	else
		sql_error_set(&call->error, err,
			      "a row, or the names of the columns, or what a "
			      "write returns is larger than %d bytes",
			      CALL_RESULT_MAX);
}

/* ---- answering ---------------------------------------------------------- */

/* For /v1/admin/statements. */
static void
count_statements(struct sql_call *call) ON_WORKER
{
	struct care_run run = {
		.database = sql_name(call->sql),
		.sql = call->sql,
		.catalog = call->request->catalog,
	};

	for (unsigned i = 0; i < call->count; i++) {
		const struct call_statement *statement = &call->statements[i];

		if (!statement->ns)
			continue;
		run.text = &statement->text;
		run.id = care_id(run.database, NULL, run.text);
		run.ns = statement->ns;
		run.rows = statement->rows;
		care_count(&run);
	}
}

static void
begin_reply(struct reply *reply, struct sql_call *call) ON_WORKER
{
	reply_begin(reply, call->request, 200);
	reply_header(reply, "Content-Type", bytes_of(accept_type(call->form)));
	reply_header(reply, "Cache-Control", bytes_of("no-store"));
	reply_header(reply, "X-Content-Type-Options", bytes_of("nosniff"));
}

void
call_name_limit(struct sql_call *call)
{
	char text[UNITS_TEXT_MAX];

	if (call->error.err == ERR_DEADLINE &&
	    !strcmp(sql_error_text(&call->error), err_text(ERR_DEADLINE)))
		sql_error_set(&call->error, ERR_DEADLINE,
			      "it took longer than %s",
			      units_duration_text(text, call->timeout_ns /
								NS_PER_MS));
}

void
call_answer(struct sql_call *call)
{
	struct request *request = call->request;
	struct reply reply;

	count_statements(call);
	call_name_limit(call);
	if (call->error.err == ERR_CANCELLED) {
		reply_gone(request);
	} else if (call->error.err) {
		reply_sql_error_index(request, &call->error, call->index);
	} else {
		begin_reply(&reply, call);
		reply_send_buffer(&reply, &call->out);
	}
}

static void
finish(struct request *request) ON_WORKER
{
	call_answer(call_of(request));
}

void
call_post(struct sql_call *call)
{
	request_post(call->request, finish);
}

/* ---- streams ------------------------------------------------------------ */

static void
start_stream(struct request *request) ON_WORKER
{
	struct sql_call *call = call_of(request);
	struct stream stream = { relay_more, relay_close, &call->relay };
	struct reply reply;

	begin_reply(&reply, call);
	reply_send_stream(&reply, &stream);
}

/* The writer keeps the request that it works for: nothing is let go of. */
static void
open_start(struct parcel *parcel) ON_WORKER
{
	struct request *request = CONTAINER_OF(parcel, struct request, parcel);

	TAKES_OVER(request);
	if (request->conn)
		shard_go_on(request);
}

void
call_post_stream(struct sql_call *call)
{
	struct request *request = call->request;
	struct source *source = shard_source(request->shard);

	request->finish = start_stream;
	request->parcel.open = open_start;
	HANDS_OVER(request);
	source_post(source, &request->parcel);
	source_wake(source);
}

static void
open_end(struct parcel *parcel) ON_WORKER
{
	struct sql_call *call = CONTAINER_OF(parcel, struct sql_call, end);

	TAKES_OVER(call);
	count_statements(call);
	request_release(call->request);
}

void
call_post_end(struct sql_call *call)
{
	struct source *source = shard_source(call->request->shard);

	call->end.open = open_end;
	HANDS_OVER(call);
	source_post(source, &call->end);
	/* call is the shard's now. */
	source_wake(source);
}
