/* SPDX-License-Identifier: MIT */
/*
 * Any text, by anybody, on a reader: it is run or refused, changes nothing,
 * and leaves the connection as it was.
 */
#include <dirent.h>

#include "tests/fuzz/fuzz_main.h"
#include "tests/reading.h"

static struct database database;
static struct store store;
static struct sql_reader *reader;

static void
close_all(void)
{
	sql_reader_give(reader);
	database_close(&database);
	store_close(&store);
}

static void
open_all(void)
{
	static const char *const texts[] = {
		"CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
		"INSERT INTO t VALUES (1, '[1]'), (2, 'x')",
		"CREATE VIEW v AS SELECT a, kv_get('main', b) AS c FROM t",
		"CREATE VIRTUAL TABLE words USING fts5(x)",
		"INSERT INTO words VALUES ('a b c'), ('b c d')",
	};
	static struct kv *kvs[1];

	make_root();
	store_init(&store, "main", false);
	store_open(&store);
	need(store_put(&store, "x", "1") == ERR_OK, "cannot put");
	kvs[0] = store.kv;
	database_init(&database, "database");
	database.options.stores = kvs;
	database.options.store_count = 1;
	database_open(&database);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		database_must(&database, texts[i]);
	reader = take_reader(database.sql);
	atexit(close_all);
}

static unsigned
count_files(void)
{
	DIR *dir = opendir(store_root);
	unsigned count = 0;

	FUZZ_CHECK(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static bool
is_expected(enum err err)
{
	switch (err) {
	case ERR_OK:
	case ERR_BAD:
	case ERR_TOO_LARGE:
	case ERR_SYNTAX:
	case ERR_CONSTRAINT:
	case ERR_NOT_READONLY:
	case ERR_FORBIDDEN:
	case ERR_STEPS:
	case ERR_CHOSEN:
		return true;
	default:
		return false;
	}
}

/* What is said to be read only must be so. */
static void
check_what_it_is(const struct sql_text *text)
{
	struct sql_error error;
	struct sql_stmt *stmt;
	enum err err = sql_prepare(reader, text, &stmt, &error);

	FUZZ_CHECK(is_expected(err));
	if (err) {
		FUZZ_CHECK(error.err == err && error.message[0] &&
			   error.offset <= (int)text->text.len);
		return;
	}
	FUZZ_CHECK(sql_is_explain(stmt) || !sql_is_vacuum(stmt) ||
		   !sql_is_readonly(stmt));
	if (text->policy == SQL_ROUTE)
		FUZZ_CHECK(!sql_changes_schema(stmt) && !sql_is_vacuum(stmt));
	sql_release(stmt);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned files;
	struct sql_limits limits = { .steps = 3000 };
	struct sql_connection *connection;
	struct sql_text text;
	struct sql_deps deps;

	if (!reader) {
		open_all();
		files = count_files();
	}
	connection = &reader->connection;
	for (int policy = SQL_ROUTE; policy <= SQL_MIGRATION; policy++) {
		sql_text_init(&text, (struct bytes){ data, size },
			      (enum sql_policy)policy);
		check_what_it_is(&text);
		sql_deps_init(&deps);
		limits.deps = &deps;
		read_rows(reader, &text, NULL, 0, &limits, NULL);
		FUZZ_CHECK(is_expected(read_error.err));
		FUZZ_CHECK(!strstr(read_error.message, store_root));
		FUZZ_CHECK(sqlite3_get_autocommit(connection->db) &&
			   !connection->held && !connection->reads_open);
	}
	FUZZ_CHECK(number_from(connection->db, "PRAGMA query_only") == 1);
	FUZZ_CHECK(!strcmp(rows_of(reader, "SELECT count(*) FROM t"), "2"));
	FUZZ_CHECK(count_files() == files);
	return 0;
}

FUZZ_SEEDS(
	30000, SEED("SELECT * FROM t"), SEED("SELECT c FROM v WHERE a = ?1;"),
	SEED("INSERT INTO t VALUES (3, x'00') RETURNING *"),
	SEED("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c) "
	     "SELECT i FROM c ORDER BY i DESC"),
	SEED("SELECT a, json_each.value FROM t, json_each(t.b)"),
	SEED("SELECT key, value FROM kv('main') WHERE key >= 'a' ORDER BY 1"),
	SEED("SELECT kv_get('main', 'x'), fail(404, 'no')"),
	SEED("SELECT * FROM words WHERE words MATCH 'a OR b*' ORDER BY rank"),
	SEED("VACUUM INTO 'copy'"), SEED("/* */ VACUUM ; -- main"),
	SEED("ATTACH 'copy' AS c"), SEED("PRAGMA table_info(t)"),
	SEED("PRAGMA query_only = 0"), SEED("PRAGMA journal_mode=DELETE"),
	SEED("CREATE TABLE x AS SELECT * FROM t"),
	SEED("CREATE TRIGGER x AFTER UPDATE ON t BEGIN DELETE FROM t; END"),
	SEED("CREATE VIRTUAL TABLE x USING fts5(y, content=t)"),
	SEED("ALTER TABLE t RENAME COLUMN b TO c"), SEED("DROP VIEW v"),
	SEED("BEGIN; SAVEPOINT x; ROLLBACK TO x"),
	SEED("EXPLAIN QUERY PLAN SELECT count(*) FROM t GROUP BY b"),
	SEED("UPDATE t SET b = zeroblob(1e9) WHERE a IN (SELECT a FROM v)"),
	SEED("SELECT * FROM pragma_table_list, dbstat, sqlite_schema"),
	SEED("REPLACE INTO t SELECT max(a), total(b) OVER () FROM t"),
	SEED("SELECT strftime('%Y', 'now', '+1 day'), random()"),
	SEED("SELECT 'a' LIKE '%a_' ESCAPE 'x', 'b' GLOB '[a-c]*'"));
