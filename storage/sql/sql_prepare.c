/* SPDX-License-Identifier: MIT */
/*
 * Statements: checked, prepared, and kept (sql_kept.c). One that is held is
 * asked for again when a transaction has the same text twice: then a second one
 * is made, which ends when it is released.
 *
 * One that SQLite had to prepare anew, because the schema had changed, may be
 * another now: what it reads, whether it sorts. It is not kept any longer.
 */
#include <ck_pr.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <xxhash.h>

#include "storage/sql/sql_internal.h"

void
sql_text_init(struct sql_text *text, struct bytes bytes, enum sql_policy policy)
{
	*text = (struct sql_text){
		.text = bytes,
		.policy = policy,
		.hash = XXH3_64bits_withSeed(bytes.data, bytes.len,
					     (uint64_t)policy),
	};
}

enum err
sql_reader_refresh(struct sql_reader *reader)
{
	struct sql_connection *connection = &reader->connection;

	sql_statements_drop(connection);
	/* The schema is only looked at when something is read. */
	return err_from_sqlite(sql_exec(
		connection, "SELECT 1 FROM main.sqlite_master LIMIT 1"));
}

/* ---- text ---------------------------------------------------------------- */

/* Behind white space and comments. A byte order mark is space to SQLite,
 * wherever it is. */
static const char *
skip_space(const char *at, const char *end)
{
	while (at < end) {
		if (strchr(" \t\n\f\r", *at) && *at) {
			at++;
		} else if (end - at >= 3 && !memcmp(at, "\xEF\xBB\xBF", 3)) {
			at += 3;
		} else if (end - at >= 2 && at[0] == '-' && at[1] == '-') {
			while (at < end && *at != '\n')
				at++;
		} else if (end - at >= 2 && at[0] == '/' && at[1] == '*') {
			at += 2;
			while (at < end &&
			       !(end - at >= 2 && at[0] == '*' && at[1] == '/'))
				at++;
			at = end - at >= 2 ? at + 2 : end;
		} else {
			break;
		}
	}
	return at;
}

const char *
sql_skip_empty(const char *at, const char *end)
{
	while ((at = skip_space(at, end)) < end && *at == ';')
		at++;
	return at;
}

static bool
take_word(const char **at, const char *end, const char *word)
{
	size_t len = strlen(word);
	const char *start = skip_space(*at, end);

	if ((size_t)(end - start) < len || strncasecmp(start, word, len))
		return false;
	if (start + len < end &&
	    (start[len] == '_' || start[len] == '$' || start[len] & 0x80 ||
	     (start[len] >= '0' && start[len] <= '9') ||
	     (start[len] >= 'A' && start[len] <= 'Z') ||
	     (start[len] >= 'a' && start[len] <= 'z')))
		return false;
	*at = start + len;
	return true;
}

enum err
sql_complain(struct sql_error *error, enum err err, const char *message)
{
	*error = (struct sql_error){ .err = err, .offset = -1 };
	snprintf(error->message, sizeof(error->message), "%s", message);
	return err;
}

/* The authorizer is not told of a VACUUM. */
static enum err
check_vacuum(struct sql_stmt *stmt, struct sql_error *error)
{
	const char *end = stmt->text + stmt->text_len;
	const char *at = sql_skip_empty(stmt->text, end);

	if (stmt->explain || !take_word(&at, end, "VACUUM"))
		return ERR_OK;
	if (stmt->policy != SQL_ADMIN)
		return sql_complain(error, ERR_FORBIDDEN,
				    "VACUUM is for administrators");
	take_word(&at, end, "main");
	if (sql_skip_empty(at, end) != end)
		return sql_complain(
			error, ERR_FORBIDDEN,
			"VACUUM INTO is not allowed: VACUUM takes no "
			"name but main");
	stmt->vacuum = true;
	return ERR_OK;
}

static enum err
check_text(const struct sql_text *text, struct sql_error *error)
{
	struct bytes bytes = text->text;

	if (bytes.len > SQL_TEXT_MAX) {
		sql_complain(error, ERR_TOO_LARGE, "");
		snprintf(error->message, sizeof(error->message),
			 "the statement has %zu bytes; the limit is %d",
			 bytes.len, SQL_TEXT_MAX);
		return ERR_TOO_LARGE;
	}
	if (bytes.len && memchr(bytes.data, '\0', bytes.len))
		return sql_complain(error, ERR_BAD,
				    "there is a NUL byte in the SQL");
	return ERR_OK;
}

/* ---- preparing ----------------------------------------------------------- */

/* Of the schema that the next read would see; -1: it cannot be told. */
static int
schema_version(struct sql_connection *connection)
{
	sqlite3_stmt *handle = sql_own(connection, SQL_OWN_VERSION);
	int version = -1;

	if (!handle)
		return -1;
	if (sqlite3_step(handle) == SQLITE_ROW)
		version = sqlite3_column_int(handle, 0);
	sqlite3_reset(handle);
	return version;
}

static void
load_virtuals(struct sql_connection *connection, int version)
{
	struct buffer *names = &connection->virtuals;
	sqlite3_stmt *handle = sql_own(connection, SQL_OWN_VIRTUALS);
	int rc = SQLITE_NOMEM;

	buffer_clear(names);
	while (handle && (rc = sqlite3_step(handle)) == SQLITE_ROW) {
		const void *name = sqlite3_column_text(handle, 0);

		buffer_add(names, name,
			   (size_t)sqlite3_column_bytes(handle, 0) + 1);
	}
	sqlite3_reset(handle);
	connection->virtuals_of = rc == SQLITE_DONE ? version : -1;
}

/* The one operator that SQLite's limit of depth does not count. */
enum { COLLATIONS_MAX = 500 };

const char sql_many_collations[] =
	"there are more than 500 COLLATE in one statement";

/* Behind a quoted name or string, or a comment, that begins there; NULL: none
 * does. One that does not end ends with the text. */
static const char *
skip_quoted(const char *at, const char *end)
{
	size_t left = (size_t)(end - at), closing = 1;
	const char *close;

	if (strchr("'\"`[", *at) && *at) {
		close = memchr(at + 1, *at == '[' ? ']' : *at, left - 1);
	} else if (left >= 2 && at[0] == '-' && at[1] == '-') {
		close = memchr(at, '\n', left);
	} else if (left >= 2 && at[0] == '/' && at[1] == '*') {
		close = memmem(at + 2, left - 2, "*/", 2);
		closing = 2;
	} else {
		return NULL;
	}
	return close ? close + closing : end;
}

bool
sql_has_many_collations(const char *at, size_t len)
{
	static const struct bytes word = { "COLLATE", 7 };
	const char *end = at + len, *next;
	unsigned count = 0;

	while (at < end && count <= COLLATIONS_MAX) {
		if ((next = skip_quoted(at, end))) {
			at = next;
			continue;
		}
		/* No expression goes on behind it, not even a trigger's. */
		if (*at == ';')
			count = 0;
		if ((size_t)(end - at) >= word.len &&
		    !strncasecmp(at, word.data, word.len))
			count++;
		at++;
	}
	return count > COLLATIONS_MAX;
}

/* Common tables that name the one before twice double with each: SQLite copies
 * them until there is no memory left, in one piece. 64 KiB of values or of
 * conditions take 3 MiB. */
enum { PREPARE_MEMORY = 8 << 20 };

static int
prepare_handle(struct sql_connection *connection, struct sql_stmt *stmt,
	       const char **tail)
{
	int64_t memory_max = connection->memory_max;
	int rc;

	connection->memory = 0;
	connection->memory_max = PREPARE_MEMORY;
	connection->preparing = stmt;
	rc = sqlite3_prepare_v3(connection->db, stmt->text, (int)stmt->text_len,
				SQLITE_PREPARE_PERSISTENT, &stmt->handle, tail);
	connection->preparing = NULL;
	connection->memory_max = memory_max;
	return rc;
}

/* The names of virtual tables must be those of the schema that it was prepared
 * with: so they are looked at before and after. The version only grows. */
static int
prepare_stably(struct sql_connection *connection, struct sql_stmt *stmt,
	       const char **tail)
{
	for (unsigned tries = 0;; tries++) {
		int version = schema_version(connection);
		int rc;

		if (version < 0)
			return sqlite3_extended_errcode(connection->db);
		if (version != connection->virtuals_of)
			load_virtuals(connection, version);
		rc = prepare_handle(connection, stmt, tail);
		if (rc || (connection->virtuals_of == version &&
			   schema_version(connection) == version))
			return rc;
		if (tries == 3) {
			sql_word_set_add(&stmt->reads, SQL_WORD_ANY);
			return rc;
		}
		sqlite3_finalize(stmt->handle);
		stmt->handle = NULL;
	}
}

static void
note_sorter(void *arg, sqlite3_stmt *row)
{
	const char *opcode = (const char *)sqlite3_column_text(row, 1);
	bool *sorts = arg;

	if (opcode && !strcmp(opcode, "SorterOpen"))
		*sorts = true;
}

static int
describe(struct sql_connection *connection, struct sql_stmt *stmt)
{
	stmt->readonly = stmt->explain ||
			 (sqlite3_stmt_readonly(stmt->handle) && !stmt->vacuum);
	sql_word_set_add(&stmt->reads, SQL_WORD_SCHEMA);
	/* Nobody asks it of the committer's. */
	if (!stmt->readonly || stmt->explain || connection->writes)
		return SQLITE_OK;
	return sql_explain_each(connection, "EXPLAIN ",
				(struct bytes){ stmt->text, stmt->text_len },
				note_sorter, &stmt->sorts);
}

static enum err
prepare_new(struct sql_connection *connection, struct sql_stmt *stmt,
	    struct sql_error *error)
{
	const char *tail = NULL;
	enum err err;
	int rc;

	if (sql_has_many_collations(stmt->text, stmt->text_len))
		return sql_complain(error, ERR_BAD, sql_many_collations);
	rc = prepare_stably(connection, stmt, &tail);
	if (rc)
		return sql_connection_prepare_error(connection, rc, error);
	if (!stmt->handle)
		return sql_complain(error, ERR_BAD,
				    "there is no SQL statement");
	tail = sql_skip_empty(tail, stmt->text + stmt->text_len);
	if (tail != stmt->text + stmt->text_len) {
		sql_complain(error, ERR_BAD, "more than one SQL statement");
		error->offset = (int)(tail - stmt->text);
		return ERR_BAD;
	}
	stmt->explain = sqlite3_stmt_isexplain(stmt->handle);
	err = check_vacuum(stmt, error);
	if (err)
		return err;
	rc = describe(connection, stmt);
	return rc ? sql_connection_prepare_error(connection, rc, error)
		  : ERR_OK;
}

static struct sql_stmt *
make(struct sql_connection *connection, const struct sql_text *text)
{
	struct sql_stmt *stmt = calloc(1, sizeof(*stmt) + text->text.len + 1);

	if (!stmt)
		return NULL;
	stmt->connection = connection;
	memcpy(stmt->bytes, text->text.data, text->text.len);
	stmt->text = stmt->bytes;
	stmt->text_len = text->text.len;
	stmt->policy = text->policy;
	stmt->hash = text->hash;
	return stmt;
}

static enum err
prepare(struct sql_connection *connection, const struct sql_text *text,
	struct sql_stmt **out, struct sql_error *error)
{
	enum err err = check_text(text, error);
	struct sql_stmt *stmt;

	if (err)
		return err;
	stmt = make(connection, text);
	if (!stmt)
		return sql_complain(error, ERR_NOMEM, err_text(ERR_NOMEM));
	connection->memory = 0;
	sql_connection_enter(connection);
	sql_prepare_time_begin(connection, connection->deadline_ns);
	err = prepare_new(connection, stmt, error);
	sql_prepare_time_end(connection);
	sql_environ_leave();
	if (err) {
		sql_stmt_destroy(stmt);
		return err;
	}
	ck_pr_inc_64(&connection->sql->prepared);
	*out = stmt;
	return ERR_OK;
}

static void
hold(struct sql_connection *connection, struct sql_stmt *stmt)
{
	stmt->held++;
	connection->held++;
}

enum err
sql_connection_prepare(struct sql_connection *connection,
		       const struct sql_text *text, struct sql_stmt **out,
		       struct sql_error *error)
{
	struct sql_stmt *found = sql_kept_find(connection, text), *stmt = NULL;
	enum err err;

	if (found && !found->held) {
		sql_kept_use(connection, found);
		hold(connection, found);
		*out = found;
		return ERR_OK;
	}
	err = prepare(connection, text, &stmt, error);
	if (err)
		return err;
	if (!found)
		sql_kept_add(connection, stmt);
	hold(connection, stmt);
	*out = stmt;
	return ERR_OK;
}

enum err
sql_connection_prepare_next(struct sql_connection *connection,
			    struct bytes text, enum sql_policy policy,
			    struct sql_stmt **out, const char **next,
			    struct sql_error *error)
{
	struct sql_stmt *stmt = calloc(1, sizeof(*stmt));
	enum err err = ERR_OK;
	int rc;

	*out = NULL;
	if (!stmt)
		return sql_complain(error, ERR_NOMEM, err_text(ERR_NOMEM));
	stmt->connection = connection;
	stmt->text = text.data;
	stmt->text_len = text.len;
	stmt->policy = policy;
	connection->memory = 0;
	sql_connection_enter(connection);
	rc = prepare_stably(connection, stmt, next);
	if (rc)
		err = sql_connection_prepare_error(connection, rc, error);
	sql_environ_leave();
	if (err == ERR_OK && stmt->handle)
		err = check_vacuum(stmt, error);
	if (err != ERR_OK || !stmt->handle) {
		sql_stmt_destroy(stmt);
		return err;
	}
	stmt->readonly = sqlite3_stmt_readonly(stmt->handle);
	hold(connection, stmt);
	*out = stmt;
	return ERR_OK;
}

enum err
sql_prepare(struct sql_reader *reader, const struct sql_text *text,
	    struct sql_stmt **out, struct sql_error *error)
{
	return sql_connection_prepare(&reader->connection, text, out, error);
}

void
sql_prepare_until(struct sql_reader *reader, uint64_t deadline_ns)
{
	reader->connection.deadline_ns = deadline_ns;
}

/* Or it would have to be, and cannot: a table is gone. Whoever asks for it next
 * is told by preparing it. */
static bool
is_outdated(const struct sql_stmt *stmt)
{
	return stmt->failed ||
	       sqlite3_stmt_status(stmt->handle, SQLITE_STMTSTATUS_REPREPARE,
				   0) > 0;
}

void
sql_release(struct sql_stmt *stmt)
{
	struct sql_connection *connection = stmt->connection;

	assert(stmt->held == 1);
	sqlite3_reset(stmt->handle);
	if (stmt->bound) {
		sqlite3_clear_bindings(stmt->handle);
		stmt->bound = false;
	}
	stmt->limits = NULL;
	stmt->held--;
	connection->held--;
	if (stmt->kept && is_outdated(stmt))
		sql_kept_drop(connection, stmt);
	if (!stmt->kept)
		sql_stmt_destroy(stmt);
	if (!connection->held && !connection->begun && !connection->writes)
		sql_connection_rest(connection);
}
