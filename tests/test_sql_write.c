/* SPDX-License-Identifier: MIT */
/*
 * What writes do to a database, and in which company: batches, failures of
 * one and of all, numbers, version words.
 */
#include "tests/database.h"

static struct database *
start(const char *name)
{
	struct database *database = malloc(sizeof(*database));

	database_init(database, name);
	database_open(database);
	return database;
}

static void
stop(struct database *database)
{
	database_close(database);
	free(database);
}

/* ---- one write ---------------------------------------------------------- */

static void
a_write_is_done_and_told(void)
{
	struct database *database = start("one.db");
	const struct sql_value values[] = {
		{ .kind = SQL_INTEGER, .integer = 7 },
		{ .kind = SQL_TEXT, .bytes = { "seven", 5 } },
	};
	struct job job;

	database_must(database, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
	job_init(&job);
	job_add(&job, "INSERT INTO t VALUES(?, ?)", values, 2);
	job_add(&job, "UPDATE t SET b = b || '!' RETURNING a", NULL, 0);
	job_add(&job, "SELECT count(*) FROM t", NULL, 0);
	ok(job_run(database, &job) == ERR_OK, "a write of three statements");
	is_u64(job.begins, 1, "begins once");
	is_u64(job.dones, 3, "each is told when it is done");
	is_u64(job.rows, 2, "RETURNING and SELECT give rows");
	is_u64((uint64_t)job.first, 1, "and see what those before have done");
	ok(job.write.seq > 0 && job.write.run_ns > 0, "it has a number");
	is_str(database_text(database, "SELECT b FROM t WHERE a = 7"), "seven!",
	       "it is there");
	job_of(&job, "UPDATE t SET b = 1");
	ok(job_run(database, &job) == ERR_OK && job.changes == 1 &&
		   job.rowid == 0,
	   "changes are counted, and no rowid is another write's");
	job_of(&job, "INSERT INTO t VALUES(100, 'x'), (200, 'y')");
	ok(job_run(database, &job) == ERR_OK && job.changes == 2 &&
		   job.rowid == 200,
	   "the last rowid is told");
	stop(database);
}

static void
what_a_write_only_reads_costs_no_commit(void)
{
	struct database *database = start("read.db");
	struct sql_stats before, after;
	struct job job;
	uint64_t any;

	database_must(database, "CREATE TABLE t(a)");
	sql_stats(database->sql, &before);
	any = version_word_note(&sql_words(database->sql)[SQL_WORD_ANY]);
	job_of(&job, "SELECT count(*) FROM t", "UPDATE t SET a = 1");
	ok(job_run(database, &job) == ERR_OK, "nothing is changed");
	ok(job.write.seq == 0, "it has no number");
	sql_stats(database->sql, &after);
	is_u64(after.wal_bytes, before.wal_bytes, "nothing is written");
	is_u64(version_word_note(&sql_words(database->sql)[SQL_WORD_ANY]), any,
	       "what was kept is good");
	stop(database);
}

static void
what_is_wrong_with_a_write_is_told(void)
{
	static const struct {
		const char *text;
		enum err err;
		int offset;
		const char *message;
	} cases[] = {
		{ "INSERT INTO t VALUES(1, 1)", ERR_CONFLICT, -1,
		  "UNIQUE constraint failed: t.a" },
		{ "INSERT INTO t VALUES(NULL, NULL)", ERR_CONSTRAINT, -1,
		  "NOT NULL constraint failed: t.b" },
		{ "INSERT INTO t VALUES(2, -1)", ERR_CONSTRAINT, -1,
		  "CHECK constraint failed: b > 0" },
		{ "INSERT INTO child VALUES(9999)", ERR_CONFLICT, -1,
		  "FOREIGN KEY constraint failed" },
		{ "INSERT INTO later VALUES(9999)", ERR_CONFLICT, -1,
		  "FOREIGN KEY constraint failed" },
		{ "INSERT INTO nowhere VALUES(9)", ERR_SYNTAX, -1,
		  "no such table: nowhere" },
		{ "INSER INTO t VALUES(9)", ERR_SYNTAX, 0,
		  "near \"INSER\": syntax error" },
		{ "INSERT OR FAIL INTO t SELECT 5, 1 UNION ALL SELECT 1, 1",
		  ERR_CONFLICT, -1, "UNIQUE constraint failed: t.a" },
		{ "SELECT 1; SELECT 2", ERR_BAD, 10,
		  "more than one SQL statement" },
		{ "COMMIT", ERR_FORBIDDEN, -1, NULL },
		{ "SAVEPOINT jackdaw", ERR_FORBIDDEN, -1, NULL },
	};
	struct database *database = start("wrong.db");

	database_must(database, "CREATE TABLE t(a INTEGER PRIMARY KEY,"
				" b NOT NULL CHECK(b > 0))");
	database_must(database, "CREATE TABLE child(a REFERENCES t)");
	database_must(database, "CREATE TABLE later(a REFERENCES t"
				" DEFERRABLE INITIALLY DEFERRED)");
	database_must(database, "INSERT INTO t VALUES(1, 1)");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct job jobs[3];

		/* Behind a good statement of its own, and between others. */
		job_of(&jobs[0], "INSERT INTO t(b) VALUES(10)");
		job_of(&jobs[1], "INSERT INTO t(b) VALUES(1000)",
		       cases[i].text);
		job_of(&jobs[2], "INSERT INTO t(b) VALUES(10)");
		run_together(database, jobs, 3);
		ok(jobs[1].write.item.err == cases[i].err, "%s: %s",
		   cases[i].text, err_text(jobs[1].write.item.err));
		if (cases[i].message)
			is_str(jobs[1].write.error.message, cases[i].message,
			       "it is said why");
		ok(jobs[1].write.error.err == cases[i].err &&
			   jobs[1].write.failed == 1 &&
			   jobs[1].write.error.offset == cases[i].offset,
		   "and where (%d)", jobs[1].write.error.offset);
		ok(jobs[0].write.item.err == ERR_OK &&
			   jobs[2].write.item.err == ERR_OK,
		   "the others are done");
		ok(jobs[0].begins == 1 && jobs[2].begins == 1 &&
			   jobs[0].write.seq && !jobs[1].write.seq &&
			   jobs[2].write.seq == jobs[0].write.seq + 1,
		   "once, with numbers in a row");
	}
	is_u64((uint64_t)database_number(database, "SELECT sum(b) FROM t"),
	       1 + 20 * ARRAY_LEN(cases), "nothing is left of what failed");
	stop(database);
}

static void
what_a_sink_refuses_is_undone(void)
{
	struct database *database = start("sink.db");
	struct job jobs[2];

	database_must(database, "CREATE TABLE t(a)");
	job_of(&jobs[0], "INSERT INTO t VALUES(1), (2), (3) RETURNING a");
	jobs[0].refuse_row = 2;
	job_of(&jobs[1], "INSERT INTO t VALUES(10)");
	run_together(database, jobs, 2);
	ok(jobs[0].write.item.err == ERR_TOO_LARGE, "it is too large");
	ok(jobs[1].write.item.err == ERR_OK, "the other is done");
	is_u64((uint64_t)database_number(database, "SELECT sum(a) FROM t"), 10,
	       "nothing is left of it");
	stop(database);
}

/* ---- batches ------------------------------------------------------------ */

static void
many_writes_share_a_commit(void)
{
	enum { COUNT = 64 };
	struct database *database = start("many.db");
	struct job *jobs = calloc(COUNT, sizeof(*jobs));
	struct lane_stats before, after;
	bool in_order = true;

	database_must(database, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
	lane_stats(sql_lane(database->sql), &before);
	for (unsigned i = 0; i < COUNT; i++)
		job_of(&jobs[i], "INSERT INTO t(b) VALUES('something')");
	run_together(database, jobs, COUNT);
	lane_stats(sql_lane(database->sql), &after);
	is_u64(after.batches - before.batches, 1 + 1, "64 in one batch");
	ok(after.sync_ns > before.sync_ns, "syncs are counted");
	for (unsigned i = 0; i < COUNT; i++)
		in_order &= jobs[i].write.item.err == ERR_OK &&
			    jobs[i].rowid == (int64_t)i + 1 &&
			    jobs[i].write.seq == jobs[0].write.seq + i;
	ok(in_order, "all are done, in order");
	free(jobs);
	stop(database);
}

static void
what_a_batch_has_no_time_for_comes_again(void)
{
	enum { COUNT = 10 };
	struct database *database = malloc(sizeof(*database));
	struct lane_stats before, after;
	struct job jobs[COUNT];

	database_init(database, "time.db");
	database->tuning.batch_ns = 1;
	database_open(database);
	database_must(database, "CREATE TABLE t(a)");
	lane_stats(sql_lane(database->sql), &before);
	for (unsigned i = 0; i < COUNT; i++)
		job_of(&jobs[i], "INSERT INTO t VALUES(1)");
	run_together(database, jobs, COUNT);
	lane_stats(sql_lane(database->sql), &after);
	is_u64(after.batches - before.batches, 1 + COUNT, "one a batch");
	is_u64((uint64_t)database_number(database, "SELECT count(*) FROM t"),
	       COUNT, "each is done once");
	stop(database);
}

/* What ends the transaction of all. */
static const struct {
	const char *text, *message;
	enum err err;
} enders[] = {
	{ "INSERT INTO rolls VALUES(1)", "no, all of it", ERR_CONSTRAINT },
	{ "INSERT OR ROLLBACK INTO t VALUES(1000, 'twice')",
	  "UNIQUE constraint failed: t.a", ERR_CONFLICT },
	{ "INSERT INTO strict VALUES(1)", "UNIQUE constraint failed: strict.a",
	  ERR_CONFLICT },
	{ "INSERT INTO t(b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
	  " SELECT i + 1 FROM n) SELECT i FROM n",
	  NULL, ERR_DEADLINE },
};

static struct database *
start_with_enders(const char *name)
{
	struct database *database = start(name);

	database_must(database, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
	database_must(database, "INSERT INTO t VALUES(1000, 'first')");
	database_must(database, "CREATE TABLE rolls(a)");
	database_must(database,
		      "CREATE TRIGGER roll AFTER INSERT ON rolls BEGIN"
		      " SELECT raise(ROLLBACK, 'no, all of it');"
		      " END");
	database_must(database,
		      "CREATE TABLE strict(a UNIQUE ON CONFLICT ROLLBACK)");
	database_must(database, "INSERT INTO strict VALUES(1)");
	return database;
}

static void
one_that_ends_the_transaction_fails_alone(void)
{
	enum { COUNT = 12, CULPRIT = 5 };
	struct database *database = start_with_enders("ends.db");

	for (size_t i = 0; i < ARRAY_LEN(enders); i++) {
		struct job *jobs = calloc(COUNT, sizeof(*jobs));
		bool good = true, again = true, once = true;
		char insert[64], count[80];

		snprintf(insert, sizeof(insert),
			 "INSERT INTO t(b) VALUES('case %zu') RETURNING a", i);
		snprintf(count, sizeof(count),
			 "SELECT count(*) FROM t WHERE b = 'case %zu'", i);
		for (unsigned j = 0; j < COUNT; j++)
			if (j == CULPRIT)
				job_of(&jobs[j], insert, enders[i].text);
			else
				job_of(&jobs[j], insert);
		jobs[CULPRIT].write.timeout_ns = 50 * NS_PER_MS;
		run_together(database, jobs, COUNT);
		for (unsigned j = 0; j < COUNT; j++) {
			if (j == CULPRIT)
				continue;
			good &= jobs[j].write.item.err == ERR_OK &&
				jobs[j].write.seq && jobs[j].rows == 1;
			if (j < CULPRIT)
				again &= jobs[j].begins == 2;
			else
				once &= jobs[j].begins == 1;
		}
		ok(jobs[CULPRIT].write.item.err == enders[i].err &&
			   jobs[CULPRIT].write.failed == 1,
		   "%s: %s", enders[i].text, jobs[CULPRIT].write.error.message);
		if (enders[i].message)
			is_str(jobs[CULPRIT].write.error.message,
			       enders[i].message, "it is said why");
		ok(jobs[CULPRIT].begins == 1, "it is run once");
		ok(good, "all others are done");
		ok(again,
		   "those before it are run again, and their sinks begin so");
		ok(once, "those behind it are run once");
		is_u64((uint64_t)database_number(database, count), COUNT - 1,
		       "each has been done once");
		free(jobs);
	}
	stop(database);
}

static void
several_that_end_the_transaction_fail_alone(void)
{
	enum { COUNT = 40 };
	struct database *database = start_with_enders("several.db");
	struct job *jobs = calloc(COUNT, sizeof(*jobs));
	unsigned good = 0, bad = 0, ended = 0;

	for (unsigned i = 0; i < COUNT; i++) {
		bool ends = i % 5 == 3;

		ended += ends;
		if (ends)
			job_of(&jobs[i], enders[i % 3].text);
		else if (i % 7 == 0)
			job_of(&jobs[i], "INSERT INTO t VALUES(1000, 'twice')");
		else
			job_of(&jobs[i], "INSERT INTO t(b) VALUES('good')");
	}
	run_together(database, jobs, COUNT);
	for (unsigned i = 0; i < COUNT; i++) {
		good += jobs[i].write.item.err == ERR_OK;
		bad += jobs[i].write.item.err == ERR_CONFLICT ||
		       jobs[i].write.item.err == ERR_CONSTRAINT;
	}
	is_u64(good + bad, COUNT, "all are decided");
	is_u64((uint64_t)database_number(
		       database, "SELECT count(*) FROM t WHERE b = 'good'"),
	       good, "the good ones are there, once");
	ok(good > COUNT / 2 && bad >= ended, "%u good, %u bad", good, bad);
	free(jobs);
	stop(database);
}

static void
a_deadline_of_reading_ends_only_its_write(void)
{
	struct database *database = start("slow.db");
	struct job jobs[3];

	database_must(database, "CREATE TABLE t(a)");
	job_of(&jobs[0], "INSERT INTO t VALUES(1)");
	job_of(&jobs[1], "INSERT INTO t VALUES(2)",
	       "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
	       " SELECT count(*) FROM n");
	jobs[1].write.timeout_ns = 30 * NS_PER_MS;
	job_of(&jobs[2], "INSERT INTO t VALUES(4)");
	run_together(database, jobs, 3);
	ok(jobs[1].write.item.err == ERR_DEADLINE, "its time is over");
	ok(jobs[1].write.run_ns >= 30 * NS_PER_MS, "which was its limit");
	ok(jobs[0].begins == 1 && jobs[2].begins == 1, "nobody is run again");
	is_u64((uint64_t)database_number(database, "SELECT sum(a) FROM t"), 5,
	       "it is undone");
	stop(database);
}

static void
a_schema_may_change_within_a_batch(void)
{
	struct database *database = start("schema.db");
	struct job jobs[6];

	database_must(database, "CREATE TABLE t(a)");
	database_must(database, "INSERT INTO t VALUES(1)");
	job_of(&jobs[0], "INSERT INTO t VALUES(1)");
	job_of(&jobs[1], "ALTER TABLE t ADD COLUMN b DEFAULT 5",
	       "UPDATE t SET b = 6");
	job_of(&jobs[2], "INSERT INTO t VALUES(1)");
	job_of(&jobs[3], "CREATE TABLE u(a)", "INSERT INTO u VALUES(1)",
	       "INSERT INTO nowhere VALUES(1)");
	job_of(&jobs[4], "INSERT INTO t VALUES(1, 2)");
	job_of(&jobs[5], "CREATE TABLE u(a, b)", "INSERT INTO u VALUES(1, 2)");
	run_together(database, jobs, 6);
	ok(jobs[0].write.item.err == ERR_OK && jobs[1].write.item.err == ERR_OK,
	   "a column is added");
	ok(jobs[2].write.item.err == ERR_BAD,
	   "a statement that was kept sees it: %s",
	   jobs[2].write.error.message);
	ok(jobs[3].write.item.err == ERR_SYNTAX &&
		   jobs[4].write.item.err == ERR_OK &&
		   jobs[5].write.item.err == ERR_OK,
	   "a table that was made and undone can be made");
	is_u64((uint64_t)database_number(database, "SELECT sum(b) FROM t"),
	       6 + 6 + 2, "all is there");
	stop(database);
}

static void
a_vacuum_runs_alone(void)
{
	struct database *database = start("vacuum.db");
	struct job jobs[5];
	int64_t before, after;

	database_must(database, "CREATE TABLE t(a, b)");
	database_must(database,
		      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1"
		      " FROM n WHERE i < 500)"
		      " INSERT INTO t SELECT i, zeroblob(4000) FROM n");
	before = database_number(database, "PRAGMA page_count");
	job_of(&jobs[0], "DELETE FROM t WHERE a > 10");
	job_of(&jobs[1], "VACUUM");
	job_of(&jobs[2], "VACUUM", "SELECT 1");
	job_of(&jobs[3], "INSERT INTO t VALUES(0, 0)");
	job_of(&jobs[4], "VACUUM INTO 'elsewhere'");
	run_together(database, jobs, 5);
	ok(jobs[0].write.item.err == ERR_OK && jobs[3].write.item.err == ERR_OK,
	   "others are done");
	ok(jobs[1].write.item.err == ERR_OK, "a VACUUM: %s",
	   jobs[1].write.error.message);
	ok(jobs[1].begins >= 1 && jobs[1].dones == 1, "its sink is told");
	ok(jobs[2].write.item.err == ERR_BAD, "%s",
	   jobs[2].write.error.message);
	ok(jobs[4].write.item.err == ERR_FORBIDDEN, "%s",
	   jobs[4].write.error.message);
	after = database_number(database, "PRAGMA page_count");
	ok(after < before / 10, "from %lld to %lld pages", (long long)before,
	   (long long)after);
	ok(database_is_whole(database), "the file is whole");
	database_must(
		database,
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1"
		" FROM n WHERE i < 5000) INSERT INTO t SELECT i, i FROM n");
	job_of(&jobs[0], "VACUUM");
	jobs[0].write.timeout_ns = 1;
	ok(job_run(database, &jobs[0]) == ERR_DEADLINE,
	   "one that takes too long is given up");
	database_must(database, "INSERT INTO t VALUES(0, 0)");
	stop(database);
}

/* A reader that meets a commit takes the write lock for a moment. */
static void
a_lock_that_somebody_has_is_waited_for(void)
{
	struct database *database = start("lock.db");
	struct job job;
	sqlite3 *other;

	database_must(database, "CREATE TABLE t(a)");
	need(sqlite3_open_v2(database->path, &other, SQLITE_OPEN_READWRITE,
			     sql_vfs_name) == SQLITE_OK,
	     "cannot open");
	sqlite3_db_config(other, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	need(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL) ==
		     SQLITE_OK,
	     "cannot lock");
	job_of(&job, "INSERT INTO t VALUES(1)");
	job_submit(database, &job);
	sleep_ms(30);
	sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL);
	sqlite3_close(other);
	ok(job_wait(&job) == ERR_OK, "the write is done");
	stop(database);
}

/* ---- full --------------------------------------------------------------- */

static void
a_full_database_heals(void)
{
	struct database *database = malloc(sizeof(*database));
	struct sql_stats stats;
	struct job jobs[3];
	unsigned n = 0;

	database_init(database, "full.db");
	database->options.max_size = 1 << 20;
	database_open(database);
	database_must(database, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
	while (n < 1000 &&
	       database_run(database, "INSERT INTO t(b) VALUES"
				      "(zeroblob(20000))") == ERR_OK)
		n++;
	ok(n > 30 && n < 60, "%u rows of 20 kB fit 1 MiB", n);
	ok(database->error.err == ERR_FULL, "then it is full: %s",
	   database->error.message);
	sql_stats(database->sql, &stats);
	ok(stats.full, "which is told");
	job_of(&jobs[0], "INSERT INTO t(b) VALUES('small')");
	job_of(&jobs[1], "INSERT INTO t(b) VALUES(zeroblob(100000))");
	job_of(&jobs[2], "UPDATE t SET b = 'small' WHERE a = 1");
	run_together(database, jobs, 3);
	ok(jobs[0].write.item.err == ERR_OK && jobs[2].write.item.err == ERR_OK,
	   "what fits is done");
	ok(jobs[1].write.item.err == ERR_FULL, "what does not is refused");
	database_must(database, "DELETE FROM t WHERE a > 5");
	sql_stats(database->sql, &stats);
	ok(!stats.full, "after a delete it is not full");
	ok(database_run(database,
			"INSERT INTO t(b) VALUES(zeroblob(100000))") == ERR_OK,
	   "and takes what was refused");
	ok(database_faults(database) == 0 && database_is_whole(database),
	   "whole");
	stop(database);
}

/* ---- version words ------------------------------------------------------ */

struct words {
	uint64_t values[SQL_WORDS];
};

static struct words
words_of(struct database *database)
{
	const uint64_t *words = sql_words(database->sql);
	struct words copy;

	for (unsigned i = 0; i < SQL_WORDS; i++)
		copy.values[i] = version_word_note(&words[i]);
	return copy;
}

/* tables: names with a space between; "*": all there may be. */
static bool
only_these_changed(const struct words *before, const struct words *after,
		   const char *tables)
{
	struct sql_word_set expected = { 0 };
	char names[200], *name, *rest;
	bool good = true;

	sql_word_set_add(&expected, SQL_WORD_ANY);
	if (!strcmp(tables, "*"))
		sql_word_set_fill(&expected);
	snprintf(names, sizeof(names), "%s", tables);
	for (name = strtok_r(names, " ", &rest); name;
	     name = strtok_r(NULL, " ", &rest))
		sql_word_set_add(&expected, sql_word_of_table(name));
	for (unsigned i = 0; i < SQL_WORDS; i++) {
		bool named = expected.bits[i / 64] >> (i % 64) & 1;

		good &= !version_is_odd(after->values[i]);
		good &= named ? after->values[i] > before->values[i]
			      : after->values[i] == before->values[i];
		if (!good) {
			printf("# word %u: %llu, then %llu\n", i,
			       (unsigned long long)before->values[i],
			       (unsigned long long)after->values[i]);
			return false;
		}
	}
	return good;
}

static void
the_words_of_changed_tables_change(void)
{
	static const struct {
		const char *text, *tables;
	} cases[] = {
		{ "INSERT INTO t VALUES(1, 1)", "t" },
		{ "INSERT INTO T VALUES(2, 1), (3, 1)", "t" },
		{ "UPDATE t SET b = 2", "t" },
		{ "UPDATE t SET b = 2 WHERE a = 77", NULL },
		{ "INSERT OR IGNORE INTO t VALUES(1, 1)", NULL },
		{ "REPLACE INTO t VALUES(1, 3)", "t" },
		{ "INSERT INTO t VALUES(1, 4) ON CONFLICT DO UPDATE SET b = 5",
		  "t" },
		{ "DELETE FROM t WHERE a = 3", "t" },
		{ "DELETE FROM t", "t" }, /* truncates */
		{ "DELETE FROM t", "" },
		{ "INSERT INTO wr VALUES(1, 1)", "wr" },
		{ "REPLACE INTO wr VALUES(1, 2)", "wr" },
		{ "DELETE FROM wr", "wr" },
		{ "INSERT INTO tr VALUES(1)", "tr log" },
		{ "UPDATE tr SET a = 2", "tr log deep" },
		{ "INSERT INTO p VALUES(1), (2)", "p" },
		{ "INSERT INTO c VALUES(1), (2)", "c" },
		{ "DELETE FROM p WHERE a = 1", "p c" },
		{ "UPDATE p SET a = 5 WHERE a = 2", "p c" },
		{ "INSERT INTO v VALUES(9)", "v log" },
		{ "INSERT INTO ft VALUES('some words')",
		  "ft ft_content ft_data ft_docsize ft_idx ft_config" },
		{ "INSERT INTO ai(b) VALUES(1)", "ai" },
		{ "CREATE TABLE more(a)", "*" },
		{ "ALTER TABLE more ADD COLUMN b", "*" },
		{ "CREATE INDEX i ON more(a)", "*" },
		{ "DROP TABLE more", "*" },
		{ "VACUUM", "*" },
		{ "SELECT * FROM t", NULL },
	};
	struct database *database = start("words.db");

	database_must(database, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
	database_must(database, "CREATE TABLE wr(a PRIMARY KEY, b)"
				" WITHOUT ROWID");
	database_must(database, "CREATE TABLE log(a)");
	database_must(database, "CREATE TABLE deep(a)");
	database_must(database, "CREATE TABLE tr(a)");
	database_must(database, "CREATE TRIGGER tri AFTER INSERT ON tr BEGIN"
				" INSERT INTO log VALUES(new.a); END");
	database_must(database, "CREATE TRIGGER tru AFTER UPDATE ON tr BEGIN"
				" UPDATE log SET a = new.a; END");
	database_must(database, "CREATE TRIGGER lru AFTER UPDATE ON log BEGIN"
				" INSERT INTO deep VALUES(new.a); END");
	database_must(database, "CREATE TABLE p(a INTEGER PRIMARY KEY)");
	database_must(database, "CREATE TABLE c(a REFERENCES p"
				" ON DELETE CASCADE ON UPDATE CASCADE)");
	database_must(database, "CREATE VIEW v AS SELECT a FROM log");
	database_must(database, "CREATE TRIGGER vi INSTEAD OF INSERT ON v BEGIN"
				" INSERT INTO log VALUES(new.a); END");
	database_must(database, "CREATE VIRTUAL TABLE ft USING fts5(x)");
	database_must(database, "CREATE TABLE ai(a INTEGER PRIMARY KEY"
				" AUTOINCREMENT, b)");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct words before = words_of(database), after;

		if (database_run(database, cases[i].text) != ERR_OK)
			printf("# %s\n", database->error.message);
		after = words_of(database);
		if (cases[i].tables && strncmp(cases[i].tables, "ft", 2) != 0)
			ok(database->error.err == ERR_OK &&
				   only_these_changed(&before, &after,
						      cases[i].tables),
			   "%s: %s", cases[i].text, cases[i].tables);
		else if (cases[i].tables)
			/* Its own tables are behind it: ANY stands for them. */
			ok(after.values[SQL_WORD_ANY] >
				   before.values[SQL_WORD_ANY],
			   "%s: any", cases[i].text);
		else
			ok(database->error.err == ERR_OK &&
				   !memcmp(&before, &after, sizeof(before)),
			   "%s: none", cases[i].text);
	}
	stop(database);
}

static void
a_batch_changes_the_words_of_all_that_succeeded(void)
{
	struct database *database = start("batch-words.db");
	struct words before, after;
	struct job jobs[4];

	database_must(database, "CREATE TABLE a(x UNIQUE)");
	database_must(database, "CREATE TABLE b(x)");
	database_must(database, "CREATE TABLE c(x)");
	database_must(database, "INSERT INTO a VALUES(1)");
	before = words_of(database);
	job_of(&jobs[0], "INSERT INTO a VALUES(2)");
	job_of(&jobs[1], "INSERT INTO b VALUES(1)", "INSERT INTO a VALUES(1)");
	job_of(&jobs[2], "INSERT INTO c VALUES(1)");
	job_of(&jobs[3], "SELECT * FROM b");
	run_together(database, jobs, 4);
	after = words_of(database);
	ok(only_these_changed(&before, &after, "a c"),
	   "and of none that failed");
	is_u64(after.values[SQL_WORD_ANY], 2 * jobs[2].write.seq,
	       "to twice the last number");
	stop(database);
}

static void
words_are_new_after_each_start(void)
{
	struct database *database = start("start-words.db");
	struct words before, after;
	bool good = true;

	database_must(database, "CREATE TABLE t(x)");
	before = words_of(database);
	database_reopen(database);
	after = words_of(database);
	for (unsigned i = 0; i < SQL_WORDS; i++)
		good &= !version_is_odd(after.values[i]) &&
			after.values[i] > before.values[i];
	ok(good, "all of them");
	stop(database);
}

struct watcher {
	struct database *database;
	pthread_t thread;
	uint64_t stop;  /* atomic */
	uint64_t pairs; /* of word and value that were compared */
	bool good;
};

/*
 * A value that is read while its word stands, from before until after, is the
 * same each time: nobody sees a commit under the word of before it.
 */
static void *
watch(void *arg)
{
	struct watcher *watcher = arg;
	sqlite3 *db = connect_to_look(watcher->database);
	const uint64_t *words = sql_words(watcher->database->sql);
	const uint64_t *word = &words[sql_word_of_table("t")];
	uint64_t kept_word = 1;
	int64_t kept = 0;

	watcher->good = true;
	while (!ck_pr_load_64(&watcher->stop)) {
		uint64_t before = version_word_note(word);
		int64_t value = number_from(db, "SELECT x FROM t");

		if (version_is_odd(before) || version_word_note(word) != before)
			continue;
		if (before == kept_word) {
			watcher->good &= value == kept;
			watcher->pairs++;
		} else {
			watcher->good &= value >= kept;
		}
		kept_word = before;
		kept = value;
	}
	sqlite3_close(db);
	return NULL;
}

static void
nobody_sees_a_commit_under_an_old_word(void)
{
	unsigned long rounds = tap_rounds("WORD_ROUNDS", 500);
	struct database *database = start("protocol.db");
	struct watcher watcher = { .database = database };
	const uint64_t *words = sql_words(database->sql);
	bool good = true;

	database_must(database, "CREATE TABLE t(x)");
	database_must(database, "INSERT INTO t VALUES(0)");
	pthread_create(&watcher.thread, NULL, watch, &watcher);
	for (unsigned long i = 0; i < rounds; i++) {
		struct job job;

		job_of(&job, "UPDATE t SET x = x + 1");
		if (job_run(database, &job) == ERR_OK &&
		    version_word_note(&words[sql_word_of_table("t")]) ==
			    2 * job.write.seq)
			continue;
		printf("# write %lu: %s, number %llu\n", i,
		       job.write.error.message,
		       (unsigned long long)job.write.seq);
		good = false;
	}
	ck_pr_store_64(&watcher.stop, 1);
	pthread_join(watcher.thread, NULL);
	ok(good, "%lu writes, answered when the words stand", rounds);
	ok(watcher.good && watcher.pairs > 0, "%llu looks",
	   (unsigned long long)watcher.pairs);
	stop(database);
}

/* ---- a crowd ------------------------------------------------------------ */

enum { CROWD = 4 };

struct member {
	struct database *database;
	pthread_t thread;
	unsigned index;
	unsigned long rounds;
	int64_t done; /* rows that must be there */
	bool good;
};

static void *
take_part(void *arg)
{
	struct member *member = arg;

	member->good = true;
	for (unsigned long i = 0; i < member->rounds; i++) {
		bool ends = (i + member->index) % 10 == 0;
		bool fails = (i + member->index) % 5 == 1;
		struct job job;
		enum err err;

		if (ends)
			job_of(&job, "INSERT INTO t(b) VALUES('crowd')",
			       enders[i % 3].text);
		else if (fails)
			job_of(&job, "INSERT INTO t(b) VALUES('crowd')",
			       "INSERT INTO t VALUES(1000, 'twice')");
		else
			job_of(&job, "INSERT INTO t(b) VALUES('crowd')",
			       "UPDATE t SET b = b WHERE a = 1000");
		err = job_run(member->database, &job);
		member->done += err == ERR_OK;
		member->good &= ends || fails ? err == ERR_CONFLICT ||
							err == ERR_CONSTRAINT
					      : err == ERR_OK;
	}
	return NULL;
}

static void
a_crowd_gets_what_each_was_told(void)
{
	struct database *database = start_with_enders("crowd.db");
	struct member members[CROWD];
	int64_t done = 0;
	bool good = true;

	for (unsigned i = 0; i < CROWD; i++) {
		members[i] = (struct member){
			.database = database,
			.index = i,
			.rounds = tap_rounds("CROWD_ROUNDS", 60),
		};
		pthread_create(&members[i].thread, NULL, take_part,
			       &members[i]);
	}
	for (unsigned i = 0; i < CROWD; i++) {
		pthread_join(members[i].thread, NULL);
		done += members[i].done;
		good &= members[i].good;
	}
	ok(good, "each has the outcome of its own write");
	is_u64((uint64_t)database_number(
		       database, "SELECT count(*) FROM t WHERE b = 'crowd'"),
	       (uint64_t)done, "and what is there are those that succeeded");
	stop(database);
}

/* ---- scratch ------------------------------------------------------------ */

static void
a_scratch_database_needs_no_sequence(void)
{
	struct sql_options options = {
		.name = "scratch",
		.max_size = 1 << 20,
		.workers = 1,
		.scratch = true,
	};
	char path[PATH_MAX], message[512];
	struct database database = { 0 };
	bool odd = true;

	options.path = under_root("scratch.db", path);
	need(sql_open(&database.sql, &options, message, sizeof(message)) ==
		     ERR_OK,
	     message);
	database_must(&database, "CREATE TABLE t(a)");
	for (unsigned i = 0; i < SQL_WORDS; i++)
		odd &= version_is_odd(sql_words(database.sql)[i]);
	ok(odd, "nothing of it is kept");
	sql_close(database.sql);
	ok(access(path, F_OK) == 0, "the file is there");
	strcat(path, "-wal");
	ok(access(path, F_OK) != 0, "and nothing else");
}

int
main(void)
{
	make_root();
	a_write_is_done_and_told();
	what_a_write_only_reads_costs_no_commit();
	what_is_wrong_with_a_write_is_told();
	what_a_sink_refuses_is_undone();
	many_writes_share_a_commit();
	what_a_batch_has_no_time_for_comes_again();
	one_that_ends_the_transaction_fails_alone();
	several_that_end_the_transaction_fail_alone();
	a_deadline_of_reading_ends_only_its_write();
	a_schema_may_change_within_a_batch();
	a_vacuum_runs_alone();
	a_lock_that_somebody_has_is_waited_for();
	a_full_database_heals();
	the_words_of_changed_tables_change();
	a_batch_changes_the_words_of_all_that_succeeded();
	words_are_new_after_each_start();
	nobody_sees_a_commit_under_an_old_word();
	a_crowd_gets_what_each_was_told();
	a_scratch_database_needs_no_sequence();
	return tap_done();
}
