/* SPDX-License-Identifier: MIT */
/*
 * Databases: one SQLite file each.
 *
 * Readers are connections in pools, one pool a worker and one a slow thread;
 * a reader and its statements are used by one thread at a time. Writers
 * submit a sql_write, which the database's committer applies together with
 * others (storage/lane.h): it owns the one connection that writes and
 * checkpoints. An answered write is on the disk and visible to every read
 * that begins after.
 *
 * Version words (core/version.h) tell whether what was read is current: one
 * word for each table, by a hash of its name, one for the schema, and one for
 * everything. The words' values come from the sequence.
 *
 * Nothing of SQLite's passes this header.
 */
#ifndef STORAGE_SQL_H
#define STORAGE_SQL_H

#include "core/affinity.h"
#include "core/base.h"
#include "core/buffer.h"
#include "core/err.h"
#include "core/slow.h"
#include "core/version.h"
#include "storage/kv.h"
#include "storage/lane.h"
#include "storage/sequence.h"

enum {
	SQL_NAME_MAX = 64,          /* bytes of a database's name */
	SQL_TEXT_MAX = 64 << 10,    /* bytes of a statement */
	SQL_PARAMETERS_MAX = 128,   /* of a statement */
	SQL_COLUMNS_MAX = 200,      /* of a result */
	SQL_READERS_MAX = 4,        /* connections of a pool */
	SQL_STATEMENTS_KEPT = 1024, /* prepared, a connection */
	SQL_BYTES_KEPT = 8 << 20,   /* of these */
	SQL_WORDS = 256,            /* version words of a database */
	SQL_WORD_SCHEMA = 0,        /* changes with the schema */
	SQL_WORD_ANY = 1,           /* changes with every commit */
	SQL_DEPS_MAX = 24,
	SQL_STORES_MAX = 32, /* that a database has ever been given */
};

/* ---- values and errors --------------------------------------------------- */

enum sql_kind { SQL_NULL, SQL_INTEGER, SQL_REAL, SQL_TEXT, SQL_BLOB };

struct sql_value {
	enum sql_kind kind;
	union {
		int64_t integer;
		double real;
		struct bytes bytes; /* TEXT is UTF-8, unless the SQL made
				       it of bytes that are not */
	};
};

/*
 * What went wrong with a statement. message is for the client, UTF-8: it may
 * quote names of the schema and a piece of the client's own SQL, nothing else.
 */
struct sql_error {
	enum err err;
	unsigned status; /* ERR_CHOSEN: what fail() asked for */
	int offset;      /* of the mistake in the text; -1: unknown */
	char message[400];
};

/* None. Leaves what was said before where it is: a message is several lines of
 * memory, which the submitter and the committer would both have to fetch. */
static inline void
sql_error_clear(struct sql_error *error)
{
	error->err = ERR_OK;
	error->status = 0;
	error->offset = -1;
	error->message[0] = 0;
}

/* Who wrote a statement: what it may do. ATTACH, PRAGMAs that change
 * anything, transactions, temporary objects and extensions are refused to
 * all. */
enum sql_policy {
	SQL_ROUTE,     /* a service's: no changes of the schema */
	SQL_ADMIN,     /* /v1/sql: schema changes and PRAGMAs that only tell */
	SQL_MIGRATION, /* a service's: schema changes */
};

/* One statement's text. Immutable; the bytes live as long as it is used. */
struct sql_text {
	struct bytes text;
	enum sql_policy policy;
	uint64_t hash; /* of both, by sql_text_init() */
};
void sql_text_init(struct sql_text *text, struct bytes bytes,
		   enum sql_policy policy);

/* ---- a database ---------------------------------------------------------- */

struct sql;

struct sql_options {
	const char *name;    /* copied */
	const char *path;    /* of the file; its folder is there */
	uint64_t max_size;   /* bytes of the file; ERR_FULL beyond */
	unsigned workers;    /* pools 0 to workers - 1 are the workers'; behind
				them are SLOW_THREADS of the slow lane's, and one
				for other threads, one at a time (main) */
	uint64_t max_age_ns; /* of what waits in the lane; 0: 50 ms */
	struct sequence *sequence;
	struct slow *slow; /* for the check after an unclean end; NULL: it is
			      not checked */
	/* Stores that kv_get() and the table `kv` may show, and their names
	 * there (NULL: kv_name()). All are copied. Each connection that has
	 * used a store keeps one of its snapshots (kv_options.readers). */
	struct kv *const *stores;
	const char *const *store_names;
	unsigned store_count;
	bool scratch; /* a copy for trying something out: nothing is synced */
	void (*on_fault)(void *arg, const char *name);
	void *on_fault_arg;
};

/* Opens or makes the database. ERR_LOCKED: another process has it. ERR_FAULT:
 * damaged, or no database. message gets a sentence for the operator. */
MUST_CHECK enum err sql_open(struct sql **out,
			     const struct sql_options *options, char *message,
			     size_t message_size);
/* Before it is closed, when nobody submits any more: ends a check in the
 * background, and waits until the committer has woken the last source. */
void sql_settle(struct sql *sql);
/* Commits what was submitted, checkpoints. No reader is taken by then. */
void sql_close(struct sql *sql);

/*
 * Stores that its statements may be shown, beside those that it has; names may
 * be NULL. One thread at a time, as what follows. ERR_FULL: SQL_STORES_MAX
 * different ones have been given by now; some of these may have been added.
 */
MUST_CHECK enum err sql_add_stores(struct sql *sql, struct kv *const *stores,
				   const char *const *names, unsigned count);
/* From now on its statements see these, which were added, and no other one by
 * their names; only: no other one at all. */
void sql_show_stores(struct sql *sql, struct kv *const *stores,
		     const char *const *names, unsigned count, bool only);

const char *sql_name(const struct sql *sql);
struct lane *sql_lane(struct sql *sql);
/* SQL_WORDS words, which outlive the database: those who kept a number may
 * still look. */
const uint64_t *sql_words(const struct sql *sql);

/* ---- reading ------------------------------------------------------------- */

struct sql_reader; /* a connection that reads */
struct sql_stmt;   /* a prepared statement of one connection */

/* Of the pool of the calling worker or slow thread. NULL: all are taken, or
 * none could be opened (then *err is not OK). Never waits. */
struct sql_reader *sql_reader_try_take(struct sql *sql, enum err *err);
/* On a fiber or a slow thread: waits for one, first come first served.
 * NULL: *err is ERR_DEADLINE, or why none could be opened. */
struct sql_reader *sql_reader_take(struct sql *sql, uint64_t deadline_ns,
				   enum err *err);
/* Same thread as took it. Ends what was begun. */
void sql_reader_give(struct sql_reader *reader);

/* What the reader has kept is forgotten: what is prepared next is judged by the
 * schema of now. None of its statements is held. */
MUST_CHECK enum err sql_reader_refresh(struct sql_reader *reader);

/*
 * Finds the statement among those that are kept, or prepares it. It is held
 * until sql_release(). text has one statement; ERR_BAD: none or several,
 * ERR_SYNTAX, ERR_FORBIDDEN.
 */
MUST_CHECK enum err sql_prepare(struct sql_reader *reader,
				const struct sql_text *text,
				struct sql_stmt **out, struct sql_error *error);
/* What this reader prepares from now until it is given is done by then, or
 * ERR_DEADLINE. On a worker's reader what takes long is given up before, with
 * ERR_STEPS: it may be prepared on a slow thread. */
void sql_prepare_until(struct sql_reader *reader, uint64_t deadline_ns);
/* Resets it: its snapshot ends with the last that is running. */
void sql_release(struct sql_stmt *stmt);

/* What is known of a statement. Strings live until sql_release(). */
bool sql_is_readonly(const struct sql_stmt *stmt);
bool sql_is_explain(const struct sql_stmt *stmt);
/* The same text and data may give other rows: random(), CURRENT_TIME. The date
 * functions are not in it, as most calls of them depend on their arguments
 * alone: one that asks the time when it is run sets sql_deps.lost. */
bool sql_is_unstable(const struct sql_stmt *stmt);
/* Cannot be sliced once it is under way: sorts. See struct sql_limits. */
bool sql_sorts(const struct sql_stmt *stmt);
/* CREATE, DROP, ALTER, ... */
bool sql_changes_schema(const struct sql_stmt *stmt);
/* To be written alone, see sql_submit(). */
bool sql_is_vacuum(const struct sql_stmt *stmt);
unsigned sql_parameter_count(const struct sql_stmt *stmt);
/* Without its ":", "@" or "$"; NULL: it has a number only. From 0. */
const char *sql_parameter_name(const struct sql_stmt *stmt, unsigned index);
unsigned sql_column_count(const struct sql_stmt *stmt);
const char *sql_column_name(const struct sql_stmt *stmt, unsigned index);
/* As declared, "" for an expression. */
const char *sql_column_type(const struct sql_stmt *stmt, unsigned index);
/* Lines of EXPLAIN QUERY PLAN, indented, into out. */
MUST_CHECK enum err sql_plan(struct sql_reader *reader,
			     const struct sql_text *text, struct buffer *out,
			     struct sql_error *error);
/* found() is called for each table that the statement reads from end to end,
 * with its rows, about (-1: unknown). */
MUST_CHECK enum err sql_full_scans(
	struct sql_reader *reader, const struct sql_text *text,
	void (*found)(void *arg, const char *table, int64_t rows), void *arg);

/* From 0. What the value points to lives until sql_release(). ERR_STEPS: too
 * large for a worker's reader, not for a slow thread's. */
MUST_CHECK enum err sql_bind(struct sql_stmt *stmt, unsigned index,
			     const struct sql_value *value);

/*
 * What was read, and the words' values from before: a reply that is kept with
 * them is current while they stand. Pointers are to words of databases and
 * stores, which live as long as the process.
 */
struct sql_deps {
	unsigned count;
	bool odd;  /* a commit was going on: current, but not to be kept */
	bool lost; /* not known in full: not to be kept */
	uint64_t expires_ms; /* a key of a store that was read ends then, wall
				time; 0: none does */
	struct {
		const uint64_t *word;
		uint64_t value;
	} list[SQL_DEPS_MAX];
};
void sql_deps_init(struct sql_deps *deps);
/* Notes the words of the tables that stmt reads. For all statements of a
 * request before the first of them is run. */
void sql_deps_note(struct sql_deps *deps, const struct sql_stmt *stmt);
/* May a reply be kept with these? Unstable statements are the caller's
 * business. */
static inline bool
sql_deps_complete(const struct sql_deps *deps)
{
	return !deps->odd && !deps->lost;
}

/* Bounds of one execution; what is 0 or NULL does not bound. */
struct sql_limits {
	uint64_t deadline_ns; /* monotonic: ERR_DEADLINE */
	uint64_t steps;       /* of the virtual machine: ERR_STEPS. For what is
				 tried in place; it can be run again. */
	uint64_t sort_steps;  /* ERR_STEPS when a statement that sorts goes
				 beyond before its first row: it belongs on a
				 slow thread */
	const unsigned *cancel; /* atomic; not 0: ERR_CANCELLED */
	bool slices;            /* on a fiber: yields when its slice is over */
	struct sql_deps *deps;  /* gets what is found on the way: keys of
				   stores */
};

/* One snapshot for several statements, until sql_end() or give. */
MUST_CHECK enum err sql_begin(struct sql_reader *reader);
void sql_end(struct sql_reader *reader);

/* limits live until sql_release(). Then sql_step() gives row by row. */
void sql_run(struct sql_stmt *stmt, const struct sql_limits *limits);

enum sql_step { SQL_ROW, SQL_DONE, SQL_FAILED };
/* SQL_FAILED: error says why; the statement is to be released. Values are at
 * most 1 MiB on a worker's reader and 16 MiB elsewhere: with limits.steps or
 * slices, ERR_STEPS says that it may fit on a slow thread. */
MUST_CHECK enum sql_step sql_step(struct sql_stmt *stmt,
				  struct sql_error *error);
/* Of the current row; lives until the next step. */
void sql_column(const struct sql_stmt *stmt, unsigned index,
		struct sql_value *value);
/* The longest that the statement ran in one piece, since it was run: what
 * cannot be sliced shows here. Nanoseconds, only with limits.slices. */
uint64_t sql_longest_ns(const struct sql_stmt *stmt);

/* ---- writing ------------------------------------------------------------- */

struct sql_op {
	const struct sql_text *text;
	const struct sql_value *values;
	unsigned value_count;
};

/* What becomes of a write's statements, called on the committer, between
 * begin() and the end of the item. A batch that is rolled back is run again:
 * begin() is then called again, and forgets what was. Any may be NULL. */
struct sql_sink {
	void (*begin)(void *arg);
	/* Of statement op; stmt's current row. False: stop with TOO_LARGE. */
	bool (*row)(void *arg, unsigned op, const struct sql_stmt *stmt);
	/* It is done: rows changed by it, and the last rowid inserted; 0: it
	 * inserted none. */
	bool (*done)(void *arg, unsigned op, const struct sql_stmt *stmt,
		     int64_t changes, int64_t rowid);
};

/* One atomic, durable unit of statements, of which the reading ones see what
 * those before have written. What it points to lives until it is done. */
struct sql_write {
	struct lane_item item; /* source, and err: the outcome */
	const struct sql_op *ops;
	unsigned count;
	const struct sql_sink *sink;
	void *arg;           /* for sink */
	void *request;       /* the submitter's own */
	uint64_t timeout_ns; /* of running it, 0: 5 s */

	/* Out. */
	struct sql_error error; /* with item.err not OK */
	unsigned failed;        /* index of the op it is about */
	uint64_t seq;           /* of the commit */
	uint64_t run_ns;        /* on the committer, without the commit */
};

/* Fills item.ops and item.bytes. Errors are lane_submit()'s. A VACUUM must be
 * the only statement; it is run outside a transaction. */
MUST_CHECK enum err sql_submit(struct sql *sql, struct sql_write *write);

/* ---- migrations and copies: on a slow thread or before the workers ------- */

struct sql_migration {
	const char *name;  /* of the file */
	struct bytes text; /* any number of statements */
};

/*
 * Applies those of the list that were not applied yet, in order, each in one
 * transaction with its record (name, checksum, time) in the table
 * _jackdaw_migrations. Waits. ERR_CONDITION: one that was applied has another
 * checksum now, or is missing from the list. *applied counts the new ones.
 * error.message names the migration and says what is wrong with it.
 */
MUST_CHECK enum err sql_migrate(struct sql *sql,
				const struct sql_migration *list,
				unsigned count, unsigned *applied,
				struct sql_error *error);
/* How many of the list are not applied. Same errors. */
MUST_CHECK enum err sql_migrations_pending(struct sql *sql,
					   const struct sql_migration *list,
					   unsigned count, unsigned *pending,
					   struct sql_error *error);
/* A consistent copy into a new file at path. Waits; writers go on. */
MUST_CHECK enum err sql_copy(struct sql *sql, const char *path);

/* ---- figures ------------------------------------------------------------- */

struct sql_stats {
	uint64_t file_bytes, wal_bytes, max_size;
	uint64_t checkpoints, checkpoint_ns;
	unsigned readers; /* connections that are open */
	unsigned readers_busy;
	uint64_t statements_prepared;
	bool full;     /* the last batch had to refuse something */
	bool checking; /* the check after an unclean end runs */
	bool damaged;  /* it, or a write, has met damage */
};
/* Any thread. */
void sql_stats(struct sql *sql, struct sql_stats *stats);

#endif
