/* SPDX-License-Identifier: MIT */
/*
 * One write of a batch, on the committer: its statements in order, in a
 * savepoint of its own. What it does and does not do is nobody else's concern,
 * unless it ends the transaction.
 *
 * A savepoint costs 0.5 to 1 us of the 4 to 5 that an insert takes, so each
 * write has one, though a single statement could often do without: it also
 * undoes what ON CONFLICT FAIL leaves, and what a sink refuses.
 */
#include <errno.h>

#include "core/clock.h"
#include "storage/sql/sql_internal.h"

#define WRITE_TIMEOUT_NS (5 * NS_PER_S)

/* ---- its statements ----------------------------------------------------- */

/* What one statement did, besides what its sink is told. */
static void
note_changes(struct sql *sql, const struct sql_stmt *stmt, int64_t changes,
	     struct sql_word_set *written)
{
	struct sql_committer *committer = &sql->committer;

	if (stmt->readonly)
		return;
	committer->touched = true;
	if (stmt->schema)
		sql_word_set_fill(written);
	else if (changes > 0)
		sql_word_set_join(written, &stmt->writes);
}

/* Rows until the end. False: write->error says why not. */
static bool
step_to_end(struct sql_write *write, unsigned op, struct sql_stmt *stmt)
{
	const struct sql_sink *sink = write->sink;
	enum sql_step step;

	while ((step = sql_step(stmt, &write->error)) == SQL_ROW) {
		if (!sink || !sink->row || sink->row(write->arg, op, stmt))
			continue;
		sql_write_fail(write, op, ERR_TOO_LARGE,
			       "the result is too large");
		return false;
	}
	return step == SQL_DONE;
}

/* The connection's last rowid stays, for who asks it in SQL. So it may be from
 * a statement before: this one may have updated the row that was in its way, or
 * its table has no rowids. */
void
sql_note_insert(void *arg, int action, const char *database, const char *table,
		sqlite3_int64 rowid)
{
	struct sql_committer *committer = arg;
	const struct sql_stmt *stmt = committer->connection.running;

	if (action == SQLITE_INSERT && stmt && !committer->inserted)
		committer->inserted = stmt->inserts == sql_word_of_table(table);
}

/* SQLite tells nothing of what is inserted into a virtual table. */
static bool
has_inserted(const struct sql *sql, const struct sql_stmt *stmt,
	     int64_t changes)
{
	if (stmt->inserts == SQL_WORD_ANY)
		return changes > 0;
	return stmt->inserts && sql->committer.inserted;
}

static bool
tell_done(struct sql *sql, struct sql_write *write, unsigned op,
	  struct sql_stmt *stmt)
{
	const struct sql_sink *sink = write->sink;
	bool counts = !stmt->readonly && !stmt->schema && !stmt->vacuum;
	sqlite3 *db = sql_committer_db(sql);
	int64_t changes = counts ? sqlite3_changes64(db) : 0;
	int64_t rowid = counts && has_inserted(sql, stmt, changes)
				? sqlite3_last_insert_rowid(db)
				: 0;

	if (!sink || !sink->done ||
	    sink->done(write->arg, op, stmt, changes, rowid))
		return true;
	sql_write_fail(write, op, ERR_TOO_LARGE, "the result is too large");
	return false;
}

static bool
bind_all(struct sql_write *write, unsigned op, struct sql_stmt *stmt)
{
	const struct sql_op *it = &write->ops[op];
	unsigned count = sql_parameter_count(stmt);

	for (unsigned i = 0; i < it->value_count && i < count; i++) {
		enum err err = sql_bind(stmt, i, &it->values[i]);

		if (err == ERR_OK)
			continue;
		sql_write_fail(write, op, err,
			       err == ERR_TOO_LARGE ? "a parameter is too large"
						    : err_text(err));
		return false;
	}
	return true;
}

static bool
keeps_names(struct sql_write *write, unsigned op, const struct sql_stmt *stmt,
	    int ours)
{
	if (sql_names_of_ours(stmt) == ours)
		return true;
	sql_write_fail(write, op, ERR_FORBIDDEN, sql_name_is_ours);
	return false;
}

/* A prepared one. *rc is SQLite's code, where that is what failed. */
static bool
run_op(struct sql *sql, struct sql_write *write, unsigned op,
       struct sql_stmt *stmt, const struct sql_limits *limits,
       struct sql_word_set *written, int *rc)
{
	sqlite3 *db = sql_committer_db(sql);
	int64_t before = sqlite3_total_changes64(db), changes;
	int ours = sql_names_of_ours(stmt);
	bool good;

	if (!bind_all(write, op, stmt))
		return false;
	sql_run(stmt, limits);
	sql->committer.inserted = false;
	errno = 0;
	good = step_to_end(write, op, stmt);
	sql->committer.number = errno;
	if (!good && write->error.err != ERR_TOO_LARGE)
		*rc = sqlite3_extended_errcode(db);
	/* Triggers and cascades count, and a statement that failed may have
	 * left something, which the savepoint undoes. */
	changes = sqlite3_total_changes64(db) - before;
	note_changes(sql, stmt, changes, written);
	sql->committer.batch_changes += (uint64_t)changes;
	return good && keeps_names(write, op, stmt, ours) &&
	       tell_done(sql, write, op, stmt);
}

/* Deferred foreign keys would fail the COMMIT, and so everybody. */
static bool
keeps_foreign_keys(struct sql *sql, struct sql_write *write)
{
	int broken = 0, highest;

	sqlite3_db_status(sql_committer_db(sql), SQLITE_DBSTATUS_DEFERRED_FKS,
			  &broken, &highest, 0);
	if (!broken)
		return true;
	sql_write_fail(write, write->count - 1, ERR_CONFLICT,
		       "FOREIGN KEY constraint failed");
	return false;
}

static uint64_t
deadline_of(const struct sql_write *write)
{
	return clock_mono_ns() +
	       (write->timeout_ns ? write->timeout_ns : WRITE_TIMEOUT_NS);
}

static enum applied
run_ops(struct sql *sql, struct sql_write *write, struct sql_word_set *written,
	int *rc)
{
	struct sql_limits limits = { .deadline_ns = deadline_of(write) };

	sql->committer.connection.deadline_ns = limits.deadline_ns;
	for (unsigned i = 0; i < write->count; i++) {
		struct sql_stmt *stmt;
		bool good;

		write->failed = i;
		errno = 0;
		if (sql_connection_prepare(&sql->committer.connection,
					   write->ops[i].text, &stmt,
					   &write->error) != ERR_OK) {
			sql->committer.number = errno;
			*rc = sqlite3_extended_errcode(sql_committer_db(sql));
			return APPLY_FAILED;
		}
		if (stmt->vacuum && write->count == 1) {
			sql_release(stmt);
			return APPLY_VACUUM;
		}
		if (stmt->vacuum) {
			sql_write_fail(write, i, ERR_BAD,
				       "VACUUM must be the only statement");
			good = false;
		} else {
			good = run_op(sql, write, i, stmt, &limits, written,
				      rc);
		}
		sql_release(stmt);
		if (!good)
			return APPLY_FAILED;
	}
	return keeps_foreign_keys(sql, write) ? APPLIED : APPLY_FAILED;
}

static void
begin_write(struct sql *sql, struct sql_write *write)
{
	write->item.err = ERR_OK;
	sql_error_clear(&write->error);
	write->failed = 0;
	write->seq = 0;
	/* What another client's write has inserted is none of this one's
	 * business. */
	sqlite3_set_last_insert_rowid(sql_committer_db(sql), 0);
	if (write->sink && write->sink->begin)
		write->sink->begin(write->arg);
}

static enum applied
undo_write(struct sql *sql, struct sql_write *write, int rc)
{
	sql_note_no_room(sql, rc, &write->error);
	write->item.err = write->error.err;
	if (rc != SQLITE_OK && sql_is_fault(sql, rc, "a write"))
		return APPLY_FAULT;
	if (!sql_in_transaction(sql))
		return APPLY_ENDED;
	rc = sql_fixed_run(sql, SQL_FIXED_ROLLBACK_TO);
	if (rc == SQLITE_OK)
		rc = sql_fixed_run(sql, SQL_FIXED_RELEASE);
	if (rc == SQLITE_OK)
		return APPLY_FAILED;
	if (sql_is_fault(sql, rc, "undoing a write") || !sql_roll_back(sql))
		return APPLY_FAULT;
	return APPLY_ENDED;
}

enum applied
sql_apply(struct sql *sql, struct sql_write *write)
{
	struct sql_word_set written = { 0 };
	struct sql_committer *committer = &sql->committer;
	uint64_t start_ns = clock_mono_ns(), before = committer->batch_changes;
	enum applied applied;
	int rc;

	begin_write(sql, write);
	rc = sql_fixed_run(sql, SQL_FIXED_SAVEPOINT);
	if (rc != SQLITE_OK) {
		sql_write_fail(write, 0, err_from_sqlite(rc),
			       sqlite3_errstr(rc));
		return undo_write(sql, write, rc);
	}
	applied = run_ops(sql, write, &written, &rc);
	committer->connection.deadline_ns = 0;
	sql_connection_rest(&committer->connection);
	if (applied == APPLIED) {
		rc = sql_fixed_run(sql, SQL_FIXED_RELEASE);
		if (rc != SQLITE_OK) {
			sql_write_fail(write, 0, err_from_sqlite(rc),
				       sqlite3_errstr(rc));
			applied = APPLY_FAILED;
		}
	}
	if (applied == APPLY_FAILED)
		applied = undo_write(sql, write, rc);
	write->run_ns = clock_mono_ns() - start_ns;
	if (applied != APPLIED) {
		committer->batch_changes = before;
	} else if (!sql_word_set_is_empty(&written)) {
		sql_word_set_join(&committer->written, &written);
		write->seq = ++committer->numbered;
	}
	return applied;
}

/* ---- a write that cannot be part of a batch ----------------------------- */

static int
step_vacuum(struct sql *sql)
{
	struct sql_error error;

	/* It gives no row. */
	errno = 0;
	if (sql_step(sql->committer.vacuum, &error) == SQL_DONE)
		return SQLITE_OK;
	sql->committer.number = errno;
	return sqlite3_extended_errcode(sql_committer_db(sql));
}

/* Rowids of tables without an INTEGER PRIMARY KEY may change, so all words
 * do. False: a fault. */
static bool
run_vacuum(struct sql *sql, struct sql_write *write, struct sql_stmt *stmt)
{
	struct sql_limits limits = { .deadline_ns = deadline_of(write) };
	struct sql_word_set all;
	enum err err = sql_take_numbers(sql, 1, &write->seq);
	int rc;

	if (err != ERR_OK) {
		sql_write_fail(write, 0, err, err_text(err));
		return err != ERR_FAULT;
	}
	sql_word_set_fill(&all);
	sql_run(stmt, &limits);
	sql->committer.vacuum = stmt;
	rc = sql_publish(sql, &all, write->seq, step_vacuum);
	if (rc == SQLITE_OK) {
		(void)!tell_done(sql, write, 0, stmt);
		return true;
	}
	sql_connection_error(&sql->committer.connection, rc, &write->error);
	sql_note_no_room(sql, rc, &write->error);
	write->item.err = write->error.err;
	write->seq = 0;
	return !sql_is_fault(sql, rc, "VACUUM");
}

bool
sql_vacuum(struct sql *sql, struct sql_write *write)
{
	uint64_t start_ns = clock_mono_ns();
	struct sql_stmt *stmt;
	bool good = true;

	begin_write(sql, write);
	write->item.err = sql_connection_prepare(&sql->committer.connection,
						 write->ops[0].text, &stmt,
						 &write->error);
	if (write->item.err == ERR_OK) {
		good = run_vacuum(sql, write, stmt);
		sql_release(stmt);
	}
	write->run_ns = clock_mono_ns() - start_ns;
	return good;
}
