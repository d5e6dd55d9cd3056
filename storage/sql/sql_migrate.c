/* SPDX-License-Identifier: MIT */
/*
 * Migrations: scripts that change the schema, each applied once.
 *
 * A list of them goes through the lane as one write, so that no other one is
 * between looking at the table of what was applied and applying the rest. The
 * committer runs each in a transaction of its own, together with its record.
 *
 * While a migration runs, foreign keys are not enforced: to rebuild a table,
 * as ALTER TABLE often needs it, it must be dropped while others refer to it,
 * and with enforcement that would delete, by cascade, or fail. All foreign
 * keys are checked at its end instead.
 */
#include <ck_pr.h>
#include <errno.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "core/clock.h"
#include "core/log.h"
#include "storage/sql/sql_internal.h"

enum {
	CHECKSUM_SIZE = 17, /* hexadecimal, with the NUL */
	/* A migration that fills tables may be longer than what a client
	 * sends. */
	STATEMENT_MAX = 1 << 20,
};

struct sql_script {
	struct sql_write write; /* without statements; error, item.err */
	const struct sql_migration *list;
	unsigned count;
	bool only_look;
	bool *known;   /* of each in the list: it was applied */
	unsigned done; /* applied, or those that are not */
	sem_t ended;
};

/* ---- saying what is wrong ----------------------------------------------- */

PRINTF(3, 4)
static enum err
say(struct sql_error *error, enum err err, const char *format, ...)
{
	va_list args;

	*error = (struct sql_error){ .err = err, .offset = -1 };
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
	return err;
}

/* name is the migration's, or that of the table of those that were applied. */
static enum err
say_code(struct sql *sql, struct sql_error *error, const char *name, int rc)
{
	return say(error, sql_commit_err(sql, rc), "%s: %s", name,
		   sql_is_no_room(sql, rc)
			   ? err_text(ERR_FULL)
			   : sqlite3_errmsg(sql_committer_db(sql)));
}

static unsigned
line_at(const char *text, const char *place)
{
	unsigned line = 1;

	for (; text < place; text++)
		line += *text == '\n';
	return line;
}

/* Puts the name of the migration and the line before what error says. from is
 * where the statement's text begins. */
static enum err
say_where(struct sql_error *error, const struct sql_migration *migration,
	  const char *text, const char *from)
{
	const char *end = text + migration->text.len;
	const char *place = error->offset >= 0 ? from + error->offset
					       : sql_skip_empty(from, end);
	char what[sizeof(error->message)];

	memcpy(what, error->message, sizeof(what));
	return say(error, error->err, "%s: line %u: %.*s", migration->name,
		   line_at(text, place), 320, what);
}

/* ---- what was applied --------------------------------------------------- */

static void
checksum_of(const struct sql_migration *migration, char sum[CHECKSUM_SIZE])
{
	snprintf(sum, CHECKSUM_SIZE, "%016" PRIx64,
		 (uint64_t)XXH3_64bits(migration->text.data,
				       migration->text.len));
}

/* One that was applied, against the list. */
static enum err
check_record(struct sql_script *script, const char *name, const char *sum)
{
	for (unsigned i = 0; i < script->count; i++) {
		char now[CHECKSUM_SIZE];

		if (strcmp(script->list[i].name, name) != 0)
			continue;
		script->known[i] = true;
		checksum_of(&script->list[i], now);
		if (!strcmp(sum, now))
			return ERR_OK;
		return say(&script->write.error, ERR_CONDITION,
			   "%.200s: was changed after it had been applied "
			   "(its checksum was %.20s and is %s)",
			   name, sum, now);
	}
	return say(&script->write.error, ERR_CONDITION,
		   "%.200s: was applied, and is missing now", name);
}

static int
prepare(struct sql *sql, const char *text, sqlite3_stmt **stmt)
{
	return sqlite3_prepare_v2(sql_committer_db(sql), text, -1, stmt, NULL);
}

static bool
has_records(struct sql *sql)
{
	return sqlite3_table_column_metadata(
		       sql_committer_db(sql), "main", "_jackdaw_migrations",
		       "name", NULL, NULL, NULL, NULL, NULL) == SQLITE_OK;
}

static const char *
text_of(sqlite3_stmt *stmt, int column)
{
	const unsigned char *text = sqlite3_column_text(stmt, column);

	return text ? (const char *)text : "";
}

static enum err
look(struct sql *sql, struct sql_script *script)
{
	enum err err = ERR_OK;
	sqlite3_stmt *stmt;
	int rc;

	if (!has_records(sql))
		return ERR_OK;
	rc = prepare(sql,
		     "SELECT name, checksum FROM main._jackdaw_migrations"
		     " ORDER BY name",
		     &stmt);
	while (rc == SQLITE_OK && err == ERR_OK &&
	       (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		err = check_record(script, text_of(stmt, 0), text_of(stmt, 1));
		rc = SQLITE_OK;
	}
	if (err == ERR_OK && rc != SQLITE_DONE)
		err = say_code(sql, &script->write.error, "_jackdaw_migrations",
			       rc);
	sqlite3_finalize(stmt);
	return err;
}

static int
add_record(struct sql *sql, const struct sql_migration *migration)
{
	char sum[CHECKSUM_SIZE];
	sqlite3_stmt *stmt;
	int rc = sql_exec(&sql->committer.connection,
			  "CREATE TABLE IF NOT EXISTS main._jackdaw_migrations("
			  "name TEXT PRIMARY KEY NOT NULL,"
			  " checksum TEXT NOT NULL,"
			  " applied_ms INTEGER NOT NULL) WITHOUT ROWID");

	if (rc == SQLITE_OK)
		rc = prepare(sql,
			     "INSERT INTO main._jackdaw_migrations"
			     " VALUES(?, ?, ?)",
			     &stmt);
	if (rc != SQLITE_OK)
		return rc;
	checksum_of(migration, sum);
	sqlite3_bind_text(stmt, 1, migration->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 2, sum, -1, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 3, (int64_t)clock_wall_ms());
	sqlite3_step(stmt);
	return sqlite3_finalize(stmt);
}

/* ---- one migration ------------------------------------------------------ */

/* A statement's rows go nowhere. */
static enum err
run_statement(struct sql *sql, struct sql_stmt *stmt, struct sql_error *error)
{
	struct sql_limits limits = { .cancel = &sql->closing };
	int ours = sql_names_of_ours(stmt);
	enum sql_step step;

	sql_run(stmt, &limits);
	while ((step = sql_step(stmt, error)) == SQL_ROW)
		;
	if (step != SQL_DONE)
		return error->err;
	if (sql_names_of_ours(stmt) != ours)
		return say(error, ERR_FORBIDDEN, "%s", sql_name_is_ours);
	return ERR_OK;
}

/* The first one of text, which has its NUL, and what is behind it. */
static enum err
run_next(struct sql *sql, struct bytes text, const char **next,
	 struct sql_error *error)
{
	struct sql_connection *connection = &sql->committer.connection;
	struct sql_stmt *stmt = NULL;
	enum err err;

	errno = 0;
	err = sql_connection_prepare_next(connection, text, SQL_MIGRATION,
					  &stmt, next, error);
	if (err == ERR_OK && stmt)
		err = run_statement(sql, stmt, error);
	sql->committer.number = errno;
	if (stmt) {
		sql_release(stmt);
		sql_connection_rest(connection);
	}
	if (err == ERR_OK)
		return ERR_OK;
	sql_note_no_room(sql, sqlite3_extended_errcode(sql_committer_db(sql)),
			 error);
	return error->err;
}

/* Where each statement ends only the parser knows: a trigger's has several
 * semicolons. */
static enum err
run_text(struct sql *sql, const struct sql_migration *migration,
	 const char *text, struct sql_error *error)
{
	const char *from = text, *next, *end = text + migration->text.len;

	for (; sql_skip_empty(from, end) < end; from = next) {
		struct bytes rest = { from, (size_t)(end + 1 - from) };

		if (run_next(sql, rest, &next, error) != ERR_OK)
			return say_where(error, migration, text, from);
	}
	return ERR_OK;
}

/* With the end that SQLite's parser wants. */
static enum err
run_migration(struct sql *sql, const struct sql_migration *migration,
	      struct sql_error *error)
{
	struct bytes bytes = migration->text;
	char *text = malloc(bytes.len + 1);
	enum err err;

	if (!text)
		return say(error, ERR_NOMEM, "%s: %s", migration->name,
			   err_text(ERR_NOMEM));
	memcpy(text, bytes.data, bytes.len);
	text[bytes.len] = '\0';
	if (strlen(text) < bytes.len) {
		say(error, ERR_SYNTAX, "a NUL byte");
		error->offset = (int)strlen(text);
		err = say_where(error, migration, text, text);
	} else if (sql_has_many_collations(text, bytes.len)) {
		err = say(error, ERR_BAD, "%s: %s", migration->name,
			  sql_many_collations);
	} else {
		err = run_text(sql, migration, text, error);
	}
	free(text);
	return err;
}

static enum err
check_foreign_keys(struct sql *sql, const struct sql_migration *migration,
		   struct sql_error *error)
{
	enum err err = ERR_OK;
	sqlite3_stmt *stmt;
	int rc;

	errno = 0;
	rc = prepare(sql, "PRAGMA main.foreign_key_check", &stmt);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	sql->committer.number = errno;
	if (rc == SQLITE_ROW)
		err = say(error, ERR_CONFLICT,
			  "%s: at its end, row %s of table %.60s refers to a "
			  "row of %.60s that is not there",
			  migration->name,
			  sqlite3_column_type(stmt, 1) == SQLITE_NULL
				  ? "?"
				  : text_of(stmt, 1),
			  text_of(stmt, 0), text_of(stmt, 2));
	else if (rc != SQLITE_DONE)
		err = say_code(sql, error, migration->name, rc);
	sqlite3_finalize(stmt);
	return err;
}

static enum err
commit(struct sql *sql, const struct sql_migration *migration,
       struct sql_script *script, bool *fault)
{
	struct sql_error *error = &script->write.error;
	struct sql_word_set all;
	enum err err = sql_take_numbers(sql, 1, &script->write.seq);
	int rc;

	if (err != ERR_OK) {
		*fault = err == ERR_FAULT;
		return say(error, err, "%s: %s", migration->name,
			   err_text(err));
	}
	sql_word_set_fill(&all);
	rc = sql_publish(sql, &all, script->write.seq, sql_run_commit);
	if (rc == SQLITE_OK)
		return ERR_OK;
	*fault = sql_is_fault(sql, rc, "the commit of a migration");
	return say_code(sql, error, migration->name, rc);
}

/* In an open transaction, all but its commit. */
static enum err
apply_in(struct sql *sql, const struct sql_migration *migration,
	 struct sql_error *error)
{
	enum err err = run_migration(sql, migration, error);
	int rc;

	if (err == ERR_OK)
		err = check_foreign_keys(sql, migration, error);
	if (err != ERR_OK)
		return err;
	errno = 0;
	rc = add_record(sql, migration);
	sql->committer.number = errno;
	return rc == SQLITE_OK ? ERR_OK
			       : say_code(sql, error, migration->name, rc);
}

static enum err
apply(struct sql *sql, struct sql_script *script, unsigned i, bool *fault)
{
	const struct sql_migration *migration = &script->list[i];
	struct sql_error *error = &script->write.error;
	int rc = sql_fixed_run(sql, SQL_FIXED_BEGIN);
	enum err err;

	if (rc != SQLITE_OK)
		return say_code(sql, error, migration->name, rc);
	err = apply_in(sql, migration, error);
	if (err != ERR_OK)
		*fault = sql_is_fault(
			sql, sqlite3_extended_errcode(sql_committer_db(sql)),
			"a migration");
	else
		err = commit(sql, migration, script, fault);
	if (!sqlite3_get_autocommit(sql_committer_db(sql)))
		sql_fixed_run(sql, SQL_FIXED_ROLLBACK);
	if (err == ERR_OK && !sql->options.scratch)
		log_info("database %s: applied %s", sql->name, migration->name);
	return err;
}

/* ---- on the committer --------------------------------------------------- */

static enum err
apply_all(struct sql *sql, struct sql_script *script, bool *fault)
{
	sqlite3 *db = sql_committer_db(sql);
	int length = sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, STATEMENT_MAX);
	enum err err = ERR_OK;

	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_FKEY, 0, NULL);
	for (unsigned i = 0; i < script->count && err == ERR_OK; i++) {
		if (script->known[i])
			continue;
		err = apply(sql, script, i, fault);
		script->done += err == ERR_OK;
	}
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
	sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, length);
	return err;
}

void
sql_script_run(struct sql *sql, struct sql_write *write, bool *fault)
{
	struct sql_script *script =
		CONTAINER_OF(write, struct sql_script, write);
	enum err err = look(sql, script);

	if (err == ERR_OK && !script->only_look)
		err = apply_all(sql, script, fault);
	for (unsigned i = 0; i < script->count && script->only_look; i++)
		script->done += !script->known[i];
	write->item.err = err;
}

/* ---- waiting ------------------------------------------------------------ */

static void
script_done(struct lane_item *item)
{
	struct sql_script *script =
		CONTAINER_OF(item, struct sql_script, write.item);

	sem_post(&script->ended);
}

static enum err
submit_and_wait(struct sql *sql, struct sql_script *script)
{
	enum err err;

	script->known = calloc(script->count + 1, sizeof(*script->known));
	if (!script->known)
		return ERR_NOMEM;
	sem_init(&script->ended, 0, 0);
	err = lane_submit(sql->lane, &script->write.item);
	if (err == ERR_OK) {
		while (sem_wait(&script->ended) < 0)
			; /* a signal */
		err = script->write.item.err;
	}
	sem_destroy(&script->ended);
	free(script->known);
	return err;
}

static enum err
run_list(struct sql *sql, const struct sql_migration *list, unsigned count,
	 bool only_look, unsigned *done, struct sql_error *error)
{
	struct sql_script script = {
		.write = { .item = { .done = script_done,
				     .patient = true,
				     .ops = 1 },
			   .error = { .offset = -1 } },
		.list = list,
		.count = count,
		.only_look = only_look,
	};
	enum err err = submit_and_wait(sql, &script);

	*done = script.done;
	if (err != ERR_OK && script.write.error.err == ERR_OK)
		say(&script.write.error, err, "%s", err_text(err));
	*error = script.write.error;
	return err;
}

enum err
sql_migrate(struct sql *sql, const struct sql_migration *list, unsigned count,
	    unsigned *applied, struct sql_error *error)
{
	return run_list(sql, list, count, false, applied, error);
}

enum err
sql_migrations_pending(struct sql *sql, const struct sql_migration *list,
		       unsigned count, unsigned *pending,
		       struct sql_error *error)
{
	return run_list(sql, list, count, true, pending, error);
}
