/* SPDX-License-Identifier: MIT */
/*
 * Statements of which one writes: all of them are one item in the database's
 * lane, and what they give is made on the committer, in the form of the reply.
 * It is bounded like any, but cannot be streamed: the committer waits for no
 * client.
 */
#include "http/sql/sql_call.h"
#include "http/sql/sql_reply.h"

/* What was made by a batch that is run again goes away. */
static void
begin(void *arg)
{
	struct sql_call *call = arg;

	buffer_clear(&call->out);
	rows_restart(&call->rows);
	call->open = call->mismatch = false;
	if (call->several)
		buffer_add_str(&call->out, "{\"results\":[");
}

static void
open_result(struct sql_call *call, unsigned op, const struct sql_stmt *stmt)
{
	if (call->open)
		return;
	call->open = true;
	call->truncated = false;
	rows_restart(&call->rows);
	if (op)
		buffer_add(&call->out, ",", 1);
	if (call->form != ACCEPT_JSON)
		rows_header(&call->rows, stmt);
	else if (sql_column_count(stmt))
		call_open_result(call, stmt);
	else
		buffer_add(&call->out, "{", 1);
}

static bool
add_row(void *arg, unsigned op, const struct sql_stmt *stmt)
{
	struct sql_call *call = arg;

	open_result(call, op, stmt);
	if (call->rows.count == call->limit)
		call->truncated = true;
	else
		rows_add(&call->rows, stmt);
	return !call->out.err;
}

static void
put_counts(struct sql_call *call, int64_t changes, int64_t rowid)
{
	buffer_add_str(&call->out, "\"changes\":");
	buffer_add_i64(&call->out, changes);
	buffer_add_str(&call->out, ",\"last_insert_rowid\":");
	buffer_add_i64(&call->out, rowid);
}

/* A result without columns has what it changed as its only row. */
static void
end_csv(struct sql_call *call, const struct sql_stmt *stmt, int64_t changes,
	int64_t rowid)
{
	if (!sql_column_count(stmt))
		buffer_addf(&call->out,
			    "changes,last_insert_rowid\r\n%lld,%lld\r\n",
			    (long long)changes, (long long)rowid);
}

static void
end_ndjson(struct sql_call *call, bool wrote, int64_t changes, int64_t rowid)
{
	call_put_end(call, &call->out);
	if (!wrote || call->out.err)
		return;
	call->out.len -= 2; /* the brace and the line's end */
	buffer_add(&call->out, ",", 1);
	put_counts(call, changes, rowid);
	buffer_add(&call->out, "}\n", 2);
}

static void
end_json(struct sql_call *call, const struct sql_stmt *stmt, bool wrote,
	 int64_t changes, int64_t rowid)
{
	bool rows = sql_column_count(stmt);

	if (rows)
		call_close_result(call);
	if (rows && wrote && !call->out.err) {
		call->out.len--; /* the brace */
		buffer_add(&call->out, ",", 1);
	}
	if (wrote)
		put_counts(call, changes, rowid);
	if (wrote || !rows)
		buffer_add(&call->out, "}", 1);
}

static bool
end_result(void *arg, unsigned op, const struct sql_stmt *stmt, int64_t changes,
	   int64_t rowid)
{
	struct sql_call *call = arg;
	bool wrote = !sql_is_readonly(stmt) && !sql_is_explain(stmt);

	/* Can be when it could not be prepared before. */
	call->mismatch = sql_parameter_count(stmt) != call->ops[op].value_count;
	if (call->mismatch)
		return false;
	open_result(call, op, stmt);
	call->open = false;
	call->statements[op].rows = call->rows.count;
	if (call->out.err)
		return false;
	switch (call->form) {
	case ACCEPT_CSV:
		end_csv(call, stmt, changes, rowid);
		break;
	case ACCEPT_NDJSON:
		end_ndjson(call, wrote, changes, rowid);
		break;
	case ACCEPT_JSON:
	case ACCEPT_COUNT:
		end_json(call, stmt, wrote, changes, rowid);
		break;
	}
	return !call->out.err;
}

static const struct sql_sink sink = { begin, add_row, end_result };

static void
take_outcome(struct sql_call *call)
{
	const struct sql_write *write = &call->write;
	enum err err = write->item.err;

	if (err && err == write->error.err)
		call->error = write->error;
	else if (err)
		sql_error_set(&call->error, err, NULL);
	if (err) {
		call->index = call->several ? (int)write->failed : -1;
		if (call->mismatch)
			sql_error_set(&call->error, ERR_BAD,
				      "params has another number of values "
				      "than the statement has parameters");
		else if (call->out.err)
			call_say_too_large(call, call->out.err);
		return;
	}
	if (call->several)
		buffer_add(&call->out, "]}", 2);
	if (call->form == ACCEPT_JSON)
		buffer_add(&call->out, "\n", 1);
	/* The time of each is not known: the whole is the last one's. */
	call->statements[call->count - 1].ns = write->run_ns;
}

static void
finish(struct request *request) ON_WORKER
{
	struct sql_call *call = call_of(request);

	take_outcome(call);
	call_answer(call);
}

bool
call_change(struct sql_call *call)
{
	struct sql_write *write = &call->write;
	enum err err;

	if (ck_pr_load_uint(&call->request->cancelled)) {
		sql_error_set(&call->error, ERR_CANCELLED, NULL);
		return false;
	}
	write->ops = call->ops;
	write->count = call->count;
	write->sink = &sink;
	write->arg = call;
	write->timeout_ns = call->timeout_ns;
	err = request_pass_sql(call->request, call->sql, write, finish);
	if (err)
		sql_error_set(&call->error, err, NULL);
	return !err;
}
