/* SPDX-License-Identifier: MIT */
/*
 * What a read depends on: each write that changes what it gives changes a word
 * of it; others do not; and nothing old is ever taken for current.
 */
#include <pthread.h>

#include "tests/reading.h"

static struct database database;
static struct store main_store, other_store;

static bool
still_current(const struct sql_deps *deps)
{
	for (unsigned i = 0; i < deps->count; i++)
		if (version_word_note(deps->list[i].word) !=
		    deps->list[i].value)
			return false;
	return true;
}

static void
read_with_deps(struct sql_reader *reader, const char *sql,
	       struct sql_deps *deps)
{
	struct sql_limits limits = { .deps = deps };

	sql_deps_init(deps);
	rows_under(reader, SQL_ADMIN, sql, &limits);
	if (read_error.err)
		printf("# %s: %s\n", sql, read_error.message);
	need(read_error.err == ERR_OK, sql);
}

/* ---- tables -------------------------------------------------------------- */

static const struct {
	const char *read, *write;
	bool changes; /* a word of what was read */
} tables[] = {
	{ "SELECT * FROM t", "INSERT INTO t VALUES (100, 1)", true },
	{ "SELECT * FROM t", "UPDATE t SET b = b + 1", true },
	{ "SELECT * FROM t", "DELETE FROM t WHERE a = 100", true },
	{ "SELECT count(*) FROM t", "INSERT INTO t VALUES (101, 1)", true },
	{ "SELECT b FROM v", "UPDATE t SET b = b + 1", true },
	{ "SELECT count(*) FROM vv", "UPDATE t SET b = b + 1", true },
	{ "SELECT * FROM t", "INSERT INTO v VALUES (102, 1)", true },
	{ "SELECT * FROM log", "INSERT INTO t VALUES (103, 1)", true },
	{ "SELECT * FROM log", "INSERT INTO v VALUES (104, 1)", true },
	{ "SELECT * FROM child", "DELETE FROM t WHERE a = 1", true },
	{ "SELECT * FROM grandchild", "DELETE FROM t WHERE a = 2", true },
	{ "SELECT * FROM child", "REPLACE INTO t VALUES (3, 3)", true },
	{ "SELECT * FROM child", "UPDATE t SET a = 44 WHERE a = 4", true },
	{ "SELECT * FROM unique_b", "REPLACE INTO unique_b VALUES (9, 1)",
	  true },
	{ "SELECT * FROM unique_b",
	  "INSERT INTO unique_b VALUES (10, 1) ON CONFLICT(b) DO UPDATE SET a "
	  "= 11",
	  true },
	{ "SELECT * FROM norow", "INSERT INTO norow VALUES (1)", true },
	{ "SELECT * FROM norow", "REPLACE INTO norow VALUES (1)", true },
	{ "SELECT * FROM norow", "DELETE FROM norow", true },
	{ "SELECT * FROM words", "INSERT INTO words VALUES ('x')", true },
	{ "SELECT * FROM words_content", "INSERT INTO words VALUES ('y')",
	  true },
	{ "SELECT * FROM words_vocab", "INSERT INTO words VALUES ('z')", true },
	{ "SELECT * FROM docs_index WHERE docs_index MATCH 'x'",
	  "INSERT INTO docs(text) VALUES ('x')", true },
	{ "SELECT text FROM docs_index WHERE rowid = 1",
	  "UPDATE docs SET text = 'other'", true },
	{ "SELECT * FROM sqlite_sequence", "INSERT INTO serial(x) VALUES (1)",
	  true },
	{ "SELECT name FROM sqlite_schema", "CREATE TABLE new1(x)", true },
	{ "SELECT * FROM t", "CREATE TABLE new2(x)", true },
	{ "SELECT 1", "DROP TABLE new2", true },
	{ "SELECT * FROM t", "ALTER TABLE new1 ADD COLUMN y", true },
	{ "SELECT * FROM log", "CREATE INDEX log_x ON log(x)", true },
	{ "SELECT * FROM box", "INSERT INTO box VALUES (1, 2, 3)", true },
	{ "SELECT * FROM box_node", "INSERT INTO box VALUES (2, 2, 3)", true },
	{ "SELECT * FROM t, kv('main')", "UPDATE t SET b = b + 1", true },
	{ "SELECT kv_get('main', 'a') FROM t", "UPDATE t SET b = b + 1", true },

	{ "SELECT * FROM t", "INSERT INTO log VALUES (1)", false },
	{ "SELECT * FROM log", "INSERT INTO norow VALUES (7)", false },
	{ "SELECT * FROM t", "UPDATE t SET b = 1 WHERE a = 99999", false },
	{ "SELECT * FROM v", "INSERT INTO words VALUES ('x')", false },
	{ "SELECT * FROM wordsworth", "INSERT INTO words VALUES ('x')", false },
	{ "SELECT 1", "INSERT INTO t VALUES (105, 1)", false },
	{ "SELECT * FROM t", "SELECT * FROM t", false },
	{ "SELECT * FROM t", "SELECT * FROM json_each('[1]')", false },
	{ "SELECT * FROM t, json_each('[1]')", "INSERT INTO norow VALUES (8)",
	  false },
	{ "SELECT kv_get('main', 'a')", "INSERT INTO norow VALUES (9)", false },
};

static void
writes_to_tables_change_what_was_read(struct sql_reader *reader)
{
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		struct sql_deps deps;

		/* After a change of the schema, one run is uncertain. */
		read_with_deps(reader, tables[i].read, &deps);
		read_with_deps(reader, tables[i].read, &deps);
		if (!ok(sql_deps_complete(&deps) && still_current(&deps),
			"known at first: %s", tables[i].read))
			printf("# odd %d lost %d\n", deps.odd, deps.lost);
		database_must(&database, tables[i].write);
		ok(still_current(&deps) == !tables[i].changes,
		   "%s after %s: %s", tables[i].read, tables[i].write,
		   tables[i].changes ? "old" : "current");
	}
}

static void
a_failed_write_changes_nothing(struct sql_reader *reader)
{
	struct sql_deps deps;

	read_with_deps(reader, "SELECT * FROM unique_b", &deps);
	is_err(database_run(&database, "INSERT INTO unique_b VALUES (11, 5)"),
	       ERR_CONFLICT, "a write fails");
	ok(still_current(&deps), "and what was read stays current");
}

/* The same on every connection: they become entity tags. */
static void
dependencies_have_one_order(struct sql_reader *reader)
{
	static const char sql[] = "SELECT * FROM t, log, norow, child, v "
				  "WHERE t.a = kv_get('main', 'a')";
	struct sql_reader *second = take_reader(database.sql);
	struct sql_deps one, two;
	bool same = true;

	read_with_deps(second, "SELECT * FROM norow, log, t", &two);
	read_with_deps(reader, sql, &one);
	read_with_deps(second, sql, &two);
	ok(one.count == two.count && one.count == 7,
	   "two connections find as many (%u)", one.count);
	for (unsigned i = 0; i < one.count && i < two.count; i++)
		same &= one.list[i].word == two.list[i].word &&
			one.list[i].value == two.list[i].value;
	ok(same, "in the same order");
	sql_reader_give(second);
}

static void
too_many_tables_are_one_word(struct sql_reader *reader)
{
	char sql[4000] = "SELECT 1 FROM many0", text[100];
	struct sql_deps deps;

	for (unsigned i = 0; i < 40; i++) {
		snprintf(text, sizeof(text), "CREATE TABLE many%u(x)", i);
		database_must(&database, text);
		snprintf(text, sizeof(text), ", many%u", i);
		if (i)
			strcat(sql, text);
	}
	read_with_deps(reader, sql, &deps);
	read_with_deps(reader, sql, &deps);
	ok(deps.count == 1 && !deps.lost, "40 tables are one word");
	database_must(&database, "INSERT INTO many39 VALUES (1)");
	ok(!still_current(&deps), "which changes with each of them");
}

static void
the_time_is_found_when_it_is_asked(struct sql_reader *reader)
{
	static const struct {
		const char *sql;
		bool asks;
	} cases[] = {
		{ "SELECT strftime('%Y', '2024-01-01')", false },
		{ "SELECT date(b, '+1 day') FROM t", false },
		{ "SELECT datetime(1700000000, 'unixepoch')", false },
		{ "SELECT date('now')", true },
		{ "SELECT datetime()", true },
		{ "SELECT unixepoch()", true },
		{ "SELECT julianday('NOW')", true },
		{ "SELECT strftime('%s', 'now', '-1 day')", true },
		{ "SELECT * FROM t WHERE b > strftime('%s')", true },
		{ "SELECT * FROM t WHERE a = 99999 AND b > date('now')",
		  false },
		{ "SELECT date(lower('NO' || 'W'))", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sql_deps deps;

		read_with_deps(reader, cases[i].sql, &deps);
		ok(deps.lost == cases[i].asks, "%s the time: %s",
		   cases[i].asks ? "asks" : "does not ask", cases[i].sql);
	}
}

static void
without_a_sequence_nothing_is_kept(void)
{
	struct database scratch;
	struct sql_reader *reader;
	struct sql_deps deps;
	char message[512];

	database_init(&scratch, "scratch");
	scratch.options.scratch = true;
	scratch.options.path = scratch.path;
	need(sql_open(&scratch.sql, &scratch.options, message,
		      sizeof(message)) == ERR_OK,
	     message);
	reader = take_reader(scratch.sql);
	read_with_deps(reader, "SELECT 1", &deps);
	ok(!sql_deps_complete(&deps), "a copy for trying has no numbers");
	sql_reader_give(reader);
	sql_close(scratch.sql);
}

/* ---- stores -------------------------------------------------------------- */

/* "k=v" puts k; "-k" deletes it. */
static const struct {
	const char *read, *store, *write;
	bool changes;
} stores[] = {
	{ "SELECT kv_get('main', 'a')", "main", "a=1", true },
	{ "SELECT kv_get('main', 'a')", "main", "b=1", false },
	{ "SELECT kv_get('main', 'a')", "main", "-a", true },
	{ "SELECT kv_get('main', 'a')", "main", "a=2", true },
	{ "SELECT kv_get('main', 'a')", "other", "a=1", false },
	{ "SELECT kv_get('main', 'a'), kv_get('main', 'b')", "main", "b=2",
	  true },
	{ "SELECT kv_get('main', 'a'), kv_get('other', 'a')", "other", "a=3",
	  true },
	{ "SELECT kv_get('main', 'absent')", "main", "absent=1", true },
	{ "SELECT value FROM kv('main') WHERE key = 'a'", "main", "a=3", true },
	{ "SELECT value FROM kv('main') WHERE key = 'a'", "main", "b=3",
	  false },
	{ "SELECT value FROM kv('main') WHERE key IN ('a', 'b')", "main", "b=4",
	  true },
	{ "SELECT value FROM kv('main') WHERE key IN ('a', 'b')", "main", "c=4",
	  false },
	{ "SELECT value FROM kv('main') WHERE key = 'none'", "main", "none=1",
	  true },
	{ "SELECT count(*) FROM kv('main')", "main", "b=5", true },
	{ "SELECT count(*) FROM kv('main') WHERE key > 'x'", "main", "a=6",
	  true },
	{ "SELECT count(*) FROM kv('main')", "other", "b=5", false },
	{ "SELECT * FROM stored", "main", "a=7", true },
};

static void
write_store(const char *name, const char *write)
{
	struct store *store = strcmp(name, "main") ? &other_store : &main_store;
	char copy[64], *value;
	struct kv_op op;

	snprintf(copy, sizeof(copy), "%s", write);
	value = strchr(copy, '=');
	if (value)
		*value++ = '\0';
	op = value ? op_of(KV_PUT, copy, value)
		   : op_of(KV_DELETE, copy + 1, NULL);
	need(store_op(store, &op) == ERR_OK, "cannot write to a store");
}

static void
writes_to_stores_change_what_was_read(struct sql_reader *reader)
{
	for (size_t i = 0; i < ARRAY_LEN(stores); i++) {
		struct sql_deps deps;

		read_with_deps(reader, stores[i].read, &deps);
		read_with_deps(reader, stores[i].read, &deps);
		ok(sql_deps_complete(&deps) && still_current(&deps),
		   "known at first: %s", stores[i].read);
		write_store(stores[i].store, stores[i].write);
		ok(still_current(&deps) == !stores[i].changes,
		   "%s after %s in %s: %s", stores[i].read, stores[i].write,
		   stores[i].store, stores[i].changes ? "old" : "current");
	}
}

static void
many_keys_are_one_store(struct sql_reader *reader)
{
	struct sql_deps deps;

	read_with_deps(reader,
		       "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + "
		       "1 FROM c WHERE i < 1000) SELECT kv_get('main', 'key' "
		       "|| i), kv_get('other', i) FROM c",
		       &deps);
	ok(!deps.lost && deps.count <= SQL_DEPS_MAX,
	   "a thousand keys are not lost");
	write_store("main", "key999=1");
	ok(!still_current(&deps), "each of them counts");
	read_with_deps(reader,
		       "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + "
		       "1 FROM c WHERE i < 1000) SELECT kv_get('main', 'key' "
		       "|| i), kv_get('other', i) FROM c",
		       &deps);
	write_store("other", "888=1");
	ok(!still_current(&deps), "in each store");
}

static void
an_expiry_ends_a_reply(struct sql_reader *reader)
{
	struct kv_op op = op_of(KV_PUT, "short", "1");
	struct sql_deps deps;
	uint64_t now_ms = clock_wall_ms();

	op.has_ttl = true;
	op.ttl_ms = 60000;
	need(store_op(&main_store, &op) == ERR_OK, "cannot put");
	read_with_deps(reader, "SELECT kv_get('main', 'a')", &deps);
	is_u64(deps.expires_ms, 0, "what never expires has no end");
	read_with_deps(reader, "SELECT kv_get('main', 'short')", &deps);
	ok(deps.expires_ms >= now_ms + 60000 &&
		   deps.expires_ms <= clock_wall_ms() + 60000,
	   "what does has its key's");
	op = op_of(KV_PUT, "shorter", "1");
	op.has_ttl = true;
	op.ttl_ms = 30000;
	need(store_op(&main_store, &op) == ERR_OK, "cannot put");
	read_with_deps(reader, "SELECT * FROM kv('main')", &deps);
	ok(deps.expires_ms && deps.expires_ms <= clock_wall_ms() + 30000,
	   "of many, the first one's");
}

static void
one_statement_sees_one_snapshot(struct sql_reader *reader)
{
	struct sql_text text;
	struct sql_stmt *stmt;
	struct sql_value first, second;
	struct sql_limits limits = { 0 };
	struct sql_deps deps;

	write_store("main", "a=before");
	sql_text_init(&text,
		      bytes_of("SELECT kv_get('main', 'a') FROM (SELECT 1 "
			       "UNION ALL SELECT 2)"),
		      SQL_ADMIN);
	need(sql_prepare(reader, &text, &stmt, &read_error) == ERR_OK,
	     "cannot prepare");
	sql_deps_init(&deps);
	sql_deps_note(&deps, stmt);
	limits.deps = &deps;
	sql_run(stmt, &limits);
	need(sql_step(stmt, &read_error) == SQL_ROW, "no row");
	sql_column(stmt, 0, &first);
	ok(bytes_equal(first.bytes, bytes_of("before")), "a key is read");
	write_store("main", "a=after");
	need(sql_step(stmt, &read_error) == SQL_ROW, "no row");
	sql_column(stmt, 0, &second);
	ok(bytes_equal(second.bytes, bytes_of("before")),
	   "the same in the next row, whatever was written meanwhile");
	ok(!still_current(&deps), "and it is known to be old");
	sql_release(stmt);
	is_str(rows_of(reader, "SELECT kv_get('main', 'a')"), "'after'",
	       "the next statement sees the new one");
}

static void
a_key_noted_late_is_not_trusted(struct sql_reader *reader)
{
	struct sql_text text;
	struct sql_stmt *stmt;
	struct sql_limits limits = { 0 };
	struct sql_deps deps;

	write_store("main", "late=before");
	sql_text_init(&text,
		      bytes_of("SELECT kv_get('main', x) FROM (SELECT 'a' AS x "
			       "UNION ALL SELECT 'late')"),
		      SQL_ADMIN);
	need(sql_prepare(reader, &text, &stmt, &read_error) == ERR_OK,
	     "cannot prepare");
	sql_deps_init(&deps);
	sql_deps_note(&deps, stmt);
	limits.deps = &deps;
	sql_run(stmt, &limits);
	need(sql_step(stmt, &read_error) == SQL_ROW, "no row");
	/* Its word is new now, the snapshot is not. */
	write_store("main", "late=after");
	need(sql_step(stmt, &read_error) == SQL_ROW, "no row");
	ok(!sql_deps_complete(&deps) || !still_current(&deps),
	   "a word noted behind the snapshot proves nothing");
	sql_release(stmt);
}

/* ---- under load ---------------------------------------------------------- */

/* Numbers that only grow, acknowledged in order. */
static struct {
	uint64_t acknowledged[3]; /* row, key 'n', key 'm' */
	uint64_t stop;
} load;

static void *
write_rows(void *unused)
{
	char sql[100];

	for (uint64_t n = 1; !ck_pr_load_64(&load.stop); n++) {
		snprintf(sql, sizeof(sql), "UPDATE numbers SET n = %llu",
			 (unsigned long long)n);
		need(database_run(&database, sql) == ERR_OK, "a write fails");
		ck_pr_store_64(&load.acknowledged[0], n);
	}
	return NULL;
}

static void *
write_keys(void *unused)
{
	char text[32];

	for (uint64_t n = 1; !ck_pr_load_64(&load.stop); n++) {
		const char *key = n & 1 ? "n" : "m";
		struct kv_op op;

		snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
		op = op_of(KV_PUT, key, text);
		need(store_op(&other_store, &op) == ERR_OK, "a put fails");
		ck_pr_store_64(&load.acknowledged[n & 1 ? 1 : 2], n);
	}
	return NULL;
}

struct kept {
	struct sql_deps deps;
	uint64_t values[3];
};

/* Of two keys the second is noted behind the snapshot; of one, none is. */
static void
read_numbers(struct sql_reader *reader, struct kept *kept, bool both)
{
	struct sql_limits limits = { .deps = &kept->deps };
	unsigned long long n, key_n, key_m;

	sql_deps_init(&kept->deps);
	need(sscanf(rows_under(reader, SQL_ROUTE,
			       both ? "SELECT n, CAST(kv_get('other', 'n') AS "
				      "INT), CAST(kv_get('other', 'm') AS INT) "
				      "FROM numbers"
				    : "SELECT n, CAST(kv_get('other', 'n') AS "
				      "INT), 9e18 FROM numbers",
			       &limits),
		    "%llu|%llu|%llu", &n, &key_n, &key_m) == 3,
	     "no numbers");
	kept->values[0] = n;
	kept->values[1] = key_n;
	kept->values[2] = both ? key_m : UINT64_MAX;
}

/* What was acknowledged before we look must be in what we take for current. */
static bool
is_never_stale(const struct kept *kept)
{
	uint64_t before[3];

	for (unsigned i = 0; i < 3; i++)
		before[i] = ck_pr_load_64(&load.acknowledged[i]);
	ck_pr_fence_load();
	if (!sql_deps_complete(&kept->deps) || !still_current(&kept->deps))
		return true;
	for (unsigned i = 0; i < 3; i++)
		if (kept->values[i] < before[i])
			return false;
	return true;
}

static bool
is_usable(const struct kept *kept)
{
	return sql_deps_complete(&kept->deps) && still_current(&kept->deps);
}

/* What is kept is looked at for a while: an acknowledgement takes its time. */
enum { KEPT = 64 };

static void
nothing_old_is_taken_for_current(struct sql_reader *reader)
{
	uint64_t until_ns =
		clock_mono_ns() + tap_rounds("SQL_DEPS_MS", 2000) * NS_PER_MS;
	static struct kept kept[KEPT];
	uint64_t reads = 0, usable = 0;
	bool never_stale = true, never_behind = true;
	pthread_t rows, keys;

	write_store("other", "n=0");
	write_store("other", "m=0");
	for (unsigned i = 0; i < KEPT; i++)
		kept[i].deps.lost = true;
	pthread_create(&rows, NULL, write_rows, NULL);
	pthread_create(&keys, NULL, write_keys, NULL);
	while (clock_mono_ns() < until_ns) {
		struct kept *next = &kept[reads++ % KEPT];
		uint64_t acknowledged[3];

		for (unsigned i = 0; i < 3; i++)
			acknowledged[i] = ck_pr_load_64(&load.acknowledged[i]);
		ck_pr_fence_load();
		read_numbers(reader, next, reads & 1);
		for (unsigned i = 0; i < 3; i++)
			never_behind &= next->values[i] >= acknowledged[i];
		usable += is_usable(next);
		for (unsigned i = 0; i < KEPT; i++)
			never_stale &= is_never_stale(&kept[i]);
	}
	ck_pr_store_64(&load.stop, 1);
	pthread_join(rows, NULL);
	pthread_join(keys, NULL);
	ok(never_behind, "no read gives what is older than what was answered");
	ok(never_stale, "of %llu reads none was old and taken for current",
	   (unsigned long long)reads);
	ok(usable > 0, "and some (%llu) were current",
	   (unsigned long long)usable);
}

/* ---- the schema ---------------------------------------------------------- */

static void
make_schema(void)
{
	static const char *const texts[] = {
		"CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
		"INSERT INTO t VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)",
		"CREATE TABLE child(a INTEGER PRIMARY KEY REFERENCES t(a) ON "
		"DELETE CASCADE ON UPDATE CASCADE)",
		"INSERT INTO child SELECT a FROM t",
		"CREATE TABLE grandchild(a REFERENCES child(a) ON DELETE SET "
		"NULL ON UPDATE CASCADE)",
		"INSERT INTO grandchild SELECT a FROM t",
		"CREATE TABLE log(x)",
		"CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log "
		"VALUES (new.a); END",
		"CREATE VIEW v AS SELECT a, b FROM t",
		"CREATE VIEW vv AS SELECT * FROM v",
		"CREATE TRIGGER vt INSTEAD OF INSERT ON v BEGIN INSERT INTO t "
		"VALUES (new.a, new.b); END",
		"CREATE TABLE unique_b(a, b UNIQUE)",
		"INSERT INTO unique_b VALUES (1, 1), (5, 5)",
		"CREATE TABLE serial(id INTEGER PRIMARY KEY AUTOINCREMENT, x)",
		"CREATE TABLE norow(x PRIMARY KEY) WITHOUT ROWID",
		"CREATE VIRTUAL TABLE words USING fts5(x)",
		"CREATE VIRTUAL TABLE words_vocab USING fts5vocab(words, row)",
		"CREATE TABLE wordsworth(x)",
		"CREATE TABLE docs(id INTEGER PRIMARY KEY, text)",
		"INSERT INTO docs VALUES (1, 'first')",
		"CREATE VIRTUAL TABLE docs_index USING fts5(text, "
		"content=docs, content_rowid=id)",
		"CREATE TRIGGER docs_added AFTER INSERT ON docs BEGIN INSERT "
		"INTO docs_index(rowid, text) VALUES (new.id, new.text); END",
		"CREATE VIRTUAL TABLE box USING rtree(id, lo, hi)",
		"CREATE VIEW stored AS SELECT kv_get('main', 'a') AS a",
		"CREATE TABLE numbers(n)",
		"INSERT INTO numbers VALUES (0)",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		database_must(&database, texts[i]);
}

int
main(void)
{
	struct kv *kvs[2];
	struct sql_reader *reader;

	make_root();
	store_init(&main_store, "main", false);
	store_open(&main_store);
	store_init(&other_store, "other", true);
	other_store.sequence = NULL;
	store_open(&other_store);
	kvs[0] = main_store.kv;
	kvs[1] = other_store.kv;
	database_init(&database, "database");
	database.options.stores = kvs;
	database.options.store_count = 2;
	database_open(&database);
	make_schema();
	write_store("main", "a=1");
	reader = take_reader(database.sql);
	writes_to_tables_change_what_was_read(reader);
	a_failed_write_changes_nothing(reader);
	dependencies_have_one_order(reader);
	too_many_tables_are_one_word(reader);
	the_time_is_found_when_it_is_asked(reader);
	writes_to_stores_change_what_was_read(reader);
	many_keys_are_one_store(reader);
	an_expiry_ends_a_reply(reader);
	one_statement_sees_one_snapshot(reader);
	a_key_noted_late_is_not_trusted(reader);
	nothing_old_is_taken_for_current(reader);
	sql_reader_give(reader);
	without_a_sequence_nothing_is_kept();
	database_close(&database);
	store_close(&other_store);
	store_close(&main_store);
	return tap_done();
}
