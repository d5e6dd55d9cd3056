/* SPDX-License-Identifier: MIT */
/*
 * Databases in tests: opening one, writes that wait for their commit, writes
 * that make up one batch, and a look at what is there. Everything here ends
 * the test where it fails.
 */
#ifndef TESTS_DATABASE_H
#define TESTS_DATABASE_H

#include "storage/sql/sql_internal.h"
#include "tests/store.h"

struct database {
	struct sql *sql;
	struct sequence *sequence;
	struct slow *slow;
	sqlite3 *look; /* a connection that is none of the database's own */
	struct sql_options options;
	struct sql_tuning tuning; /* batches may take any time */
	struct sql_error error;   /* of the last database_run() */
	char path[PATH_MAX], message[512];
	unsigned faults; /* atomic: calls of on_fault() */
};

static void
note_database_fault(void *arg, const char *name)
{
	struct database *database = arg;

	__atomic_add_fetch(&database->faults, 1, __ATOMIC_SEQ_CST);
}

__attribute__((unused)) static unsigned
database_faults(const struct database *database)
{
	return __atomic_load_n(&database->faults, __ATOMIC_SEQ_CST);
}

/* ---- opening ------------------------------------------------------------ */

/* Sets the options; a test may change them before database_try_open(). */
__attribute__((unused)) static void
database_init(struct database *database, const char *name)
{
	*database = (struct database){
		.options = { .name = "test",
			     .max_size = 256 << 20,
			     .workers = 1,
			     .max_age_ns = 60 * NS_PER_S,
			     .on_fault = note_database_fault },
		.tuning = sql_tuning,
	};
	database->tuning.batch_ns = DEADLINE_NS;
	under_root(name, database->path);
}

__attribute__((unused)) static enum err
database_try_open(struct database *database)
{
	char path[PATH_MAX];
	enum err err;

	need(snprintf(path, sizeof(path), "%s.seq", database->path) < PATH_MAX,
	     "the path is too long");
	need(sequence_open(&database->sequence, path) == ERR_OK,
	     "cannot open the sequence");
	need(slow_create(&database->slow) == ERR_OK, "no slow lane");
	database->options.path = database->path;
	database->options.sequence = database->sequence;
	database->options.slow = database->slow;
	database->options.on_fault_arg = database;
	err = sql_open_tuned(&database->sql, &database->options,
			     &database->tuning, database->message,
			     sizeof(database->message));
	if (err != ERR_OK) {
		slow_destroy(database->slow);
		sequence_close(database->sequence);
	}
	return err;
}

__attribute__((unused)) static void
database_open(struct database *database)
{
	need(database_try_open(database) == ERR_OK, database->message);
}

static void
database_stop_looking(struct database *database)
{
	sqlite3_close(database->look);
	database->look = NULL;
}

__attribute__((unused)) static void
database_close(struct database *database)
{
	database_stop_looking(database);
	sql_close(database->sql);
	slow_destroy(database->slow);
	sequence_close(database->sequence);
}

__attribute__((unused)) static void
database_reopen(struct database *database)
{
	database_close(database);
	database_open(database);
}

/* ---- looking ------------------------------------------------------------ */

/* Own connections know nothing of ours: kept to what every reader may do. */
static sqlite3 *
connect_to_look(const struct database *database)
{
	sqlite3 *db;

	need(sqlite3_open_v2(database->path, &db,
			     SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
			     sql_vfs_name) == SQLITE_OK,
	     "cannot open to look");
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	return db;
}

static sqlite3 *
looker(struct database *database)
{
	if (!database->look)
		database->look = connect_to_look(database);
	return database->look;
}

/* The first value of the first row; INT64_MIN: there is none. */
__attribute__((unused)) static int64_t
number_from(sqlite3 *db, const char *text)
{
	int64_t number = INT64_MIN;
	sqlite3_stmt *stmt;

	need(sqlite3_prepare_v2(db, text, -1, &stmt, NULL) == SQLITE_OK,
	     sqlite3_errmsg(db));
	if (sqlite3_step(stmt) == SQLITE_ROW &&
	    sqlite3_column_type(stmt, 0) != SQLITE_NULL)
		number = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return number;
}

__attribute__((unused)) static int64_t
database_number(struct database *database, const char *text)
{
	return number_from(looker(database), text);
}

/* The same as text, in a buffer that the next call uses again. */
__attribute__((unused)) static const char *
database_text(struct database *database, const char *text)
{
	static char value[1000];
	sqlite3 *db = looker(database);
	sqlite3_stmt *stmt;

	need(sqlite3_prepare_v2(db, text, -1, &stmt, NULL) == SQLITE_OK,
	     sqlite3_errmsg(db));
	value[0] = '\0';
	if (sqlite3_step(stmt) == SQLITE_ROW &&
	    sqlite3_column_type(stmt, 0) != SQLITE_NULL)
		snprintf(value, sizeof(value), "%s",
			 (const char *)sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	return value;
}

__attribute__((unused)) static bool
database_is_whole(struct database *database)
{
	return !strcmp(database_text(database, "PRAGMA integrity_check"), "ok");
}

/* ---- writing ------------------------------------------------------------ */

enum { JOB_OPS_MAX = 4 };

/* A write that a test waits for. Made by job_of(), its texts are the test's.
 * It counts what its sink is told. */
struct job {
	struct sql_write write;
	struct sql_text texts[JOB_OPS_MAX];
	struct sql_op ops[JOB_OPS_MAX];
	sem_t done;

	unsigned begins, rows, dones; /* since the last begin; but begins */
	unsigned refuse_row;          /* this one, from 1; 0: none */
	int64_t changes, rowid;       /* of the last statement */
	int64_t first;                /* the last row's first value */
	uint64_t *gate;               /* begin() waits until it is not 0 */
	uint64_t entered;             /* atomic: calls of begin() */
};

static void
job_begin(void *arg)
{
	struct job *job = arg;

	job->begins++;
	job->rows = job->dones = 0;
	ck_pr_inc_64(&job->entered);
	while (job->gate && !ck_pr_load_64(job->gate))
		usleep(100);
}

static bool
job_row(void *arg, unsigned op, const struct sql_stmt *stmt)
{
	struct job *job = arg;
	struct sql_value value;

	sql_column(stmt, 0, &value);
	job->first = value.kind == SQL_INTEGER ? value.integer : INT64_MIN;
	return ++job->rows != job->refuse_row;
}

static bool
job_statement_done(void *arg, unsigned op, const struct sql_stmt *stmt,
		   int64_t changes, int64_t rowid)
{
	struct job *job = arg;

	job->dones++;
	job->changes = changes;
	job->rowid = rowid;
	return true;
}

static const struct sql_sink job_sink = {
	.begin = job_begin,
	.row = job_row,
	.done = job_statement_done,
};

static void
job_done(struct lane_item *item)
{
	struct job *job = CONTAINER_OF(item, struct job, write.item);

	sem_post(&job->done);
}

__attribute__((unused)) static void
job_init(struct job *job)
{
	*job = (struct job){
		.write = { .item = { .done = job_done, .patient = true },
			   .ops = job->ops,
			   .sink = &job_sink,
			   .arg = job },
	};
	sem_init(&job->done, 0, 0);
}

__attribute__((unused)) static void
job_add(struct job *job, const char *text, const struct sql_value *values,
	unsigned count)
{
	unsigned i = job->write.count++;

	need(i < JOB_OPS_MAX, "too many statements");
	sql_text_init(&job->texts[i], bytes_of(text), SQL_ADMIN);
	job->ops[i] = (struct sql_op){ .text = &job->texts[i],
				       .values = values,
				       .value_count = count };
}

/* Up to JOB_OPS_MAX statements, behind them NULL. */
#define job_of(job, ...) \
	job_of_texts(job, (const char *[]){ __VA_ARGS__, NULL })
__attribute__((unused)) static void
job_of_texts(struct job *job, const char *const *texts)
{
	job_init(job);
	for (; *texts; texts++)
		job_add(job, *texts, NULL, 0);
}

__attribute__((unused)) static void
job_submit(struct database *database, struct job *job)
{
	need(sql_submit(database->sql, &job->write) == ERR_OK,
	     "a write is not taken");
}

__attribute__((unused)) static enum err
job_wait(struct job *job)
{
	while (sem_wait(&job->done) < 0)
		;
	sem_destroy(&job->done);
	return job->write.item.err;
}

__attribute__((unused)) static enum err
job_run(struct database *database, struct job *job)
{
	enum err err = sql_submit(database->sql, &job->write);

	if (err != ERR_OK) {
		sem_destroy(&job->done);
		return job->write.item.err = err;
	}
	return job_wait(job);
}

/* One statement by itself. */
__attribute__((unused)) static enum err
database_run(struct database *database, const char *text)
{
	struct job job;
	enum err err;

	job_of(&job, text);
	err = job_run(database, &job);
	database->error = job.write.error;
	return err;
}

__attribute__((unused)) static void
database_must(struct database *database, const char *text)
{
	if (database_run(database, text) != ERR_OK)
		printf("# %s: %s\n", text, database->error.message);
	need(database->error.err == ERR_OK, text);
}

/* Those of count jobs, in order, in one batch, whatever time it takes: they
 * wait behind one that does not end before all are there. */
__attribute__((unused)) static void
run_together(struct database *database, struct job *jobs, unsigned count)
{
	uint64_t gate = 0;
	struct job first;

	job_of(&first, "SELECT 1");
	first.gate = &gate;
	job_submit(database, &first);
	need(wait_for_count(&first.entered, 1), "the gate is not reached");
	for (unsigned i = 0; i < count; i++)
		job_submit(database, &jobs[i]);
	ck_pr_store_64(&gate, 1);
	job_wait(&first);
	for (unsigned i = 0; i < count; i++)
		job_wait(&jobs[i]);
}

#endif
