/* SPDX-License-Identifier: MIT */
/*
 * The WAL: when it is moved into the file, cut, begun anew; who keeps it from
 * that; and the statistics of tables.
 */
#include "tests/database.h"

enum { FRAME = 4096 + 24 };
#define NEVER_NS (UINT64_MAX / 4)

/* Nothing happens by itself; a test says what does. */
static struct database *
quiet(const char *name)
{
	struct database *database = malloc(sizeof(*database));

	database_init(database, name);
	database->tuning.soft_frames = UINT32_MAX;
	database->tuning.hard_frames = UINT32_MAX;
	database->tuning.checkpoint_ns = NEVER_NS;
	database->tuning.truncate_ns = NEVER_NS;
	database->tuning.analyze_ns = NEVER_NS;
	return database;
}

static struct database *
opened(struct database *database)
{
	database_open(database);
	database_must(database, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
	return database;
}

static void
stop(struct database *database)
{
	database_close(database);
	free(database);
}

static struct sql_stats
stats_of(struct database *database)
{
	struct sql_stats stats;

	sql_stats(database->sql, &stats);
	return stats;
}

static void
insert(struct database *database, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		database_must(database,
			      "INSERT INTO t(b) VALUES(zeroblob(3000))");
}

/* Bytes of the WAL's file; -1: there is none. */
static int64_t
wal_file(const struct database *database)
{
	char path[PATH_MAX + 8];
	struct stat st;

	snprintf(path, sizeof(path), "%s-wal", database->path);
	return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

/* Waits for as many checkpoints; false: they do not come. */
static bool
wait_for_checkpoints(struct database *database, uint64_t count)
{
	return wait_for_count(&database->sql->checkpoints, count);
}

static bool
wait_for_wal_end(struct database *database)
{
	for (unsigned i = 0; i < 2000; i++) {
		if (wal_file(database) == 0)
			return true;
		sleep_ms(5);
	}
	return false;
}

/* ---- idle --------------------------------------------------------------- */

static void
it_is_moved_and_then_cut_when_nobody_writes(void)
{
	struct database *database = quiet("idle.db");
	struct sql_stats stats;

	database->tuning.checkpoint_ns = 100 * NS_PER_MS;
	database->tuning.truncate_ns = 300 * NS_PER_MS;
	opened(database);
	insert(database, 20);
	stats = stats_of(database);
	ok(stats.wal_bytes >= 20 * FRAME && wal_file(database) > 0,
	   "writes are in the WAL");
	ok(wait_for_checkpoints(database, stats.checkpoints + 1),
	   "a moment later it is moved");
	ok(wait_for_wal_end(database), "and cut");
	for (unsigned i = 0; i < 1000 && stats.wal_bytes > 0; i++) {
		sleep_ms(5);
		stats = stats_of(database);
	}
	is_u64(stats.wal_bytes, 0, "which is told");
	ok(stats.file_bytes >= 20 * 4096 && stats.checkpoint_ns > 0,
	   "the file has it all: %llu bytes",
	   (unsigned long long)stats.file_bytes);
	stop(database);
}

/* The rule against the library's mistake. */
static void
one_that_was_moved_is_left_alone(void)
{
	struct database *database = quiet("moved.db");
	uint64_t before;

	database->tuning.checkpoint_ns = 20 * NS_PER_MS;
	opened(database);
	insert(database, 5);
	ok(wait_for_checkpoints(database, 1), "it is moved");
	sleep_ms(100);
	before = stats_of(database).checkpoints;
	for (unsigned i = 0; i < 20; i++) {
		lane_poke(sql_lane(database->sql));
		sleep_ms(5);
	}
	is_u64(stats_of(database).checkpoints, before,
	       "and not again, however often it is looked at");
	insert(database, 1);
	ok(wait_for_checkpoints(database, before + 1), "until it has more");
	stop(database);
}

static void
nothing_else_checkpoints(void)
{
	struct database *database = opened(quiet("alone.db"));
	struct sql_reader *reader;
	enum err err = ERR_OK;

	/* The library's own limit is 1000 frames. */
	database_must(database,
		      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1"
		      " FROM n WHERE i < 1200)"
		      " INSERT INTO t(b) SELECT zeroblob(3000) FROM n");
	insert(database, 2);
	reader = sql_reader_try_take(database->sql, &err);
	need(reader != NULL, err_text(err));
	sql_reader_give(reader);
	is_u64(stats_of(database).checkpoints, 0, "a WAL of 1200 frames");
	ok(wal_file(database) > 1200 * FRAME, "which has them all");
	stop(database);
}

static void
closing_leaves_no_wal(void)
{
	struct database *database = opened(quiet("close.db"));

	insert(database, 50);
	database_close(database);
	is_u64((uint64_t)wal_file(database), (uint64_t)-1, "no file");
	database_open(database);
	is_u64((uint64_t)database_number(database, "SELECT count(*) FROM t"),
	       50, "and all is there");
	ok(!stats_of(database).checking, "nothing is to be checked");
	stop(database);
}

/* ---- busy --------------------------------------------------------------- */

static void
a_busy_one_is_moved_in_between(void)
{
	struct database *database = quiet("soft.db");
	uint64_t most = 0;

	database->tuning.soft_frames = 50;
	opened(database);
	for (unsigned i = 0; i < 400; i++) {
		uint64_t bytes;

		insert(database, 1);
		bytes = stats_of(database).wal_bytes;
		most = bytes > most ? bytes : most;
	}
	ok(stats_of(database).checkpoints >= 5, "%llu times",
	   (unsigned long long)stats_of(database).checkpoints);
	/* Of 1300; when it comes to it depends on who else wants the
	 * processor. */
	ok(most < 600 * FRAME, "it never has more than %llu frames",
	   (unsigned long long)(most / FRAME));
	ok(database_is_whole(database), "whole");
	stop(database);
}

static void
one_that_is_too_long_is_begun_anew(void)
{
	struct database *database = quiet("hard.db");
	uint64_t most = 0;

	database->tuning.hard_frames = 100;
	opened(database);
	for (unsigned i = 0; i < 300; i++) {
		uint64_t bytes;

		insert(database, 1);
		bytes = stats_of(database).wal_bytes;
		most = bytes > most ? bytes : most;
	}
	ok(stats_of(database).checkpoints >= 3, "%llu times",
	   (unsigned long long)stats_of(database).checkpoints);
	ok(most >= 100 * FRAME && most < 120 * FRAME,
	   "it never has more than %llu frames",
	   (unsigned long long)(most / FRAME));
	ok(wal_file(database) < 120 * FRAME, "nor does its file");
	ok(database_is_whole(database), "whole");
	stop(database);
}

static void
a_slow_reader_makes_it_grow_but_holds_up_nobody(void)
{
	struct database *database = quiet("reader.db");
	uint64_t checkpoints, long_wal;
	sqlite3 *reader;
	int64_t before;

	database->tuning.hard_frames = 40;
	opened(database);
	insert(database, 10);
	reader = connect_to_look(database);
	need(sqlite3_exec(reader, "BEGIN", NULL, NULL, NULL) == SQLITE_OK,
	     "cannot begin");
	before = number_from(reader, "SELECT count(*) FROM t");
	insert(database, 100);
	long_wal = stats_of(database).wal_bytes;
	checkpoints = stats_of(database).checkpoints;
	ok(long_wal > 100 * FRAME, "the WAL grows to %llu frames",
	   (unsigned long long)(long_wal / FRAME));
	ok(checkpoints >= 2 && checkpoints < 50,
	   "it is tried %llu times, not with each commit",
	   (unsigned long long)checkpoints);
	is_u64((uint64_t)number_from(reader, "SELECT count(*) FROM t"),
	       (uint64_t)before, "the reader sees what it saw");
	sqlite3_exec(reader, "COMMIT", NULL, NULL, NULL);
	is_u64((uint64_t)number_from(reader, "SELECT count(*) FROM t"), 110,
	       "and then all");
	sqlite3_close(reader);
	insert(database, 30);
	ok(stats_of(database).wal_bytes < 40 * FRAME,
	   "when it has ended the WAL is begun anew");
	ok(database_is_whole(database), "whole");
	stop(database);
}

/* ---- everybody at once -------------------------------------------------- */

enum { READERS = 2, WRITERS = 3, ACCOUNTS = 40 };

struct member {
	struct database *database;
	pthread_t thread;
	unsigned index;
	unsigned long rounds;
	uint64_t *stop;
	uint64_t looks;
	bool good;
};

static void *
transfer(void *arg)
{
	struct member *member = arg;

	member->good = true;
	for (unsigned long i = 0; i < member->rounds; i++) {
		struct sql_value ids[] = {
			{ .kind = SQL_INTEGER,
			  .integer = 1 + (int64_t)(i * 7) % ACCOUNTS },
			{ .kind = SQL_INTEGER,
			  .integer = 1 + (int64_t)(i * 13 + member->index) %
						 ACCOUNTS },
		};
		struct job job;

		job_init(&job);
		job_add(&job, "UPDATE account SET sum = sum - 1 WHERE id = ?",
			&ids[0], 1);
		job_add(&job, "UPDATE account SET sum = sum + 1 WHERE id = ?",
			&ids[1], 1);
		member->good &= job_run(member->database, &job) == ERR_OK;
	}
	return NULL;
}

static void *
look(void *arg)
{
	struct member *member = arg;
	sqlite3 *db = connect_to_look(member->database);

	member->good = true;
	while (!ck_pr_load_64(member->stop)) {
		member->good &= number_from(db, "SELECT sum(sum) FROM"
						" account") == 100 * ACCOUNTS;
		member->looks++;
	}
	sqlite3_close(db);
	return NULL;
}

/* The WAL is moved, cut and begun anew all the time, at every moment of others'
 * reads and writes. */
static void
a_crowd_never_sees_a_part(void)
{
	struct database *database = quiet("crowd.db");
	struct member members[READERS + WRITERS];
	struct sql_stats stats;
	uint64_t end = 0, looks = 0;
	bool good = true;

	database->tuning.soft_frames = 30;
	database->tuning.hard_frames = 80;
	database->tuning.checkpoint_ns = 1;
	database->tuning.truncate_ns = 2 * NS_PER_MS;
	database->tuning.batch_ns = sql_tuning.batch_ns;
	opened(database);
	database_must(database, "CREATE TABLE account(id INTEGER PRIMARY KEY,"
				" sum INTEGER, filler)");
	database_must(database,
		      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1"
		      " FROM n WHERE i < 40) INSERT INTO account"
		      " SELECT i, 100, zeroblob(2500) FROM n");
	for (unsigned i = 0; i < READERS + WRITERS; i++) {
		members[i] = (struct member){
			.database = database,
			.index = i,
			.rounds = tap_rounds("CHECKPOINT_ROUNDS", 300),
			.stop = &end,
		};
		pthread_create(&members[i].thread, NULL,
			       i < READERS ? look : transfer, &members[i]);
	}
	for (unsigned i = READERS; i < READERS + WRITERS; i++)
		pthread_join(members[i].thread, NULL);
	ck_pr_store_64(&end, 1);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(members[i].thread, NULL);
	for (unsigned i = 0; i < READERS + WRITERS; i++) {
		good &= members[i].good;
		looks += members[i].looks;
	}
	stats = stats_of(database);
	ok(good && looks > 0, "%llu looks, %llu checkpoints",
	   (unsigned long long)looks, (unsigned long long)stats.checkpoints);
	ok(stats.checkpoints > 10, "the WAL was moved often");
	ok(database_is_whole(database), "the file is whole");
	stop(database);
}

/* ---- statistics --------------------------------------------------------- */

/* Writes, and waits for a commit behind it that is not the test's. */
static bool
is_analyzed_after(struct database *database, const char *text)
{
	const uint64_t *word = &sql_words(database->sql)[SQL_WORD_ANY];
	struct job job;

	job_of(&job, text);
	need(job_run(database, &job) == ERR_OK, job.write.error.message);
	for (unsigned i = 0; i < 1000 * SLOWER; i++) {
		uint64_t now = version_word_note(word);

		if (now > 2 * job.write.seq && !version_is_odd(now))
			return true;
		sleep_ms(2);
	}
	return false;
}

static const char *
plan_of(struct database *database, const char *text, char plan[200])
{
	sqlite3_stmt *stmt;

	/* To explain a statement does not look whether the schema is new. */
	database_number(database, "SELECT count(*) FROM s");
	need(sqlite3_prepare_v2(looker(database), text, -1, &stmt, NULL) ==
			     SQLITE_OK &&
		     sqlite3_step(stmt) == SQLITE_ROW,
	     "no plan");
	snprintf(plan, 200, "%s", (const char *)sqlite3_column_text(stmt, 3));
	sqlite3_finalize(stmt);
	return plan;
}

static void
tables_are_analyzed_when_nobody_writes(void)
{
	struct database *database = quiet("analyze.db");
	static const char query[] = "EXPLAIN QUERY PLAN SELECT * FROM s"
				    " WHERE x = 1 AND y = 2";
	static const char many_x[] =
		"INSERT INTO s WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
		" SELECT i + 1 FROM n WHERE i < 2000) SELECT i, i % 2 FROM n";
	static const char many_y[] = "UPDATE s SET x = y, y = x";
	char plan[200];
	uint64_t begun_ns;

	database->tuning.analyze_ns = 50 * NS_PER_MS;
	database->tuning.analyze_pause_ns = 400 * NS_PER_MS;
	database->tuning.checkpoint_ns = 20 * NS_PER_MS;
	opened(database);
	database_must(database, "CREATE TABLE s(x, y)");
	database_must(database, "CREATE INDEX by_x ON s(x)");
	database_must(database, "CREATE INDEX by_y ON s(y)");
	insert(database, 1);
	sleep_ms(150);
	is_u64((uint64_t)database_number(database,
					 "SELECT count(*) FROM sqlite_schema"
					 " WHERE name = 'sqlite_stat1'"),
	       0, "not for a few rows");
	ok(strstr(plan_of(database, query, plan), "by_y"), "%s", plan);
	ok(is_analyzed_after(database, many_x), "after many rows");
	/* Of a connection that has had the schema since before. */
	ok(strstr(plan_of(database, query, plan), "by_x"), "%s", plan);
	begun_ns = clock_mono_ns();
	ok(is_analyzed_after(database, many_y), "again after many more");
	ok(strstr(plan_of(database, query, plan), "by_y"), "%s", plan);
	ok(clock_mono_ns() - begun_ns >= 200 * NS_PER_MS,
	   "but not too soon after");
	stop(database);
}

int
main(void)
{
	make_root();
	it_is_moved_and_then_cut_when_nobody_writes();
	one_that_was_moved_is_left_alone();
	nothing_else_checkpoints();
	closing_leaves_no_wal();
	a_busy_one_is_moved_in_between();
	one_that_is_too_long_is_begun_anew();
	a_slow_reader_makes_it_grow_but_holds_up_nobody();
	a_crowd_never_sees_a_part();
	tables_are_analyzed_when_nobody_writes();
	return tap_done();
}
