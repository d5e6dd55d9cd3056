/* SPDX-License-Identifier: MIT */
/*
 * A connection: how it is opened, what it may do at most, what it keeps.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/sql/sql_internal.h"

enum {
	VIRTUALS_MAX = 64 << 10,
	/* Bytes that one statement may hold. A sort on a reader keeps a
	 * megabyte and writes the rest to a file; what remains are values and
	 * what functions make of them. The committer's page cache counts as
	 * its statements', too. */
	MEMORY_MAX_WORKER = 48 << 20,
	MEMORY_MAX_SLOW = 256 << 20,
	MEMORY_MAX_WRITER = 1 << 30,
};

enum err
sql_say(char *message, size_t size, enum err err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(message, size, format, args);
	va_end(args);
	return err;
}

/* ---- limits -------------------------------------------------------------- */

/* What a statement may be. With these, and SQL_STACK_MAX, it needs less than
 * half of a fiber's stack: see tests/test_sql_depth.c. */
static const struct {
	int id, value;
} limits[] = {
	/* "EXPLAIN QUERY PLAN " goes before a text; SQLite's own statements
	 * quote names and texts of the schema. */
	{ SQLITE_LIMIT_SQL_LENGTH, 4 * SQL_TEXT_MAX },
	{ SQLITE_LIMIT_COLUMN, SQL_COLUMNS_MAX },
	{ SQLITE_LIMIT_EXPR_DEPTH, 100 },
	{ SQLITE_LIMIT_COMPOUND_SELECT, 50 },
	{ SQLITE_LIMIT_VDBE_OP, 250000 },
	/* json_object() with 50 members. */
	{ SQLITE_LIMIT_FUNCTION_ARG, 100 },
	/* A match takes up to pattern times text steps, in one piece. */
	{ SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 256 },
	{ SQLITE_LIMIT_VARIABLE_NUMBER, SQL_PARAMETERS_MAX },
	{ SQLITE_LIMIT_TRIGGER_DEPTH, 50 },
	{ SQLITE_LIMIT_WORKER_THREADS, 0 },
};

static void
set_limits(struct sql_connection *connection)
{
	sqlite3 *db = connection->db;

	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		sqlite3_limit(db, limits[i].id, limits[i].value);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH,
		      connection->is_short ? SQL_VALUE_MAX_SHORT
					   : SQL_VALUE_MAX);
	/* VACUUM attaches the file that it makes. */
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, connection->writes);
	connection->memory_max = connection->writes     ? MEMORY_MAX_WRITER
				 : connection->is_short ? MEMORY_MAX_WORKER
							: MEMORY_MAX_SLOW;
}

/* ---- settings ------------------------------------------------------------ */

static const struct {
	int id, value;
} switches[] = {
	/* No writes to the tables behind virtual tables or to the schema. */
	{ SQLITE_DBCONFIG_DEFENSIVE, 1 },
	{ SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0 },
	/* Triggers that keep an FTS5 table in step are what everybody writes,
	 * and this version of FTS5 does not say that it is harmless there
	 * (later ones do). What is not harmless, sql_authorize() refuses
	 * wherever it stands, in a trigger or view as well. */
	{ SQLITE_DBCONFIG_TRUSTED_SCHEMA, 1 },
	{ SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0 },
	{ SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0 },
	/* "name" is never a string: a misspelt column is an error. */
	{ SQLITE_DBCONFIG_DQS_DML, 0 },
	{ SQLITE_DBCONFIG_DQS_DDL, 0 },
	{ SQLITE_DBCONFIG_ENABLE_FKEY, 1 },
	/* The committer alone checkpoints. */
	{ SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1 },
};

static int
set_switches(sqlite3 *db)
{
	for (size_t i = 0; i < ARRAY_LEN(switches); i++) {
		int rc = sqlite3_db_config(db, switches[i].id,
					   switches[i].value, NULL);

		if (rc)
			return rc;
	}
	return sqlite3_wal_autocheckpoint(db, 0);
}

/* A commit by another connection empties a reader's page cache, so it is
 * small, and pages that are not in the WAL come from the mapped file. What a
 * sort cannot keep goes to a file: it is bounded by the cache, too. */
static const char reader_settings[] = "PRAGMA query_only=ON;"
				      "PRAGMA mmap_size=2147418112;"
				      "PRAGMA cache_size=256;"
				      "PRAGMA temp_store=FILE;";

/* The other modules are not for everybody (sqlite_stmt shows the SQL of
 * others), or recur deeper than our stacks are (the older full-text search).
 * Those of PRAGMAs come by themselves: see sql_authorize.c. */
static const char *modules[] = { "fts5",      "fts5vocab", "rtree",
				 "rtree_i32", "json_each", "json_tree",
				 "dbstat",    NULL };

static int
set_up(struct sql_connection *connection)
{
	sqlite3 *db = connection->db;
	int rc;

	sqlite3_extended_result_codes(db, 1);
	set_limits(connection);
	if ((rc = set_switches(db)) ||
	    (rc = sqlite3_drop_modules(db, modules)) ||
	    (rc = sql_functions_add(connection)) ||
	    (rc = sql_vtab_add(connection)) ||
	    (rc = sqlite3_set_authorizer(db, sql_authorize, connection)))
		return rc;
	sqlite3_progress_handler(db, SQL_OPS_PER_LOOK, sql_progress,
				 connection);
	if (connection->writes)
		return SQLITE_OK;
	return sql_exec(connection, reader_settings);
}

static bool
make_lists(struct sql_connection *connection)
{
	buffer_init(&connection->virtuals, VIRTUALS_MAX);
	connection->buckets = calloc(SQL_BUCKETS, sizeof(*connection->buckets));
	connection->reads = calloc(SQL_STORES_MAX, sizeof(*connection->reads));
	return connection->buckets && connection->reads;
}

enum err
sql_connect(struct sql *sql, struct sql_connection *connection, bool writes,
	    char *message, size_t message_size)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
		    SQLITE_OPEN_EXRESCODE | (writes ? SQLITE_OPEN_CREATE : 0);
	enum err err;
	int rc;

	connection->sql = sql;
	connection->writes = writes;
	connection->is_short =
		!writes && connection->pool < sql->options.workers;
	connection->virtuals_of = -1;
	err = sql_environ_init();
	if (err)
		return sql_say(message, message_size, err,
			       "SQLite cannot be set up");
	if (!make_lists(connection)) {
		sql_disconnect(connection);
		return sql_say(message, message_size, ERR_NOMEM,
			       "out of memory");
	}
	rc = sqlite3_open_v2(sql->path, &connection->db, flags, sql_vfs_name);
	if (rc == SQLITE_OK)
		rc = set_up(connection);
	if (rc == SQLITE_OK)
		return ERR_OK;
	sql_say(message, message_size, ERR_OK, "%s: %s", sql->path,
		connection->db ? sqlite3_errmsg(connection->db)
			       : "out of memory");
	sql_disconnect(connection);
	return err_from_sqlite(rc);
}

void
sql_disconnect(struct sql_connection *connection)
{
	sql_statements_drop(connection);
	for (unsigned i = 0; i < SQL_OWN_COUNT; i++)
		sqlite3_finalize(connection->own[i]);
	for (unsigned i = 0; connection->reads && i < SQL_STORES_MAX; i++)
		if (connection->reads[i].read)
			kv_read_destroy(connection->reads[i].read);
	if (connection->db) {
		int rc = sqlite3_close(connection->db);

		assert(rc == SQLITE_OK); /* a statement is held */
	}
	free(connection->reads);
	free(connection->buckets);
	buffer_fini(&connection->virtuals);
	*connection = (struct sql_connection){ .sql = connection->sql };
}

/* ---- SQL of ours --------------------------------------------------------- */

static const char own_virtuals[] = "SELECT name FROM main.sqlite_schema"
				   " WHERE type = 'table' AND rootpage = 0";

static const char own_ours[] = "SELECT count(*) FROM main.sqlite_schema"
			       " WHERE lower(substr(name, 1, 9)) = '_jackdaw_'";

static const char *const own_texts[SQL_OWN_COUNT] = {
	[SQL_OWN_BEGIN] = "BEGIN",
	[SQL_OWN_END] = "COMMIT",
	[SQL_OWN_ROLLBACK] = "ROLLBACK",
	[SQL_OWN_VERSION] = "PRAGMA main.schema_version",
	[SQL_OWN_VIRTUALS] = own_virtuals,
	[SQL_OWN_OURS] = own_ours,
};

int
sql_exec(struct sql_connection *connection, const char *sql)
{
	assert(!connection->preparing && !connection->running);
	return sqlite3_exec(connection->db, sql, NULL, NULL, NULL);
}

sqlite3_stmt *
sql_own(struct sql_connection *connection, enum sql_own own)
{
	sqlite3_stmt **handle = &connection->own[own];

	assert(!connection->preparing && !connection->running);
	if (!*handle)
		sqlite3_prepare_v3(connection->db, own_texts[own], -1,
				   SQLITE_PREPARE_PERSISTENT, handle, NULL);
	return *handle;
}

int
sql_exec_own(struct sql_connection *connection, enum sql_own own)
{
	sqlite3_stmt *handle = sql_own(connection, own);
	int rc;

	if (!handle)
		return sqlite3_extended_errcode(connection->db);
	do
		rc = sqlite3_step(handle);
	while (rc == SQLITE_ROW);
	sqlite3_reset(handle);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* A connection that has looked into a store is likely to do it again, and to
 * renew a snapshot is much cheaper than to make one. But there are more
 * connections than a store has snapshots, so only as many keep theirs as the
 * store can spare. */
static void
rest_read(struct sql_store_read *read)
{
	read->open = false;
	if (kv_read_is_scarce(read->read)) {
		kv_read_destroy(read->read);
		read->read = NULL;
	} else {
		kv_read_reset(read->read);
	}
}

void
sql_connection_rest(struct sql_connection *connection)
{
	if (!connection->reads_open)
		return;
	for (unsigned i = 0; i < SQL_STORES_MAX; i++)
		if (connection->reads[i].open)
			rest_read(&connection->reads[i]);
	connection->reads_open = false;
}
