/* SPDX-License-Identifier: MIT */
/*
 * What SQLite is going to do with a statement: for people, and which tables it
 * reads from end to end.
 */
#include <stdio.h>
#include <stdlib.h>

#include "storage/sql/sql_internal.h"

/* ---- EXPLAIN ------------------------------------------------------------- */

int
sql_explain_each(struct sql_connection *connection, const char *command,
		 struct bytes text, void (*each)(void *arg, sqlite3_stmt *row),
		 void *arg)
{
	const char *end = (const char *)text.data + text.len;
	const char *begin = sql_skip_empty(text.data, end);
	size_t prefix = strlen(command), len = (size_t)(end - begin);
	char *whole = malloc(prefix + len + 1);
	sqlite3_stmt *handle = NULL;
	int rc;

	if (!whole)
		return SQLITE_NOMEM;
	memcpy(whole, command, prefix);
	memcpy(whole + prefix, begin, len);
	whole[prefix + len] = '\0';
	rc = sqlite3_prepare_v3(connection->db, whole, (int)(prefix + len + 1),
				0, &handle, NULL);
	while (rc == SQLITE_OK && sqlite3_step(handle) == SQLITE_ROW)
		each(arg, handle);
	if (rc == SQLITE_OK)
		rc = sqlite3_finalize(handle);
	free(whole);
	return rc;
}

/* ---- plans --------------------------------------------------------------- */

/* Prepares text for its checks alone, then explains it. */
static enum err
explain_checked(struct sql_connection *connection, const struct sql_text *text,
		const char *command, void (*each)(void *arg, sqlite3_stmt *row),
		void *arg, struct sql_error *error)
{
	struct sql_stmt *stmt;
	enum err err = sql_connection_prepare(connection, text, &stmt, error);
	bool explained;
	int rc;

	if (err)
		return err;
	explained = stmt->explain;
	sql_release(stmt);
	if (explained)
		return sql_complain(error, ERR_BAD, "it is an EXPLAIN already");
	sql_connection_enter(connection);
	sql_prepare_time_begin(connection, connection->deadline_ns);
	rc = sql_explain_each(connection, command, text->text, each, arg);
	if (rc)
		err = sql_connection_prepare_error(connection, rc, error);
	sql_prepare_time_end(connection);
	sql_environ_leave();
	return err;
}

enum { PLAN_LINES_MAX = 1000 };

struct plan {
	struct buffer *out;
	unsigned count;
	struct {
		int id;
		unsigned depth;
	} lines[PLAN_LINES_MAX];
};

static unsigned
depth_below(const struct plan *plan, int parent)
{
	for (unsigned i = plan->count; i-- > 0;)
		if (plan->lines[i].id == parent)
			return plan->lines[i].depth + 1;
	return 0;
}

static void
add_plan_line(void *arg, sqlite3_stmt *row)
{
	struct plan *plan = arg;
	unsigned depth = depth_below(plan, sqlite3_column_int(row, 1));
	const char *detail = (const char *)sqlite3_column_text(row, 3);

	if (plan->count < PLAN_LINES_MAX) {
		plan->lines[plan->count].id = sqlite3_column_int(row, 0);
		plan->lines[plan->count++].depth = depth;
	}
	for (unsigned i = 0; i < depth; i++)
		buffer_add_str(plan->out, "  ");
	buffer_add_str(plan->out, detail ? detail : "?");
	buffer_add_str(plan->out, "\n");
}

enum err
sql_plan(struct sql_reader *reader, const struct sql_text *text,
	 struct buffer *out, struct sql_error *error)
{
	struct plan *plan = calloc(1, sizeof(*plan));
	enum err err;

	if (!plan)
		return sql_complain(error, ERR_NOMEM, err_text(ERR_NOMEM));
	plan->out = out;
	err = explain_checked(&reader->connection, text, "EXPLAIN QUERY PLAN ",
			      add_plan_line, plan, error);
	free(plan);
	if (!err && out->err)
		return sql_complain(error, out->err, err_text(out->err));
	return err;
}

/* ---- full scans ---------------------------------------------------------- */

enum { CURSORS_MAX = 256 };

/* Of the program, by cursor. A plan in words would name aliases. */
struct scans {
	struct {
		int root; /* page of a table or index; 0: neither */
		bool begun, loops;
	} cursors[CURSORS_MAX];
	int behind_goto; /* where the last opcode jumps, if it does */
	bool started, in_trigger;
};

/* From end to end is what begins at an end and goes on. For the least and the
 * greatest there is a loop, too, with a jump out of it before it goes on. */
static void
note_cursor(struct scans *scans, const char *opcode, sqlite3_stmt *row)
{
	int cursor = sqlite3_column_int(row, 2);
	bool jumped_over = scans->behind_goto == sqlite3_column_int(row, 0) + 1;

	if (cursor < 0 || cursor >= CURSORS_MAX)
		return;
	if (!strcmp(opcode, "OpenRead") || !strcmp(opcode, "OpenWrite")) {
		scans->cursors[cursor].root = sqlite3_column_int(row, 3);
	} else if (!strcmp(opcode, "Rewind") || !strcmp(opcode, "Last")) {
		scans->cursors[cursor].begun = true;
	} else if (!strcmp(opcode, "Next") || !strcmp(opcode, "Prev")) {
		scans->cursors[cursor].loops |= !jumped_over;
	} else if (!strcmp(opcode, "Count")) {
		scans->cursors[cursor].begun = true;
		scans->cursors[cursor].loops = true;
	}
}

/* Programs of triggers follow, each from address 0 and with cursors of its
 * own. */
static void
note_opcode(void *arg, sqlite3_stmt *row)
{
	const char *opcode = (const char *)sqlite3_column_text(row, 1);
	struct scans *scans = arg;

	if (scans->started && sqlite3_column_int(row, 0) == 0)
		scans->in_trigger = true;
	scans->started = true;
	if (!opcode || scans->in_trigger)
		return;
	note_cursor(scans, opcode, row);
	scans->behind_goto =
		!strcmp(opcode, "Goto") ? sqlite3_column_int(row, 3) : -1;
}

/* One number of a query of ours; -1: there is none. */
static int64_t
ask_number(sqlite3 *db, char *query, const char *name)
{
	sqlite3_stmt *handle = NULL;
	int64_t number = -1;

	if (query &&
	    sqlite3_prepare_v2(db, query, -1, &handle, NULL) == SQLITE_OK) {
		if (name)
			sqlite3_bind_text(handle, 1, name, -1, SQLITE_STATIC);
		if (sqlite3_step(handle) == SQLITE_ROW)
			number = sqlite3_column_int64(handle, 0);
	}
	sqlite3_finalize(handle);
	return number;
}

/* As ANALYZE has counted, or the greatest rowid: what grew from 1 has about
 * as many. */
static int64_t
count_rows(sqlite3 *db, const char *table)
{
	char query[] = "SELECT CAST(stat AS INTEGER) FROM main.sqlite_stat1"
		       " WHERE tbl = ?1";
	int64_t rows = ask_number(db, query, table);
	char *greatest;

	if (rows >= 0)
		return rows;
	greatest = sqlite3_mprintf("SELECT max(rowid) FROM main.\"%w\"", table);
	rows = ask_number(db, greatest, NULL);
	sqlite3_free(greatest);
	return rows;
}

static int
report(sqlite3 *db, const struct scans *scans,
       void (*found)(void *arg, const char *table, int64_t rows), void *arg)
{
	static const char query[] = "SELECT tbl_name FROM main.sqlite_schema"
				    " WHERE rootpage = ?1";
	sqlite3_stmt *handle;
	int rc = sqlite3_prepare_v2(db, query, -1, &handle, NULL);

	if (rc)
		return rc;
	for (unsigned i = 0; i < CURSORS_MAX; i++) {
		const char *table = NULL;

		if (!scans->cursors[i].root || !scans->cursors[i].begun ||
		    !scans->cursors[i].loops)
			continue;
		sqlite3_bind_int(handle, 1, scans->cursors[i].root);
		if (sqlite3_step(handle) == SQLITE_ROW)
			table = (const char *)sqlite3_column_text(handle, 0);
		if (table)
			found(arg, table, count_rows(db, table));
		sqlite3_reset(handle);
	}
	sqlite3_finalize(handle);
	return SQLITE_OK;
}

enum err
sql_full_scans(struct sql_reader *reader, const struct sql_text *text,
	       void (*found)(void *arg, const char *table, int64_t rows),
	       void *arg)
{
	struct scans *scans = calloc(1, sizeof(*scans));
	struct sql_connection *connection = &reader->connection;
	struct sql_error error;
	enum err err;
	int rc;

	if (!scans)
		return ERR_NOMEM;
	err = explain_checked(connection, text, "EXPLAIN ", note_opcode, scans,
			      &error);
	if (!err) {
		sql_connection_enter(connection);
		rc = report(connection->db, scans, found, arg);
		sql_environ_leave();
		err = err_from_sqlite(rc);
	}
	free(scans);
	return err;
}
