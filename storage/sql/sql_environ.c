/* SPDX-License-Identifier: MIT */
/*
 * What SQLite stands on in this process.
 *
 * Memory. Every allocation is made by a thread that works for one connection
 * (sql_environ_enter()). It is refused when that connection's statement holds
 * too much, and when the stack is used up too far: the code generator recurs
 * into views of views and triggers of triggers, to a depth that no limit of
 * the library's bounds, and it allocates at each level. Also when a statement
 * takes too long to prepare: the planner weighs the ways to join sixty tables
 * for seconds, calls nobody meanwhile, and allocates for each that it keeps.
 * SQLite takes all of this for a lack of memory, and unwinds.
 * sql_connection_error() tells them apart.
 *
 * Time. The file system's clock is asked by date('now') and its like, and by
 * nobody else. So we know without a look at the text whether what a statement
 * gave depends on the time.
 *
 * Barriers. A statement has two, between looks at the WAL's index. SQLite's own
 * is a fence, and then takes a mutex of the whole process, "for redundancy":
 * the one lock that all workers would meet at twice a statement.
 */
#include <ck_pr.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "storage/sql/sql_internal.h"

/* This thread's. A fiber that goes on sets it again. */
static _Thread_local struct sql_connection *current;

void
sql_environ_enter(struct sql_connection *connection)
{
	current = connection;
	connection->stack_top = (uintptr_t)__builtin_frame_address(0);
}

void
sql_environ_resume(struct sql_connection *connection)
{
	current = connection;
}

void
sql_environ_leave(void)
{
	current = NULL;
}

/* ---- the time to prepare ------------------------------------------------- */

/* On a worker, which it keeps from everybody else: ten times what a text of
 * 64 KiB takes, a thousand times what is usual. What takes longer is right for
 * a slow thread. */
#define PREPARE_NS_SHORT (50 * NS_PER_MS)

void
sql_prepare_time_begin(struct sql_connection *connection, uint64_t deadline_ns)
{
	uint64_t short_ns = clock_coarse_ns() + PREPARE_NS_SHORT;

	connection->prepare_until_ns = deadline_ns;
	connection->prepare_late = ERR_DEADLINE;
	if (!connection->is_short || (deadline_ns && deadline_ns <= short_ns))
		return;
	connection->prepare_until_ns = short_ns;
	connection->prepare_late = ERR_STEPS;
}

void
sql_prepare_time_end(struct sql_connection *connection)
{
	connection->prepare_until_ns = 0;
}

/* ---- memory -------------------------------------------------------------- */

static bool
may_take(struct sql_connection *connection, int64_t more)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	if (!connection)
		return true;
	if (here < connection->stack_top &&
	    connection->stack_top - here > SQL_STACK_MAX) {
		connection->lack = SQL_LACK_STACK;
		return false;
	}
	/* The clock costs some nanoseconds, of the 300 or so of preparing that
	 * are between two allocations. */
	if (connection->prepare_until_ns &&
	    clock_coarse_ns() >= connection->prepare_until_ns) {
		connection->lack = SQL_LACK_TIME;
		return false;
	}
	if (connection->memory_max &&
	    connection->memory + more > connection->memory_max) {
		connection->lack = SQL_LACK_BUDGET;
		connection->lacked = connection->memory_max;
		return false;
	}
	return true;
}

static void
count(int64_t bytes)
{
	if (current)
		current->memory += bytes;
}

static void *
lacking(void)
{
	if (current)
		current->lack = SQL_LACK_MEMORY;
	return NULL;
}

static void *
take(int size)
{
	void *memory;

	if (!may_take(current, size))
		return NULL;
	memory = malloc((size_t)size);
	if (!memory)
		return lacking();
	count((int64_t)malloc_usable_size(memory));
	return memory;
}

static void
give(void *memory)
{
	count(-(int64_t)malloc_usable_size(memory));
	free(memory);
}

static void *
resize(void *memory, int size)
{
	int64_t had = (int64_t)malloc_usable_size(memory);

	if (size <= had && size > had / 2)
		return memory;
	if (!may_take(current, size - had))
		return NULL;
	memory = realloc(memory, (size_t)size);
	if (!memory)
		return lacking();
	count((int64_t)malloc_usable_size(memory) - had);
	return memory;
}

static int
size_of(void *memory)
{
	return (int)malloc_usable_size(memory);
}

/* group_concat() and the like, once near their limit, grow by what they add:
 * that must not be a copy each time. */
static int
round_up(int size)
{
	enum { LARGE = 128 << 10, STEP = 64 << 10 };

	if (size > LARGE && size <= INT_MAX - STEP)
		return (size + STEP - 1) & ~(STEP - 1);
	return (size + 7) & ~7;
}

static int
begin(void *unused)
{
	return SQLITE_OK;
}

static void
end(void *unused)
{
}

static const sqlite3_mem_methods memory_methods = {
	.xMalloc = take,
	.xFree = give,
	.xRealloc = resize,
	.xSize = size_of,
	.xRoundup = round_up,
	.xInit = begin,
	.xShutdown = end,
};

/* ---- the files ----------------------------------------------------------- */

const char sql_vfs_name[] = "jackdaw";

static sqlite3_vfs *base;

/* What unix-excl gives each database file, and the same with our barrier; set
 * once, under the lock. */
static struct {
	pthread_mutex_t lock;
	const sqlite3_io_methods *theirs;
	sqlite3_io_methods ours;
} files = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Pairs with itself on another connection: who has seen the second copy of the
 * index's head, which is written first, sees what was written before it, and
 * who reads both alike has read one state. */
static void
barrier(sqlite3_file *file)
{
	ck_pr_fence_memory();
}

static void
override_barrier(sqlite3_file *file)
{
	pthread_mutex_lock(&files.lock);
	if (!files.theirs && file->pMethods->iVersion >= 2) {
		files.theirs = file->pMethods;
		files.ours = *file->pMethods;
		files.ours.xShmBarrier = barrier;
	}
	if (file->pMethods == files.theirs)
		file->pMethods = &files.ours;
	pthread_mutex_unlock(&files.lock);
}

/* unix-excl looks whether it is called by its name. */
static int
open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
	  int *out_flags)
{
	int rc = base->xOpen(base, name, file, flags, out_flags);

	if (rc == SQLITE_OK && (flags & SQLITE_OPEN_MAIN_DB))
		override_barrier(file);
	return rc;
}

/* ---- the clock ----------------------------------------------------------- */

static int
tell_time(sqlite3_vfs *vfs, sqlite3_int64 *julian_ms)
{
	if (current)
		sql_connection_lose(current);
	return base->xCurrentTimeInt64(base, julian_ms);
}

static int
tell_day(sqlite3_vfs *vfs, double *julian)
{
	if (current)
		sql_connection_lose(current);
	return base->xCurrentTime(base, julian);
}

static int
add_vfs(void)
{
	static sqlite3_vfs ours;

	base = sqlite3_vfs_find("unix-excl");
	if (!base || base->iVersion < 2)
		return SQLITE_NOTFOUND;
	ours = *base;
	ours.pNext = NULL;
	ours.zName = sql_vfs_name;
	ours.xOpen = open_file;
	ours.xCurrentTime = tell_day;
	ours.xCurrentTimeInt64 = tell_time;
	return sqlite3_vfs_register(&ours, 0);
}

/* ---- the set-up ---------------------------------------------------------- */

static int init_rc;

/* What the library has to say that is no statement's outcome: a file removed
 * under it, a damaged page. */
static void
log_message(void *unused, int rc, const char *message)
{
	switch (rc & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	case SQLITE_NOTADB:
		log_error("SQLite: %s (%d)", message, rc);
	}
}

static void
init_once(void)
{
	/* Each connection is used by one thread at a time: no mutex in it. */
	if ((init_rc = sqlite3_config(SQLITE_CONFIG_MULTITHREAD)) ||
	    /* Statistics of memory are a lock in each allocation. */
	    (init_rc = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0)) ||
	    (init_rc = sqlite3_config(SQLITE_CONFIG_MALLOC, &memory_methods)) ||
	    /* What a write must be able to undo goes to a file from here on:
	     * 64 pages are more than most touch. */
	    (init_rc =
		     sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, 256 << 10)) ||
	    (init_rc = sqlite3_config(SQLITE_CONFIG_LOG, log_message, NULL)) ||
	    (init_rc = sqlite3_initialize()))
		return;
	init_rc = add_vfs();
}

enum err
sql_environ_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, init_once);
	return init_rc ? err_from_sqlite(init_rc) : ERR_OK;
}
