/* SPDX-License-Identifier: MIT */
/*
 * What the files of a database share. Includes SQLite, so nobody else includes
 * it but the tests.
 *
 *   sql.c            open, close, figures; the library's own set-up
 *   sql_connect.c    a connection: its settings and limits, what is kept
 *   sql_prepare.c    statements: kept, prepared, described
 *   sql_authorize.c  what a statement may do, and what it reads and writes
 *   sql_step.c       running one: slices, deadlines, errors, values
 *   sql_functions.c  kv_get(), fail()
 *   sql_vtab.c       the table kv
 *   sql_pool.c       readers, and who waits for one
 *   sql_commit.c     a batch: savepoints, commit, publish; or one by one
 *   sql_checkpoint.c the WAL
 *   sql_migrate.c    migrations, copies, the check after an unclean end
 */
#ifndef STORAGE_SQL_INTERNAL_H
#define STORAGE_SQL_INTERNAL_H

#include <sqlite3.h>

#include "storage/sql.h"

/* A set of version words of one database. */
struct sql_word_set {
	uint64_t bits[SQL_WORDS / 64];
};

static inline void
sql_word_set_add(struct sql_word_set *set, unsigned word)
{
	set->bits[word / 64] |= UINT64_C(1) << (word % 64);
}

/* The word of a table; case does not matter, as in SQL. */
unsigned sql_word_of_table(const char *table);

struct sql_connection;

/* Prepared, in the list of what its connection keeps. The connection's. */
struct sql_stmt {
	sqlite3_stmt *handle;
	struct sql_connection *connection;
	const char *text; /* a copy, with its length and policy */
	size_t text_len;
	enum sql_policy policy;
	uint64_t hash;
	struct sql_stmt *chain;         /* in the bucket */
	struct sql_stmt *newer, *older; /* by use */
	unsigned held;

	/* By the authorizer, when it was prepared and whenever SQLite prepares
	 * it anew. */
	struct sql_word_set reads, writes;
	bool unstable, sorts, schema, vacuum, explain, readonly;

	/* While it runs. */
	const struct sql_limits *limits;
	uint64_t steps;      /* of the virtual machine, about */
	uint64_t slice_ns;   /* when this piece began */
	uint64_t longest_ns; /* of the pieces */
	bool gave_row;
};

/* What SQLite's callbacks find the connection's state by. One thread at a
 * time. */
struct sql_connection {
	struct sql *sql;
	sqlite3 *db;
	bool writes;           /* the committer's */
	unsigned pool;         /* a reader's */
	struct sql_connection *next; /* in its pool, free */

	struct sql_stmt **buckets;
	struct sql_stmt *newest, *oldest;
	unsigned kept;

	struct sql_stmt *preparing, *running; /* for the callbacks */
	struct sql_error *error;              /* where they say why not */
	enum err refused;                     /* by the authorizer, fail() or
						 the progress handler */
	unsigned chosen_status;               /* fail()'s */
	char refusal[400];

	/* Snapshots of the stores, made when they are first used. */
	struct kv_read **reads;
};

struct sql_reader {
	struct sql_connection connection;
};

struct sql {
	/* Set by sql_open(), then never changed. */
	char *name, *path;
	struct sql_options options; /* its strings and list are ours */
	uint64_t *words;            /* SQL_WORDS; never freed */
	struct lane *lane;
	struct sql_pool *pools; /* one a worker and a slow thread */
	unsigned pool_count;

	/* The committer's. */
	struct sql_connection writer;
	struct sql_checkpointer *checkpointer;

	/* Atomic: figures, see struct sql_stats. */
	alignas(CACHE_LINE) uint64_t file_bytes;
	uint64_t wal_bytes, checkpoints, checkpoint_ns, prepared;
	unsigned readers, readers_busy;
	unsigned full, checking, damaged;
};

/* ---- any thread ---------------------------------------------------------- */

enum err err_from_sqlite(int rc);
/* A sentence for the operator; returns err. */
enum err sql_say(char *message, size_t size, enum err err, const char *format,
		 ...) PRINTF(4, 5);

/* ---- sql_connect.c, sql_prepare.c, sql_step.c ---------------------------- */

/* Opens and sets up; the writer's is the first, and makes the file. On an
 * error, message says why and nothing is left. */
MUST_CHECK enum err sql_connect(struct sql *sql,
				struct sql_connection *connection, bool writes,
				char *message, size_t message_size);
void sql_disconnect(struct sql_connection *connection);
MUST_CHECK enum err sql_connection_prepare(struct sql_connection *connection,
					   const struct sql_text *text,
					   struct sql_stmt **out,
					   struct sql_error *error);
/* Fills error from what the connection says, or from a callback's refusal. */
enum err sql_connection_error(struct sql_connection *connection, int rc,
			      struct sql_error *error);
/* Gives the snapshots of stores back: when nothing runs any more. */
void sql_connection_rest(struct sql_connection *connection);
/* A piece of SQL of ours, such as "BEGIN": not authorized, not kept. */
int sql_exec(struct sql_connection *connection, const char *sql);

/* ---- sql_pool.c ---------------------------------------------------------- */

MUST_CHECK enum err sql_pools_init(struct sql *sql);
void sql_pools_fini(struct sql *sql);

/* ---- sql_commit.c, sql_checkpoint.c: the committer's --------------------- */

size_t sql_commit(void *sql, struct lane_item **items, size_t count,
		  bool *fault);
uint64_t sql_idle(void *sql, bool *fault);

/* Before the committer runs: the settings of the file, the WAL of before. */
MUST_CHECK enum err sql_writer_open(struct sql *sql, char *message,
				    size_t message_size);
/* After it has ended. */
void sql_writer_close(struct sql *sql);

#endif
