/* SPDX-License-Identifier: MIT */
/*
 * What the files of a database share. Includes SQLite, so nobody else includes
 * it but the tests.
 *
 *   sql.c            open, close, figures
 *   sql_environ.c    the library's set-up: what it stands on
 *   sql_connect.c    a connection: its settings and limits, what is kept
 *   sql_prepare.c    statements: checked, prepared
 *   sql_kept.c       those that a connection keeps
 *   sql_describe.c   what is known of one
 *   sql_authorize.c  what a statement may do, and what it reads and writes
 *   sql_step.c       running one: slices, deadlines, errors, values
 *   sql_deps.c       what was read: version words
 *   sql_functions.c  kv_get(), fail()
 *   sql_printf.c     printf() and format(), bounded
 *   sql_vtab.c       the table kv
 *   sql_plan.c       plans, full scans
 *   sql_pool.c       readers, and who waits for one
 *   sql_commit.c     a batch: begin, commit, publish; or one by one
 *   sql_write.c      one write of it: a savepoint
 *   sql_checkpoint.c the WAL
 *   sql_migrate.c    migrations
 *   sql_copy.c       copies, the check after an unclean end
 */
#ifndef STORAGE_SQL_INTERNAL_H
#define STORAGE_SQL_INTERNAL_H

#include <pthread.h>
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

static inline void
sql_word_set_join(struct sql_word_set *set, const struct sql_word_set *more)
{
	for (unsigned i = 0; i < ARRAY_LEN(set->bits); i++)
		set->bits[i] |= more->bits[i];
}

static inline bool
sql_word_set_is_empty(const struct sql_word_set *set)
{
	uint64_t any = 0;

	for (unsigned i = 0; i < ARRAY_LEN(set->bits); i++)
		any |= set->bits[i];
	return any == 0;
}

static inline bool
sql_word_set_has(const struct sql_word_set *set, unsigned word)
{
	return set->bits[word / 64] >> (word % 64) & 1;
}

/* The word of a table; case does not matter, as in SQL. */
unsigned sql_word_of_table(const char *table);

struct sql_connection;

/* The pool of main and other threads that are neither worker nor slow: used
 * by one thread at a time. Behind those of the slow lane. */
enum { SQL_POOLS_EXTRA = SLOW_THREADS + 1 };

/* Prepared, in the list of what its connection keeps. The connection's. */
struct sql_stmt {
	sqlite3_stmt *handle;
	struct sql_connection *connection;
	const char *text; /* in bytes */
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
	/* The word of the table that it inserts into itself, and not only by a
	 * trigger; SQL_WORD_ANY: of a virtual one; 0: none. */
	unsigned inserts;
	size_t size; /* bytes, about, once it is kept */
	bool kept;   /* in the list; else it ends with sql_release() */

	/* While it runs. */
	const struct sql_limits *limits;
	uint64_t steps;      /* of the virtual machine, about */
	uint64_t slice_ns;   /* when this piece began */
	uint64_t longest_ns; /* of the pieces */
	bool bound, stepped, gave_row;
	bool failed; /* before it gave a row, and not by our will */

	char bytes[]; /* of text */
};

/* One store's snapshot, made when it is first used, and the store's word from
 * before it was opened. */
struct sql_store_read {
	struct kv_read *read;
	uint64_t word;
	bool open;
};

enum {
	/* Of the stack, for one call of the library: less than half of a
	 * fiber's. */
	SQL_STACK_MAX = 96 << 10,
	/* Bytes of a value. A worker's reader gives up what is longer: such
	 * values cannot be sliced. */
	SQL_VALUE_MAX_SHORT = 1 << 20,
	SQL_VALUE_MAX = 16 << 20,
	SQL_BUCKETS = 512, /* of a connection's statements */
};

/* Handles of ours that a connection keeps. */
enum sql_own {
	SQL_OWN_BEGIN,
	SQL_OWN_END,
	SQL_OWN_ROLLBACK,
	SQL_OWN_VERSION,  /* of the schema */
	SQL_OWN_VIRTUALS, /* names of virtual tables */
	SQL_OWN_OURS,     /* how many names are the server's */
	SQL_OWN_COUNT,
};

/* What SQLite's callbacks find the connection's state by. One thread at a
 * time. */
struct sql_connection {
	struct sql *sql;
	sqlite3 *db;
	bool writes;   /* the committer's */
	unsigned pool; /* a reader's */
	bool is_short; /* a worker's reader: SQL_VALUE_MAX_SHORT */

	struct sql_stmt **buckets;
	struct sql_stmt *newest, *oldest;
	unsigned kept;
	size_t kept_bytes;
	unsigned held; /* statements */
	bool begun;    /* sql_begin() */
	sqlite3_stmt *own[SQL_OWN_COUNT];

	/* Names of the virtual tables in version virtuals_of of the schema, a
	 * NUL behind each. */
	struct buffer virtuals;
	int virtuals_of;

	struct sql_stmt *preparing, *running; /* for the callbacks */
	enum err refused;                     /* by the authorizer, fail(), kv
						 or the progress handler */
	unsigned chosen_status;               /* fail()'s */
	char refusal[400];
	bool lacks_store; /* the table kv was asked for without one */

	/* By place; see sql_stores.c. */
	struct sql_store_read *reads;
	bool reads_open;

	/* See sql_environ.c: bytes taken since a statement was begun, how
	 * many it may take, where the stack was, and why there was no more. */
	int64_t memory, memory_max, lacked;
	uintptr_t stack_top;
	enum sql_lack {
		SQL_LACK_NOTHING,
		SQL_LACK_MEMORY,
		SQL_LACK_BUDGET,
		SQL_LACK_STACK,
		SQL_LACK_TIME,
	} lack;

	/* By when what prepares must be done: of who has the connection (0:
	 * whenever); and of what is prepared now, with what it is else. */
	uint64_t deadline_ns, prepare_until_ns;
	enum err prepare_late;
};

struct sql_reader {
	struct sql_connection connection;
	struct sql_reader *next; /* in its pool, free */
	uint64_t given_ns;       /* since when it is free, coarse */
};

/* Statements of the committer's own, prepared once. */
enum sql_fixed {
	SQL_FIXED_BEGIN,
	SQL_FIXED_COMMIT,
	SQL_FIXED_ROLLBACK,
	SQL_FIXED_SAVEPOINT,
	SQL_FIXED_RELEASE,
	SQL_FIXED_ROLLBACK_TO,
	SQL_FIXED_COUNT
};

/* Of the file of a WAL. */
enum { SQL_WAL_HEADER_SIZE = 32 };

/* When the committer does what; tests have other times. sql_checkpoint.c says
 * why these. */
struct sql_tuning {
	uint64_t batch_ns; /* of applying */
	unsigned soft_frames, hard_frames;
	uint64_t checkpoint_ns, truncate_ns, analyze_ns; /* of being idle */
	uint64_t analyze_pause_ns;
};
extern const struct sql_tuning sql_tuning;

/* What writes and checkpoints. The committer's, but while it does not run. */
struct sql_committer {
	struct sql_connection connection;
	struct sql_tuning tuning;
	sqlite3_stmt *fixed[SQL_FIXED_COUNT];
	uint64_t page_size;
	uint64_t scratch_seq; /* where there is no sequence */

	bool faulty;          /* nothing is to be written any more */
	int number;           /* errno behind the last code, or 0 */
	uint64_t patience_ns; /* with who has a lock */
	uint64_t waits_ns;    /* since when, in wait_for_lock() */

	/* The batch. */
	size_t batch_max;            /* halved while batches do not fit */
	struct sql_word_set written; /* by what will be committed */
	uint64_t numbered;           /* writes that changed something */
	uint64_t batch_changes;      /* rows */
	bool touched;                /* a statement ran that could write */
	bool inserted;               /* by the one that runs, a row */
	struct sql_stmt *vacuum;     /* the one that is being run */

	/* The WAL: see sql_checkpoint.c. */
	unsigned frames;       /* in it, by the last commit's hook */
	bool hooked;           /* the hook was called: a commit wrote frames */
	unsigned moved;        /* by the last complete checkpoint */
	bool pending;          /* some that no complete checkpoint had */
	bool in_file;          /* the file of the WAL may not be empty */
	uint64_t idle_at_ns;   /* when idle() will be called */
	unsigned retry_frames; /* no restart before there are so many */
	uint64_t committed_ns; /* the last commit with frames */
	uint64_t checkpoint_at_ns, truncate_at_ns; /* not before */
	uint64_t complained_ns;                    /* of a slow reader */
	uint64_t changes;     /* rows, since the last analysis */
	uint64_t analyzed_ns; /* 0: never */
};

struct sql {
	/* Set by sql_open(), then never changed. */
	char *name, *path;
	struct sql_options options; /* its strings and lists are ours; those of
				       the stores grow: see sql_stores.c */
	uint64_t *words;            /* SQL_WORDS; never freed */
	struct lane *lane;
	struct sql_pool *pools; /* one a worker and a slow thread */
	unsigned pool_count;

	struct sql_committer committer;

	/* Atomic: not to be seen any more, by place; and how often that has
	 * changed. */
	unsigned stores_hidden[SQL_STORES_MAX], stores_shown;

	/* Atomic: set once, by sql_close(). Ends migrations and copies. */
	unsigned closing;

	/* The check after an unclean end. check_db is under the lock, as long
	 * as it may be interrupted. */
	struct slow_job check_job;
	pthread_mutex_t check_lock;
	pthread_cond_t check_ended;
	sqlite3 *check_db;

	/* Atomic: figures, see struct sql_stats. */
	alignas(CACHE_LINE) uint64_t file_bytes;
	uint64_t wal_bytes, checkpoints, checkpoint_ns, prepared;
	unsigned full, checking, damaged;
};

/* ---- any thread ---------------------------------------------------------- */

enum err err_from_sqlite(int rc);
/* A sentence for the operator; returns err. */
enum err sql_say(char *message, size_t size, enum err err, const char *format,
		 ...) PRINTF(4, 5);

/* ---- sql_environ.c ------------------------------------------------------- */

/* The library's own set-up, once: sql_open() begins with it. */
MUST_CHECK enum err sql_environ_init(void);
/* The file system to open databases with: unix-excl, and a clock that tells
 * who asks. */
extern const char sql_vfs_name[];
/* From here to the end this thread's SQLite works for the connection: whom
 * memory is counted to, and who asks the time. Around every call that may
 * run or prepare SQL. After a fiber has yielded in between, it resumes. */
void sql_environ_enter(struct sql_connection *connection);
void sql_environ_resume(struct sql_connection *connection);
void sql_environ_leave(void);
/* From here to the end SQLite prepares, until deadline_ns (0: whenever) and for
 * a short time on a worker's reader. ERR_DEADLINE, ERR_STEPS. */
void sql_prepare_time_begin(struct sql_connection *connection,
			    uint64_t deadline_ns);
void sql_prepare_time_end(struct sql_connection *connection);

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
/* The first statement of a text, with the NUL that is counted as its last
 * byte; it is not kept. *out is NULL where there is none, *next is what is
 * behind it. */
MUST_CHECK enum err sql_connection_prepare_next(
	struct sql_connection *connection, struct bytes text,
	enum sql_policy policy, struct sql_stmt **out, const char **next,
	struct sql_error *error);
/* Fills error from what the connection says, or from a callback's refusal. The
 * second for what comes of preparing. */
enum err sql_connection_error(struct sql_connection *connection, int rc,
			      struct sql_error *error);
enum err sql_connection_prepare_error(struct sql_connection *connection, int rc,
				      struct sql_error *error);
/* sql_environ_enter(), and forgets refusals and lacks of before. */
void sql_connection_enter(struct sql_connection *connection);
/* Gives the snapshots of stores back: when nothing runs any more. */
void sql_connection_rest(struct sql_connection *connection);
/* A piece of SQL of ours, such as "BEGIN": not authorized, not kept. */
int sql_exec(struct sql_connection *connection, const char *sql);

/* One of the connection's own, prepared when first used; NULL: it cannot be.
 * The second runs it to its end. */
sqlite3_stmt *sql_own(struct sql_connection *connection, enum sql_own own);
int sql_exec_own(struct sql_connection *connection, enum sql_own own);
/* sql_prepare.c: fills it, returns err. */
enum err sql_complain(struct sql_error *error, enum err err,
		      const char *message);
/* In one of the text's statements: it would need too much of the stack. The
 * second says so. */
bool sql_has_many_collations(const char *text, size_t len);
extern const char sql_many_collations[];
/* Behind white space, comments and ";". */
const char *sql_skip_empty(const char *at, const char *end);
/* sql_plan.c: calls each() with the rows of EXPLAIN or EXPLAIN QUERY PLAN,
 * which is the command with a space behind. Of a text that was checked. */
int sql_explain_each(struct sql_connection *connection, const char *command,
		     struct bytes text,
		     void (*each)(void *arg, sqlite3_stmt *row), void *arg);
/* sql_kept.c. NULL: none. The second makes it the newest, the last takes it
 * out of the list; the statement goes on until it is destroyed. */
struct sql_stmt *sql_kept_find(struct sql_connection *connection,
			       const struct sql_text *text);
void sql_kept_use(struct sql_connection *connection, struct sql_stmt *stmt);
void sql_kept_add(struct sql_connection *connection, struct sql_stmt *stmt);
void sql_kept_drop(struct sql_connection *connection, struct sql_stmt *stmt);
void sql_stmt_destroy(struct sql_stmt *stmt);
/* All that is kept. None is held. */
void sql_statements_drop(struct sql_connection *connection);
/* Says it for sql_connection_error(), unless something was said before. */
void sql_refuse(struct sql_connection *connection, enum err err,
		const char *format, ...) PRINTF(3, 4);

/* sql_authorize.c */
int sql_authorize(void *connection, int action, const char *first,
		  const char *second, const char *database, const char *inner);
/* Names in the schema that are the server's, where stmt changes it; else 0.
 * -1: it cannot be told. The new name of a table that is renamed is told to no
 * authorizer: so who runs such a statement looks before and after, and undoes
 * it with the message where there is another number. */
int sql_names_of_ours(const struct sql_stmt *stmt);
extern const char sql_name_is_ours[];
/* sql_functions.c, sql_vtab.c; SQLite's codes. */
int sql_functions_add(struct sql_connection *connection);
/* printf(): a function of SQLite's. */
void sql_run_printf(sqlite3_context *context, int count,
		    sqlite3_value **values);
int sql_vtab_add(struct sql_connection *connection);
/* sql_step.c: the progress handler, every SQL_OPS_PER_LOOK operations. */
enum { SQL_OPS_PER_LOOK = 150 };
int sql_progress(void *connection);

/* sql_stores.c. The place of the store that SQL knows by this name;
 * SQL_STORES_MAX: none. */
unsigned sql_store_find(const struct sql *sql, struct bytes name);
MUST_CHECK enum err sql_stores_init(struct sql *sql,
				    const struct sql_options *options);
void sql_stores_fini(struct sql *sql);

/* sql_functions.c: a snapshot of the store, the same until
 * sql_connection_rest(), and the word of what is going to be read from it into
 * the running statement's dependencies. */
MUST_CHECK enum err sql_store_open(struct sql_connection *connection,
				   unsigned store, const uint64_t *word,
				   struct kv_read **out);
/* Finds a live key, and notes it. ERR_NOTFOUND. The record lives as long as
 * the snapshot. */
MUST_CHECK enum err sql_store_get(struct sql_connection *connection,
				  unsigned store, struct bytes key,
				  struct kv_record *record);
/* Says why not; ERR_NOTFOUND: no such store. */
void sql_store_refuse(struct sql_connection *connection, enum err err,
		      struct bytes name);
/* TEXT's or BLOB's; a number's as text. Lives as long as value. */
struct bytes sql_value_bytes(sqlite3_value *value);
/* TEXT where it is UTF-8, otherwise BLOB; is_lasting: until the statement is
 * reset. */
void sql_result_bytes(sqlite3_context *context, struct bytes bytes,
		      bool is_lasting);
/* What was read ends at that time. */
void sql_store_note_expiry(struct sql_connection *connection,
			   uint64_t expires_ms);

/* sql_deps.c: marks what the running statement reads as not known in full. */
void sql_connection_lose(struct sql_connection *connection);
/* False: there is no room for it. */
bool sql_deps_has(const struct sql_deps *deps, const uint64_t *word);
MUST_CHECK bool sql_deps_add(struct sql_deps *deps, const uint64_t *word,
			     uint64_t value);

/* ---- sql_pool.c ---------------------------------------------------------- */

/* options.workers + SQL_POOLS_EXTRA of them. */
MUST_CHECK enum err sql_pools_init(struct sql *sql);
void sql_pools_fini(struct sql *sql);
/* Any thread: connections that are open, and taken. */
void sql_pools_count(const struct sql *sql, unsigned *open, unsigned *busy);

/* ---- sql_commit.c, sql_checkpoint.c: the committer's --------------------- */

size_t sql_commit(void *sql, struct lane_item **items, size_t count,
		  bool *fault);
uint64_t sql_idle(void *sql, bool *fault);

/* sql.c: sql_open() with other times. */
MUST_CHECK enum err sql_open_tuned(struct sql **out,
				   const struct sql_options *options,
				   const struct sql_tuning *tuning,
				   char *message, size_t message_size);
/* Before the committer runs: the settings of the file, the WAL of before. */
MUST_CHECK enum err sql_committer_open(struct sql *sql, char *message,
				       size_t message_size);
/* After it has ended. healthy: what is in the WAL may be moved to the file. */
void sql_committer_close(struct sql *sql, bool healthy);

/* Runs a fixed statement to its end. The second is COMMIT's, for
 * sql_publish(). */
int sql_fixed_run(struct sql *sql, enum sql_fixed fixed);
int sql_run_commit(struct sql *sql);
/* count numbers, the last of them into *last. */
MUST_CHECK enum err sql_take_numbers(struct sql *sql, uint64_t count,
				     uint64_t *last);
/*
 * run() commits, or makes changes and commits them; SQLite's codes. The words
 * of the set are odd meanwhile, and new afterwards, from the number seq
 * that nobody else has. A commit that wrote nothing leaves them as they were.
 */
int sql_publish(struct sql *sql, const struct sql_word_set *set, uint64_t seq,
		int (*run)(struct sql *sql));
void sql_word_set_fill(struct sql_word_set *set);
/* A code of a statement that the committer ran by itself. */
enum err sql_commit_err(const struct sql *sql, int rc);
/* A code that the committer got: is the file, or what is known of it, not to
 * be trusted any more? Logs it. */
bool sql_is_fault(struct sql *sql, int rc, const char *what);

/* No room on the disk, or in its quota. By the code and committer.number, so
 * who runs a statement sets errno to 0 before, and the number after it: any
 * statement may meet the disk, where it moves changed pages into the WAL to
 * make room in memory. */
bool sql_is_no_room(const struct sql *sql, int rc);
/* Then error, of a statement that failed with the code, says so: for SQLite
 * most of it is an input/output error. */
void sql_note_no_room(const struct sql *sql, int rc, struct sql_error *error);
bool sql_in_transaction(struct sql *sql);
/* False: it cannot be ended. */
MUST_CHECK bool sql_roll_back(struct sql *sql);

static inline sqlite3 *
sql_committer_db(const struct sql *sql)
{
	return sql->committer.connection.db;
}

/* ---- sql_write.c: the committer's ---------------------------------------- */

/* How a write ended. */
enum applied {
	APPLIED,
	APPLY_FAILED, /* alone */
	APPLY_ENDED,  /* the transaction, with all that was in it */
	APPLY_FAULT,
	APPLY_VACUUM, /* nothing was done: it must be run outside */
};

/* In the open transaction. */
MUST_CHECK enum applied sql_apply(struct sql *sql, struct sql_write *write);
/* SQLite's call for each row that is changed in a table with rowids. */
void sql_note_insert(void *committer, int action, const char *database,
		     const char *table, sqlite3_int64 rowid);
/* Outside of any. False: a fault. */
MUST_CHECK bool sql_vacuum(struct sql *sql, struct sql_write *write);
/* sql_commit.c: the outcome of a write that failed in its statement op. */
void sql_write_fail(struct sql_write *write, unsigned op, enum err err,
		    const char *message);

/* ---- sql_checkpoint.c ---------------------------------------------------- */

/* Between batches. False: a fault. */
MUST_CHECK bool sql_checkpoint_if_long(struct sql *sql);
/* After a commit with frames: has idle() called when it is time. */
void sql_checkpoint_later(struct sql *sql);
void sql_note_file_size(struct sql *sql);

/* ---- sql_migrate.c ------------------------------------------------------- */

/* What the lane carries for migrations: a write without statements. */
struct sql_script;
/* On the committer. */
void sql_script_run(struct sql *sql, struct sql_write *write, bool *fault);

/* ---- sql_copy.c: the check after an unclean end -------------------------- */

/* On a slow thread. */
void sql_check_begin(struct sql *sql);
/* Interrupts it and waits for its end. */
void sql_check_end(struct sql *sql);

#endif
