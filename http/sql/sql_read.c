/* SPDX-License-Identifier: MIT */
/*
 * Statements that read.
 *
 * They run on a fiber, in slices, on a connection of its worker. What cannot
 * be sliced is found out by running it: a sort that goes on for long, a piece
 * that took too long before anything was sent, or one that takes long to
 * prepare. It is given up then, and run from the start on a slow thread.
 *
 * JSON is made whole. Lines are made whole too as long as they are few; then
 * what there is goes out as a stream, and the rest of it through the relay.
 * While the client does not take it the statement rests, with its snapshot
 * and its connection to the database, until limits.snapshot_timeout; but where
 * others wait for its place, only for PATIENCE_NS. The time that it rests is
 * not counted against its timeout.
 */
#include "core/clock.h"
#include "core/log.h"
#include "core/units.h"
#include "http/shard.h"
#include "http/sql/sql_call.h"
#include "http/sql/sql_reply.h"

enum {
	/* Of SQLite's machine, before the first row of what sorts: about 5,000
	 * rows, which are sorted in 1 ms. */
	SORT_STEPS = 50000,
	/* What is sent at once: half of the relay. */
	FLUSH_BYTES = RELAY_SIZE / 2,
	/* Jobs in the slow lane, beyond which it is overload. */
	SLOW_MAX = 8,
};
/* A piece that was longer. Less may well have been another process's turn on
 * the processor. */
#define LONG_NS (5 * NS_PER_MS)
/* Rows that come slowly are not held back for longer than this. */
#define FLUSH_NS (100 * NS_PER_MS)
/* How long a connection to the database is waited for, and how long a client
 * may rest on one that others wait for. */
#define READER_WAIT_NS (5 * NS_PER_S)
#define PATIENCE_NS (3 * NS_PER_S)

static const struct config *
config_of(const struct sql_call *call)
{
	return shard_server(call->request->shard)->config;
}

static struct sql_reader *
take_reader(struct sql_call *call)
{
	uint64_t until_ns = clock_mono_ns() + READER_WAIT_NS;
	struct sql_reader *reader;
	enum err err = ERR_OK;

	if (call->deadline_ns < until_ns)
		until_ns = call->deadline_ns;
	reader = sql_reader_take(call->sql, until_ns, &err);
	if (!reader)
		sql_error_busy(&call->error, err);
	return reader;
}

/* ---- streams ------------------------------------------------------------ */

static bool
begin_stream(struct sql_call *call)
{
	enum err err = relay_init(&call->relay, call->request);

	if (err) {
		sql_error_set(&call->error, err, NULL);
		return false;
	}
	call->streams = true;
	call_post_stream(call);
	return true;
}

static void
say_snapshot_timeout(struct sql_call *call)
{
	char text[UNITS_TEXT_MAX];

	sql_error_set(&call->error, ERR_DEADLINE,
		      "the client took longer than limits.snapshot_timeout, %s",
		      units_duration_text(
			      text, config_of(call)->snapshot_timeout_ms));
}

static struct slow *
slow_of(const struct sql_call *call)
{
	return shard_server(call->request->shard)->slow;
}

/* For what this statement holds: its slow thread, or one of the connections
 * of its worker. */
static bool
others_wait(struct sql_call *call)
{
	enum err err = ERR_OK;
	struct sql_reader *reader;

	if (!fiber_self())
		return slow_waiting(slow_of(call)) > SLOW_THREADS;
	reader = sql_reader_try_take(call->sql, &err);
	if (reader)
		sql_reader_give(reader);
	return !reader;
}

static enum err
send_out(struct sql_call *call)
{
	for (;;) {
		uint64_t until_ns = clock_mono_ns() + PATIENCE_NS;
		enum err err;

		if (until_ns > call->snapshot_ns)
			until_ns = call->snapshot_ns;
		err = relay_write(&call->relay, &call->out, until_ns);
		if (err != ERR_DEADLINE)
			return err;
		if (until_ns == call->snapshot_ns)
			return ERR_DEADLINE;
		if (others_wait(call))
			return ERR_OVERLOADED;
	}
}

static bool
flush(struct sql_call *call, struct sql_limits *limits)
{
	uint64_t begin = clock_mono_ns(), end;
	enum err err;

	if (!call->streams && !begin_stream(call))
		return false;
	err = send_out(call);
	end = clock_mono_ns();
	limits->deadline_ns += end - begin;
	call->flush_ns = end + FLUSH_NS;
	if (err == ERR_DEADLINE)
		say_snapshot_timeout(call);
	else if (err == ERR_OVERLOADED)
		sql_error_set(&call->error, err,
			      "the client took nothing for a while, and others "
			      "wait for its place");
	else if (err)
		sql_error_set(&call->error, err, NULL);
	return !err;
}

static void
put_error(struct sql_call *call)
{
	const char *code;
	unsigned status = sql_error_status(&call->error, &code);
	struct json json;

	json_begin(&json, &call->out);
	json_object_begin(&json);
	json_name(&json, "error");
	json_object_begin(&json);
	json_name(&json, "status");
	json_u64(&json, status);
	json_name(&json, "code");
	json_text(&json, bytes_of(code));
	json_text_or_base64(&json, "detail",
			    bytes_of(sql_error_text(&call->error)));
	json_object_end(&json);
	json_object_end(&json);
	buffer_add(&call->out, "\n", 1);
}

/* The statement is over, the connection to the database given back. */
static void
end_stream(struct sql_call *call)
{
	bool failed = call->error.err != ERR_OK;

	call_name_limit(call);
	if (failed)
		log_info("stream ended early request_id=%.*s error=\"%s\"",
			 (int)call->request->id_len, call->request->id,
			 err_text(call->error.err));
	if (failed && call->form == ACCEPT_NDJSON)
		put_error(call);
	relay_end(&call->relay, &call->out,
		  failed && call->form != ACCEPT_NDJSON);
	call_post_end(call);
}

/* ---- one statement ------------------------------------------------------ */

static void
begin_result(struct sql_call *call, const struct sql_stmt *stmt)
{
	rows_restart(&call->rows);
	call->truncated = false;
	if (call->form == ACCEPT_JSON)
		call_open_result(call, stmt);
	else
		rows_header(&call->rows, stmt);
}

static void
end_result(struct sql_call *call)
{
	if (call->form == ACCEPT_JSON)
		call_close_result(call);
	else if (call->form == ACCEPT_NDJSON)
		call_put_end(call, &call->out);
}

/* The current row. What there was of one that is too large goes away, so that
 * lines stay whole. */
static bool
add_row(struct sql_call *call, const struct sql_stmt *stmt)
{
	size_t before = call->out.len;
	enum err err;

	rows_add(&call->rows, stmt);
	err = call->out.err;
	if (!err)
		return true;
	call_say_too_large(call, err);
	call->out.len = before;
	call->out.err = ERR_OK;
	return false;
}

static bool
flush_is_due(const struct sql_call *call)
{
	return call->form != ACCEPT_JSON &&
	       (call->out.len >= FLUSH_BYTES ||
		clock_coarse_ns() >= call->flush_ns);
}

static bool
step_all(struct sql_call *call, struct sql_stmt *stmt,
	 struct sql_limits *limits)
{
	sql_run(stmt, limits);
	begin_result(call, stmt);
	for (;;) {
		switch (sql_step(stmt, &call->error)) {
		case SQL_FAILED:
			return false;
		case SQL_DONE:
			end_result(call);
			return true;
		case SQL_ROW:
			break;
		}
		if (call->rows.count == call->limit) {
			call->truncated = true;
			end_result(call);
			return true;
		}
		if (limits->slices && !call->streams &&
		    sql_longest_ns(stmt) > LONG_NS) {
			sql_error_set(&call->error, ERR_STEPS, NULL);
			return false;
		}
		if (!add_row(call, stmt) ||
		    (flush_is_due(call) && !flush(call, limits)))
			return false;
		if (limits->slices && fiber_slice_over())
			fiber_yield();
	}
}

static bool
bind_all(struct sql_call *call, unsigned index, struct sql_stmt *stmt)
{
	const struct sql_op *op = &call->ops[index];

	for (unsigned i = 0; i < op->value_count; i++) {
		enum err err = sql_bind(stmt, i, &op->values[i]);

		if (!err)
			continue;
		if (err == ERR_TOO_LARGE)
			sql_error_set(&call->error, err,
				      "parameter number %u is too large",
				      i + 1);
		else
			sql_error_set(&call->error, err, NULL);
		return false;
	}
	return true;
}

static bool
read_one(struct sql_call *call, struct sql_reader *reader, unsigned index,
	 struct sql_limits *limits)
{
	struct call_statement *statement = &call->statements[index];
	uint64_t begin = clock_mono_ns();
	struct sql_stmt *stmt;
	bool done;

	call->index = call->several ? (int)index : -1;
	if (sql_prepare(reader, &statement->text, &stmt, &call->error))
		return false;
	done = bind_all(call, index, stmt) && step_all(call, stmt, limits);
	sql_release(stmt);
	statement->rows = call->rows.count;
	statement->ns = clock_mono_ns() - begin;
	return done;
}

/* ---- all of them -------------------------------------------------------- */

static bool
read_statements(struct sql_call *call, struct sql_reader *reader,
		struct sql_limits *limits)
{
	enum err err;

	if (call->several) {
		buffer_add_str(&call->out, "{\"results\":[");
		err = sql_begin(reader);
		if (err) {
			sql_error_set(&call->error, err, NULL);
			return false;
		}
	}
	for (unsigned i = 0; i < call->count; i++) {
		if (i)
			buffer_add(&call->out, ",", 1);
		if (!read_one(call, reader, i, limits))
			return false;
	}
	if (call->several)
		buffer_add(&call->out, "]}", 2);
	if (call->form == ACCEPT_JSON)
		buffer_add(&call->out, "\n", 1);
	if (!call->out.err)
		return true;
	call_say_too_large(call, call->out.err);
	return false;
}

static void run_on_slow(struct request *request);

/* From the start, where it may take long. True: the call is not ours any
 * more. */
static bool
pass_to_slow(struct sql_call *call)
{
	enum err err;

	if (call->streams) {
		/* What was sent cannot be taken back. */
		sql_error_set(&call->error, ERR_TOO_LARGE,
			      "a value is larger than 1 MiB, and came after "
			      "rows that were sent");
		return false;
	}
	if (slow_waiting(slow_of(call)) >= SLOW_MAX) {
		sql_error_set(
			&call->error, ERR_OVERLOADED,
			"%d statements wait or run already that cannot be "
			"sliced, such as long sorts",
			SLOW_MAX);
		return false;
	}
	call->error = (struct sql_error){ .err = ERR_OK };
	buffer_clear(&call->out);
	err = request_pass_slow(call->request, run_on_slow);
	if (err)
		sql_error_set(&call->error, err, NULL);
	return !err;
}

static void
run_reads(struct sql_call *call, struct sql_reader *reader, bool on_fiber)
{
	uint64_t now = clock_mono_ns();
	struct sql_limits limits = {
		.deadline_ns = call->deadline_ns,
		.sort_steps = on_fiber ? SORT_STEPS : 0,
		.cancel = &call->request->cancelled,
		.slices = on_fiber,
	};
	bool done;

	call->flush_ns = now + FLUSH_NS;
	call->snapshot_ns =
		now + config_of(call)->snapshot_timeout_ms * NS_PER_MS;
	done = read_statements(call, reader, &limits);
	/* Before anybody hears of the end: the next request of this client
	 * may need it. */
	sql_reader_give(reader);
	if (!done && call->error.err == ERR_STEPS && on_fiber &&
	    pass_to_slow(call))
		return;
	if (call->streams)
		end_stream(call);
	else
		call_post(call);
}

/* ---- the beginning ------------------------------------------------------ */

/*
 * Prepares one, for what it is and for its values. False: call->error. What
 * needs a change of the schema that one before it makes cannot be prepared yet,
 * and is left to the committer.
 */
static bool
study_one(struct sql_call *call, struct sql_reader *reader, unsigned index)
{
	struct sql_stmt *stmt;
	bool done, reads_only;

	call->index = call->several ? (int)index : -1;
	if (sql_prepare(reader, &call->statements[index].text, &stmt,
			&call->error)) {
		if (!call->schema || call->error.err != ERR_SYNTAX)
			return false;
		call->error = (struct sql_error){ .err = ERR_OK };
		return call_set_values(call, index, NULL);
	}
	reads_only = sql_is_readonly(stmt) || sql_is_explain(stmt);
	call->writes |= !reads_only;
	call->schema |= sql_changes_schema(stmt);
	if (!reads_only && call->only_reads) {
		sql_error_set(&call->error, ERR_NOT_READONLY,
			      "the statement writes, and QUERY only reads: use "
			      "POST");
		done = false;
	} else {
		done = call_set_values(call, index, stmt);
	}
	sql_release(stmt);
	return done;
}

/* Goes on where it stopped: with one that takes too long on a worker. */
static bool
study(struct sql_call *call, struct sql_reader *reader, bool on_fiber)
{
	for (; call->studied < call->count; call->studied++) {
		if (!study_one(call, reader, call->studied))
			return false;
		if (on_fiber && fiber_slice_over())
			fiber_yield();
	}
	call->index = -1;
	return true;
}

static void
explain(struct sql_call *call, struct sql_reader *reader)
{
	struct buffer plan;
	struct json json;

	buffer_init(&plan, CALL_RESULT_MAX / 8);
	if (!sql_plan(reader, &call->statements[0].text, &plan, &call->error)) {
		json_begin(&json, &call->out);
		json_object_begin(&json);
		json_text_or_base64(&json, "plan",
				    (struct bytes){ plan.data, plan.len });
		json_object_end(&json);
		buffer_add(&call->out, "\n", 1);
	}
	if (plan.err || call->out.err)
		call_say_too_large(call, plan.err ? plan.err : call->out.err);
	buffer_fini(&plan);
}

/* True: the call is not ours any more. False: they write, or there is an
 * error. */
static bool
run_with_reader(struct sql_call *call, bool on_fiber)
{
	struct sql_reader *reader = take_reader(call);

	if (!reader)
		return false;
	sql_prepare_until(reader, call->deadline_ns);
	if (call->explain) {
		explain(call, reader);
	} else if (study(call, reader, on_fiber) && !call->writes) {
		run_reads(call, reader, on_fiber);
		return true;
	}
	sql_reader_give(reader);
	return call->error.err == ERR_STEPS && on_fiber && pass_to_slow(call);
}

static void
run(struct sql_call *call, bool on_fiber)
{
	if (run_with_reader(call, on_fiber))
		return;
	if (call->explain || call->error.err || !call_change(call))
		call_post(call);
}

static void
run_on_slow(struct request *request)
{
	run(call_of(request), false);
}

void
call_run(struct request *request)
{
	struct sql_call *call = call_of(request);

	if (call_read_body(call))
		run(call, true);
	else
		call_post(call);
}
