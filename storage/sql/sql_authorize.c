/* SPDX-License-Identifier: MIT */
/*
 * What a statement may do, and what it reads and writes.
 *
 * SQLite calls sql_authorize() while it prepares: for each table and column,
 * function and command, also of the views, triggers and foreign keys that the
 * statement reaches. There are three cases:
 *
 *   preparing   a statement of a client or a service: policy, and its words
 *   running     SQLite prepares it anew, because the schema has changed, or a
 *               virtual table prepares what it needs: what is read and written
 *               counts as the statement's
 *   neither     SQL of ours
 *
 * Not everything can be known here:
 *
 *   - A virtual table may read others, and writes the tables behind it with
 *     statements that it has kept. So who reads a virtual table or one behind
 *     it depends on everything, SQL_WORD_ANY.
 *   - sqlite_sequence and sqlite_stat1 are written without a word. The same.
 *   - The table kv says itself what it reads (sql_vtab.c), and the JSON
 *     functions read nothing.
 */
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <xxhash.h>

#include "storage/sql/sql_internal.h"

/* ---- words --------------------------------------------------------------- */

unsigned
sql_word_of_table(const char *table)
{
	enum { FIRST = SQL_WORD_ANY + 1 };
	char lower[256];
	uint64_t hash = 0;
	size_t n = 0;

	/* ASCII only, as SQLite compares names. */
	for (; *table; table++) {
		if (n == sizeof(lower)) {
			hash = XXH3_64bits_withSeed(lower, n, hash);
			n = 0;
		}
		lower[n++] = *table >= 'A' && *table <= 'Z'
				     ? (char)(*table - 'A' + 'a')
				     : *table;
	}
	hash = XXH3_64bits_withSeed(lower, n, hash);
	return FIRST + (unsigned)(hash % (SQL_WORDS - FIRST));
}

static void
add_read(struct sql_connection *connection, struct sql_stmt *stmt,
	 unsigned word)
{
	bool covered = sql_word_set_has(&stmt->reads, word) ||
		       sql_word_set_has(&stmt->reads, SQL_WORD_ANY);

	sql_word_set_add(&stmt->reads, word);
	/* What was noted before the run does not have it. */
	if (connection->running && !covered)
		sql_connection_lose(connection);
}

/* ---- names --------------------------------------------------------------- */

static bool
begins(const char *name, const char *prefix)
{
	return !strncasecmp(name, prefix, strlen(prefix));
}

static bool
is_one_of(const char *name, const char *const *list)
{
	for (; *list; list++)
		if (!strcasecmp(name, *list))
			return true;
	return false;
}

/* All its names, the old and the new. */
static bool
is_schema_table(const char *table)
{
	return !strcasecmp(table, "sqlite_master") ||
	       !strcasecmp(table, "sqlite_schema");
}

static bool
is_temp_schema_table(const char *table)
{
	return !strcasecmp(table, "sqlite_temp_master") ||
	       !strcasecmp(table, "sqlite_temp_schema");
}

static bool
is_ours(const char *table)
{
	return begins(table, "_jackdaw_");
}

/* A virtual table, or one behind it: NAME_data and the like. */
static bool
is_virtual(const struct sql_connection *connection, const char *table)
{
	const char *name = connection->virtuals.data;
	const char *end = name + connection->virtuals.len;

	while (name < end) {
		size_t len = strlen(name);

		if (!strncasecmp(table, name, len) &&
		    (table[len] == '\0' || table[len] == '_'))
			return true;
		name += len + 1;
	}
	return connection->virtuals.err != ERR_OK;
}

/* ---- refusals ------------------------------------------------------------ */

PRINTF(3, 0)
static void
refuse(struct sql_connection *connection, enum err err, const char *format,
       va_list args)
{
	if (connection->refused)
		return;
	connection->refused = err;
	vsnprintf(connection->refusal, sizeof(connection->refusal), format,
		  args);
}

void
sql_refuse(struct sql_connection *connection, enum err err, const char *format,
	   ...)
{
	va_list args;

	va_start(args, format);
	refuse(connection, err, format, args);
	va_end(args);
}

PRINTF(2, 3)
static int
forbid(struct sql_connection *connection, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	refuse(connection, ERR_FORBIDDEN, format, args);
	va_end(args);
	return SQLITE_DENY;
}

/* ---- reading ------------------------------------------------------------- */

/* They tell of the schema and the library, and change nothing. What shows a
 * path (database_list) or the state of a connection is not among them. */
static const char *const telling[] = {
	"table_info",       "table_xinfo",   "table_list",
	"index_list",       "index_info",    "index_xinfo",
	"foreign_key_list", "function_list", "collation_list",
	"compile_options",  "module_list",   NULL,
};

static bool
may_ask_pragma(const struct sql_stmt *stmt, const char *name)
{
	return stmt->policy == SQL_ADMIN && is_one_of(name, telling);
}

/* Tables of the library's that show what is none of the client's business. */
static int
check_builtin_table(struct sql_connection *connection,
		    const struct sql_stmt *stmt, const char *table)
{
	if (!strcasecmp(table, "sqlite_stmt"))
		return forbid(connection, "the table sqlite_stmt cannot be "
					  "read here");
	if (!strcasecmp(table, "dbstat") && stmt->policy != SQL_ADMIN)
		return forbid(connection,
			      "the table dbstat is for administrators");
	if (begins(table, "pragma_") &&
	    !may_ask_pragma(stmt, table + strlen("pragma_")))
		return forbid(connection, "the table %s cannot be read here",
			      table);
	return SQLITE_OK;
}

static bool
depends_on_any(const struct sql_connection *connection, const char *table)
{
	return begins(table, "sqlite_") || begins(table, "pragma_") ||
	       !strcasecmp(table, "dbstat") || is_virtual(connection, table);
}

static int
read_table(struct sql_connection *connection, struct sql_stmt *stmt,
	   const char *table)
{
	if (is_schema_table(table)) {
		add_read(connection, stmt, SQL_WORD_SCHEMA);
		return SQLITE_OK;
	}
	add_read(connection, stmt, sql_word_of_table(table));
	if (depends_on_any(connection, table))
		add_read(connection, stmt, SQL_WORD_ANY);
	return check_builtin_table(connection, stmt, table);
}

/* random() and the like. CURRENT_TIME and its like are functions here. */
static const char *const unstable_functions[] = {
	"random",        "randomblob",        "changes",
	"total_changes", "last_insert_rowid", "current_time",
	"current_date",  "current_timestamp", NULL,
};

static const char *const forbidden_functions[] = {
	"load_extension",
	"fts3_tokenizer",
	"sqlite_log",
	NULL,
};

static int
call_function(struct sql_connection *connection, struct sql_stmt *stmt,
	      const char *name)
{
	if (is_one_of(name, forbidden_functions))
		return forbid(connection, "the function %s() is not allowed",
			      name);
	if (is_one_of(name, unstable_functions))
		stmt->unstable = true;
	/* It prepares what it reads only when it is run. */
	if (!strcasecmp(name, "rtreecheck"))
		add_read(connection, stmt, SQL_WORD_ANY);
	return SQLITE_OK;
}

/* ---- writing ------------------------------------------------------------- */

static int
write_table(struct sql_connection *connection, struct sql_stmt *stmt,
	    const char *table)
{
	/* A part of each change of the schema. What a client writes to it,
	 * SQLite itself refuses. */
	if (is_schema_table(table))
		return SQLITE_OK;
	sql_word_set_add(&stmt->writes, sql_word_of_table(table));
	if (is_ours(table))
		return forbid(connection, "the table %s can only be read",
			      table);
	/* DROP and RENAME clean up in sqlite_sequence, ANALYZE writes
	 * sqlite_stat1. */
	if (begins(table, "sqlite_") && !stmt->schema &&
	    !(begins(table, "sqlite_stat") && stmt->policy != SQL_ROUTE))
		return forbid(connection, "the table %s can only be read",
			      table);
	return SQLITE_OK;
}

/* ---- the schema ---------------------------------------------------------- */

static int
change_schema(struct sql_connection *connection, struct sql_stmt *stmt,
	      const char *what, const char *name, const char *table)
{
	if (stmt->policy == SQL_ROUTE)
		return forbid(connection,
			      "%s: the schema is changed by migrations, not "
			      "by a route",
			      what);
	if ((name && is_ours(name)) || (table && is_ours(table)))
		return forbid(connection, "%s %s: %s", what,
			      name ? name : table, sql_name_is_ours);
	stmt->schema = true;
	sql_word_set_add(&stmt->writes, SQL_WORD_SCHEMA);
	return SQLITE_OK;
}

const char sql_name_is_ours[] =
	"names that begin with _jackdaw_ are the server's";

int
sql_names_of_ours(const struct sql_stmt *stmt)
{
	sqlite3_stmt *handle;
	int count = -1;

	if (!stmt->schema)
		return 0;
	handle = sql_own(stmt->connection, SQL_OWN_OURS);
	if (handle && sqlite3_step(handle) == SQLITE_ROW)
		count = sqlite3_column_int(handle, 0);
	sqlite3_reset(handle);
	return count;
}

static int
make_virtual(struct sql_connection *connection, struct sql_stmt *stmt,
	     const char *what, const char *name, const char *module)
{
	static const char *const modules[] = {
		"fts5", "fts5vocab", "rtree", "rtree_i32", NULL,
	};

	/* A drop shows the module as well. */
	if (!is_one_of(module, modules))
		return forbid(connection,
			      "%s %s: the module %s is not "
			      "allowed",
			      what, name, module);
	/* Their names in a statement would mean something else. */
	if (!strcasecmp(name, "kv") || begins(name, "json_"))
		return forbid(connection, "%s %s: the name is taken", what,
			      name);
	return change_schema(connection, stmt, what, name, NULL);
}

/* ---- commands ------------------------------------------------------------ */

static int
ask_pragma(struct sql_connection *connection, struct sql_stmt *stmt,
	   const char *name)
{
	if (may_ask_pragma(stmt, name))
		return SQLITE_OK;
	/* FTS5 asks it while a statement that is the first to use its table is
	 * prepared. It only tells, and changes with any commit. */
	if (!strcasecmp(name, "data_version")) {
		add_read(connection, stmt, SQL_WORD_ANY);
		return SQLITE_OK;
	}
	return forbid(connection, "PRAGMA %s is not allowed", name);
}

/* first and second mean what the documentation of the action's code says. */
static int
check(struct sql_connection *connection, struct sql_stmt *stmt, int action,
      const char *first, const char *second)
{
	switch (action) {
	case SQLITE_SELECT:
	case SQLITE_RECURSIVE:
		return SQLITE_OK;
	case SQLITE_READ:
		return read_table(connection, stmt, first);
	case SQLITE_FUNCTION:
		return call_function(connection, stmt, second);
	case SQLITE_INSERT:
	case SQLITE_UPDATE:
	case SQLITE_DELETE:
		return write_table(connection, stmt, first);
	case SQLITE_CREATE_TABLE:
		return change_schema(connection, stmt, "CREATE TABLE", first,
				     NULL);
	case SQLITE_CREATE_INDEX:
		return change_schema(connection, stmt, "CREATE INDEX", first,
				     second);
	case SQLITE_CREATE_TRIGGER:
		return change_schema(connection, stmt, "CREATE TRIGGER", first,
				     second);
	case SQLITE_CREATE_VIEW:
		return change_schema(connection, stmt, "CREATE VIEW", first,
				     NULL);
	case SQLITE_DROP_TABLE:
		return change_schema(connection, stmt, "DROP TABLE", first,
				     NULL);
	case SQLITE_DROP_INDEX:
		return change_schema(connection, stmt, "DROP INDEX", first,
				     second);
	case SQLITE_DROP_TRIGGER:
		return change_schema(connection, stmt, "DROP TRIGGER", first,
				     second);
	case SQLITE_DROP_VIEW:
		return change_schema(connection, stmt, "DROP VIEW", first,
				     NULL);
	case SQLITE_CREATE_VTABLE:
		return make_virtual(connection, stmt, "CREATE VIRTUAL TABLE",
				    first, second);
	case SQLITE_DROP_VTABLE:
		return make_virtual(connection, stmt, "DROP TABLE", first,
				    second);
	case SQLITE_ALTER_TABLE:
		return change_schema(connection, stmt, "ALTER TABLE", NULL,
				     second);
	/* Of all tables, also ours. */
	case SQLITE_REINDEX:
		return change_schema(connection, stmt, "REINDEX", NULL, NULL);
	case SQLITE_ANALYZE:
		return change_schema(connection, stmt, "ANALYZE", NULL, NULL);
	case SQLITE_PRAGMA:
		return ask_pragma(connection, stmt, first);
	case SQLITE_TRANSACTION:
		return forbid(connection,
			      "%s is not allowed: the statements of a request "
			      "are one transaction",
			      first);
	case SQLITE_SAVEPOINT:
		return forbid(connection,
			      "savepoints are not allowed: the statements of a "
			      "request are one transaction");
	case SQLITE_ATTACH:
		return forbid(connection, "ATTACH is not allowed");
	case SQLITE_DETACH:
		return forbid(connection, "DETACH is not allowed");
	case SQLITE_CREATE_TEMP_INDEX:
	case SQLITE_CREATE_TEMP_TABLE:
	case SQLITE_CREATE_TEMP_TRIGGER:
	case SQLITE_CREATE_TEMP_VIEW:
	case SQLITE_DROP_TEMP_INDEX:
	case SQLITE_DROP_TEMP_TABLE:
	case SQLITE_DROP_TEMP_TRIGGER:
	case SQLITE_DROP_TEMP_VIEW:
		return forbid(connection,
			      "temporary objects are not allowed: a connection "
			      "is not one client's");
	}
	/* What a newer library may have. */
	return forbid(connection, "it is not allowed (action %d)", action);
}

/* ALTER TABLE also looks for views and triggers in the temporary schema. */
static bool
is_foreign(const struct sql_stmt *stmt, int action, const char *first,
	   const char *database)
{
	switch (action) {
	case SQLITE_READ:
	case SQLITE_INSERT:
	case SQLITE_UPDATE:
	case SQLITE_DELETE:
		if (is_temp_schema_table(first))
			return !stmt->schema;
		return database && !strcasecmp(database, "temp");
	}
	return false;
}

/* While a statement runs: it was checked, and is checked again where it may
 * have been prepared anew; but a virtual table may keep its own tables, and
 * VACUUM may attach its file, which has no name. */
static int
follow(struct sql_connection *connection, struct sql_stmt *stmt, int action,
       const char *first, const char *second, const char *database)
{
	if (stmt->vacuum)
		return action == SQLITE_ATTACH && first && *first
			       ? forbid(connection,
					"VACUUM INTO is not allowed")
			       : SQLITE_OK;
	/* Prepared anew, before its first row: that has a time, too. */
	if (!stmt->stepped && !connection->prepare_until_ns)
		sql_prepare_time_begin(connection,
				       stmt->limits ? stmt->limits->deadline_ns
						    : 0);
	switch (action) {
	case SQLITE_READ:
		if (is_foreign(stmt, action, first, database))
			return SQLITE_OK;
		return read_table(connection, stmt, first);
	case SQLITE_FUNCTION:
		return call_function(connection, stmt, second);
	/* By a trigger, it may be, that was not there before. */
	case SQLITE_INSERT:
	case SQLITE_UPDATE:
	case SQLITE_DELETE:
		return write_table(connection, stmt, first);
	case SQLITE_ATTACH:
	case SQLITE_DETACH:
		return forbid(connection, "ATTACH is not allowed");
	}
	return SQLITE_OK;
}

int
sql_authorize(void *arg, int action, const char *first, const char *second,
	      const char *database, const char *inner)
{
	struct sql_connection *connection = arg;
	struct sql_stmt *stmt = connection->preparing;

	if (!stmt && !connection->running)
		return SQLITE_OK;
	if (!stmt)
		return follow(connection, connection->running, action, first,
			      second, database);
	if (is_foreign(stmt, action, first, database))
		return forbid(connection,
			      "temporary objects are not allowed: a connection "
			      "is not one client's");
	if (action == SQLITE_INSERT && !inner)
		stmt->inserts = is_virtual(connection, first)
					? SQL_WORD_ANY
					: sql_word_of_table(first);
	return check(connection, stmt, action, first, second);
}
