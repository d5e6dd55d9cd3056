/* SPDX-License-Identifier: MIT */
/*
 * From rows to a reply.
 *
 *	rows   an array of objects; at most max_rows, else 413
 *	one    the first row as an object; 404 where there is none, and then
 *	       nothing was written
 *	value  the first column of the first row as it is; 404 likewise
 *	none   no body
 */
#include <stdio.h>

#include "http/conditional.h"
#include "http/reply.h"
#include "http/service/replies.h"
#include "http/service/run.h"
#include "http/sql/sql_reply.h"

enum {
	/* Beside our other headers in a head: see HEAD_MAX. */
	LOCATION_LEN_MAX = 800,
};

/* ---- Location ------------------------------------------------------------ */

/* Unreserved characters stay (RFC 3986, section 2.3). */
static void
add_encoded(struct buffer *out, struct bytes text)
{
	static const char digits[] = "0123456789ABCDEF";
	const unsigned char *at = text.data;

	for (size_t i = 0; i < text.len; i++) {
		char triplet[3] = { '%', digits[at[i] >> 4],
				    digits[at[i] & 15] };

		if ((at[i] >= '0' && at[i] <= '9') ||
		    (at[i] >= 'A' && at[i] <= 'Z') ||
		    (at[i] >= 'a' && at[i] <= 'z') ||
		    (at[i] && strchr("-._~", at[i])))
			buffer_add(out, &at[i], 1);
		else
			buffer_add(out, triplet, 3);
	}
}

/* A whole reference that a row holds: only what can stand in no URI is
 * encoded, so a line end gets into no header. */
static void
add_reference(struct buffer *out, struct bytes text)
{
	const unsigned char *at = text.data;

	for (size_t i = 0; i < text.len; i++) {
		if (at[i] > 0x20 && at[i] < 0x7F)
			buffer_add(out, &at[i], 1);
		else
			add_encoded(out, (struct bytes){ &at[i], 1 });
	}
}

static void
add_column(const struct sql_stmt *stmt, const char *name, struct buffer *out)
{
	struct sql_value value;

	for (unsigned i = 0; i < sql_column_count(stmt); i++) {
		if (strcmp(sql_column_name(stmt, i), name) != 0)
			continue;
		sql_column(stmt, i, &value);
		if (value.kind == SQL_INTEGER)
			buffer_add_i64(out, value.integer);
		else if (value.kind == SQL_REAL)
			buffer_addf(out, "%.17g", value.real);
		else if (value.kind != SQL_NULL)
			buffer_add(out, value.bytes.data, value.bytes.len);
		return;
	}
}

static void
add_part(struct run *run, const struct location_part *part, bool first,
	 const struct sql_stmt *stmt)
{
	struct buffer text;

	buffer_init(&text, LOCATION_LEN_MAX);
	switch (part->source) {
	case LOCATION_TEXT:
		buffer_add_str(&run->location, part->text);
		break;
	case LOCATION_COLUMN:
		if (stmt)
			add_column(stmt, part->text, &text);
		break;
	case LOCATION_PATH:
		buffer_add(&text, run->path_values[part->index].data,
			   run->path_values[part->index].len);
		break;
	case LOCATION_INPUT:
		bind_text(run, bytes_of(part->text), &text);
		break;
	}
	if (text.err)
		run->location.err = text.err;
	if (first)
		add_reference(&run->location,
			      (struct bytes){ text.data, text.len });
	else
		add_encoded(&run->location,
			    (struct bytes){ text.data, text.len });
	buffer_fini(&text);
}

/* stmt NULL: there is no row. */
static void
make_location(struct run *run, const struct sql_stmt *stmt)
{
	const struct route *route = run->route;

	for (unsigned i = 0; i < route->location_count; i++)
		add_part(run, &route->location[i], i == 0, stmt);
}

/* ---- rows ---------------------------------------------------------------- */

static bool
refuse(struct run *run, enum err err, const char *message)
{
	sql_error_set(&run->error, err, "%s", message);
	run->refused = true;
	return false;
}

void
answer_begin(struct run *run)
{
	buffer_clear(&run->body);
	run->body.err = ERR_OK;
	buffer_clear(&run->location);
	run->location.err = ERR_OK;
	rows_restart(&run->rows);
	run->rows_seen = 0;
	run->found = run->refused = false;
	if (run->route->spec->reply == REPLY_ROWS)
		buffer_add(&run->body, "[", 1);
}

static uint64_t
max_rows(const struct run *run)
{
	const struct route *route = run->route;

	return route->spec->max_rows ? route->spec->max_rows
				     : route->service->spec.settings.max_rows;
}

static bool
refuse_rows(struct run *run)
{
	char text[80];

	snprintf(text, sizeof(text),
		 "the reply has more than %llu rows (max_rows)",
		 (unsigned long long)max_rows(run));
	return refuse(run, ERR_TOO_LARGE, text);
}

static bool
refuse_body(struct run *run)
{
	char text[80];

	if (run->body.err != ERR_TOO_LARGE)
		return refuse(run, run->body.err, err_text(run->body.err));
	snprintf(text, sizeof(text),
		 "the reply has more than %zu bytes (max_reply)",
		 run->body.max);
	return refuse(run, ERR_TOO_LARGE, text);
}

static void
add_value(struct run *run, const struct sql_stmt *stmt)
{
	struct sql_value value;

	sql_column(stmt, 0, &value);
	switch (value.kind) {
	case SQL_NULL:
		break;
	case SQL_TEXT:
	case SQL_BLOB:
		buffer_add(&run->body, value.bytes.data, value.bytes.len);
		break;
	case SQL_INTEGER:
	case SQL_REAL:
		rows_json_value(&run->body, &value, false);
		break;
	}
}

bool
answer_row(struct run *run, const struct sql_stmt *stmt)
{
	bool first = !run->found;

	run->found = true;
	run->rows_seen++;
	if (first)
		make_location(run, stmt);
	switch (run->route->spec->reply) {
	case REPLY_ROWS:
		if (run->rows_seen > max_rows(run))
			return refuse_rows(run);
		rows_add(&run->rows, stmt);
		break;
	case REPLY_ONE:
		if (first)
			rows_add(&run->rows, stmt);
		break;
	case REPLY_VALUE:
		if (first)
			add_value(run, stmt);
		break;
	case REPLY_NONE:
		break;
	}
	return run->body.err == ERR_OK || refuse_body(run);
}

bool
answer_end(struct run *run)
{
	const struct route_spec *spec = run->route->spec;

	if (!run->found) {
		if (spec->reply == REPLY_ONE || spec->reply == REPLY_VALUE)
			return refuse(run, ERR_NOTFOUND,
				      "there is no such row");
		make_location(run, NULL);
	}
	if (spec->reply == REPLY_ROWS)
		buffer_add_str(&run->body, "]\n");
	else if (spec->reply == REPLY_ONE)
		buffer_add_str(&run->body, "\n");
	if (run->body.err)
		return refuse_body(run);
	if (run->location.len > LOCATION_LEN_MAX || run->location.err)
		return refuse(run, ERR_TOO_LARGE,
			      "the Location is longer than 800 bytes");
	return true;
}

/* ---- the committer's side ------------------------------------------------ */

static void
sink_begin(void *arg)
{
	struct run *run = arg;

	run->ops_run = 0;
	answer_begin(run);
	run_op_begin(run);
}

static bool
is_last(const struct run *run, unsigned op)
{
	return op + 1 == run->route->statement_count;
}

static bool
sink_row(void *arg, unsigned op, const struct sql_stmt *stmt)
{
	struct run *run = arg;

	run->op_rows[op]++;
	return !is_last(run, op) || answer_row(run, stmt);
}

static bool
sink_done(void *arg, unsigned op, const struct sql_stmt *stmt, int64_t changes,
	  int64_t rowid)
{
	struct run *run = arg;

	run_op_end(run, op);
	if (is_last(run, op))
		return answer_end(run);
	run_op_begin(run);
	return true;
}

const struct sql_sink answer_sink = { sink_begin, sink_row, sink_done };

/* ---- sending ------------------------------------------------------------- */

/* What a head shows. */
struct shown {
	const struct route *route;
	unsigned status;
	uint64_t tag; /* 0: none */
	struct bytes location;
	const char *cache_status; /* NULL: none */
};

static const char *
content_type(const struct route_spec *spec)
{
	return spec->reply == REPLY_VALUE ? spec->type : "application/json";
}

/* A browser may keep what has a tag, but asks each time. */
static void
put_caching(struct reply *reply, const struct shown *shown)
{
	if (shown->cache_status)
		reply_header(reply, "Cache-Status",
			     bytes_of(shown->cache_status));
	if (shown->tag) {
		reply_etag(reply, shown->tag);
		reply_header(reply, "Cache-Control", bytes_of("no-cache"));
	} else if (shown->route->spec->method == METHOD_GET) {
		reply_header(reply, "Cache-Control", bytes_of("no-store"));
	}
}

static void
begin_reply(struct reply *reply, struct request *request,
	    const struct shown *shown) ON_WORKER
{
	const struct route_spec *spec = shown->route->spec;

	reply_begin(reply, request, shown->status);
	reply_header(reply, "Location", shown->location);
	put_caching(reply, shown);
	if (spec->reply == REPLY_NONE)
		return;
	reply_header(reply, "Content-Type", bytes_of(content_type(spec)));
	if (spec->reply == REPLY_VALUE)
		reply_header(reply, "X-Content-Type-Options",
			     bytes_of("nosniff"));
}

static void
send_not_modified(struct request *request, const struct shown *shown,
		  size_t len) ON_WORKER
{
	struct reply reply;

	reply_begin(&reply, request, 304);
	put_caching(&reply, shown);
	reply_send_length(&reply, len);
}

/* False: the preconditions ask for the reply itself, or have nothing to say:
 * they are of what succeeds, not of a redirect (RFC 9110, section 13.2.1). */
static bool
send_by_conditions(struct request *request, const struct shown *shown,
		   size_t len) ON_WORKER
{
	if (!shown->tag || shown->status >= 300)
		return false;
	switch (conditions_judge_tag(&request->headers, shown->tag)) {
	case VERDICT_SEND:
		return false;
	case VERDICT_MALFORMED:
		reply_problem(request, 400, NULL,
			      "an entity tag is malformed: \"123\" or *");
		break;
	case VERDICT_FAILED:
		reply_condition(request, shown->tag);
		break;
	case VERDICT_NOT_MODIFIED:
		send_not_modified(request, shown, len);
		break;
	}
	return true;
}

static void
let_go(void *kept)
{
	kept_reply_unref(kept);
}

void
answer_send_kept(struct request *request, struct kept_reply *kept, bool hit)
{
	const struct shown shown = {
		.route = kept->route,
		.status = kept->status,
		.tag = kept->etag,
		.location = kept->location,
		.cache_status =
			hit ? "jackdaw; hit" : "jackdaw; fwd=miss; collapsed",
	};
	struct reply reply;

	if (send_by_conditions(request, &shown, kept->body.len))
		return;
	begin_reply(&reply, request, &shown);
	if (kept->body.len <= FRAME_BODY_MAX) {
		reply_send_copy(&reply, kept->body);
		return;
	}
	kept_reply_ref(kept);
	reply_send_shared(&reply, kept->body, let_go, kept);
}

static void
send_failure(struct run *run) ON_WORKER
{
	struct request *request = run->request;

	if (run->err == ERR_NOTFOUND)
		reply_problem(request, 404, NULL, "%s", run->error.message);
	else if (run->error.err)
		reply_sql_error(request, &run->error);
	else
		reply_error(request, run->err);
}

void
answer_send(struct run *run)
{
	struct request *request = run->request;
	const struct shown shown = {
		.route = run->route,
		.status = run->route->spec->status,
		.tag = run->tag,
		.location = { run->location.data, run->location.len },
		.cache_status =
			run->route->cacheable ? "jackdaw; fwd=miss" : NULL,
	};
	struct reply reply;

	if (run->err) {
		send_failure(run);
		return;
	}
	if (run->not_modified) {
		send_not_modified(request, &shown, run->length);
		return;
	}
	if (send_by_conditions(request, &shown, run->body.len))
		return;
	begin_reply(&reply, request, &shown);
	if (run->body.len <= FRAME_BODY_MAX)
		reply_send_copy(&reply, (struct bytes){ run->body.data,
							run->body.len });
	else
		reply_send_buffer(&reply, &run->body);
}
