/* SPDX-License-Identifier: MIT */
/*
 * Running a statement: values in, rows out, bounds on the way, and what went
 * wrong in our words.
 */
#include <ck_pr.h>
#include <stdio.h>

#include "core/clock.h"
#include "core/fiber.h"
#include "core/json.h"
#include "storage/sql/sql_internal.h"

/* ---- errors -------------------------------------------------------------- */

enum err
err_from_sqlite(int rc)
{
	switch (rc) {
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
	case SQLITE_CONSTRAINT_FOREIGNKEY:
		return ERR_CONFLICT;
	case SQLITE_BUSY_RECOVERY:
		return ERR_OVERLOADED;
	}
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return ERR_OK;
	case SQLITE_NOMEM:
		return ERR_NOMEM;
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
		return ERR_CONSTRAINT;
	case SQLITE_READONLY:
		return ERR_NOT_READONLY;
	case SQLITE_FULL:
		return ERR_FULL;
	case SQLITE_TOOBIG:
		return ERR_TOO_LARGE;
	case SQLITE_AUTH:
	case SQLITE_PERM:
		return ERR_FORBIDDEN;
	case SQLITE_IOERR:
		return rc == SQLITE_IOERR_NOMEM ? ERR_NOMEM : ERR_FAULT;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_NOTFOUND:
		return ERR_FAULT;
	case SQLITE_CANTOPEN:
		return ERR_IO;
	/* One process has the file, one connection writes: nobody waits for a
	 * lock. These are what is left: a reader that met a checkpoint's end
	 * many times in a row. */
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:
		return ERR_OVERLOADED;
	case SQLITE_INTERRUPT:
		return ERR_CANCELLED;
	}
	return ERR_BAD;
}

/* SQLite's own sentences: they name what is in the schema and the text. The
 * others could name files, or say nothing. */
static bool
message_is_for_client(enum err err)
{
	switch (err) {
	case ERR_BAD:
	case ERR_SYNTAX:
	case ERR_CONFLICT:
	case ERR_CONSTRAINT:
	case ERR_FORBIDDEN:
		return true;
	default:
		return false;
	}
}

/* It goes into JSON: a sequence that was cut off at the end is taken away, and
 * what is no UTF-8 then becomes question marks. */
static void
make_utf8(char *message)
{
	size_t len = strlen(message), end = len;

	if (json_is_utf8((struct bytes){ message, len }))
		return;
	while (end > 0 && len - end < 3 && (message[end - 1] & 0xC0) == 0x80)
		end--;
	if (end > 0 && json_is_utf8((struct bytes){ message, end - 1 })) {
		message[end - 1] = '\0';
		return;
	}
	for (; *message; message++)
		if (*message & 0x80)
			*message = '?';
}

static enum err
fill(struct sql_error *error, enum err err, const char *message)
{
	error->err = err;
	snprintf(error->message, sizeof(error->message), "%s", message);
	make_utf8(error->message);
	return err;
}

static enum err
fill_lack(const struct sql_connection *connection, struct sql_error *error)
{
	switch (connection->lack) {
	case SQL_LACK_STACK:
		return fill(error, ERR_BAD,
			    "the statement, or the views and triggers that it "
			    "uses, are nested too deeply");
	case SQL_LACK_BUDGET:
		error->err = ERR_TOO_LARGE;
		snprintf(error->message, sizeof(error->message),
			 "the statement needs more than %d MiB of memory",
			 (int)(connection->lacked >> 20));
		return ERR_TOO_LARGE;
	case SQL_LACK_TIME:
		return fill(error, connection->prepare_late,
			    err_text(connection->prepare_late));
	case SQL_LACK_MEMORY:
		break;
	case SQL_LACK_NOTHING:
		/* So it was no allocation: the limit of operations. */
		return fill(error, ERR_TOO_LARGE,
			    "the statement is too long a program");
	}
	return fill(error, ERR_NOMEM, err_text(ERR_NOMEM));
}

static enum err
fill_refusal(const struct sql_connection *connection, struct sql_error *error)
{
	error->status = connection->chosen_status;
	return fill(error, connection->refused, connection->refusal);
}

enum err
sql_connection_error(struct sql_connection *connection, int rc,
		     struct sql_error *error)
{
	enum err err = err_from_sqlite(rc);

	sql_error_clear(error);
	if (connection->refused)
		return fill_refusal(connection, error);
	if (err == ERR_NOMEM)
		return fill_lack(connection, error);
	if (rc == SQLITE_TOOBIG) {
		error->err = err;
		snprintf(
			error->message, sizeof(error->message),
			"a value is longer than %d bytes",
			sqlite3_limit(connection->db, SQLITE_LIMIT_LENGTH, -1));
		return err;
	}
	return fill(error, err,
		    message_is_for_client(err) ? sqlite3_errmsg(connection->db)
					       : err_text(err));
}

enum err
sql_connection_prepare_error(struct sql_connection *connection, int rc,
			     struct sql_error *error)
{
	enum err err = sql_connection_error(connection, rc, error);
	const char *message = error->message;

	if (connection->refused || (rc & 0xff) != SQLITE_ERROR)
		return err;
	error->err = ERR_SYNTAX;
	error->offset = sqlite3_error_offset(connection->db);
	/* What SQLite says where no plan is possible. */
	if (connection->lacks_store && !strcmp(message, "no query solution"))
		return fill(error, ERR_SYNTAX,
			    "the table kv needs a store: kv('name'), or WHERE "
			    "store = 'name'");
	if (strstr(message, "may not be modified") ||
	    strstr(message, "may not be dropped") ||
	    strstr(message, "may not be altered") ||
	    strstr(message, "may not be indexed") ||
	    strstr(message, "reserved for internal use"))
		error->err = ERR_FORBIDDEN;
	return error->err;
}

void
sql_connection_enter(struct sql_connection *connection)
{
	connection->refused = ERR_OK;
	connection->chosen_status = 0;
	connection->lack = SQL_LACK_NOTHING;
	connection->lacks_store = false;
	sql_environ_enter(connection);
}

/* ---- bounds -------------------------------------------------------------- */

static void
note_piece(struct sql_stmt *stmt)
{
	uint64_t ns = clock_mono_ns() - stmt->slice_ns;

	if (ns > stmt->longest_ns)
		stmt->longest_ns = ns;
}

/* Where others wait and the slice is over, they come first. The connection is
 * in the middle of an operation: nobody may touch it until we go on. */
static void
share(struct sql_connection *connection, struct sql_stmt *stmt)
{
	if (!fiber_slice_over())
		return;
	note_piece(stmt);
	sql_environ_leave();
	fiber_yield();
	sql_environ_resume(connection);
	stmt->slice_ns = clock_mono_ns();
}

static enum err
check_bounds(const struct sql_stmt *stmt, const struct sql_limits *limits)
{
	if (limits->cancel && ck_pr_load_uint(limits->cancel))
		return ERR_CANCELLED;
	if (limits->deadline_ns && clock_mono_ns() >= limits->deadline_ns)
		return ERR_DEADLINE;
	if (limits->steps && stmt->steps > limits->steps)
		return ERR_STEPS;
	if (limits->sort_steps && stmt->sorts && !stmt->gave_row &&
	    stmt->steps > limits->sort_steps)
		return ERR_STEPS;
	return ERR_OK;
}

int
sql_progress(void *arg)
{
	struct sql_connection *connection = arg;
	struct sql_stmt *stmt = connection->running;
	enum err err;

	if (!stmt)
		return 0;
	/* It runs: what was prepared anew is done. */
	sql_prepare_time_end(connection);
	if (!stmt->limits)
		return 0;
	stmt->steps += SQL_OPS_PER_LOOK;
	err = check_bounds(stmt, stmt->limits);
	if (err) {
		sql_refuse(connection, err, "%s", err_text(err));
		return 1;
	}
	if (stmt->limits->slices)
		share(connection, stmt);
	return 0;
}

/* ---- values in ----------------------------------------------------------- */

static int
bind(sqlite3_stmt *handle, int index, const struct sql_value *value)
{
	/* Without an address it would be NULL. */
	const void *data = value->bytes.len ? value->bytes.data : "";

	switch (value->kind) {
	case SQL_NULL:
		return sqlite3_bind_null(handle, index);
	case SQL_INTEGER:
		return sqlite3_bind_int64(handle, index, value->integer);
	case SQL_REAL:
		return sqlite3_bind_double(handle, index, value->real);
	case SQL_TEXT:
		return sqlite3_bind_text64(handle, index, data,
					   value->bytes.len, SQLITE_STATIC,
					   SQLITE_UTF8);
	case SQL_BLOB:
		return sqlite3_bind_blob64(handle, index, data,
					   value->bytes.len, SQLITE_STATIC);
	}
	return SQLITE_MISUSE;
}

enum err
sql_bind(struct sql_stmt *stmt, unsigned index, const struct sql_value *value)
{
	int rc = bind(stmt->handle, (int)index + 1, value);

	stmt->bound = true;
	switch (rc) {
	case SQLITE_OK:
		return ERR_OK;
	case SQLITE_TOOBIG:
		return stmt->connection->is_short &&
				       value->bytes.len <= SQL_VALUE_MAX
			       ? ERR_STEPS
			       : ERR_TOO_LARGE;
	case SQLITE_RANGE:
		return ERR_BAD;
	}
	return err_from_sqlite(rc);
}

/* ---- running ------------------------------------------------------------- */

enum err
sql_begin(struct sql_reader *reader)
{
	struct sql_connection *connection = &reader->connection;
	int rc;

	assert(!connection->begun);
	rc = sql_exec_own(connection, SQL_OWN_BEGIN);
	connection->begun = rc == SQLITE_OK;
	return err_from_sqlite(rc);
}

void
sql_end(struct sql_reader *reader)
{
	struct sql_connection *connection = &reader->connection;

	assert(connection->begun && !connection->held);
	connection->begun = false;
	/* A lack of memory ends a transaction by itself. */
	if (!sqlite3_get_autocommit(connection->db))
		sql_exec_own(connection, SQL_OWN_ROLLBACK);
	assert(sqlite3_get_autocommit(connection->db));
	sql_connection_rest(connection);
}

void
sql_run(struct sql_stmt *stmt, const struct sql_limits *limits)
{
	stmt->limits = limits;
	stmt->steps = 0;
	stmt->longest_ns = 0;
	stmt->stepped = false;
	stmt->gave_row = false;
}

/* Once it is under way: with another schema than it was prepared for? Then it
 * may read what was not noted before. */
static void
check_anew(struct sql_stmt *stmt)
{
	stmt->stepped = true;
	if (sqlite3_stmt_status(stmt->handle, SQLITE_STMTSTATUS_REPREPARE, 0))
		sql_connection_lose(stmt->connection);
}

/* What is too much for a worker may be right for a slow thread. */
static bool
is_for_slow(const struct sql_stmt *stmt, const struct sql_error *error)
{
	const struct sql_limits *limits = stmt->limits;

	return error->err == ERR_TOO_LARGE && stmt->connection->is_short &&
	       limits && (limits->steps || limits->slices);
}

static enum sql_step
fail(struct sql_stmt *stmt, int rc, struct sql_error *error)
{
	sql_connection_error(stmt->connection, rc, error);
	if (rc == SQLITE_ERROR && !stmt->gave_row && !stmt->connection->refused)
		stmt->failed = true;
	if (is_for_slow(stmt, error))
		error->err = ERR_STEPS;
	return SQL_FAILED;
}

enum sql_step
sql_step(struct sql_stmt *stmt, struct sql_error *error)
{
	struct sql_connection *connection = stmt->connection;
	bool slices = stmt->limits && stmt->limits->slices;
	int rc;

	assert(stmt->held && !connection->running);
	if (slices)
		stmt->slice_ns = clock_mono_ns();
	if (!stmt->stepped)
		connection->memory = 0;
	sql_connection_enter(connection);
	connection->running = stmt;
	rc = sqlite3_step(stmt->handle);
	if (!stmt->stepped)
		check_anew(stmt);
	connection->running = NULL;
	sql_prepare_time_end(connection);
	sql_environ_leave();
	if (slices)
		note_piece(stmt);
	if (rc == SQLITE_ROW) {
		stmt->gave_row = true;
		return SQL_ROW;
	}
	return rc == SQLITE_DONE ? SQL_DONE : fail(stmt, rc, error);
}

uint64_t
sql_longest_ns(const struct sql_stmt *stmt)
{
	return stmt->longest_ns;
}

/* ---- values out ---------------------------------------------------------- */

void
sql_column(const struct sql_stmt *stmt, unsigned index, struct sql_value *value)
{
	sqlite3_stmt *handle = stmt->handle;
	int column = (int)index;

	switch (sqlite3_column_type(handle, column)) {
	case SQLITE_INTEGER:
		value->kind = SQL_INTEGER;
		value->integer = sqlite3_column_int64(handle, column);
		return;
	case SQLITE_FLOAT:
		value->kind = SQL_REAL;
		value->real = sqlite3_column_double(handle, column);
		return;
	case SQLITE_TEXT:
		value->kind = SQL_TEXT;
		value->bytes.data = sqlite3_column_text(handle, column);
		break;
	case SQLITE_BLOB:
		value->kind = SQL_BLOB;
		value->bytes.data = sqlite3_column_blob(handle, column);
		break;
	default:
		value->kind = SQL_NULL;
		return;
	}
	value->bytes.len = (size_t)sqlite3_column_bytes(handle, column);
}
