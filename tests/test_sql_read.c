/* SPDX-License-Identifier: MIT */
/* Reading a database: statements, values, bounds, readers, and what fails. */
#include "core/fiber.h"
#include "core/json.h"
#include "core/sched.h"
#include "tests/reading.h"

static struct database database;

static struct sql_text
text_of(const char *sql)
{
	struct sql_text text;

	sql_text_init(&text, bytes_of(sql), SQL_ADMIN);
	return text;
}

static struct sql_stmt *
must_prepare(struct sql_reader *reader, const char *sql)
{
	struct sql_text text = text_of(sql);
	struct sql_stmt *stmt;

	need(sql_prepare(reader, &text, &stmt, &read_error) == ERR_OK,
	     read_error.message);
	return stmt;
}

#define COUNT_TO(n) \
	"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c " \
	"WHERE i < " n ") "

/* ---- values -------------------------------------------------------------- */

static void
values_come_back_as_they_were(struct sql_reader *reader)
{
	static const uint8_t blob[] = { 0, 0xff, 'a' };
	const struct sql_value values[] = {
		{ .kind = SQL_NULL },
		{ .kind = SQL_INTEGER, .integer = INT64_MIN },
		{ .kind = SQL_INTEGER, .integer = INT64_MAX },
		{ .kind = SQL_REAL, .real = 0.1 },
		{ .kind = SQL_TEXT, .bytes = { "gr\xc3\xbc\xc3\x9f", 6 } },
		{ .kind = SQL_TEXT, .bytes = { NULL, 0 } },
		{ .kind = SQL_BLOB, .bytes = { blob, sizeof(blob) } },
		{ .kind = SQL_BLOB, .bytes = { NULL, 0 } },
	};
	struct sql_text text = text_of("SELECT ?, ?, ?, ?, ?, ?, ?, ?, "
				       "typeof(?6), typeof(?8)");
	struct buffer out;

	buffer_init(&out, 10000);
	ok(read_rows(reader, &text, values, ARRAY_LEN(values), NULL, &out),
	   "values of each kind are bound");
	buffer_add(&out, "", 1);
	is_str(out.data,
	       "NULL|-9223372036854775808|9223372036854775807|"
	       "0.10000000000000001|'gr\xc3\xbc\xc3\x9f'|''|x00ff61|x|"
	       "'text'|'blob'",
	       "and come back as they were");
	buffer_fini(&out);
}

static void
bindings_end_with_the_release(struct sql_reader *reader)
{
	struct sql_stmt *stmt = must_prepare(reader, "SELECT ?1");
	struct sql_value value = { .kind = SQL_TEXT, .bytes = { "a", 1 } };

	need(sql_bind(stmt, 0, &value) == ERR_OK, "cannot bind");
	sql_run(stmt, NULL);
	need(sql_step(stmt, &read_error) == SQL_ROW, "no row");
	sql_release(stmt);
	is_str(rows_of(reader, "SELECT ?1"), "NULL",
	       "a parameter that is not bound again is NULL");
	stmt = must_prepare(reader, "SELECT ?1");
	is_err(sql_bind(stmt, 1, &value), ERR_BAD,
	       "one parameter more than there are is an error");
	sql_release(stmt);
}

static void
a_statement_describes_itself(struct sql_reader *reader)
{
	struct sql_stmt *stmt = must_prepare(
		reader, "SELECT id, name AS n, 1 + 1 FROM a "
			"WHERE id = :id AND name <> @other AND k > ?5");

	is_u64(sql_parameter_count(stmt), 5, "parameters are counted");
	is_str(sql_parameter_name(stmt, 0), "id", ":id is named id");
	is_str(sql_parameter_name(stmt, 1), "other", "@other is named other");
	ok(!sql_parameter_name(stmt, 4) && !sql_parameter_name(stmt, 3),
	   "?5 has no name, nor has what is not there");
	is_u64(sql_column_count(stmt), 3, "columns are counted");
	is_str(sql_column_name(stmt, 1), "n", "a column has its alias");
	is_str(sql_column_type(stmt, 0), "INTEGER", "and its declared type");
	is_str(sql_column_type(stmt, 2), "", "an expression has none");
	ok(sql_is_readonly(stmt) && !sql_is_explain(stmt) && !sql_sorts(stmt) &&
		   !sql_changes_schema(stmt) && !sql_is_unstable(stmt) &&
		   !sql_is_vacuum(stmt),
	   "it reads, and is nothing else");
	sql_release(stmt);
}

static void
what_a_statement_is(struct sql_reader *reader)
{
	static const struct {
		const char *sql;
		bool readonly, explain, sorts, schema, unstable, vacuum;
	} cases[] = {
		{ "SELECT * FROM a", .readonly = true },
		{ "SELECT * FROM a ORDER BY id", .readonly = true },
		{ "SELECT * FROM a ORDER BY k", .readonly = true,
		  .sorts = true },
		{ "SELECT k, count(*) FROM a GROUP BY k", .readonly = true,
		  .sorts = true },
		{ "EXPLAIN SELECT * FROM a ORDER BY k", .readonly = true,
		  .explain = true },
		{ "EXPLAIN QUERY PLAN DELETE FROM a", .readonly = true,
		  .explain = true },
		{ "INSERT INTO a(id) VALUES (7)", .readonly = false },
		{ "INSERT INTO a(id) VALUES (7) RETURNING id",
		  .readonly = false },
		{ "CREATE TABLE x(y)", .schema = true },
		{ "DROP INDEX a_name", .schema = true },
		{ "ALTER TABLE a RENAME TO aa", .schema = true },
		{ "ALTER TABLE a ADD COLUMN more", .schema = true },
		{ "REINDEX a", .schema = true },
		{ "VACUUM", .vacuum = true },
		{ " -- a comment\n /* and */ ;; vacuum MAIN ; ",
		  .vacuum = true },
		{ "SELECT random()", .readonly = true, .unstable = true },
		{ "SELECT * FROM a WHERE RandomBlob(4) = name",
		  .readonly = true, .unstable = true },
		{ "SELECT CURRENT_TIMESTAMP", .readonly = true,
		  .unstable = true },
		{ "SELECT last_insert_rowid()", .readonly = true,
		  .unstable = true },
		{ "SELECT * FROM a_random", .readonly = true,
		  .unstable = true },
		{ "SELECT strftime('%Y', name) FROM a", .readonly = true },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sql_stmt *stmt = must_prepare(reader, cases[i].sql);

		ok(sql_is_readonly(stmt) == cases[i].readonly &&
			   sql_is_explain(stmt) == cases[i].explain &&
			   sql_sorts(stmt) == cases[i].sorts &&
			   sql_changes_schema(stmt) == cases[i].schema &&
			   sql_is_unstable(stmt) == cases[i].unstable &&
			   sql_is_vacuum(stmt) == cases[i].vacuum,
		   "what it is: %.60s", i == 14 ? "VACUUM" : cases[i].sql);
		sql_release(stmt);
	}
}

/* ---- texts --------------------------------------------------------------- */

static void
one_statement_only(struct sql_reader *reader)
{
	static const struct {
		const char *sql;
		enum err err;
		int offset;
	} cases[] = {
		{ "", ERR_BAD, -1 },
		{ " \n\t", ERR_BAD, -1 },
		{ "-- nothing", ERR_BAD, -1 },
		{ "/* nothing */ ;;", ERR_BAD, -1 },
		{ "/* never closed", ERR_BAD, -1 },
		{ "SELECT 1", ERR_OK, 0 },
		{ ";SELECT 1;", ERR_OK, 0 },
		{ "SELECT 1; -- done\n;/* really */", ERR_OK, 0 },
		{ "SELECT 1; SELECT 2", ERR_BAD, 10 },
		{ "SELECT 1;SELEC", ERR_BAD, 9 },
		{ "SELECT ';'; -- ;", ERR_OK, 0 },
		{ "SELEC 1", ERR_SYNTAX, 0 },
		{ "SELECT 1 FROM nowhere", ERR_SYNTAX, -1 },
		{ "SELECT nothing FROM a", ERR_SYNTAX, 7 },
		{ "SELECT \"text\"", ERR_SYNTAX, 7 },
		{ "SELECT nofunction(1)", ERR_SYNTAX, 7 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum err err = err_of(reader, SQL_ADMIN, cases[i].sql);

		if (!ok(err == cases[i].err &&
				(!err || read_error.offset == cases[i].offset),
			"case %zu of texts: %s", i, err_text(cases[i].err)))
			printf("# %s: %s at %d: %s\n", cases[i].sql,
			       err_text(err), read_error.offset,
			       read_error.message);
	}
}

static void
odd_texts_are_refused(struct sql_reader *reader)
{
	size_t size = SQL_TEXT_MAX + 1;
	char *long_text = malloc(size + 1);
	struct sql_text text;

	sql_text_init(&text, (struct bytes){ "SELECT 1\0;", 10 }, SQL_ADMIN);
	ok(!read_rows(reader, &text, NULL, 0, NULL, NULL), "a NUL byte is none "
							   "of SQL's");
	is_err(read_error.err, ERR_BAD, "and said to be bad");
	memset(long_text, ' ', size);
	memcpy(long_text, "SELECT 1", 8);
	long_text[size] = '\0';
	is_err(err_of(reader, SQL_ADMIN, long_text), ERR_TOO_LARGE,
	       "a text beyond the limit is too large");
	ok(strstr(read_error.message, "65536") != NULL, "and the limit is "
							"said");
	long_text[size - 1] = '\0';
	is_err(err_of(reader, SQL_ADMIN, long_text), ERR_OK,
	       "one of the limit's length is not");
	free(long_text);
}

/* ---- what is kept -------------------------------------------------------- */

static void
statements_are_kept_by_text_and_policy(struct sql_reader *reader)
{
	struct sql_stmt *first = must_prepare(reader, "SELECT 11"), *again;
	struct sql_text text = text_of("SELECT 11");
	sqlite3_stmt *handle = first->handle;

	sql_release(first);
	again = must_prepare(reader, "SELECT 11");
	ok(again == first && again->handle == handle,
	   "the same text gives the same statement");
	sql_release(again);
	sql_text_init(&text, bytes_of("SELECT 11"), SQL_ROUTE);
	need(sql_prepare(reader, &text, &again, &read_error) == ERR_OK,
	     "cannot prepare");
	ok(again != first, "not for another policy");
	sql_release(again);
}

static void
a_held_text_can_be_had_twice(struct sql_reader *reader)
{
	unsigned kept = reader->connection.kept;
	struct sql_stmt *one =
		must_prepare(reader, COUNT_TO("5") "SELECT i FROM c");
	struct sql_stmt *two =
		must_prepare(reader, COUNT_TO("5") "SELECT i FROM c");
	struct sql_value a, b;

	ok(one != two, "a text that is held gives another statement");
	is_u64(reader->connection.kept, kept + 1, "of which one is kept");
	sql_run(one, NULL);
	sql_run(two, NULL);
	need(sql_step(one, &read_error) == SQL_ROW &&
		     sql_step(one, &read_error) == SQL_ROW &&
		     sql_step(two, &read_error) == SQL_ROW,
	     "no rows");
	sql_column(one, 0, &a);
	sql_column(two, 0, &b);
	ok(a.integer == 2 && b.integer == 1, "each goes its own way");
	sql_release(one);
	need(sql_step(two, &read_error) == SQL_ROW, "no row");
	sql_release(two);
	ok(must_prepare(reader, COUNT_TO("5") "SELECT i FROM c") == one,
	   "the kept one goes on being kept");
	sql_release(one);
}

static void
the_least_used_goes_first(struct sql_reader *reader)
{
	struct sql_connection *connection = &reader->connection;
	struct sql_stmt *held = must_prepare(reader, "SELECT 'held'");
	char sql[64];

	sql_release(must_prepare(reader, "SELECT 'oldest'"));
	for (unsigned i = 0; i < SQL_STATEMENTS_KEPT; i++) {
		snprintf(sql, sizeof(sql), "SELECT 'many', %u", i);
		sql_release(must_prepare(reader, sql));
		if (i % 100 == 0)
			sql_release(must_prepare(reader, "SELECT 'often'"));
	}
	is_u64(connection->kept, SQL_STATEMENTS_KEPT, "so many are kept");
	ok(connection->oldest == held || held->newer,
	   "one that is held stays, however old");
	sql_run(held, NULL);
	ok(sql_step(held, &read_error) == SQL_ROW, "and works");
	sql_release(held);
	snprintf(sql, sizeof(sql), "SELECT 'many', %u", 200);
	{
		uint64_t prepared = database.sql->prepared;

		sql_release(must_prepare(reader, sql));
		sql_release(must_prepare(reader, "SELECT 'often'"));
		is_u64(database.sql->prepared, prepared,
		       "what was used lately is still there");
		sql_release(must_prepare(reader, "SELECT 'oldest'"));
		is_u64(database.sql->prepared, prepared + 1,
		       "what was not is gone");
	}
}

/* Such a text is 60 KB, its program ten times that. */
static struct sql_stmt *
prepare_large(struct sql_reader *reader, unsigned number)
{
	static char sql[SQL_TEXT_MAX];
	size_t len = (size_t)sprintf(sql, "VALUES (%u)", number);

	while (len < 60000)
		len += (size_t)sprintf(sql + len, ",(%zu)", len);
	return must_prepare(reader, sql);
}

static void
large_ones_go_sooner(struct sql_reader *reader)
{
	struct sql_connection *connection = &reader->connection;
	struct sql_stmt *held = must_prepare(reader, "SELECT 'held'");
	uint64_t prepared;
	unsigned kept;

	for (unsigned i = 0; i < 50; i++)
		sql_release(prepare_large(reader, i));
	kept = connection->kept;
	ok(kept > 1 && kept < 40, "of 50 large statements %u are kept", kept);
	ok(connection->kept_bytes > SQL_BYTES_KEPT / 2 &&
		   connection->kept_bytes <= SQL_BYTES_KEPT,
	   "which are %zu KiB", connection->kept_bytes >> 10);
	prepared = database.sql->prepared;
	sql_release(prepare_large(reader, 49));
	is_u64(database.sql->prepared, prepared, "the last is among them");
	sql_release(prepare_large(reader, 0));
	is_u64(database.sql->prepared, prepared + 1, "the first is not");
	sql_run(held, NULL);
	ok(sql_step(held, &read_error) == SQL_ROW, "one that is held stays");
	sql_release(held);
	need(sql_reader_refresh(reader) == ERR_OK, "cannot refresh");
	is_u64(connection->kept_bytes, 0, "what is forgotten has no bytes");
}

static void
a_new_schema_is_seen_at_once(struct sql_reader *reader)
{
	struct sql_limits limits = { 0 };
	struct sql_deps deps;
	struct sql_stmt *stmt;

	database_must(&database, "CREATE TABLE grows(x)");
	database_must(&database, "INSERT INTO grows VALUES (1)");
	is_str(rows_of(reader, "SELECT * FROM grows"), "1", "one column");
	database_must(&database, "ALTER TABLE grows ADD COLUMN y DEFAULT 2");
	sql_deps_init(&deps);
	limits.deps = &deps;
	is_str(rows_under(reader, SQL_ADMIN, "SELECT * FROM grows", &limits),
	       "1|2", "two columns, by the statement that was kept");
	ok(deps.lost, "what it read is not known for sure then");
	sql_deps_init(&deps);
	is_str(rows_under(reader, SQL_ADMIN, "SELECT * FROM grows", &limits),
	       "1|2", "and the next time");
	ok(!deps.lost, "it is");
	database_must(&database, "CREATE INDEX grows_x ON grows(x)");
	stmt = must_prepare(reader, "SELECT x FROM grows ORDER BY x");
	ok(!sql_sorts(stmt), "with an index it does not sort");
	sql_release(stmt);
	database_must(&database, "DROP INDEX grows_x");
	is_str(rows_of(reader, "SELECT x FROM grows ORDER BY x"), "1",
	       "without the index it goes on");
	stmt = must_prepare(reader, "SELECT x FROM grows ORDER BY x");
	ok(sql_sorts(stmt), "and is known to sort from then on");
	sql_release(stmt);
	database_must(&database, "DROP TABLE grows");
	is_err(err_of(reader, SQL_ADMIN, "SELECT * FROM grows"), ERR_BAD,
	       "a table that is gone is an error");
	is_err(err_of(reader, SQL_ADMIN, "SELECT * FROM grows"), ERR_SYNTAX,
	       "a text that cannot be prepared any more");
}

/* ---- snapshots ----------------------------------------------------------- */

static void
an_answered_write_is_seen(struct sql_reader *reader)
{
	database_must(&database, "INSERT INTO counter VALUES (1)");
	for (unsigned i = 0; i < 20; i++) {
		int64_t n;

		database_must(&database, "UPDATE counter SET n = n + 1");
		n = atoll(rows_of(reader, "SELECT n FROM counter"));
		if (n != i + 2) {
			ok(false, "read %lld after %u", (long long)n, i + 2);
			return;
		}
	}
	ok(true, "each answered write is seen by the next read");
}

static void
a_transaction_sees_one_state(struct sql_reader *reader)
{
	char before[64];

	need(sql_begin(reader) == ERR_OK, "cannot begin");
	snprintf(before, sizeof(before), "%s",
		 rows_of(reader, "SELECT n FROM counter"));
	database_must(&database, "UPDATE counter SET n = n + 1");
	is_str(rows_of(reader, "SELECT n FROM counter"), before,
	       "a transaction goes on seeing what it saw first");
	sql_end(reader);
	ok(strcmp(rows_of(reader, "SELECT n FROM counter"), before),
	   "its end lets the new state in");
	need(sql_begin(reader) == ERR_OK, "cannot begin again");
	rows_of(reader, "SELECT n FROM counter");
	sql_reader_give(reader);
	ok(sqlite3_get_autocommit(reader->connection.db) &&
		   sqlite3_txn_state(reader->connection.db, NULL) ==
			   SQLITE_TXN_NONE,
	   "giving the reader back ends what was begun");
	need(take_reader(database.sql) == reader, "another reader");
}

static void
readers_do_not_write(struct sql_reader *reader)
{
	is_err(err_of(reader, SQL_ADMIN, "DELETE FROM a"), ERR_NOT_READONLY,
	       "a reader cannot delete");
	is_err(err_of(reader, SQL_ADMIN, "CREATE TABLE no(x)"),
	       ERR_NOT_READONLY, "nor change the schema");
	is_err(err_of(reader, SQL_ADMIN,
		      "INSERT INTO a(id) VALUES (99) RETURNING id"),
	       ERR_NOT_READONLY, "nor insert, whatever is returned");
	is_str(rows_of(reader, "SELECT count(*) FROM a"), "3",
	       "and nothing has changed");
}

/* ---- bounds -------------------------------------------------------------- */

static void
bounds_end_a_statement(struct sql_reader *reader)
{
	unsigned cancel = 0;
	struct sql_limits limits = { .steps = 10000 };

	rows_under(reader, SQL_ADMIN, COUNT_TO("1e9") "SELECT count(*) FROM c",
		   &limits);
	is_err(read_error.err, ERR_STEPS, "a limit of steps ends it");
	limits = (struct sql_limits){ .deadline_ns = clock_mono_ns() +
						     20 * NS_PER_MS };
	rows_under(reader, SQL_ADMIN, COUNT_TO("1e9") "SELECT count(*) FROM c",
		   &limits);
	is_err(read_error.err, ERR_DEADLINE, "so does a deadline");
	ok(clock_mono_ns() < limits.deadline_ns + NS_PER_S * SLOWER,
	   "soon after it has come");
	cancel = 1;
	limits = (struct sql_limits){ .cancel = &cancel };
	rows_under(reader, SQL_ADMIN, COUNT_TO("1e9") "SELECT count(*) FROM c",
		   &limits);
	is_err(read_error.err, ERR_CANCELLED, "and a client that left");
	limits = (struct sql_limits){ .steps = 10000 };
	is_str(rows_under(reader, SQL_ADMIN, "SELECT count(*) FROM a", &limits),
	       "3", "the next statement is not affected");
}

static void
sorting_has_a_bound_of_its_own(struct sql_reader *reader)
{
	struct sql_limits limits = { .sort_steps = 1000 };

	rows_under(reader, SQL_ADMIN,
		   COUNT_TO("10000") "SELECT i FROM c ORDER BY -i", &limits);
	is_err(read_error.err, ERR_STEPS,
	       "a sort that is under way too long belongs elsewhere");
	rows_under(reader, SQL_ADMIN, COUNT_TO("1000") "SELECT i FROM c",
		   &limits);
	is_err(read_error.err, ERR_OK, "what does not sort may go on");
	is_str(rows_under(reader, SQL_ADMIN,
			  COUNT_TO("10") "SELECT i FROM c ORDER BY -i LIMIT 1",
			  &limits),
	       "10", "a small sort may");
}

static void
values_are_bounded(struct sql_reader *reader)
{
	static const char *const cases[] = {
		"SELECT zeroblob(1e9)",
		"SELECT length(hex(zeroblob(8388608)))",
		"SELECT length(replace(hex(zeroblob(100000)), '0', "
		"hex(zeroblob(10000))))",
		COUNT_TO("10000") "SELECT length(group_concat(hex(zeroblob("
				  "1000)))) FROM c",
		COUNT_TO("10000") "SELECT json_group_array(hex(zeroblob(1000)))"
				  " FROM c",
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		is_err(err_of(reader, SQL_ADMIN, cases[i]), ERR_TOO_LARGE,
		       cases[i]);
	ok(strstr(read_error.message, "16777216") != NULL, "the limit is said");
}

static void
memory_is_bounded(struct sql_reader *reader)
{
	struct sql_connection *connection = &reader->connection;
	int64_t max = connection->memory_max;
	char *many = malloc(SQL_TEXT_MAX + 1);
	size_t used = 0;

	/* Each constant is computed ahead, and stays. */
	used += (size_t)sprintf(many, "SELECT 1 WHERE 'a' IN ('b'");
	for (unsigned i = 0; i < 60; i++)
		used += (size_t)sprintf(many + used,
					", substr(hex(zeroblob(%u)), 1)",
					400000 - i);
	sprintf(many + used, ")");
	connection->memory_max = 16 << 20;
	is_err(err_of(reader, SQL_ADMIN, many), ERR_TOO_LARGE,
	       "many large values are too much together");
	ok(strstr(read_error.message, "16 MiB") != NULL, "the limit is said");
	is_str(rows_of(reader, "SELECT count(*) FROM a"), "3",
	       "the next statement is not affected");
	connection->memory_max = max;
	is_str(rows_of(reader, many), "", "with more memory it runs");
	free(many);
}

static void
sorts_do_not_fill_memory(struct sql_reader *reader)
{
	struct sql_connection *connection = &reader->connection;
	int64_t max = connection->memory_max;

	connection->memory_max = 8 << 20;
	is_str(rows_of(reader, COUNT_TO("20000") "SELECT sum(length(x)) FROM "
						 "(SELECT hex(zeroblob(500)) "
						 "AS x, i FROM c ORDER BY -i "
						 "LIMIT -1 OFFSET 0)"),
	       "20000000", "20 MB are sorted in less than half as much");
	connection->memory_max = max;
}

/* ---- readers and workers ------------------------------------------------- */

static void
a_pool_has_so_many_readers(struct sql_reader *first)
{
	struct sql_reader *more[SQL_READERS_MAX] = { first };
	struct sql_stats stats;
	enum err err;

	for (unsigned i = 1; i < SQL_READERS_MAX; i++)
		more[i] = take_reader(database.sql);
	sql_stats(database.sql, &stats);
	ok(stats.readers == SQL_READERS_MAX &&
		   stats.readers_busy == SQL_READERS_MAX,
	   "readers are made on demand, and counted");
	ok(!sql_reader_try_take(database.sql, &err) && err == ERR_OK,
	   "then there are no more");
	for (unsigned i = 1; i < SQL_READERS_MAX; i++)
		sql_reader_give(more[i]);
	sql_stats(database.sql, &stats);
	ok(stats.readers == SQL_READERS_MAX && stats.readers_busy == 1,
	   "one that is given back stays");
	more[1] = take_reader(database.sql);
	more[1]->given_ns = 0;
	sql_reader_give(more[1]);
	more[1]->next->next->given_ns = 0;
	more[1] = take_reader(database.sql);
	sql_reader_give(more[1]);
	sql_stats(database.sql, &stats);
	is_u64(stats.readers, SQL_READERS_MAX - 1,
	       "the last of the spare ones is closed after a while");
}

/* Fibers on one worker. */
struct job_fiber {
	struct fiber_task task;
	void (*body)(struct job_fiber *fiber);
	uint64_t *done;
	unsigned index;
	enum err err;
	uint64_t longest_ns, count_ns, count;
};

static unsigned order[8];
static unsigned ordered;

static void
run_job(struct fiber_task *task)
{
	struct job_fiber *fiber = CONTAINER_OF(task, struct job_fiber, task);

	fiber->body(fiber);
	ck_pr_fence_store();
	ck_pr_inc_64(fiber->done);
}

static void
run_fibers(struct job_fiber *fibers, unsigned count,
	   void (*body)(struct job_fiber *fiber))
{
	struct sched_options options = { .workers = 1 };
	struct sched *sched;
	uint64_t done = 0;

	need(sched_create(&sched, &options) == ERR_OK, "no scheduler");
	need(sched_start(sched, NULL, NULL, NULL) == ERR_OK, "no worker");
	for (unsigned i = 0; i < count; i++) {
		fibers[i] = (struct job_fiber){
			.task = { .run = run_job, .name = "test" },
			.body = body,
			.done = &done,
			.index = i,
		};
		fiber_submit(sched, &fibers[i].task);
	}
	need(wait_for_count(&done, count), "fibers do not end");
	sched_stop(sched);
	sched_destroy(sched);
}

static void
compute(struct job_fiber *fiber)
{
	struct sql_limits limits = { .slices = true };
	struct sql_reader *reader;
	struct sql_stmt *stmt;

	reader = sql_reader_take(database.sql, UINT64_MAX, &fiber->err);
	if (!reader)
		return;
	stmt = must_prepare(reader,
			    fiber->index ? COUNT_TO("100") "SELECT count(*) "
							   "FROM c"
					 : COUNT_TO("1000000") "SELECT count(*)"
							       " FROM c");
	fiber->count_ns = clock_mono_ns();
	sql_run(stmt, &limits);
	if (sql_step(stmt, &read_error) != SQL_ROW)
		fiber->err = read_error.err;
	fiber->longest_ns = sql_longest_ns(stmt);
	fiber->count_ns = clock_mono_ns() - fiber->count_ns;
	sql_release(stmt);
	sql_reader_give(reader);
	order[ordered++] = fiber->index;
}

static void
statements_share_a_worker(void)
{
	struct job_fiber fibers[3];

	ordered = 0;
	run_fibers(fibers, 3, compute);
	ok(fibers[0].err == ERR_OK && fibers[1].err == ERR_OK &&
		   fibers[2].err == ERR_OK,
	   "three statements run on one worker");
	ok(order[2] == 0, "the short ones end before the long one that began "
			  "first");
	ok(fibers[0].longest_ns > 0 &&
		   fibers[0].longest_ns < fibers[0].count_ns / 3,
	   "the long one ran in pieces (of %llu us at most)",
	   (unsigned long long)(fibers[0].longest_ns / 1000));
}

static uint64_t both_end_ns;
static unsigned arrived;

/* More fibers than readers: they take turns, in order. */
static void
wait_for_a_reader(struct job_fiber *fiber)
{
	struct sql_reader *reader;

	arrived++;
	reader = sql_reader_take(database.sql, UINT64_MAX, &fiber->err);
	if (!reader)
		return;
	order[ordered++] = fiber->index;
	/* Those that hold one let the others run into the line: one that came
	 * late might take what was free before one that was given its reader
	 * has run on. */
	while (arrived < 8)
		fiber_yield();
	sql_reader_give(reader);
}

static void
readers_are_waited_for_in_line(void)
{
	struct job_fiber fibers[8];
	bool in_order = true, good = true;

	ordered = arrived = 0;
	run_fibers(fibers, 8, wait_for_a_reader);
	for (unsigned i = 0; i < 8; i++) {
		good &= fibers[i].err == ERR_OK;
		in_order &= order[i] == i;
	}
	ok(good && ordered == 8, "eight fibers share four readers");
	ok(in_order, "first come, first served");
}

static void
wait_too_long(struct job_fiber *fiber)
{
	struct sql_reader *reader;

	if (fiber->index == SQL_READERS_MAX) {
		uint64_t deadline_ns = clock_mono_ns() + 5 * NS_PER_MS;

		reader =
			sql_reader_take(database.sql, deadline_ns, &fiber->err);
		if (reader)
			sql_reader_give(reader);
		both_end_ns = clock_mono_ns() + 20 * NS_PER_MS;
		return;
	}
	reader = sql_reader_take(database.sql, UINT64_MAX, &fiber->err);
	need(reader, "no reader");
	if (fiber->index < SQL_READERS_MAX)
		while (!both_end_ns || clock_mono_ns() < both_end_ns)
			fiber_yield();
	sql_reader_give(reader);
}

static void
waiting_has_a_deadline(void)
{
	struct job_fiber fibers[SQL_READERS_MAX + 2];

	both_end_ns = 0;
	run_fibers(fibers, SQL_READERS_MAX + 2, wait_too_long);
	is_err(fibers[SQL_READERS_MAX].err, ERR_DEADLINE,
	       "a reader that does not come is waited for until the deadline");
	is_err(fibers[SQL_READERS_MAX + 1].err, ERR_OK,
	       "who stood behind in the line gets one");
}

/* The reader comes at the very time at which the wait ends. */
static void
race(struct job_fiber *fiber)
{
	enum err err;

	for (unsigned i = 0; i < 300; i++) {
		uint64_t deadline_ns =
			clock_mono_ns() + (fiber->index * 7 + i) % 50 * 1000;
		struct sql_reader *reader =
			sql_reader_take(database.sql, deadline_ns, &err);
		uint64_t until_ns = clock_mono_ns() + (i % 50) * 1000;

		fiber->count += reader != NULL;
		while (reader && clock_mono_ns() < until_ns)
			fiber_yield();
		if (reader)
			sql_reader_give(reader);
		else
			fiber_yield();
	}
}

static void
a_reader_given_at_the_deadline_is_not_lost(void)
{
	struct job_fiber fibers[12];
	uint64_t got = 0;
	struct sql_stats stats;

	run_fibers(fibers, 12, race);
	for (unsigned i = 0; i < 12; i++)
		got += fibers[i].count;
	ok(got > 0 && got < 12 * 300, "some waits end with a reader (%llu)",
	   (unsigned long long)got);
	sql_stats(database.sql, &stats);
	is_u64(stats.readers_busy, 1, "and no reader is lost");
}

static const char long_value[] = "SELECT length(hex(zeroblob(1000000)))";

static void
read_long_value(struct job_fiber *fiber)
{
	static const struct sql_limits cases[] = { { .slices = true },
						   { .steps = 1000 },
						   { 0 } };
	struct sql_value value = { .kind = SQL_BLOB,
				   .bytes = { calloc(1, 2 << 20), 2 << 20 } };
	struct sql_reader *reader = take_reader(database.sql);
	struct sql_stmt *stmt = must_prepare(reader, "SELECT ?");

	rows_under(reader, SQL_ADMIN, long_value, &cases[fiber->index]);
	fiber->err = read_error.err;
	fiber->count = (uint64_t)sql_bind(stmt, 0, &value);
	sql_release(stmt);
	sql_reader_give(reader);
	free((void *)(uintptr_t)value.bytes.data);
}

static void
long_values_are_for_slow_threads(struct sql_reader *reader)
{
	struct job_fiber fibers[3];

	run_fibers(fibers, 3, read_long_value);
	is_err(fibers[0].err, ERR_STEPS, "a worker gives up 2 MB on a fiber");
	is_err(fibers[1].err, ERR_STEPS, "and in place");
	is_err(fibers[2].err, ERR_TOO_LARGE, "without bounds it is an error");
	is_err((enum err)fibers[0].count, ERR_STEPS,
	       "a worker's reader cannot take such a parameter");
	is_str(rows_of(reader, long_value), "2000000", "others can");
}

/* ---- errors -------------------------------------------------------------- */

static void
errors_are_translated(struct sql_reader *reader)
{
	static const struct {
		const char *sql;
		enum err err;
		const char *message;
	} cases[] = {
		{ "SELECT abs(-9223372036854775808)", ERR_BAD,
		  "integer overflow" },
		{ "SELECT json('{')", ERR_BAD, "malformed JSON" },
		{ "SELECT fail(404, 'no such ' || 'order')", ERR_CHOSEN,
		  "no such order" },
		{ "SELECT fail(503)", ERR_CHOSEN, "" },
		{ "SELECT fail(409, NULL)", ERR_CHOSEN, "" },
		{ "SELECT fail(200, 'fine')", ERR_BAD,
		  "fail(): 200 is not the status of an error" },
		{ "SELECT fail('x', 'y')", ERR_BAD,
		  "fail(): 0 is not the status of an error" },
		{ "SELECT kv_get('nowhere', 'a')", ERR_FORBIDDEN,
		  "there is no store \"nowhere\" that this SQL may see" },
		{ "SELECT CASE WHEN 1 THEN 'good' ELSE fail(400) END", ERR_OK,
		  "" },
		{ "SELECT * FROM a WHERE id = 77 AND fail(400)", ERR_OK, "" },
		{ "SELECT fail(404)", ERR_CHOSEN, "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		is_err(err_of(reader, SQL_ADMIN, cases[i].sql), cases[i].err,
		       cases[i].sql);
		is_str(read_error.message, cases[i].message, "its message");
	}
	is_u64(read_error.status, 404, "fail() chooses the status");
}

static void
messages_are_utf8(struct sql_reader *reader)
{
	static const char *const cases[] = {
		"SELECT fail(400, 'a' || CAST(x'ff' AS TEXT) || 'b')",
		"SELECT fail(400, replace(hex(zeroblob(300)), '0', '\xe2\x82\xac'))",
		"SELECT fail(400, 'a' || replace(hex(zeroblob(300)), '0', "
		"'\xe2\x82\xac'))",
		"SELECT fail(400, 'ab' || replace(hex(zeroblob(300)), '0', "
		"'\xe2\x82\xac'))",
		"SELECT \"gr\xc3\xbc\xc3\x9f\"",
		"SELECT '\xff' FROM \xff"
		"z",
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len;

		err_of(reader, SQL_ADMIN, cases[i]);
		len = strlen(read_error.message);
		ok(json_is_utf8((struct bytes){ read_error.message, len }) &&
			   (i == 0 || i > 3 || len > 395),
		   "a message is UTF-8, %zu bytes", len);
	}
	is_str(read_error.message, "no such table: ?z", "what is none is '?'");
}

static void
writes_fail_in_our_words(void)
{
	static const struct {
		const char *sql;
		enum err err;
	} cases[] = {
		{ "INSERT INTO a(id, name) VALUES (1, 'x')", ERR_CONFLICT },
		{ "INSERT INTO a(id, name) VALUES (50, 'one')", ERR_CONFLICT },
		{ "INSERT INTO child(a) VALUES (12345)", ERR_CONFLICT },
		{ "INSERT INTO a(id, name) VALUES (50, NULL)", ERR_CONSTRAINT },
		{ "INSERT INTO a(id, name, k) VALUES (50, 'x', -1)",
		  ERR_CONSTRAINT },
		{ "INSERT INTO strict VALUES ('text')", ERR_CONSTRAINT },
		{ "INSERT INTO a(id, name) VALUES ('text', 'x')",
		  ERR_CONSTRAINT },
		{ "INSERT INTO a(id, name) VALUES (666, 'x')", ERR_CONSTRAINT },
		{ "INSERT INTO a(id, name) VALUES (667, 'x')", ERR_CHOSEN },
		{ "INSERT INTO nowhere VALUES (1)", ERR_SYNTAX },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		is_err(database_run(&database, cases[i].sql), cases[i].err,
		       cases[i].sql);
		ok(!strstr(database.error.message, "/"), "no path in: %s",
		   database.error.message);
	}
}

/* ---- plans --------------------------------------------------------------- */

static void
plans_are_shown(struct sql_reader *reader)
{
	struct sql_text text =
		text_of("SELECT * FROM a WHERE id IN (SELECT a FROM child)");
	struct buffer out;

	buffer_init(&out, 10000);
	is_err(sql_plan(reader, &text, &out, &read_error), ERR_OK,
	       "a plan can be had");
	buffer_add(&out, "", 1);
	is_str(out.data,
	       "SEARCH a USING INTEGER PRIMARY KEY (rowid=?)\n"
	       "LIST SUBQUERY 1\n  SCAN child\n",
	       "and shows what is below what");
	buffer_clear(&out);
	text = text_of("DELETE FROM a WHERE k = 1");
	is_err(sql_plan(reader, &text, &out, &read_error), ERR_OK,
	       "also of what writes");
	text = text_of("EXPLAIN SELECT 1");
	is_err(sql_plan(reader, &text, &out, &read_error), ERR_BAD,
	       "not of a plan");
	text = text_of("PRAGMA journal_mode = DELETE");
	is_err(sql_plan(reader, &text, &out, &read_error), ERR_FORBIDDEN,
	       "nor of what is not allowed");
	text = text_of("SELEC");
	is_err(sql_plan(reader, &text, &out, &read_error), ERR_SYNTAX,
	       "nor of nonsense");
	buffer_fini(&out);
}

static void
note_scan(void *arg, const char *table, int64_t rows)
{
	buffer_addf(arg, "%s:%lld ", table, (long long)rows);
}

static void
full_scans_are_found(struct sql_reader *reader)
{
	static const struct {
		const char *sql, *scans;
	} cases[] = {
		{ "SELECT * FROM a WHERE id = 1", "" },
		{ "SELECT * FROM a WHERE name = 'x'", "" },
		{ "SELECT * FROM a WHERE id > 1", "" },
		{ "SELECT max(id) FROM a", "" },
		{ "SELECT max(name), 1 FROM a", "" },
		{ "SELECT * FROM a WHERE k = 1", "a:3 " },
		{ "SELECT count(*) FROM a", "a:3 " },
		{ "SELECT name FROM a AS other", "a:3 " },
		{ "SELECT * FROM \"odd \"\" name\"", "odd \" name:0 " },
		{ "SELECT * FROM norow", "norow:-1 " },
		{ "SELECT * FROM child JOIN a ON a.id = child.a", "child:0 " },
		{ "SELECT * FROM a_random", "a:3 " },
		{ "UPDATE a SET k = 1 WHERE k = 2", "a:3 " },
		{ "SELECT * FROM json_each('[1]')", "" },
		{ COUNT_TO("3") "SELECT * FROM c", "" },
		{ "SELECT * FROM a WHERE id IN (SELECT a FROM child)",
		  "child:0 " },
	};
	struct buffer out;

	buffer_init(&out, 10000);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sql_text text = text_of(cases[i].sql);

		buffer_clear(&out);
		need(sql_full_scans(reader, &text, note_scan, &out) == ERR_OK,
		     cases[i].sql);
		buffer_add(&out, "", 1);
		is_str(out.data, cases[i].scans, cases[i].sql);
	}
	buffer_fini(&out);
	database_must(&database, "ANALYZE");
	database_must(&database, "UPDATE sqlite_stat1 SET stat = '5000 1' "
				 "WHERE tbl = 'a'");
	{
		struct sql_text text = text_of("SELECT * FROM a WHERE k = 1");

		buffer_init(&out, 1000);
		need(sql_full_scans(reader, &text, note_scan, &out) == ERR_OK,
		     "cannot look");
		buffer_add(&out, "", 1);
		is_str(out.data, "a:5000 ", "rows are what ANALYZE counted");
		buffer_fini(&out);
	}
}

/* ---- odds and ends ------------------------------------------------------- */

static void
settings_are_what_they_should_be(struct sql_reader *reader)
{
	sqlite3 *db = reader->connection.db;
	static const struct {
		const char *pragma;
		int64_t value;
	} cases[] = {
		{ "PRAGMA query_only", 1 },
		{ "PRAGMA cache_size", 256 },
		{ "PRAGMA temp_store", 1 },
		{ "PRAGMA foreign_keys", 1 },
		{ "PRAGMA wal_autocheckpoint", 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		is_u64((uint64_t)number_from(db, cases[i].pragma),
		       (uint64_t)cases[i].value, cases[i].pragma);
	ok(sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, -1) == 0,
	   "nothing can be attached");
}

static void
make_schema(void)
{
	static const char *const texts[] = {
		"CREATE TABLE a(id INTEGER PRIMARY KEY, name TEXT NOT NULL, "
		"k INT CHECK (k IS NULL OR k >= 0))",
		"CREATE UNIQUE INDEX a_name ON a(name)",
		"INSERT INTO a(name) VALUES ('one'), ('two'), ('three')",
		"CREATE TABLE child(a INT REFERENCES a(id))",
		"CREATE TABLE strict(x INTEGER) STRICT",
		"CREATE TABLE counter(n INTEGER)",
		"CREATE TABLE \"odd \"\" name\"(x)",
		"CREATE TABLE norow(x PRIMARY KEY) WITHOUT ROWID",
		"CREATE VIEW a_random AS SELECT * FROM a WHERE random() <> 0",
		"CREATE TRIGGER t AFTER INSERT ON a WHEN new.id = 666 BEGIN "
		"SELECT RAISE(ABORT, 'not this one'); END",
		"CREATE TRIGGER f AFTER INSERT ON a WHEN new.id = 667 BEGIN "
		"SELECT fail(422, 'nor this'); END",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		database_must(&database, texts[i]);
}

int
main(void)
{
	struct sql_reader *reader;

	make_root();
	database_init(&database, "database");
	database_open(&database);
	make_schema();
	reader = take_reader(database.sql);
	settings_are_what_they_should_be(reader);
	values_come_back_as_they_were(reader);
	bindings_end_with_the_release(reader);
	a_statement_describes_itself(reader);
	what_a_statement_is(reader);
	one_statement_only(reader);
	odd_texts_are_refused(reader);
	statements_are_kept_by_text_and_policy(reader);
	a_held_text_can_be_had_twice(reader);
	the_least_used_goes_first(reader);
	large_ones_go_sooner(reader);
	a_new_schema_is_seen_at_once(reader);
	an_answered_write_is_seen(reader);
	a_transaction_sees_one_state(reader);
	readers_do_not_write(reader);
	bounds_end_a_statement(reader);
	sorting_has_a_bound_of_its_own(reader);
	values_are_bounded(reader);
	memory_is_bounded(reader);
	sorts_do_not_fill_memory(reader);
	a_pool_has_so_many_readers(reader);
	statements_share_a_worker();
	readers_are_waited_for_in_line();
	waiting_has_a_deadline();
	a_reader_given_at_the_deadline_is_not_lost();
	long_values_are_for_slow_threads(reader);
	errors_are_translated(reader);
	messages_are_utf8(reader);
	writes_fail_in_our_words();
	plans_are_shown(reader);
	full_scans_are_found(reader);
	sql_reader_give(reader);
	database_close(&database);
	return tap_done();
}
