/* SPDX-License-Identifier: MIT */
/*
 * How deep SQLite gets into the stack with the deepest of what it accepts.
 * Statements run on fibers, whose stacks are small: at least half of one must
 * be left, whatever the statement, the schema and the values are.
 */
#include <pthread.h>

#include "core/fiber.h"
#include "tests/reading.h"

static struct database database;

enum {
	/* Of the thread that is measured; what is accepted may be deeper than
	 * a fiber's, and would show. */
	STACK = 1 << 20,
	ALLOWED = FIBER_STACK / 2,
	FILL = 0xA5,
};

/* ---- measuring ----------------------------------------------------------- */

struct measure {
	const char *sql;
	enum sql_policy policy;
	const struct sql_value *value; /* NULL: none */
	enum err err;
	char message[400];
	const uint8_t *top; /* where the stack was when it began */
};

static struct sql_reader *reader;

static void
prepare_and_run(struct measure *measure)
{
	struct sql_limits limits = { .steps = 3000000 };
	struct sql_text text;

	sql_text_init(&text, bytes_of(measure->sql), measure->policy);
	read_rows(reader, &text, measure->value, measure->value ? 1 : 0,
		  &limits, NULL);
	measure->err = read_error.err;
	snprintf(measure->message, sizeof(measure->message), "%s",
		 read_error.message);
}

static void *
run_measured(void *arg)
{
	struct measure *measure = arg;

	measure->top = __builtin_frame_address(0);
	prepare_and_run(measure);
	return NULL;
}

static size_t
used_of(const struct measure *measure, const uint8_t *stack)
{
	const uint8_t *lowest = stack;

	while (lowest < measure->top && *lowest == FILL)
		lowest++;
	return (size_t)(measure->top - lowest);
}

/* On a thread whose stack was filled before: what is not as it was, was
 * used. */
static size_t
measure_stack(struct measure *measure)
{
	uint8_t *stack = aligned_alloc(4096, STACK);
	pthread_attr_t attr;
	pthread_t thread;
	size_t used;

	need(stack, "out of memory");
	memset(stack, FILL, STACK);
	pthread_attr_init(&attr);
	need(pthread_attr_setstack(&attr, stack, STACK) == 0, "no stack");
	need(pthread_create(&thread, &attr, run_measured, measure) == 0,
	     "no thread");
	pthread_join(thread, NULL);
	pthread_attr_destroy(&attr);
	used = used_of(measure, stack);
	free(stack);
	return used;
}

/* The sanitizers' own frames are not SQLite's. */
static bool
counts(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(UNDER_TSAN)
	return false;
#else
	return true;
#endif
}

static size_t deepest;

static enum err
check(const char *name, const char *sql, const struct sql_value *value)
{
	struct measure with = { .sql = sql,
				.policy = SQL_ADMIN,
				.value = value };
	size_t used;

	/* It is prepared where we measure. */
	sql_statements_drop(&reader->connection);
	used = measure_stack(&with);
	ok(with.err != ERR_FAULT && (!counts() || used <= ALLOWED),
	   "%s: %zu KiB, %s", name, used >> 10, err_text(with.err));
	if (with.err)
		printf("# %.100s\n", with.message);
	if (used > deepest)
		deepest = used;
	return with.err;
}

/* ---- texts --------------------------------------------------------------- */

static char text[SQL_TEXT_MAX * 2];

/* `before` n times, middle, `after` n times. */
static const char *
nest(const char *begin, const char *before, const char *middle,
     const char *after, const char *end, unsigned n)
{
	size_t len = (size_t)sprintf(text, "%s", begin);

	for (unsigned i = 0; i < n; i++)
		len += (size_t)sprintf(text + len, "%s", before);
	len += (size_t)sprintf(text + len, "%s", middle);
	for (unsigned i = 0; i < n; i++)
		len += (size_t)sprintf(text + len, "%s", after);
	sprintf(text + len, "%s", end);
	return text;
}

static const struct {
	const char *name, *begin, *before, *middle, *after, *end;
} shapes[] = {
	{ "parentheses", "SELECT ", "(", "1", ")", "" },
	{ "sums to the right", "SELECT ", "(a+", "1", ")", " FROM t" },
	{ "sums to the left", "SELECT 1", "+a", "", "", " FROM t" },
	{ "conditions", "SELECT 1 FROM t WHERE a=1", " AND a=1", "", "", "" },
	{ "alternatives", "SELECT 1 FROM t WHERE a=1", " OR a=2", "", "", "" },
	{ "mixed conditions", "SELECT 1 FROM t WHERE ", "(a=1 OR (b=2 AND ",
	  "1", "))", "" },
	{ "negations", "SELECT ", "NOT ", "1", "", "" },
	{ "minuses", "SELECT ", "- ", "1", "", "" },
	{ "casts", "SELECT ", "CAST(", "a", " AS INT)", " FROM t" },
	{ "cases", "SELECT ", "CASE WHEN a THEN ", "1", " END", " FROM t" },
	{ "functions", "SELECT ", "abs(", "a", ")", " FROM t" },
	{ "coalesce", "SELECT ", "coalesce(a,", "1", ")", " FROM t" },
	{ "collations", "SELECT a", " COLLATE NOCASE", "", "", " FROM t" },
	{ "in lists", "SELECT ", "a IN (1,", "2", ")", " FROM t" },
	{ "concatenations", "SELECT ''", "||a", "", "", " FROM t" },
	{ "like", "SELECT ", "(a LIKE ", "1", ")", " FROM t" },
	{ "between", "SELECT ", "a BETWEEN 1 AND (", "1", ")", " FROM t" },
	{ "arrows", "SELECT '{}'", "->'a'", "", "", "" },
	{ "row values", "SELECT (a,b)=(", "(a,b)=(", "1,2", ")", ") FROM t" },
	{ "scalar subqueries", "", "SELECT (", "SELECT 1", ")", "" },
	{ "correlated subqueries", "SELECT ", "(SELECT a+", "1",
	  " FROM t WHERE a=1)", " FROM t" },
	{ "exists", "SELECT 1 WHERE ", "EXISTS (SELECT 1 FROM t WHERE ", "1",
	  ")", "" },
	{ "in subqueries", "SELECT 1 WHERE ", "1 IN (SELECT a FROM t WHERE ",
	  "1", ")", "" },
	{ "subqueries in FROM", "", "SELECT * FROM (", "SELECT * FROM t", ")",
	  "" },
	{ "subqueries that stay", "", "SELECT * FROM (",
	  "SELECT * FROM t LIMIT 5", ") LIMIT 9", "" },
	{ "aggregates of subqueries", "", "SELECT max(a) AS a FROM (",
	  "SELECT * FROM t", ") GROUP BY a", "" },
	{ "windows of subqueries", "",
	  "SELECT row_number() OVER (ORDER BY a) AS a FROM (",
	  "SELECT * FROM t", ")", "" },
	{ "joins in parentheses", "SELECT 1 FROM ", "(t JOIN ", "t", ")", "" },
	{ "compounds", "SELECT 1", " UNION SELECT 2", "", "", "" },
	{ "compounds of all", "SELECT 1", " UNION ALL SELECT 2", "", "", "" },
	{ "sorted compounds", "SELECT 1", " UNION SELECT 2", "", "",
	  " ORDER BY 1" },
	{ "compounds in compounds", "", "SELECT 1 EXCEPT SELECT * FROM (",
	  "SELECT 1", ")", "" },
	{ "many values", "INSERT INTO t VALUES (1,2)", ",(1,2)", "", "", "" },
	{ "values to read", "VALUES (1,2)", ",(1,2)", "", "", "" },
	{ "common tables in each other", "", "WITH x AS (", "SELECT 1",
	  ") SELECT * FROM x", "" },
	{ "window in window", "SELECT ", "sum(", "a", ") OVER ()", " FROM t" },
	{ "filters", "SELECT count(*) FILTER (WHERE ", "(a AND ", "1", ")",
	  ") FROM t" },
	{ "full-text brackets", "SELECT * FROM words WHERE words MATCH '", "(",
	  "a", ")", "'" },
	{ "full-text conditions", "SELECT * FROM words WHERE words MATCH '",
	  "(a OR ", "b", ")", "'" },
	{ "full-text negations", "SELECT * FROM words WHERE words MATCH '",
	  "a NOT (", "b", ")", "'" },
	{ "full-text list", "SELECT * FROM words WHERE words MATCH 'a",
	  " AND a", "", "", "'" },
	{ "likes of many parts", "SELECT printf('%.*c', 10000, 'a') LIKE '",
	  "%a", "", "", "b'" },
	{ "globs of many parts", "SELECT printf('%.*c', 10000, 'a') GLOB '",
	  "*a?", "", "", "b'" },
	{ "JSON arrays", "SELECT json('", "[", "1", "]", "')" },
	{ "JSON objects", "SELECT json('", "{\"a\":", "1", "}", "')" },
	{ "JSON paths", "SELECT json_extract('[]', '$", "[0]", "", "", "')" },
	{ "JSON trees", "SELECT count(*) FROM json_tree('", "[", "1", "]",
	  "')" },
	{ "JSON patches", "SELECT json_patch('{}', '", "{\"a\":", "1", "}",
	  "')" },
	{ "JSON set deep", "SELECT json_set('{}', '$", ".a", "", "", "', 1)" },
};

static void
nested_texts_leave_room(void)
{
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		size_t each =
			strlen(shapes[i].before) + strlen(shapes[i].after);
		size_t around = strlen(shapes[i].begin) +
				strlen(shapes[i].middle) +
				strlen(shapes[i].end);
		/* The longest that there is, and the deepest that is accepted
		 * below it. */
		unsigned n = (unsigned)((SQL_TEXT_MAX - around) / each);
		unsigned low = 1, high = n;
		char name[100];
		enum err err;

		err = check(shapes[i].name,
			    nest(shapes[i].begin, shapes[i].before,
				 shapes[i].middle, shapes[i].after,
				 shapes[i].end, n),
			    NULL);
		while (err && low + 1 < high) {
			struct measure tried = {
				.sql = nest(shapes[i].begin, shapes[i].before,
					    shapes[i].middle, shapes[i].after,
					    shapes[i].end, (low + high) / 2),
				.policy = SQL_ADMIN,
			};

			prepare_and_run(&tried);
			/* They cannot write, and have been prepared by then. */
			if (tried.err == ERR_OK || tried.err == ERR_STEPS ||
			    tried.err == ERR_NOT_READONLY)
				low = (low + high) / 2;
			else
				high = (low + high) / 2;
		}
		if (!err)
			continue;
		snprintf(name, sizeof(name), "%u of %s", low, shapes[i].name);
		err = check(name,
			    nest(shapes[i].begin, shapes[i].before,
				 shapes[i].middle, shapes[i].after,
				 shapes[i].end, low),
			    NULL);
	}
}

/* Each names the one before. */
static void
chains_in_a_text_leave_room(void)
{
	size_t len = (size_t)sprintf(text, "WITH c0 AS (SELECT 1 AS a)");
	char names[200];

	for (unsigned i = 1; len < SQL_TEXT_MAX - 200; i++) {
		len += (size_t)sprintf(text + len,
				       ",c%u AS (SELECT a FROM "
				       "c%u)",
				       i, i - 1);
		snprintf(names, sizeof(names), " SELECT * FROM c%u", i);
	}
	strcat(text, names);
	check("common tables one after the other", text, NULL);
	len = (size_t)sprintf(text, "CREATE TABLE computed(c0");
	for (unsigned i = 1; i < SQL_COLUMNS_MAX; i++)
		len += (size_t)sprintf(text + len, ", c%u AS (c%u + c0)", i,
				       i - 1);
	strcat(text, ")");
	database_must(&database, text);
	snprintf(text, sizeof(text), "SELECT c%d FROM computed",
		 SQL_COLUMNS_MAX - 1);
	check("computed columns one after the other", text, NULL);
	check("computed columns when written",
	      "INSERT INTO computed VALUES (1) RETURNING *", NULL);
}

/* ---- values -------------------------------------------------------------- */

static void
nested_values_leave_room(void)
{
	static const char *const functions[] = {
		"SELECT json(?)",
		"SELECT json_valid(?)",
		"SELECT json_extract(?, '$[0]')",
		"SELECT count(*) FROM json_tree(?)",
		"SELECT json_patch('{}', ?)",
		"SELECT json_array(json(?))",
		"SELECT json_set('{}', '$.a', json(?))",
		"SELECT json_group_array(json(?))",
		"SELECT ? -> '$[0]'",
	};
	static char value[200001];

	for (size_t i = 0; i < ARRAY_LEN(functions); i++)
		for (unsigned depth = 500; depth <= 100000;
		     depth += depth < 2500 ? 500 : 97500) {
			struct sql_value bound = {
				.kind = SQL_TEXT,
				.bytes = { value, 2 * depth + 1 },
			};
			char name[100];

			memset(value, '[', depth);
			value[depth] = '1';
			memset(value + depth + 1, ']', depth);
			snprintf(name, sizeof(name), "%u deep: %s", depth,
				 functions[i]);
			check(name, functions[i], &bound);
		}
}

/* ---- schemas ------------------------------------------------------------- */

static void
must(sqlite3 *db, const char *sql)
{
	need(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK,
	     sqlite3_errmsg(db));
}

enum { CHAIN = 400 };

/* Long chains, by a hand that knows no bounds. */
static void
make_chains(void)
{
	sqlite3 *db;
	char sql[500];

	need(sqlite3_open_v2(database.path, &db, SQLITE_OPEN_READWRITE,
			     sql_vfs_name) == SQLITE_OK,
	     "cannot open");
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	must(db, "BEGIN; CREATE VIEW view0 AS SELECT a, b FROM t;"
		 "CREATE VIEW agg0 AS SELECT a, b FROM t;"
		 "CREATE VIEW sub0 AS SELECT a FROM t;"
		 "CREATE TABLE link0(a INTEGER PRIMARY KEY);"
		 "CREATE TABLE chain0(a)");
	for (unsigned i = 1; i < CHAIN; i++) {
		snprintf(sql, sizeof(sql),
			 "CREATE VIEW view%u AS SELECT a, b FROM view%u;"
			 "CREATE VIEW agg%u AS SELECT max(a) AS a, b FROM "
			 "agg%u GROUP BY b;"
			 "CREATE VIEW sub%u AS SELECT (SELECT a FROM sub%u) AS "
			 "a",
			 i, i - 1, i, i - 1, i, i - 1);
		must(db, sql);
		snprintf(sql, sizeof(sql),
			 "CREATE TABLE chain%u(a); CREATE TRIGGER tr%u AFTER "
			 "INSERT ON chain%u BEGIN INSERT INTO chain%u VALUES "
			 "(new.a); END; CREATE TABLE link%u(a INTEGER PRIMARY "
			 "KEY REFERENCES link%u(a) ON DELETE CASCADE)",
			 i, i, i, i - 1, i, i - 1);
		must(db, sql);
	}
	must(db, "COMMIT");
	sqlite3_close(db);
}

static void
deep_schemas_leave_room(void)
{
	static const struct {
		const char *name, *before, *after;
	} chains[] = {
		{ "views of views", "SELECT * FROM view", "" },
		{ "counted views of views", "SELECT count(*) FROM view", "" },
		{ "views that stay", "SELECT * FROM agg", "" },
		{ "views in subqueries", "SELECT * FROM sub", "" },
		{ "triggers of triggers", "INSERT INTO chain", " VALUES (1)" },
		{ "cascades of cascades", "DELETE FROM link0 WHERE a > ", "" },
	};
	static const unsigned depths[] = { 5, 50, CHAIN - 1 };
	char name[100], sql[100];

	for (size_t i = 0; i < ARRAY_LEN(chains); i++)
		for (size_t k = 0; k < ARRAY_LEN(depths); k++) {
			/* Columns of views are found once a connection. */
			struct sql_reader *before = reader;

			reader = take_reader(database.sql);
			snprintf(name, sizeof(name), "%u %s", depths[k],
				 chains[i].name);
			snprintf(sql, sizeof(sql), "%s%u%s", chains[i].before,
				 depths[k], chains[i].after);
			check(name, sql, NULL);
			sql_reader_give(reader);
			reader = before;
		}
	ok(err_of(reader, SQL_ADMIN, "SELECT * FROM view5") == ERR_OK,
	   "a few views of views are fine");
}

static void
the_committer_has_the_same_bounds(void)
{
	is_err(database_run(&database, "INSERT INTO chain10 VALUES (1)"),
	       ERR_OK, "a chain of ten triggers is run");
	is_u64((uint64_t)database_number(&database, "SELECT count(*) FROM "
						    "chain0"),
	       1, "to its end");
	is_err(database_run(&database, "INSERT INTO chain300 VALUES (1)"),
	       ERR_BAD, "one of hundreds is refused");
	ok(strstr(database.error.message, "too deeply") != NULL,
	   "for its depth");
	is_err(database_run(&database, "INSERT INTO chain10 VALUES (1)"),
	       ERR_OK, "and the next write is not affected");
}

/* ---- on a fiber ---------------------------------------------------------- */

struct probe {
	struct fiber_task task;
	uint64_t done;
	unsigned good;
};

static void
run_probe(struct fiber_task *task)
{
	struct probe *probe = CONTAINER_OF(task, struct probe, task);
	struct sql_reader *mine = take_reader(database.sql), *before = reader;

	reader = mine;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		for (unsigned n = 10; n < 3000; n *= 3) {
			struct measure tried = { .policy = SQL_ADMIN };
			size_t each = strlen(shapes[i].before) +
				      strlen(shapes[i].after);

			if (n * each > SQL_TEXT_MAX - 100)
				break;
			tried.sql = nest(shapes[i].begin, shapes[i].before,
					 shapes[i].middle, shapes[i].after,
					 shapes[i].end, n);
			prepare_and_run(&tried);
			probe->good += tried.err == ERR_OK;
		}
	reader = before;
	sql_reader_give(mine);
	ck_pr_store_64(&probe->done, 1);
}

static void
a_fiber_bears_all_of_it(void)
{
	struct sched_options options = { .workers = 1 };
	struct probe probe = { .task = { .run = run_probe, .name = "probe" } };
	struct sched *sched;

	need(sched_create(&sched, &options) == ERR_OK &&
		     sched_start(sched, NULL, NULL, NULL) == ERR_OK,
	     "no scheduler");
	fiber_submit(sched, &probe.task);
	need(wait_for_count(&probe.done, 1), "a fiber does not end");
	ok(probe.good > 50,
	   "a fiber runs them all (%u are "
	   "accepted)",
	   probe.good);
	sched_stop(sched);
	sched_destroy(sched);
}

int
main(void)
{
	make_root();
	database_init(&database, "database");
	database_open(&database);
	database_must(&database, "CREATE TABLE t(a INTEGER, b)");
	database_must(&database, "INSERT INTO t VALUES (1, 2), (2, 3)");
	database_must(&database, "CREATE VIRTUAL TABLE words USING fts5(x)");
	make_chains();
	reader = take_reader(database.sql);
	nested_texts_leave_room();
	chains_in_a_text_leave_room();
	nested_values_leave_room();
	deep_schemas_leave_room();
	the_committer_has_the_same_bounds();
	a_fiber_bears_all_of_it();
	printf("# the deepest: %zu KiB of %d\n", deepest >> 10,
	       FIBER_STACK >> 10);
	sql_reader_give(reader);
	database_close(&database);
	return tap_done();
}
