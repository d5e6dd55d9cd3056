/* SPDX-License-Identifier: MIT */
/*
 * The committer's connection, and what it does besides committing: it moves
 * the WAL into the file, and looks at the tables for the planner.
 *
 * The library's versions up to 3.51.2 can damage a file when one connection
 * commits while another one begins a checkpoint of a WAL that was moved
 * already. So:
 *
 *   - nothing checkpoints by itself, in no connection;
 *   - there is one that checkpoints, the committer's, and it is also the one
 *     that writes: the two never meet;
 *   - and even so no checkpoint is begun on a WAL that was moved as a whole
 *     (`pending`), but for the one that cuts it, which holds the write lock.
 *
 *            frames since the last complete checkpoint
 *   idle     any, for a second, or soft_frames     PASSIVE
 *            none, for five seconds                TRUNCATE
 *   busy     hard_frames in the WAL                RESTART, between batches
 *
 * A reader keeps its part of the WAL from being moved and the WAL from being
 * begun anew. It is waited for only as long as a usual read takes; then the
 * WAL grows, and the log says why.
 */
#include <ck_pr.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "storage/files.h"
#include "storage/sql/sql_internal.h"

enum { FRAME_HEADER_SIZE = 24 };

const struct sql_tuning sql_tuning = {
	.batch_ns = LANE_BATCH_APPLY_US * NS_PER_US,
	.soft_frames = 1000,     /* 4 MiB: a few milliseconds */
	.hard_frames = 16 << 10, /* 64 MiB */
	.checkpoint_ns = 1 * NS_PER_S,
	.truncate_ns = 5 * NS_PER_S,
	.analyze_ns = 30 * NS_PER_S,
	.analyze_pause_ns = 3600 * NS_PER_S,
};

/* What a restart waits for readers. The write lock is held, so new ones begin
 * behind the WAL, and only those of before count. */
#define RESTART_WAIT_NS (20 * NS_PER_MS)
/* What a commit waits for readers: one that looks at the head of the WAL while
 * it changes takes the write lock, and looks again. That is short, unless its
 * thread is not let to run. */
#define LOCK_WAIT_NS (10 * NS_PER_S)
#define COMPLAIN_NS (60 * NS_PER_S)
/* Rows that make the statistics of tables old. */
enum { ANALYZE_CHANGES = 500 };

/* ---- figures ------------------------------------------------------------ */

void
sql_note_file_size(struct sql *sql)
{
	struct stat st;

	if (stat(sql->path, &st) == 0)
		ck_pr_store_64(&sql->file_bytes, (uint64_t)st.st_size);
}

static void
note_wal_size(struct sql *sql)
{
	const struct sql_committer *committer = &sql->committer;
	uint64_t frame = committer->page_size + FRAME_HEADER_SIZE;

	ck_pr_store_64(&sql->wal_bytes,
		       committer->frames
			       ? SQL_WAL_HEADER_SIZE + committer->frames * frame
			       : 0);
}

/* Called by each commit that wrote frames: so many are in the WAL now. */
static int
on_commit(void *arg, sqlite3 *db, const char *database, int frames)
{
	struct sql *sql = arg;
	struct sql_committer *committer = &sql->committer;

	if ((unsigned)frames < committer->frames) {
		/* It was begun anew. */
		committer->moved = 0;
		committer->retry_frames = 0;
	}
	committer->hooked = committer->pending = committer->in_file = true;
	committer->frames = (unsigned)frames;
	committer->committed_ns = clock_mono_ns();
	note_wal_size(sql);
	return SQLITE_OK;
}

/* ---- waiting for readers ------------------------------------------------ */

/* Called when somebody has a lock, for the count-th time. 0: give up. */
static int
wait_for_lock(void *arg, int count)
{
	struct sql_committer *committer = arg;
	uint64_t now_ns = clock_mono_ns();

	if (count == 0)
		committer->waits_ns = now_ns;
	if (now_ns - committer->waits_ns >= committer->patience_ns)
		return 0;
	if (count < 10)
		sched_yield();
	else
		usleep(200);
	return 1;
}

/* ---- checkpoints -------------------------------------------------------- */

/* SQLite's code. What could not be moved is tried again another time. */
static int
checkpoint(struct sql *sql, int mode)
{
	struct sql_committer *committer = &sql->committer;
	uint64_t start_ns = clock_mono_ns();
	int all = 0, moved = 0, rc;

	committer->patience_ns =
		mode == SQLITE_CHECKPOINT_RESTART ? RESTART_WAIT_NS : 0;
	errno = 0;
	rc = sqlite3_wal_checkpoint_v2(sql_committer_db(sql), "main", mode,
				       &all, &moved);
	committer->number = errno;
	committer->patience_ns = LOCK_WAIT_NS;
	ck_pr_store_64(&sql->checkpoints, sql->checkpoints + 1);
	ck_pr_store_64(&sql->checkpoint_ns,
		       sql->checkpoint_ns + clock_mono_ns() - start_ns);
	if (all >= 0 && all == moved && (rc & 0xff) != SQLITE_IOERR) {
		committer->pending = false;
		committer->moved = (unsigned)moved;
	}
	if (rc == SQLITE_OK && mode == SQLITE_CHECKPOINT_TRUNCATE) {
		committer->frames = committer->moved = 0;
		committer->in_file = false;
		note_wal_size(sql);
	}
	sql_note_file_size(sql);
	return rc;
}

static bool
is_fault(struct sql *sql, int rc)
{
	return rc != SQLITE_OK && sql_is_fault(sql, rc, "a checkpoint");
}

/* Somebody reads for long. What is known is told, once in a while. */
static void
complain(struct sql *sql)
{
	struct sql_committer *committer = &sql->committer;
	uint64_t now_ns = clock_mono_ns();
	unsigned open, busy;

	if (committer->complained_ns &&
	    now_ns - committer->complained_ns < COMPLAIN_NS)
		return;
	committer->complained_ns = now_ns;
	sql_pools_count(sql, &open, &busy);
	log_warn("database %s: a reader that takes long keeps its WAL from "
		 "being begun anew; it has %llu MiB, %u of %u readers are busy",
		 sql->name,
		 (unsigned long long)(ck_pr_load_64(&sql->wal_bytes) >> 20),
		 busy, open);
}

bool
sql_checkpoint_if_long(struct sql *sql)
{
	struct sql_committer *committer = &sql->committer;
	int rc;

	if (!committer->pending ||
	    committer->frames < committer->tuning.hard_frames ||
	    committer->frames < committer->retry_frames)
		return true;
	/* Where a reader prevents it, not with each batch. */
	committer->retry_frames =
		committer->frames + committer->tuning.hard_frames / 4;
	rc = checkpoint(sql, SQLITE_CHECKPOINT_RESTART);
	if (rc == SQLITE_BUSY)
		complain(sql);
	return !is_fault(sql, rc);
}

/* Enough to be worth it, though commits go on. */
static bool
is_much(const struct sql_committer *committer)
{
	return committer->frames - committer->moved >=
	       committer->tuning.soft_frames;
}

void
sql_checkpoint_later(struct sql *sql)
{
	const struct sql_committer *committer = &sql->committer;
	uint64_t at_ns =
		committer->committed_ns + committer->tuning.checkpoint_ns;

	if (committer->idle_at_ns > at_ns || is_much(committer))
		lane_poke(sql->lane);
}

/* ---- when idle ---------------------------------------------------------- */

static uint64_t
later_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t
earlier_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Each of these returns when it wants to be called again. */

static uint64_t
idle_checkpoint(struct sql *sql, uint64_t now_ns, bool *fault)
{
	struct sql_committer *committer = &sql->committer;
	uint64_t at_ns = committer->checkpoint_at_ns;

	if (!committer->pending)
		return UINT64_MAX;
	if (!is_much(committer))
		at_ns = later_of(at_ns,
				 committer->committed_ns +
					 committer->tuning.checkpoint_ns);
	if (now_ns < at_ns)
		return at_ns;
	*fault = is_fault(sql, checkpoint(sql, SQLITE_CHECKPOINT_PASSIVE));
	if (!committer->pending)
		return UINT64_MAX;
	return committer->checkpoint_at_ns =
		       now_ns + committer->tuning.checkpoint_ns;
}

static uint64_t
idle_truncate(struct sql *sql, uint64_t now_ns, bool *fault)
{
	struct sql_committer *committer = &sql->committer;
	uint64_t at_ns;

	if (committer->pending || !committer->in_file || *fault)
		return UINT64_MAX;
	at_ns = later_of(committer->truncate_at_ns,
			 committer->committed_ns +
				 committer->tuning.truncate_ns);
	if (now_ns < at_ns)
		return at_ns;
	*fault = is_fault(sql, checkpoint(sql, SQLITE_CHECKPOINT_TRUNCATE));
	if (!committer->in_file) {
		sqlite3_db_release_memory(sql_committer_db(sql));
		return UINT64_MAX;
	}
	return committer->truncate_at_ns =
		       now_ns + committer->tuning.truncate_ns;
}

/* A schema that has changed makes readers load the new statistics; that of
 * the table which holds them will do. */
static int
run_analysis(struct sql *sql)
{
	struct sql_connection *connection = &sql->committer.connection;
	int rc = sql_exec(connection, "BEGIN IMMEDIATE;"
				      "DROP TABLE IF EXISTS sqlite_stat1;"
				      "ANALYZE;"
				      "COMMIT");

	if (!sqlite3_get_autocommit(connection->db))
		sql_exec(connection, "ROLLBACK");
	return rc;
}

static uint64_t
idle_analyze(struct sql *sql, uint64_t now_ns, bool *fault)
{
	struct sql_committer *committer = &sql->committer;
	uint64_t at_ns, seq;
	struct sql_word_set all;
	int rc;

	if (committer->changes < ANALYZE_CHANGES || *fault)
		return UINT64_MAX;
	at_ns = committer->committed_ns + committer->tuning.analyze_ns;
	if (committer->analyzed_ns)
		at_ns = later_of(at_ns,
				 committer->analyzed_ns +
					 committer->tuning.analyze_pause_ns);
	if (now_ns < at_ns)
		return at_ns;
	committer->changes = 0;
	committer->analyzed_ns = now_ns;
	if (sql_take_numbers(sql, 1, &seq) != ERR_OK)
		return UINT64_MAX;
	sql_word_set_fill(&all);
	errno = 0;
	rc = sql_publish(sql, &all, seq, run_analysis);
	committer->number = errno;
	*fault = rc != SQLITE_OK && sql_is_fault(sql, rc, "an analysis");
	return UINT64_MAX; /* what it wrote is idle_checkpoint()'s */
}

uint64_t
sql_idle(void *store, bool *fault)
{
	struct sql *sql = store;
	uint64_t now_ns = clock_mono_ns(), next_ns;

	*fault = false;
	next_ns = idle_analyze(sql, now_ns, fault);
	next_ns = earlier_of(next_ns, idle_checkpoint(sql, now_ns, fault));
	next_ns = earlier_of(next_ns, idle_truncate(sql, now_ns, fault));
	return sql->committer.idle_at_ns = next_ns;
}

/* ---- opening ------------------------------------------------------------ */

static const char *const fixed_texts[SQL_FIXED_COUNT] = {
	[SQL_FIXED_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_FIXED_COMMIT] = "COMMIT",
	[SQL_FIXED_ROLLBACK] = "ROLLBACK",
	[SQL_FIXED_SAVEPOINT] = "SAVEPOINT jackdaw",
	[SQL_FIXED_RELEASE] = "RELEASE jackdaw",
	[SQL_FIXED_ROLLBACK_TO] = "ROLLBACK TO jackdaw",
};

/*
 * The page cache takes memory as it is touched. What a savepoint must be able
 * to restore is kept in memory up to STMTJRNL_SPILL, then in a file, as are
 * sorts: one statement that changes a large table needs no more memory than
 * a small one. The WAL keeps its length when it is begun anew, so that a sync
 * has no new length to write, and a full disk has room for deletes.
 */
static const char *const settings[] = {
	"PRAGMA secure_delete = OFF",  "PRAGMA journal_size_limit = -1",
	"PRAGMA temp_store = FILE",    "PRAGMA cache_size = -8192",
	"PRAGMA analysis_limit = 400", "PRAGMA foreign_keys = ON",
};

/* The first value of the first row. */
static int
ask(struct sql *sql, const char *text, char *value, size_t size)
{
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(sql_committer_db(sql), text, -1, &stmt,
				    NULL),
	    end;

	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		snprintf(value, size, "%s",
			 (const char *)sqlite3_column_text(stmt, 0));
	end = sqlite3_finalize(stmt);
	return rc == SQLITE_ROW ? SQLITE_OK : end;
}

/* Its first read: takes the lock that no other process may have, and brings
 * back what the WAL has. */
static int
begin_wal(struct sql *sql)
{
	char mode[16] = "";
	int rc = ask(sql, "PRAGMA journal_mode = WAL", mode, sizeof(mode));

	if (rc == SQLITE_OK && strcmp(mode, "wal") != 0)
		rc = SQLITE_CANTOPEN;
	if (rc == SQLITE_OK)
		rc = sql_exec(&sql->committer.connection,
			      sql->options.scratch
				      ? "PRAGMA synchronous = OFF"
				      : "PRAGMA synchronous = FULL");
	return rc;
}

static int
bound_pages(struct sql *sql)
{
	uint64_t pages;
	char text[64];
	int rc = ask(sql, "PRAGMA page_size", text, sizeof(text));

	if (rc != SQLITE_OK)
		return rc;
	sql->committer.page_size = strtoull(text, NULL, 10);
	pages = sql->options.max_size / sql->committer.page_size;
	snprintf(text, sizeof(text), "PRAGMA max_page_count = %llu",
		 (unsigned long long)(pages > UINT32_MAX - 2 ? UINT32_MAX - 2
				      : pages                ? pages
							     : 1));
	return sql_exec(&sql->committer.connection, text);
}

/*
 * What a process that was killed has left becomes durable before anybody sees
 * it: a commit whose sync failed, in that process, may be in the kernel's
 * memory and not on the disk. A full disk, or a quota
 * that is used up, is no reason not to start.
 */
static int
move_left_wal(struct sql *sql)
{
	int rc;

	errno = 0;
	rc = sqlite3_wal_checkpoint_v2(sql_committer_db(sql), "main",
				       SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	sql->committer.number = errno;
	if (!sql_is_no_room(sql, rc))
		return rc;
	sql->committer.pending = sql->committer.in_file = true;
	log_warn("database %s: no room to move what its WAL has", sql->name);
	return SQLITE_OK;
}

static int
prepare_fixed(struct sql *sql)
{
	int rc = SQLITE_OK;

	for (unsigned i = 0; i < SQL_FIXED_COUNT && rc == SQLITE_OK; i++)
		rc = sqlite3_prepare_v3(sql_committer_db(sql), fixed_texts[i],
					-1, SQLITE_PREPARE_PERSISTENT,
					&sql->committer.fixed[i], NULL);
	return rc;
}

static int
set_up(struct sql *sql)
{
	char tables[32];
	int rc = begin_wal(sql);

	for (size_t i = 0; i < ARRAY_LEN(settings) && rc == SQLITE_OK; i++)
		rc = sql_exec(&sql->committer.connection, settings[i]);
	if (rc == SQLITE_OK)
		rc = bound_pages(sql);
	/* The schema must be readable. */
	if (rc == SQLITE_OK)
		rc = ask(sql, "SELECT count(*) FROM sqlite_schema", tables,
			 sizeof(tables));
	if (rc == SQLITE_OK)
		rc = move_left_wal(sql);
	if (rc == SQLITE_OK)
		rc = prepare_fixed(sql);
	if (rc != SQLITE_OK)
		return rc;
	sqlite3_wal_hook(sql_committer_db(sql), on_commit, sql);
	sqlite3_update_hook(sql_committer_db(sql), sql_note_insert,
			    &sql->committer);
	sql->committer.patience_ns = LOCK_WAIT_NS;
	sqlite3_busy_handler(sql_committer_db(sql), wait_for_lock,
			     &sql->committer);
	return SQLITE_OK;
}

static enum err
say_why_not(struct sql *sql, int rc, char *message, size_t size)
{
	const char *path = sql->path;

	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return sql_say(message, size, ERR_LOCKED,
			       "%s: another process has it open", path);
	case SQLITE_NOTADB:
		return sql_say(message, size, ERR_FAULT,
			       "%s: this is not an SQLite database", path);
	case SQLITE_CORRUPT:
		return sql_say(message, size, ERR_FAULT,
			       "%s: the database is damaged: %s", path,
			       sqlite3_errmsg(sql_committer_db(sql)));
	default:
		return sql_say(message, size, err_from_sqlite(rc),
			       "%s: cannot open the database: %s", path,
			       sqlite3_errmsg(sql_committer_db(sql)));
	}
}

enum err
sql_committer_open(struct sql *sql, char *message, size_t size)
{
	enum err err = sql_connect(sql, &sql->committer.connection, true,
				   message, size);
	int rc;

	if (err != ERR_OK)
		return err;
	sql->committer.batch_max = LANE_BATCH_OPS;
	rc = set_up(sql);
	if (rc != SQLITE_OK)
		err = say_why_not(sql, rc, message, size);
	/* The names of the file and of its WAL. */
	if (err == ERR_OK && !sql->options.scratch) {
		err = files_sync_parent(sql->path);
		if (err != ERR_OK)
			sql_say(message, size, err,
				"%s: cannot sync its folder: %s", sql->path,
				err_text(err));
	}
	if (err != ERR_OK)
		sql_committer_close(sql, false);
	else
		sql_note_file_size(sql);
	return err;
}

void
sql_committer_close(struct sql *sql, bool healthy)
{
	for (unsigned i = 0; i < SQL_FIXED_COUNT; i++)
		sqlite3_finalize(sql->committer.fixed[i]);
	/* As the last connection it moves the WAL and removes it. */
	sqlite3_db_config(sql_committer_db(sql),
			  SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !healthy, NULL);
	sql_disconnect(&sql->committer.connection);
}
