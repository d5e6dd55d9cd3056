/* SPDX-License-Identifier: MIT */
/*
 * Readers: a few connections for each worker, each slow thread, and for the
 * others. A pool is its thread's own, so nothing here is atomic but what is
 * counted.
 *
 * On a worker many fibers share a pool. One that finds no reader waits in
 * line; who gives one back hands it to the first in line. Both are of the
 * same worker, so neither can come between the other's steps.
 */
#include <ck_pr.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/fiber.h"
#include "core/log.h"
#include "core/sched.h"
#include "storage/sql/sql_internal.h"

/* Beyond the first, a reader that was not needed for so long is closed when
 * another is given back. */
#define IDLE_NS (60 * NS_PER_S)

/* On the stack of a fiber that waits. */
struct waiter {
	struct fiber *fiber;
	struct sql_reader *reader; /* what it was given */
	struct waiter *next;
};

struct sql_pool {
	/* Its thread's. The newest first: those behind get old. */
	alignas(CACHE_LINE) struct sql_reader *free;
	struct waiter *first, **last;

	/* Atomic: its thread writes them, figures for others. */
	unsigned open, busy;
};

static struct sql_pool *
own_pool(struct sql *sql, unsigned *index)
{
	if (sched_on_worker())
		*index = sched_worker_index();
	else if (slow_on_thread())
		*index = sql->options.workers + slow_index();
	else
		*index = sql->options.workers + SLOW_THREADS;
	assert(*index < sql->pool_count);
	return &sql->pools[*index];
}

/* ---- opening ------------------------------------------------------------- */

static struct sql_reader *
open_reader(struct sql *sql, struct sql_pool *pool, unsigned index,
	    enum err *err)
{
	struct sql_reader *reader = calloc(1, sizeof(*reader));
	char message[256];

	if (!reader) {
		*err = ERR_NOMEM;
		return NULL;
	}
	reader->connection.pool = index;
	*err = sql_connect(sql, &reader->connection, false, message,
			   sizeof(message));
	if (*err) {
		log_error("database %s: a reader cannot be opened: %s",
			  sql->name, message);
		free(reader);
		return NULL;
	}
	ck_pr_store_uint(&pool->open, pool->open + 1);
	return reader;
}

static void
close_reader(struct sql_pool *pool, struct sql_reader *reader)
{
	sql_disconnect(&reader->connection);
	free(reader);
	ck_pr_store_uint(&pool->open, pool->open - 1);
}

enum err
sql_pools_init(struct sql *sql)
{
	unsigned count = sql->options.workers + SQL_POOLS_EXTRA;

	sql->pools = aligned_alloc(CACHE_LINE, count * sizeof(*sql->pools));
	if (!sql->pools)
		return ERR_NOMEM;
	sql->pool_count = count;
	for (unsigned i = 0; i < count; i++) {
		sql->pools[i] = (struct sql_pool){ 0 };
		sql->pools[i].last = &sql->pools[i].first;
	}
	return ERR_OK;
}

void
sql_pools_fini(struct sql *sql)
{
	for (unsigned i = 0; i < sql->pool_count; i++) {
		struct sql_pool *pool = &sql->pools[i];
		struct sql_reader *reader;

		assert(!pool->busy && !pool->first);
		while ((reader = pool->free)) {
			pool->free = reader->next;
			close_reader(pool, reader);
		}
	}
	free(sql->pools);
	sql->pools = NULL;
	sql->pool_count = 0;
}

void
sql_pools_count(const struct sql *sql, unsigned *open, unsigned *busy)
{
	*open = *busy = 0;
	for (unsigned i = 0; i < sql->pool_count; i++) {
		*open += ck_pr_load_uint(&sql->pools[i].open);
		*busy += ck_pr_load_uint(&sql->pools[i].busy);
	}
}

/* ---- taking -------------------------------------------------------------- */

static struct sql_reader *
try_take(struct sql *sql, struct sql_pool *pool, unsigned index, enum err *err)
{
	struct sql_reader *reader = pool->free;

	*err = ERR_OK;
	if (reader)
		pool->free = reader->next;
	else if (pool->open < SQL_READERS_MAX)
		reader = open_reader(sql, pool, index, err);
	if (reader)
		ck_pr_store_uint(&pool->busy, pool->busy + 1);
	return reader;
}

struct sql_reader *
sql_reader_try_take(struct sql *sql, enum err *err)
{
	unsigned index;
	struct sql_pool *pool = own_pool(sql, &index);

	return try_take(sql, pool, index, err);
}

static void
leave_line(struct sql_pool *pool, struct waiter *waiter)
{
	struct waiter **at = &pool->first;

	while (*at != waiter)
		at = &(*at)->next;
	*at = waiter->next;
	if (!*at)
		pool->last = at;
}

static struct sql_reader *
wait_in_line(struct sql_pool *pool, uint64_t deadline_ns)
{
	struct waiter waiter = { .fiber = fiber_self() };
	bool woken = false;

	/* Elsewhere nobody could give one back meanwhile. */
	assert(waiter.fiber);
	*pool->last = &waiter;
	pool->last = &waiter.next;
	while (!waiter.reader) {
		woken = fiber_wait(deadline_ns);
		if (!woken && !waiter.reader) {
			leave_line(pool, &waiter);
			return NULL;
		}
	}
	/* Given in the last moment: the wake is still to come. */
	if (!woken)
		fiber_wait(UINT64_MAX);
	return waiter.reader;
}

struct sql_reader *
sql_reader_take(struct sql *sql, uint64_t deadline_ns, enum err *err)
{
	unsigned index;
	struct sql_pool *pool = own_pool(sql, &index);
	struct sql_reader *reader;

	/* While somebody waits none is free: they are handed over. */
	reader = try_take(sql, pool, index, err);
	if (reader || *err)
		return reader;
	reader = wait_in_line(pool, deadline_ns);
	if (!reader)
		*err = ERR_DEADLINE;
	return reader;
}

/* ---- giving -------------------------------------------------------------- */

static void
close_idle(struct sql_pool *pool, uint64_t now_ns)
{
	struct sql_reader **last = &pool->free, *reader;

	if (!*last || !(*last)->next)
		return;
	while ((*last)->next)
		last = &(*last)->next;
	reader = *last;
	if (now_ns - reader->given_ns < IDLE_NS)
		return;
	*last = NULL;
	close_reader(pool, reader);
}

void
sql_reader_give(struct sql_reader *reader)
{
	struct sql_connection *connection = &reader->connection;
	struct sql_pool *pool = &connection->sql->pools[connection->pool];
	struct waiter *waiter = pool->first;

	/* Nothing of it may be in use, nor pin the WAL. */
	assert(!connection->held);
	if (connection->begun)
		sql_end(reader);
	connection->deadline_ns = 0;
	if (waiter) {
		waiter->reader = reader;
		leave_line(pool, waiter);
		fiber_wake(waiter->fiber);
		return;
	}
	reader->given_ns = clock_coarse_ns();
	reader->next = pool->free;
	pool->free = reader;
	ck_pr_store_uint(&pool->busy, pool->busy - 1);
	close_idle(pool, reader->given_ns);
}
