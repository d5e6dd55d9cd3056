/* SPDX-License-Identifier: MIT */
/*
 * Processes that are killed, disks that fail, files that are damaged or
 * somebody else's. For the disks the program starts itself again with
 * preload/fault.so.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/database.h"
#include "tests/faults.h"

enum { WRITERS = 4, ACCOUNTS = 10 };

/* ---- a writer to be killed ---------------------------------------------- */

static const char accounts_text[] =
	"CREATE TABLE account(id INTEGER PRIMARY KEY, sum INTEGER);\n"
	"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
	" WHERE i < 10) INSERT INTO account SELECT i, 100 FROM n;";
static const char rows_text[] =
	"CREATE TABLE row(cycle, writer, number, filler);\n"
	"CREATE INDEX row_key ON row(cycle, writer, number)";

static void
migrate(struct database *database)
{
	const struct sql_migration list[] = {
		{ "0001_accounts.sql", bytes_of(accounts_text) },
		{ "0002_rows.sql", bytes_of(rows_text) },
	};
	unsigned applied;

	need(sql_migrate(database->sql, list, 2, &applied, &database->error) ==
		     ERR_OK,
	     database->error.message);
}

/* What the child tells of a write that was acknowledged. */
struct report {
	uint32_t writer, number;
};

struct writer {
	pthread_t thread;
	struct database *database;
	uint32_t cycle, index;
	int pipe;
};

/* A row, and money from one account to another. */
static enum err
write_number(struct writer *writer, uint32_t number)
{
	struct sql_value row[] = {
		{ .kind = SQL_INTEGER, .integer = writer->cycle },
		{ .kind = SQL_INTEGER, .integer = writer->index },
		{ .kind = SQL_INTEGER, .integer = number },
		{ .kind = SQL_INTEGER, .integer = number % 5 ? 50 : 9000 },
	};
	struct sql_value ids[] = {
		{ .kind = SQL_INTEGER, .integer = 1 + number % ACCOUNTS },
		{ .kind = SQL_INTEGER,
		  .integer = 1 + (number / 3 + writer->index) % ACCOUNTS },
	};
	struct job job;

	job_init(&job);
	job_add(&job, "INSERT INTO row VALUES(?, ?, ?, zeroblob(?))", row, 4);
	job_add(&job, "UPDATE account SET sum = sum - 1 WHERE id = ?", &ids[0],
		1);
	job_add(&job, "UPDATE account SET sum = sum + 1 WHERE id = ?", &ids[1],
		1);
	return job_run(writer->database, &job);
}

static void *
writes(void *arg)
{
	struct writer *writer = arg;

	for (uint32_t i = 0;; i++) {
		struct report report = { writer->index, i };

		if (write_number(writer, i) != ERR_OK)
			return NULL;
		if (write(writer->pipe, &report, sizeof(report)) < 0)
			return NULL;
	}
}

static void
run_child(struct database *database, uint32_t cycle, int pipe)
{
	struct writer writers[WRITERS];

	/* So that every part of it is met by a kill. */
	database->tuning.soft_frames = 60;
	database->tuning.hard_frames = 150;
	database->tuning.batch_ns = sql_tuning.batch_ns;
	database_open(database);
	migrate(database);
	for (uint32_t i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){ .database = database,
					      .cycle = cycle,
					      .index = i,
					      .pipe = pipe };
		pthread_create(&writers[i].thread, NULL, writes, &writers[i]);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(writers[i].thread, NULL);
	_exit(0);
}

/* Reads reports until the child is gone; counts[w]: how many of writer w. Kills
 * it after so many, or sets the rule that does. */
static uint32_t
read_reports(int pipe, uint32_t counts[WRITERS], pid_t pid, uint32_t after,
	     const char *rule)
{
	struct report report;
	uint32_t total = 0;

	memset(counts, 0, WRITERS * sizeof(*counts));
	while (read(pipe, &report, sizeof(report)) == sizeof(report)) {
		counts[report.writer] = report.number + 1;
		if (++total != after)
			continue;
		if (rule)
			set_rules(rule);
		else
			kill(pid, SIGKILL);
	}
	return total;
}

static uint32_t
crash_writer(struct database *database, uint32_t cycle, uint32_t after,
	     const char *rule, uint32_t counts[WRITERS])
{
	uint32_t total;
	pid_t pid;
	int fds[2];

	need(pipe(fds) == 0, "no pipe");
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		run_child(database, cycle, fds[1]);
	}
	close(fds[1]);
	total = read_reports(fds[0], counts, pid, after, rule);
	close(fds[0]);
	waitpid(pid, NULL, 0);
	return total;
}

/* All that was acknowledged is there; at most what each waited for besides.
 * No write is there in part, and the file is whole. */
static bool
is_whole(struct database *database, uint32_t cycle,
	 const uint32_t counts[WRITERS])
{
	bool good = true;

	database_open(database);
	for (uint32_t i = 0; i < WRITERS; i++) {
		char text[120];
		int64_t rows;

		snprintf(text, sizeof(text),
			 "SELECT count(*) FROM row WHERE cycle = %u AND"
			 " writer = %u AND number < %u",
			 cycle, i, counts[i]);
		good &= database_number(database, text) == counts[i];
		snprintf(text, sizeof(text),
			 "SELECT count(*) FROM row WHERE cycle = %u AND"
			 " writer = %u",
			 cycle, i);
		rows = database_number(database, text);
		good &= rows == counts[i] || rows == counts[i] + 1;
	}
	good &= database_number(database, "SELECT sum(sum) FROM account") ==
		ACCOUNTS * 100;
	good &= database_number(database,
				"SELECT count(*) FROM _jackdaw_migrations") ==
		2;
	good &= database_is_whole(database);
	good &= database_run(database, "UPDATE account SET sum = sum") ==
		ERR_OK;
	database_close(database);
	return good;
}

static void
nothing_acknowledged_is_lost(void)
{
	unsigned long cycles = tap_rounds("CRASH_CYCLES", 10);
	uint32_t counts[WRITERS], total = 0;
	unsigned long good = 0;
	struct database database;

	database_init(&database, "crash.db");
	for (unsigned long i = 0; i < cycles; i++) {
		/* From anywhere in the first batches. */
		uint32_t pick = (uint32_t)i * 7919 + (uint32_t)getpid();

		total += crash_writer(&database, (uint32_t)i, 10 + pick % 200,
				      NULL, counts);
		good += is_whole(&database, (uint32_t)i, counts);
	}
	ok(good == cycles && total > 0, "%lu kills, %u writes", cycles, total);
}

/* Before it has migrated, or in the middle of it. */
static void
migrations_are_applied_once(void)
{
	unsigned long cycles = tap_rounds("CRASH_CYCLES", 10), good = 0;

	for (unsigned long i = 0; i < cycles; i++) {
		struct database database;
		char name[40];
		pid_t pid;

		snprintf(name, sizeof(name), "crash-m%lu.db", i);
		database_init(&database, name);
		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			database_open(&database);
			migrate(&database);
			pause();
		}
		usleep((useconds_t)(i * 2000 * SLOWER));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		database_open(&database);
		migrate(&database);
		good += database_number(&database,
					"SELECT sum(sum) FROM account") ==
				ACCOUNTS * 100 &&
			database_is_whole(&database);
		database_close(&database);
	}
	is_u64(good, cycles, "whenever it is killed");
}

/* ---- damage ------------------------------------------------------------- */

/* Leaves a database with a WAL that was not moved. */
static void
leave_unclean(struct database *database)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		database_open(database);
		database_must(database, "CREATE TABLE t(a, b)");
		database_must(database,
			      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
			      " SELECT i + 1 FROM n WHERE i < 500)"
			      " INSERT INTO t SELECT i, 'row ' || i FROM n");
		database_must(database, "CREATE TABLE u(a)");
		database_reopen(database);
		database_must(database, "INSERT INTO u VALUES(1)");
		_exit(0);
	}
	waitpid(pid, &status, 0);
	need(status == 0, "the child failed");
}

static void
wait_for_check(struct database *database, struct sql_stats *stats)
{
	for (unsigned i = 0; i < 2000; i++) {
		sql_stats(database->sql, stats);
		if (!stats->checking)
			return;
		sleep_ms(10);
	}
}

static void
a_database_that_was_not_closed_is_checked(void)
{
	struct database database;
	char path[PATH_MAX + 8];
	struct sql_stats stats;
	struct stat st;
	bool checking;

	database_init(&database, "unclean.db");
	leave_unclean(&database);
	database_open(&database);
	sql_stats(database.sql, &stats);
	checking = stats.checking;
	wait_for_check(&database, &stats);
	ok(!stats.checking && !stats.damaged, "it is whole%s",
	   checking ? "" : ", and was checked quickly");
	is_u64((uint64_t)database_number(&database, "SELECT a FROM u"), 1,
	       "what the WAL had is there");
	snprintf(path, sizeof(path), "%s-wal", database.path);
	ok(stat(path, &st) == 0 && st.st_size == 0,
	   "and was moved before anybody could see it");
	database_close(&database);
	database_open(&database);
	sql_stats(database.sql, &stats);
	ok(!stats.checking, "one that was closed is not");
	database_close(&database);
}

static void
damage_is_found(void)
{
	struct database database;
	struct sql_stats stats;
	static char garbage[2000];
	int fd;

	database_init(&database, "damaged.db");
	leave_unclean(&database);
	memset(garbage, 0xa5, sizeof(garbage));
	fd = open(database.path, O_WRONLY);
	need(fd >= 0 && pwrite(fd, garbage, sizeof(garbage), 3 * 4096) ==
				sizeof(garbage),
	     "cannot damage it");
	close(fd);
	database_open(&database);
	wait_for_check(&database, &stats);
	ok(stats.damaged, "by the check");
	ok(database_run(&database, "INSERT INTO u VALUES(2)") == ERR_OK,
	   "what is not damaged goes on");
	ok(database_run(&database, "UPDATE t SET b = 0") == ERR_FAULT &&
		   database_faults(&database) == 0,
	   "what is, fails alone: %s", database.error.message);
	ok(database_number(&database, "SELECT count(*) FROM u") == 2,
	   "the others go on");
	database_close(&database);
}

static void
a_check_ends_when_the_database_is_closed(void)
{
	struct database database;

	database_init(&database, "check-close.db");
	for (unsigned i = 0; i < 3; i++) {
		if (i == 0)
			leave_unclean(&database);
		database_open(&database);
		database_close(&database);
	}
	ok(true, "at whatever moment");
}

static void
what_is_no_database_is_refused(void)
{
	static const char text[] = "This is some text, and not a database. It "
				   "is longer than the header of one, which "
				   "has a hundred bytes, and then some.\n";
	struct database database;
	FILE *file;

	database_init(&database, "text.db");
	file = fopen(database.path, "w");
	need(file && fputs(text, file) > 0 && fclose(file) == 0,
	     "cannot write");
	ok(database_try_open(&database) == ERR_FAULT &&
		   strstr(database.message, "is not an SQLite database"),
	   "%s", database.message);
	database_init(&database, "no/such/folder.db");
	need(mkdir(under_root("no", (char[PATH_MAX]){ 0 }), 0700) == 0,
	     "cannot make a folder");
	ok(true, "# the folder is the caller's");
}

/* ---- other processes ---------------------------------------------------- */

static void
a_database_has_one_process(void)
{
	struct database database;
	int to_child[2], from_child[2];
	char byte = 0;
	sqlite3 *db;
	pid_t pid;

	database_init(&database, "locked.db");
	need(pipe(to_child) == 0 && pipe(from_child) == 0, "no pipe");
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		database_open(&database);
		database_must(&database, "CREATE TABLE t(a)");
		need(write(from_child[1], "x", 1) == 1 &&
			     read(to_child[0], &byte, 1) == 1,
		     "no parent");
		database_close(&database);
		_exit(0);
	}
	need(read(from_child[0], &byte, 1) == 1, "no child");
	ok(database_try_open(&database) == ERR_LOCKED &&
		   strstr(database.message, "another process has it"),
	   "%s", database.message);
	need(sqlite3_open_v2(database.path, &db, SQLITE_OPEN_READWRITE, NULL) ==
		     SQLITE_OK,
	     "cannot open");
	ok(sqlite3_exec(db, "SELECT * FROM t", NULL, NULL, NULL) == SQLITE_BUSY,
	   "nor does the library let anybody in");
	sqlite3_close(db);
	need(write(to_child[1], "x", 1) == 1, "no child");
	waitpid(pid, NULL, 0);
	ok(database_try_open(&database) == ERR_OK, "until it is closed");
	is_u64((uint64_t)database_number(&database, "SELECT count(*) FROM t"),
	       0, "then it is good");
	database_close(&database);
}

/* Made by somebody else, with other settings. */
static void
any_database_can_be_dropped_in(void)
{
	struct database database;
	sqlite3 *db;

	database_init(&database, "foreign.db");
	need(sqlite3_open(database.path, &db) == SQLITE_OK, "cannot open");
	need(sqlite3_exec(db,
			  "PRAGMA page_size = 1024;"
			  "PRAGMA application_id = 1234567;"
			  "PRAGMA user_version = 7;"
			  "CREATE TABLE t(a); INSERT INTO t VALUES(5)",
			  NULL, NULL, NULL) == SQLITE_OK,
	     "cannot fill");
	sqlite3_close(db);
	ok(database_try_open(&database) == ERR_OK, "it is opened");
	database_must(&database, "INSERT INTO t VALUES(6)");
	is_u64((uint64_t)database_number(&database, "SELECT sum(a) FROM t"), 11,
	       "what it has is there");
	ok(database_number(&database, "PRAGMA application_id") == 1234567 &&
		   database_number(&database, "PRAGMA user_version") == 7,
	   "and whose it is");
	database_close(&database);
}

/* ---- faults ------------------------------------------------------------- */

static void
a_kill_inside_of_a_call_is_no_different(void)
{
	static const char *const cases[] = {
		"fdatasync kill kill.db-wal\n", "pwrite kill kill.db-wal\n",
		"fdatasync kill kill.db$\n",    "pwrite kill kill.db$\n",
		"pread kill kill.db-wal\n",
	};
	struct database database;

	database_init(&database, "kill.db");
	for (uint32_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint32_t counts[WRITERS], total;

		total = crash_writer(&database, i, 30, cases[i], counts);
		set_rules("");
		ok(is_whole(&database, i, counts), "after %u writes, %.20s",
		   total, cases[i]);
	}
}

static void
open_with_table(struct database *database, const char *name)
{
	database_init(database, name);
	database_open(database);
	database_must(database, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
	database_must(database, "INSERT INTO t VALUES(1, 'before')");
}

/* What could not be synced is not touched any more, by nobody: closing would
 * move the WAL and remove it. */
static void
check_left_alone(struct database *database)
{
	char path[PATH_MAX + 8];

	database_close(database);
	snprintf(path, sizeof(path), "%s-wal", database->path);
	ok(access(path, F_OK) == 0, "closing leaves the WAL alone");
	database_open(database);
}

static void
check_reopened(struct database *database)
{
	if (database_faults(database))
		check_left_alone(database);
	else
		database_reopen(database);
	is_str(database_text(database, "SELECT b FROM t WHERE a = 1"), "before",
	       "opened again: what was acknowledged is there");
	ok(database_run(database, "INSERT INTO t(b) VALUES('after')") ==
			   ERR_OK &&
		   database_is_whole(database),
	   "it takes writes");
	database_close(database);
}

static void
a_failed_write_or_sync_is_final(void)
{
	enum { COUNT = 20 };
	static const char *const cases[] = {
		"fdatasync EIO .db-wal\n",
		"pwrite EIO .db-wal\n",
		"fdatasync EIO .seq\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct job *jobs = calloc(COUNT, sizeof(*jobs));
		struct database database;
		const uint64_t *words;
		uint64_t before;
		unsigned failed = 0;
		char name[32];

		snprintf(name, sizeof(name), "fault-%zu.db", i);
		open_with_table(&database, name);
		words = sql_words(database.sql);
		before = version_word_note(&words[SQL_WORD_ANY]);
		for (unsigned j = 0; j < COUNT; j++)
			job_of(&jobs[j], "INSERT INTO t(b) VALUES('during')");
		/* The mark of the sequence moves once in a block. */
		if (strstr(cases[i], ".seq"))
			need(sequence_raise(database.sequence,
					    sequence_last(database.sequence) +
						    2 * SEQUENCE_BLOCK) ==
				     ERR_OK,
			     "cannot raise");
		set_rules(cases[i]);
		if (strstr(cases[i], ".seq"))
			(void)!sequence_raise(database.sequence,
					      sequence_last(database.sequence) +
						      2 * SEQUENCE_BLOCK);
		run_together(&database, jobs, COUNT);
		set_rules("");
		for (unsigned j = 0; j < COUNT; j++)
			failed += jobs[j].write.item.err == ERR_FAULT &&
				  !jobs[j].write.seq;
		is_u64(failed, COUNT, cases[i]);
		ok(database_faults(&database) == 1 &&
			   lane_faulty(sql_lane(database.sql)),
		   "told once");
		ok(database_run(&database, "INSERT INTO t VALUES(2, 'x')") ==
			   ERR_FAULT,
		   "no write is taken, though the disk is good again");
		ok(!version_is_odd(version_word_note(&words[SQL_WORD_ANY])) &&
			   version_word_note(&words[SQL_WORD_ANY]) >= before,
		   "the words stand");
		is_u64((uint64_t)database_number(&database,
						 "SELECT count(*) FROM t"),
		       1, "nobody sees what failed");
		check_reopened(&database);
		free(jobs);
	}
}

/* The WAL is not cut, and the commits in it are not lost. */
static void
a_failed_checkpoint_is_final(void)
{
	static const char *const cases[] = {
		"fdatasync EIO .db$\n",
		"pwrite EIO .db$\n",
		"fdatasync EIO .db-wal\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct database database;
		char name[32];

		snprintf(name, sizeof(name), "check-%zu.db", i);
		database_init(&database, name);
		database.tuning.checkpoint_ns = 50 * NS_PER_MS;
		database_open(&database);
		database_must(&database,
			      "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
		database_must(&database, "INSERT INTO t VALUES(1, 'before')");
		set_rules(cases[i]);
		for (unsigned j = 0; j < 200; j++) {
			if (lane_faulty(sql_lane(database.sql)))
				break;
			sleep_ms(10);
		}
		set_rules("");
		ok(database_faults(&database) == 1, "told once: %s", cases[i]);
		ok(database_run(&database, "INSERT INTO t VALUES(2, 'x')") ==
			   ERR_FAULT,
		   "no write is taken");
		check_reopened(&database);
	}
}

static void
no_room_is_no_fault(void)
{
	static const char *const cases[] = {
		"pwrite ENOSPC .db-wal\n",
		"pwrite EDQUOT .db-wal\n",
		"pwrite short .db-wal\npwrite ENOSPC .db-wal\n",
	};
	enum { COUNT = 10 };
	struct database database;
	struct sql_stats stats;

	open_with_table(&database, "no-room.db");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct job *jobs = calloc(COUNT, sizeof(*jobs));
		unsigned failed = 0;

		for (unsigned j = 0; j < COUNT; j++)
			job_of(&jobs[j], "INSERT INTO t(b) VALUES('during')");
		set_rules(cases[i]);
		run_together(&database, jobs, COUNT);
		sql_stats(database.sql, &stats);
		set_rules("");
		for (unsigned j = 0; j < COUNT; j++)
			failed += jobs[j].write.item.err == ERR_FULL;
		is_u64(failed, COUNT, cases[i]);
		ok(stats.full, "it is full");
		ok(database_run(&database, "INSERT INTO t(b) VALUES('x')") ==
			   ERR_OK,
		   "it heals");
		sql_stats(database.sql, &stats);
		ok(!stats.full, "and is not full");
		free(jobs);
	}
	is_u64((uint64_t)database_number(&database, "SELECT count(*) FROM t"),
	       1 + ARRAY_LEN(cases), "what was refused is not there");
	ok(database_faults(&database) == 0, "and was no fault");
	check_reopened(&database);
}

/* Thirty megabytes, of which memory has eight: the WAL is met long before the
 * commit. */
#define FILL \
	"INSERT INTO t(b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL" \
	" SELECT i + 1 FROM n WHERE i < 30) SELECT zeroblob(1000000) FROM n"

static const char *const no_room_in_wal[] = {
	"pwrite ENOSPC .db-wal\n",
	"pwrite EDQUOT .db-wal\n",
	"pwrite EFBIG .db-wal\n",
};

static void
a_statement_that_has_no_room_is_no_fault(void)
{
	struct database database;

	open_with_table(&database, "no-room-spill.db");
	for (size_t i = 0; i < ARRAY_LEN(no_room_in_wal); i++) {
		struct job jobs[2];
		struct sql_stats stats;

		job_of(&jobs[0], "INSERT INTO t(b) VALUES('during')");
		job_of(&jobs[1], "UPDATE t SET b = b", FILL);
		set_rules(no_room_in_wal[i]);
		job_run(&database, &jobs[1]);
		sql_stats(database.sql, &stats);
		set_rules("");
		ok(jobs[1].write.item.err == ERR_FULL &&
			   jobs[1].write.error.err == ERR_FULL &&
			   jobs[1].write.failed == 1 && stats.full,
		   "a statement meets %s", no_room_in_wal[i]);
		is_str(jobs[1].write.error.message, err_text(ERR_FULL),
		       "it is told so");
		ok(job_run(&database, &jobs[0]) == ERR_OK, "it heals");
	}
	is_u64((uint64_t)database_number(&database, "SELECT count(*) FROM t"),
	       1 + ARRAY_LEN(no_room_in_wal), "nothing of it is there");
	ok(database_faults(&database) == 0, "and it was no fault");
	check_reopened(&database);
}

static void
a_migration_that_has_no_room_is_no_fault(void)
{
	struct database database;
	struct sql_migration migration = {
		.name = "0001_fill.sql",
		.text = bytes_of("CREATE TABLE u(a);\n" FILL),
	};

	open_with_table(&database, "no-room-migrate.db");
	for (size_t i = 0; i < ARRAY_LEN(no_room_in_wal); i++) {
		struct sql_error *error = &database.error;
		unsigned applied;

		set_rules(no_room_in_wal[i]);
		ok(sql_migrate(database.sql, &migration, 1, &applied, error) ==
				   ERR_FULL &&
			   error->err == ERR_FULL && applied == 0,
		   "a migration meets %s", no_room_in_wal[i]);
		set_rules("");
		is_str(error->message,
		       "0001_fill.sql: line 2: the store or its disk is full",
		       "is told so");
		ok(database_faults(&database) == 0 &&
			   database_run(&database, "DROP TABLE u") ==
				   ERR_SYNTAX,
		   "which is no fault, and nothing of it is there");
	}
	check_reopened(&database);
}

static void
it_starts_without_room(void)
{
	static const char *const cases[] = {
		"pwrite ENOSPC left.db$\n",
		"pwrite EDQUOT left.db$\n",
		"pwrite EFBIG left.db$\n",
	};
	struct database database;
	bool opened;

	database_init(&database, "left.db");
	leave_unclean(&database);
	database.tuning.checkpoint_ns = 20 * NS_PER_MS;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		set_rules(cases[i]);
		opened = database_try_open(&database) == ERR_OK;
		ok(opened, "what was left cannot be moved: %s", cases[i]);
		if (!opened)
			continue;
		ok(database_number(&database, "SELECT count(*) FROM u") == 1,
		   "it is there all the same");
		/* One fails before it is opened, and is not counted. */
		ok(wait_for_count(&database.sql->checkpoints, 2) &&
			   database_faults(&database) == 0,
		   "it is tried again, and none is a fault");
		database_close(&database);
	}
	set_rules("");
	database_open(&database);
	database_must(&database, "INSERT INTO u VALUES(2)");
	database_reopen(&database);
	ok(database_number(&database, "SELECT count(*) FROM u") == 2 &&
		   database_is_whole(&database),
	   "it heals");
	database_close(&database);
}

/* One that fills the disk while it is committed itself, as the last of its
 * batch. */
static bool
fill_disk(void *arg, unsigned op, const struct sql_stmt *stmt, int64_t changes,
	  int64_t rowid)
{
	set_rules("pwrite ENOSPC .db-wal\n");
	return true;
}

static void
make_room(void *arg)
{
	struct job *job = arg;

	job->begins++;
	set_rules("");
}

static void
in_a_batch_only_those_fail_that_do_not_fit(void)
{
	static const struct sql_sink small = { .begin = make_room };
	static const struct sql_sink large = { .begin = make_room,
					       .done = fill_disk };
	enum { COUNT = 11, LARGE = COUNT - 1 };
	struct job *jobs = calloc(COUNT, sizeof(*jobs));
	struct database database;
	unsigned good = 0;

	open_with_table(&database, "halves.db");
	for (unsigned i = 0; i < COUNT; i++) {
		job_of(&jobs[i], "INSERT INTO t(b) VALUES('small')");
		jobs[i].write.sink = i == LARGE ? &large : &small;
	}
	run_together(&database, jobs, COUNT);
	set_rules("");
	for (unsigned i = 0; i < COUNT; i++)
		good += jobs[i].write.item.err == ERR_OK;
	ok(jobs[LARGE].write.item.err == ERR_FULL &&
		   database_faults(&database) == 0,
	   "the one that does not fit is refused");
	ok(jobs[0].begins == 2 && jobs[LARGE].begins > 2,
	   "the others are tried again without it");
	is_u64(good, COUNT - 1, "and are done");
	is_u64((uint64_t)database_number(&database, "SELECT count(*) FROM t"),
	       1 + COUNT - 1, "once");
	free(jobs);
	check_reopened(&database);
}

static void
a_page_that_cannot_be_read_fails_who_needs_it(void)
{
	struct database database;
	struct sql_stats stats;

	open_with_table(&database, "read.db");
	database_reopen(&database);
	set_rules("pread EIO read.db$\n");
	ok(database_run(&database, "INSERT INTO t(b) VALUES('x')") == ERR_FAULT,
	   "%s", database.error.message);
	set_rules("");
	sql_stats(database.sql, &stats);
	ok(stats.damaged && database_faults(&database) == 0, "it is damaged");
	ok(database_run(&database, "INSERT INTO t(b) VALUES('x')") == ERR_OK,
	   "and goes on");
	check_reopened(&database);
}

static void
a_slow_sync_only_takes_its_time(void)
{
	struct database database;
	struct lane_stats stats;
	uint64_t start_ns;

	open_with_table(&database, "slow.db");
	set_rules("fdatasync sleep-60 slow.db-wal\n");
	start_ns = clock_mono_ns();
	ok(database_run(&database, "INSERT INTO t(b) VALUES('x')") == ERR_OK,
	   "it is done");
	ok(clock_mono_ns() - start_ns >= 60 * NS_PER_MS, "after the sync");
	set_rules("");
	lane_stats(sql_lane(database.sql), &stats);
	ok(stats.sync_ns >= 60 * NS_PER_MS, "which is counted");
	database_close(&database);
}

static void
faults(void)
{
	a_kill_inside_of_a_call_is_no_different();
	a_failed_write_or_sync_is_final();
	a_failed_checkpoint_is_final();
	no_room_is_no_fault();
	a_statement_that_has_no_room_is_no_fault();
	a_migration_that_has_no_room_is_no_fault();
	it_starts_without_room();
	in_a_batch_only_those_fail_that_do_not_fit();
	a_page_that_cannot_be_read_fails_who_needs_it();
	a_slow_sync_only_takes_its_time();
	unlink(rules);
}

int
main(int argc, char **argv)
{
	bool can_fail = faults_begin(argv);

	need(sql_environ_init() == ERR_OK, "cannot set SQLite up");
	make_root();
	nothing_acknowledged_is_lost();
	migrations_are_applied_once();
	a_database_that_was_not_closed_is_checked();
	damage_is_found();
	a_check_ends_when_the_database_is_closed();
	what_is_no_database_is_refused();
	a_database_has_one_process();
	any_database_can_be_dropped_in();
	if (can_fail)
		faults();
	else
		ok(true, "# SKIP there is no preload/fault.so");
	return tap_done();
}
