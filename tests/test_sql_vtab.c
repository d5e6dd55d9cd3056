/* SPDX-License-Identifier: MIT */
/* Stores in SQL: the table kv and the function kv_get(). */
#include <ctype.h>

#include "core/fiber.h"
#include "core/sched.h"
#include "tests/reading.h"

static struct database database;
static struct store main_store, other_store, bytes_store;

static void
put(struct store *store, struct bytes key, struct bytes value, const char *type)
{
	struct kv_op op = { .kind = KV_PUT, .key = key, .value = value };

	if (type)
		op.type = bytes_of(type);
	need(store_op(store, &op) == ERR_OK, "cannot put");
}

static void
fill_stores(void)
{
	static const char *const keys[] = {
		"a",          "ab",         "abc",        "b",       "b%",
		"B",          "user:1",     "user:2",     "user:10", "user;",
		"2024-01-01", "2024-02-01", "2023-12-31", "z",
	};
	/* Two are not UTF-8. */
	static const char *const odd[] = { "\x01\xff", "12", "9",    "Abc",
					   "abd",      "m",  "z\xff" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		put(&main_store, bytes_of(keys[i]), bytes_of(keys[i]), NULL);
	put(&main_store, bytes_of("typed"), bytes_of("{\"a\":[1,2]}"),
	    "application/json");
	put(&main_store, bytes_of("empty"), bytes_of(""), NULL);
	put(&main_store, bytes_of("binary"), (struct bytes){ "\xff\0x", 3 },
	    NULL);
	put(&main_store, (struct bytes){ "\xff\xfe", 2 }, bytes_of("odd key"),
	    NULL);
	put(&main_store, bytes_of("7"), bytes_of("seven"), NULL);
	put(&other_store, bytes_of("a"), bytes_of("of other"), NULL);
	for (size_t i = 0; i < ARRAY_LEN(odd); i++)
		put(&bytes_store, bytes_of(odd[i]), bytes_of("1"), NULL);
}

/* ---- look-ups ------------------------------------------------------------ */

#define MAIN "FROM kv('main') "
#define BYTES "FROM kv('bytes') "

static const struct {
	const char *sql, *rows;
} queries[] = {
	{ "SELECT value " MAIN "WHERE key = 'a'", "'a'" },
	{ "SELECT value FROM kv WHERE store = 'main' AND key = 'ab'", "'ab'" },
	{ "SELECT value FROM kv WHERE key = 'a' AND store = 'other'",
	  "'of other'" },
	{ "SELECT store, key, value FROM kv('other')", "'other'|'a'|'of "
						       "other'" },
	{ "SELECT value " MAIN "WHERE key = 'none'", "" },
	{ "SELECT value " MAIN "WHERE key = ''", "" },
	{ "SELECT value " MAIN "WHERE key = NULL", "" },
	{ "SELECT value FROM kv(NULL)", "" },
	{ "SELECT value " MAIN "WHERE key = 7", "'seven'" },
	{ "SELECT value " MAIN "WHERE key = x'61'", "" },
	{ "SELECT value " MAIN "WHERE key = x'fffe'", "'odd key'" },
	{ "SELECT value " MAIN "WHERE key = hex(zeroblob(300))", "" },
	{ "SELECT key, value, typeof(value), type " MAIN
	  "WHERE key IN ('empty', 'typed') ORDER BY key",
	  "'empty'|''|'text'|NULL 'typed'|'{\"a\":[1,2]}'|'text'|"
	  "'application/json'" },
	{ "SELECT hex(value), typeof(value) " MAIN "WHERE key = 'binary'",
	  "'FF0078'|'blob'" },
	{ "SELECT value ->> '$.a[1]' " MAIN "WHERE key = 'typed'", "2" },
	{ "SELECT expires IS NULL, etag > 0, modified > 1600000000000 " MAIN
	  "WHERE key = 'a'",
	  "1|1|1" },

	{ "SELECT count(*) " MAIN, "19" },
	{ "SELECT key " MAIN "WHERE key >= 'user:' AND key < 'user;'",
	  "'user:1' 'user:10' 'user:2'" },
	{ "SELECT key " MAIN "WHERE key > 'user:1' AND key <= 'user;'",
	  "'user:10' 'user:2' 'user;'" },
	{ "SELECT key " MAIN "WHERE key BETWEEN 'ab' AND 'b'",
	  "'ab' 'abc' 'b'" },
	{ "SELECT key " MAIN "WHERE key > 'a' AND key > 'ab' AND key < 'b%' "
	  "AND key < 'z'",
	  "'abc' 'b'" },
	{ "SELECT key " MAIN "WHERE key GLOB 'user:*' ORDER BY key DESC",
	  "'user:2' 'user:10' 'user:1'" },
	{ "SELECT key " MAIN "WHERE key GLOB 'a?'", "'ab'" },
	{ "SELECT key " MAIN "WHERE key GLOB '[az]'", "'a' 'z'" },
	{ "SELECT key " MAIN "WHERE key LIKE 'USER:1%'", "'user:1' 'user:10'" },
	{ "SELECT key " MAIN "WHERE key LIKE 'b'", "'B' 'b'" },
	{ "SELECT key " MAIN "WHERE key LIKE '2024-%'",
	  "'2024-01-01' '2024-02-01'" },
	{ "SELECT key " MAIN "WHERE key LIKE 'b!%' ESCAPE '!'", "'b%'" },
	{ "SELECT key " MAIN "ORDER BY key LIMIT 2", "'2023-12-31' "
						     "'2024-01-01'" },
	{ "SELECT key " MAIN "WHERE key < 'b' ORDER BY key DESC LIMIT 3",
	  "'abc' 'ab' 'a'" },
	{ "SELECT key " MAIN "WHERE key <= 'b' AND key > 'ab' ORDER BY key "
	  "DESC",
	  "'b' 'abc'" },
	{ "SELECT key " MAIN "WHERE key >= 'y' AND key < 'a'", "" },
	{ "SELECT key " MAIN "WHERE key > NULL", "" },
	{ "SELECT hex(key) " MAIN "WHERE key > x'ff'", "'FFFE'" },
	{ "SELECT max(key), min(value) FROM kv('other')", "'a'|'of other'" },
	{ "SELECT count(*) " MAIN "WHERE key LIKE NULL", "0" },
	{ "SELECT count(*) " MAIN "WHERE key >= hex(zeroblob(300))", "19" },
	{ "SELECT count(*) " MAIN "WHERE key < hex(zeroblob(300))", "0" },

	{ "SELECT t.id, kv.value FROM t JOIN kv ON kv.store = 'main' AND "
	  "kv.key = t.key ORDER BY t.id",
	  "1|'a' 2|'user:2'" },
	{ "SELECT t.id, (SELECT value FROM kv(t.store) WHERE key = 'a') FROM t "
	  "ORDER BY t.id",
	  "1|'a' 2|'of other' 3|'a'" },
	{ "SELECT a.key FROM kv('main') a JOIN kv('other') b ON a.key = b.key",
	  "'a'" },
	{ "SELECT * FROM stored", "'a'|'ab'" },
	{ "SELECT key FROM stored_range", "'user:1' 'user:10' 'user:2'" },

	{ "SELECT key " BYTES, "x01ff '12' '9' 'Abc' 'abd' 'm' x7aff" },
	{ "SELECT key " BYTES "WHERE key < 'm'", "x01ff '12' '9' 'Abc' 'abd'" },
	{ "SELECT key " BYTES "WHERE key < 'm' ORDER BY key DESC",
	  "'abd' 'Abc' '9' '12' x01ff" },
	{ "SELECT key " BYTES "WHERE key >= 'm'", "'m' x7aff" },
	{ "SELECT key " BYTES "WHERE key <= x'01ff'", "x01ff" },
	{ "SELECT key " BYTES "WHERE key > x'01ff' AND key < x'61'",
	  "'12' '9' 'Abc'" },
	{ "SELECT key " BYTES "WHERE key BETWEEN x'61' AND 'z'", "'abd' 'm'" },
	{ "SELECT key " BYTES "WHERE key > 'z'", "x7aff" },
	{ "SELECT key " BYTES "WHERE key >= 12 AND key < 'B'",
	  "'12' '9' 'Abc'" },
	{ "SELECT k.key FROM t JOIN kv('bytes') k ON k.key < t.id WHERE t.id = "
	  "2",
	  "x01ff '12'" },
	{ "SELECT key " BYTES "WHERE +key < x'02'",
	  "x01ff '12' '9' 'Abc' 'abd' 'm'" },
	{ "SELECT key " BYTES "WHERE key > 9.5", "'Abc' 'abd' 'm' x7aff" },
	{ "SELECT key " BYTES "WHERE key < NULL", "" },
	{ "SELECT key " BYTES "WHERE key < ''", "" },
	{ "SELECT key " BYTES "WHERE key < '' ORDER BY key DESC", "" },
	{ "SELECT key " BYTES "WHERE key < hex(zeroblob(300)) ORDER BY key "
	  "DESC",
	  "x01ff" },
	{ "SELECT max(key) " BYTES "WHERE key < '2'", "'12'" },
	{ "SELECT t.id, k.key FROM t LEFT JOIN kv('bytes') k ON k.key > t.key "
	  "AND k.key <= 'm' ORDER BY t.id, k.key",
	  "1|'abd' 1|'m' 2|NULL 3|NULL" },
	{ "SELECT t.id FROM t LEFT JOIN kv('bytes') k ON k.key > t.key WHERE "
	  "k.key < 'm'",
	  "1" },
	{ "SELECT a.key, b.key FROM kv('bytes') a JOIN kv('bytes') b ON "
	  "b.key < a.key WHERE a.key < '9'",
	  "'12'|x01ff" },

	{ "SELECT key " BYTES "WHERE key = 'abc' COLLATE NOCASE", "'Abc'" },
	{ "SELECT key " BYTES "WHERE key COLLATE NOCASE IN ('ABC', 'ABD')",
	  "'Abc' 'abd'" },
	{ "SELECT key " BYTES "WHERE key COLLATE NOCASE BETWEEN 'ABD' AND "
	  "'M'",
	  "'abd' 'm'" },
	{ "SELECT key " BYTES "WHERE key < 'ABD' COLLATE NOCASE",
	  "'12' '9' 'Abc'" },
	{ "SELECT k.key FROM nocase n JOIN kv('bytes') k ON n.key = k.key",
	  "'Abc'" },
	{ "SELECT k.key FROM nocase n JOIN kv('bytes') k ON k.key = n.key",
	  "" },

	{ "SELECT key " MAIN "WHERE key = 'a' OR key >= 'user;' AND key < 'zz'",
	  "'a' 'user;' 'z'" },
	{ "SELECT key " MAIN "WHERE key GLOB 'ab*' OR key GLOB 'user:1*'",
	  "'ab' 'abc' 'user:1' 'user:10'" },
	{ "SELECT key FROM kv WHERE (store = 'main' AND key = 'a') OR (store = "
	  "'main' AND key = 'b')",
	  "'a' 'b'" },
	{ "SELECT key FROM kv WHERE (store = 'main' AND key = 'z') OR (store = "
	  "'main' AND key >= 'user;' AND key < 'zz')",
	  "'z' 'user;'" },
	{ "SELECT store, key FROM kv WHERE (store = 'main' AND key = 'a') OR "
	  "(store = 'other' AND key = 'a')",
	  "'main'|'a' 'other'|'a'" },
	{ "SELECT count(*), count(DISTINCT key) " MAIN, "19|19" },
	{ "SELECT t.id FROM t LEFT JOIN kv('bytes') k ON k.key = t.key WHERE "
	  "k.key IS NULL",
	  "1 2 3" },

	{ "SELECT kv_get('main', 'a')", "'a'" },
	{ "SELECT kv_get('main', 'none')", "NULL" },
	{ "SELECT kv_get('main', NULL), kv_get(NULL, 'a')", "NULL|NULL" },
	{ "SELECT kv_get('main', '')", "NULL" },
	{ "SELECT kv_get('main', hex(zeroblob(500)))", "NULL" },
	{ "SELECT kv_get('main', 7)", "'seven'" },
	{ "SELECT kv_get('main', x'fffe')", "'odd key'" },
	{ "SELECT kv_get('main', 'binary')", "xff0078" },
	{ "SELECT kv_get('main', 'empty') = ''", "1" },
	{ "SELECT kv_get('other', 'a') || '!'", "'of other!'" },
	{ "SELECT group_concat(kv_get('main', key), ',') FROM t",
	  "'a,user:2'" },
};

static void
stores_are_tables(struct sql_reader *reader)
{
	for (size_t i = 0; i < ARRAY_LEN(queries); i++)
		is_str(rows_of(reader, queries[i].sql), queries[i].rows,
		       queries[i].sql);
}

static void
what_cannot_be_is_said(struct sql_reader *reader)
{
	static const struct {
		const char *sql;
		enum err err;
		const char *message;
	} cases[] = {
		{ "SELECT * FROM kv", ERR_SYNTAX, "needs a store" },
		{ "SELECT * FROM kv WHERE key = 'a'", ERR_SYNTAX,
		  "needs a store" },
		{ "SELECT * FROM kv WHERE store > 'a'", ERR_SYNTAX,
		  "needs a store" },
		{ "SELECT * FROM kv WHERE key = 'a' OR store = 'main'",
		  ERR_SYNTAX, "needs a store" },
		{ "SELECT * FROM kv a JOIN kv b ON a.store = b.store",
		  ERR_SYNTAX, "needs a store" },
		{ "SELECT * FROM kv('nowhere')", ERR_FORBIDDEN, "nowhere" },
		{ "SELECT kv_get('nowhere', 'a')", ERR_FORBIDDEN, "nowhere" },
		{ "SELECT kv_get('main')", ERR_SYNTAX, "kv_get" },
		{ "INSERT INTO kv(store, key) VALUES ('main', 'x')",
		  ERR_FORBIDDEN, "may not be modified" },
		{ "DELETE FROM kv WHERE store = 'main'", ERR_FORBIDDEN,
		  "may not be modified" },
		{ "DROP TABLE kv", ERR_FORBIDDEN, "kv" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		is_err(err_of(reader, SQL_ADMIN, cases[i].sql), cases[i].err,
		       cases[i].sql);
		if (!ok(strstr(read_error.message, cases[i].message) != NULL,
			"its message"))
			printf("# %s\n", read_error.message);
	}
}

/* ---- how ----------------------------------------------------------------- */

/* Rows that the table gave, by the machine's operation for it. */
static int
rows_visited(struct sql_reader *reader, const char *sql)
{
	struct sql_text text;
	struct sql_stmt *stmt;
	int steps;

	sql_text_init(&text, bytes_of(sql), SQL_ADMIN);
	need(sql_prepare(reader, &text, &stmt, &read_error) == ERR_OK, sql);
	sqlite3_stmt_status(stmt->handle, SQLITE_STMTSTATUS_VM_STEP, 1);
	sql_run(stmt, NULL);
	while (sql_step(stmt, &read_error) == SQL_ROW)
		;
	steps = sqlite3_stmt_status(stmt->handle, SQLITE_STMTSTATUS_VM_STEP, 1);
	sql_release(stmt);
	return steps;
}

static void
bounds_are_used(struct sql_reader *reader)
{
	static const char *const bounded[] = {
		"SELECT value FROM kv('many') WHERE key = 'k500'",
		"SELECT value FROM kv('many') WHERE key IN ('k1', 'k2')",
		"SELECT value FROM kv('many') WHERE key BETWEEN 'k500' AND "
		"'k505'",
		"SELECT value FROM kv('many') WHERE key > 'k997'",
		"SELECT value FROM kv('many') WHERE key < 'k1001'",
		"SELECT value FROM kv('many') WHERE key GLOB 'k50?'",
		"SELECT value FROM kv('many') WHERE key GLOB 'k99*' ORDER BY "
		"key DESC",
		"SELECT value FROM kv('many') ORDER BY key LIMIT 5",
		"SELECT value FROM kv('many') ORDER BY key DESC LIMIT 5",
		"SELECT value FROM kv('many') WHERE key > 'k5' ORDER BY key "
		"DESC LIMIT 5",
	};
	int all = rows_visited(reader, "SELECT value FROM kv('many')");

	ok(all > 3000, "a whole store is %d operations", all);
	for (size_t i = 0; i < ARRAY_LEN(bounded); i++) {
		int steps = rows_visited(reader, bounded[i]);

		ok(steps < 200, "%d operations: %s", steps, bounded[i]);
	}
}

/* Against SQLite's own table with the same rows. */
static void
bounds_give_what_a_table_gives(struct sql_reader *reader)
{
	static const char *const ops[] = { "=",  "<",    "<=",  ">",
					   ">=", "GLOB", "LIKE" };
	static const char *const values[] = {
		"'a'",        "'ab'",     "'k5'",        "'K5%'", "'k5*'",
		"'*'",        "'%'",      "'z'",         "''",    "'k1%'",
		"'k1[0-5]*'", "'user:%'", "'\xc3\xbc%'", "12",    "1.5",
	};
	unsigned wrong = 0, tried = 0;
	char sql[500], theirs[4000];

	for (size_t a = 0; a < ARRAY_LEN(ops); a++)
		for (size_t b = 0; b < ARRAY_LEN(values); b++)
			for (size_t c = 0; c < ARRAY_LEN(ops) * 4; c++) {
				const char *second =
					values[(b * 7 + c) % ARRAY_LEN(values)];
				const char *order = c & 1 ? "DESC" : "ASC";

				snprintf(sql, sizeof(sql),
					 "SELECT count(*), min(key), "
					 "group_concat(key) FROM (SELECT key "
					 "FROM mirror WHERE key %s %s AND key "
					 "%s %s ORDER BY key %s)",
					 ops[a], values[b],
					 ops[c % ARRAY_LEN(ops)], second,
					 order);
				snprintf(theirs, sizeof(theirs), "%s",
					 rows_of(reader, sql));
				snprintf(sql, sizeof(sql),
					 "SELECT count(*), min(key), "
					 "group_concat(key) FROM (SELECT key "
					 "FROM kv('many') WHERE key %s %s AND "
					 "key %s %s ORDER BY key %s)",
					 ops[a], values[b],
					 ops[c % ARRAY_LEN(ops)], second,
					 order);
				tried++;
				if (strcmp(theirs, rows_of(reader, sql)) &&
				    wrong++ < 5)
					printf("# %s\n# %s\n# %s\n", sql,
					       theirs, rows_of(reader, sql));
			}
	ok(!wrong && tried > 1000,
	   "%u pairs of bounds give the same rows as a "
	   "table would",
	   tried);
}

static void
long_walks_end_at_their_bounds(struct sql_reader *reader)
{
	struct sql_limits limits = { .steps = 2000 };

	rows_under(reader, SQL_ROUTE,
		   "SELECT count(*) FROM kv('many') a, kv('many') b", &limits);
	is_err(read_error.err, ERR_STEPS, "a walk over stores has steps");
	limits = (struct sql_limits){ .deadline_ns = clock_mono_ns() +
						     20 * NS_PER_MS };
	rows_under(reader, SQL_ROUTE,
		   "SELECT count(*) FROM kv('many') a, kv('many') b, "
		   "kv('many') c",
		   &limits);
	is_err(read_error.err, ERR_DEADLINE, "and a deadline");
	is_str(rows_of(reader, "SELECT count(*) FROM kv('many')"), "1001",
	       "the next statement is not affected");
}

static void
expired_keys_are_not_there(struct sql_reader *reader)
{
	struct kv_op op = op_of(KV_PUT, "brief", "1");

	op.has_ttl = true;
	op.ttl_ms = 1;
	need(store_op(&other_store, &op) == ERR_OK, "cannot put");
	sleep_ms(5);
	is_str(rows_of(reader, "SELECT kv_get('other', 'brief')"), "NULL",
	       "not for kv_get()");
	is_str(rows_of(reader, "SELECT count(*) FROM kv('other')"), "1",
	       "not for the table");
}

static void
snapshots_are_given_back(struct sql_reader *reader)
{
	struct kv_stats stats;

	rows_of(reader, "SELECT count(*) FROM kv('main')");
	ok(!reader->connection.reads_open, "nothing runs: no snapshot is open");
	kv_stats(main_store.kv, &stats);
	is_u64(stats.oldest_reader, 0, "and none is behind");
	need(sql_begin(reader) == ERR_OK, "cannot begin");
	rows_of(reader, "SELECT count(*) FROM kv('main')");
	ok(reader->connection.reads_open, "in a transaction one stays");
	put(&main_store, bytes_of("a"), bytes_of("A"), NULL);
	is_str(rows_of(reader, "SELECT kv_get('main', 'a')"), "'a'",
	       "and shows what it showed");
	sql_end(reader);
	ok(!reader->connection.reads_open, "its end gives it back");
	is_str(rows_of(reader, "SELECT kv_get('main', 'a')"), "'A'",
	       "then the new value is seen");
	put(&main_store, bytes_of("a"), bytes_of("a"), NULL);
}

static void
too_many_snapshots_are_said(struct sql_reader *reader)
{
	struct kv_read *reads[64];
	struct sql_reader *second = take_reader(database.sql);
	unsigned count = 0;

	while (count < 64 &&
	       kv_read_create(main_store.kv, &reads[count]) == ERR_OK)
		count++;
	is_err(err_of(second, SQL_ROUTE, "SELECT kv_get('main', 'a')"),
	       ERR_OVERLOADED, "without a snapshot it is overload");
	is_err(err_of(second, SQL_ROUTE, "SELECT * FROM kv('main')"),
	       ERR_OVERLOADED, "for the table, too");
	while (count)
		kv_read_destroy(reads[--count]);
	is_err(err_of(second, SQL_ROUTE, "SELECT kv_get('main', 'a')"), ERR_OK,
	       "until there is one again");
	sql_reader_give(second);
}

static struct kv *same_stores[2];
static const char *const same_name[] = { "same" };

static void *
show_one_then_the_other(void *done)
{
	for (unsigned i = 0; i < 200000; i++)
		sql_show_stores(database.sql, &same_stores[i & 1], same_name, 1,
				false);
	__atomic_store_n((bool *)done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void
a_name_always_has_a_store(void)
{
	bool done = false;
	unsigned missed = 0;
	pthread_t thread;

	same_stores[0] = other_store.kv;
	same_stores[1] = bytes_store.kv;
	for (unsigned i = 0; i < 2; i++)
		need(sql_add_stores(database.sql, &same_stores[i], same_name,
				    1) == ERR_OK,
		     "cannot add a store");
	is_u64(sql_store_find(database.sql, bytes_of("same")), SQL_STORES_MAX,
	       "what is added is not shown yet");
	sql_show_stores(database.sql, same_stores, same_name, 1, false);
	need(!pthread_create(&thread, NULL, show_one_then_the_other, &done),
	     "no thread");
	while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE))
		missed += sql_store_find(database.sql, bytes_of("same")) ==
			  SQL_STORES_MAX;
	pthread_join(thread, NULL);
	is_u64(missed, 0, "one of two is seen while they change places");
}

/* Four readers of each of two databases look into the store at the same time,
 * and then do nothing. */
static void
idle_connections_leave_snapshots_to_others(void)
{
	enum { DATABASES = 2 };
	static struct database databases[DATABASES];
	const unsigned least = main_store.options.readers / 2;
	struct kv *kvs[] = { main_store.kv };
	const char *names[] = { "main" };
	struct kv_read *reads[64];
	unsigned good = 0, count = 0;

	for (unsigned i = 0; i < DATABASES; i++) {
		struct sql_reader *readers[SQL_READERS_MAX];
		char name[16];

		snprintf(name, sizeof(name), "idle-%u", i);
		database_init(&databases[i], name);
		databases[i].options.stores = kvs;
		databases[i].options.store_names = names;
		databases[i].options.store_count = 1;
		database_open(&databases[i]);
		for (unsigned j = 0; j < SQL_READERS_MAX; j++) {
			readers[j] = take_reader(databases[i].sql);
			good += err_of(readers[j], SQL_ROUTE,
				       "SELECT kv_get('main', 'a')") == ERR_OK;
		}
		for (unsigned j = 0; j < SQL_READERS_MAX; j++)
			sql_reader_give(readers[j]);
	}
	while (count < least &&
	       kv_read_create(main_store.kv, &reads[count]) == ERR_OK)
		count++;
	is_u64(good, DATABASES * SQL_READERS_MAX, "all connections look");
	is_u64(count, least, "half of the snapshots are there for others");
	while (count)
		kv_read_destroy(reads[--count]);
	for (unsigned i = 0; i < DATABASES; i++)
		database_close(&databases[i]);
}

static void
writes_may_read_stores(void)
{
	database_must(&database, "INSERT INTO copies SELECT key, value FROM "
				 "kv('main') WHERE key GLOB 'user:*'");
	is_u64((uint64_t)database_number(&database, "SELECT count(*) FROM "
						    "copies"),
	       3, "the committer sees the stores");
	put(&main_store, bytes_of("user:3"), bytes_of("3"), NULL);
	database_must(&database, "INSERT INTO copies SELECT 'x', "
				 "kv_get('main', 'user:3')");
	is_str(database_text(&database, "SELECT value FROM copies WHERE key = "
					"'x'"),
	       "3", "as they are at that time");
}

static void
make_schema(void)
{
	static const char *const texts[] = {
		"CREATE TABLE t(id INTEGER PRIMARY KEY, key, store)",
		"INSERT INTO t VALUES (1, 'a', 'main'), (2, 'user:2', "
		"'other'), (3, 'none', 'main')",
		"CREATE TABLE copies(key, value)",
		"CREATE TABLE nocase(key TEXT COLLATE NOCASE)",
		"INSERT INTO nocase VALUES ('ABC')",
		"CREATE TABLE mirror(key TEXT PRIMARY KEY)",
		"CREATE VIEW stored AS SELECT kv_get('main', 'a'), "
		"kv_get('main', 'ab')",
		"CREATE VIEW stored_range AS SELECT key FROM kv('main') WHERE "
		"key GLOB 'user:*'",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		database_must(&database, texts[i]);
}

static struct store many_store;

static void
fill_many(void)
{
	static char keys[1001][24];
	static struct kv_op ops[1001];

	for (unsigned i = 0; i < 1001; i++) {
		if (i < 1000)
			snprintf(keys[i], sizeof(keys[i]), "k%u", i);
		else
			snprintf(keys[i], sizeof(keys[i]),
				 "\xc3\xbc"
				 "ber");
		ops[i] = op_of(KV_PUT, keys[i], "1");
	}
	need(store_write(&many_store, ops, 1001, false) == ERR_OK,
	     "cannot fill a store");
	database_must(&database, "INSERT INTO mirror SELECT key FROM "
				 "kv('many')");
}

int
main(void)
{
	struct kv *kvs[4];
	const char *names[4] = { "main", "other", "many", "bytes" };
	struct sql_reader *reader;

	make_root();
	store_init(&main_store, "shop-main", false);
	store_open(&main_store);
	store_init(&other_store, "shop-other", false);
	store_open(&other_store);
	store_init(&many_store, "shop-many", true);
	store_open(&many_store);
	store_init(&bytes_store, "shop-bytes", true);
	store_open(&bytes_store);
	kvs[0] = main_store.kv;
	kvs[1] = other_store.kv;
	kvs[2] = many_store.kv;
	kvs[3] = bytes_store.kv;
	database_init(&database, "database");
	database.options.stores = kvs;
	database.options.store_names = names;
	database.options.store_count = 4;
	database_open(&database);
	make_schema();
	fill_stores();
	fill_many();
	reader = take_reader(database.sql);
	stores_are_tables(reader);
	what_cannot_be_is_said(reader);
	bounds_are_used(reader);
	bounds_give_what_a_table_gives(reader);
	long_walks_end_at_their_bounds(reader);
	expired_keys_are_not_there(reader);
	snapshots_are_given_back(reader);
	too_many_snapshots_are_said(reader);
	idle_connections_leave_snapshots_to_others();
	a_name_always_has_a_store();
	writes_may_read_stores();
	sql_reader_give(reader);
	database_close(&database);
	store_close(&bytes_store);
	store_close(&many_store);
	store_close(&other_store);
	store_close(&main_store);
	return tap_done();
}
