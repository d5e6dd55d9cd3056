/* SPDX-License-Identifier: MIT */
/*
 * Copies, and the check after an unclean end: long reads of the whole file,
 * each on a connection of its own that is closed afterwards.
 */
#include <ck_pr.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "core/log.h"
#include "storage/sql/sql_internal.h"

/* ---- a copy ------------------------------------------------------------- */

/* Pages between two looks whether we are still wanted: 4 MiB. */
enum { COPY_PAGES = 1000 };

/* The source has a snapshot, so writers do not make the copy begin anew. */
static int
copy_pages(struct sql *sql, sqlite3 *from, sqlite3 *to)
{
	sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
	int rc = SQLITE_OK;

	if (!backup)
		return sqlite3_extended_errcode(to);
	while (rc == SQLITE_OK && !ck_pr_load_uint(&sql->closing))
		rc = sqlite3_backup_step(backup, COPY_PAGES);
	if (rc == SQLITE_OK)
		rc = SQLITE_INTERRUPT;
	sqlite3_backup_finish(backup);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* It is for trying something out: nobody asks for it after a power cut. */
static int
open_copy(const char *path, sqlite3 **to)
{
	int rc = sqlite3_open_v2(path, to,
				 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
					 SQLITE_OPEN_NOMUTEX |
					 SQLITE_OPEN_EXRESCODE,
				 sql_vfs_name);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(*to,
				  "PRAGMA synchronous = OFF;"
				  "PRAGMA journal_mode = MEMORY",
				  NULL, NULL, NULL);
	return rc;
}

static int
copy_to(struct sql *sql, sqlite3 *from, const char *path)
{
	sqlite3 *to = NULL;
	int rc = open_copy(path, &to);

	if (rc == SQLITE_OK)
		rc = copy_pages(sql, from, to);
	sqlite3_close(to);
	return rc;
}

static int
begin_snapshot(struct sql_connection *connection)
{
	int rc = sql_exec(connection, "BEGIN");

	return rc == SQLITE_OK ? sql_exec(connection,
					  "SELECT count(*) FROM sqlite_schema")
			       : rc;
}

enum err
sql_copy(struct sql *sql, const char *path)
{
	struct sql_connection connection = { .pool = sql->pool_count - 1 };
	char message[200];
	enum err err;
	int rc;

	if (access(path, F_OK) == 0 || errno != ENOENT)
		return ERR_BAD;
	err = sql_connect(sql, &connection, false, message, sizeof(message));
	if (err != ERR_OK)
		return err;
	rc = begin_snapshot(&connection);
	if (rc == SQLITE_OK)
		rc = copy_to(sql, connection.db, path);
	err = err_from_sqlite(rc);
	if (rc == SQLITE_INTERRUPT)
		err = ERR_DRAINING;
	sql_disconnect(&connection);
	if (err != ERR_OK)
		unlink(path);
	return err;
}

/* ---- the check ---------------------------------------------------------- */

/* From here on, and until the pointer is taken away, sql_check_end() may
 * interrupt the connection. */
static void
set_check_db(struct sql *sql, sqlite3 *db)
{
	pthread_mutex_lock(&sql->check_lock);
	sql->check_db = db;
	if (db && ck_pr_load_uint(&sql->closing))
		sqlite3_interrupt(db);
	pthread_mutex_unlock(&sql->check_lock);
}

/* The first thing that it finds is enough. */
static int
quick_check(sqlite3 *db, char *found, size_t size)
{
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(db, "PRAGMA main.quick_check(1)", -1, &stmt,
				    NULL);

	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		snprintf(found, size, "%s",
			 (const char *)sqlite3_column_text(stmt, 0));
	return sqlite3_finalize(stmt);
}

static void
tell_check(struct sql *sql, int rc, const char *found)
{
	if (rc == SQLITE_INTERRUPT) {
		log_info("database %s: the check is given up: it is closed",
			 sql->name);
	} else if (rc == SQLITE_OK && !strcmp(found, "ok")) {
		log_info("database %s: checked, it is whole", sql->name);
	} else if (rc == SQLITE_OK || (rc & 0xff) == SQLITE_CORRUPT ||
		   (rc & 0xff) == SQLITE_NOTADB ||
		   (rc & 0xff) == SQLITE_IOERR) {
		ck_pr_store_uint(&sql->damaged, 1);
		log_error("database %s: %s is damaged: %s", sql->name,
			  sql->path,
			  rc == SQLITE_OK ? found : sqlite3_errstr(rc));
	} else {
		log_warn("database %s: cannot be checked: %s", sql->name,
			 sqlite3_errstr(rc));
	}
}

static void
check(struct sql *sql)
{
	struct sql_connection connection = { .pool = sql->pool_count - 1 };
	char found[200] = "";
	enum err err;
	int rc;

	err = sql_connect(sql, &connection, false, found, sizeof(found));
	if (err != ERR_OK) {
		log_warn("database %s: cannot be checked: %s", sql->name,
			 found);
		return;
	}
	set_check_db(sql, connection.db);
	rc = quick_check(connection.db, found, sizeof(found));
	set_check_db(sql, NULL);
	tell_check(sql, rc, found);
	sql_disconnect(&connection);
}

static void
run_check(struct slow_job *job)
{
	struct sql *sql = CONTAINER_OF(job, struct sql, check_job);

	if (!ck_pr_load_uint(&sql->closing))
		check(sql);
	pthread_mutex_lock(&sql->check_lock);
	ck_pr_store_uint(&sql->checking, 0);
	pthread_cond_signal(&sql->check_ended);
	pthread_mutex_unlock(&sql->check_lock);
}

void
sql_check_begin(struct sql *sql)
{
	if (!sql->options.slow)
		return;
	log_info("database %s: it was not closed, and is checked", sql->name);
	sql->check_job.run = run_check;
	ck_pr_store_uint(&sql->checking, 1);
	if (slow_submit(sql->options.slow, &sql->check_job) == ERR_OK)
		return;
	ck_pr_store_uint(&sql->checking, 0);
	log_warn("database %s: no thread to check it", sql->name);
}

void
sql_check_end(struct sql *sql)
{
	pthread_mutex_lock(&sql->check_lock);
	if (sql->check_db)
		sqlite3_interrupt(sql->check_db);
	while (ck_pr_load_uint(&sql->checking))
		pthread_cond_wait(&sql->check_ended, &sql->check_lock);
	pthread_mutex_unlock(&sql->check_lock);
}
