/* SPDX-License-Identifier: MIT */
/*
 * What all parts of the HTTP side share: the server, made once by daemon.c, and
 * what each worker has of its own.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <ck_pr.h>

#include "core/affinity.h"
#include "core/cache.h"
#include "core/config.h"
#include "core/histogram.h"
#include "core/sched.h"
#include "http/action.h"
#include "http/frame.h"
#include "http/status.h"
#include "storage/kv.h"

struct request;
struct shard;
struct care;
struct catalog;
struct deploys;
struct flights;
struct reply_lengths;
struct run;
struct shared_replies;
struct slow;
struct sql;

/* Snapshots for scans that a worker keeps for the next one. */
enum { SPARE_READS = 4 };

/*
 * One worker's own: nothing in it is shared but for the counters, which
 * others read. Found by local_self().
 */
struct local {
	alignas(CACHE_LINE) struct server *server;
	unsigned index;
	struct cache cache;
	struct kv_read *reads[CONFIG_STORES_MAX];
	unsigned reads_used; /* bit per store: renewed in this turn */
	struct kv_read *spare[CONFIG_STORES_MAX][SPARE_READS];
	unsigned spare_count[CONFIG_STORES_MAX];

	/* Atomic: the catalog that this worker uses in this run, NULL between
	 * runs. Written by the worker, read by deploys. */
	struct catalog *catalog;

	struct frames frames;
	struct request *free_requests;
	unsigned free_count;
	struct run *free_runs;
	unsigned free_run_count;

	/* Request ids are id_next run through a mixer; unique in a process,
	 * different after a restart. */
	uint64_t id_next;

	/* Written by this worker alone, with plain stores; read by /metrics. */
	uint64_t requests[ACTION_COUNT][STATUS_COUNT];
	struct histogram duration[ACTION_COUNT];
	uint64_t begun, ended; /* requests; the difference is in flight */
	uint64_t body_bytes;
};

struct server {
	/* Set before the workers start, then never changed. */
	const struct config *config;
	struct sched *sched;
	struct kv *stores[CONFIG_STORES_MAX]; /* those of services behind */
	unsigned store_count;                 /* atomic: server_store_count() */
	struct shard **shards;
	unsigned shard_count;
	struct listener *listeners;
	unsigned listener_count;
	struct sql *databases[CONFIG_DATABASES_MAX]; /* of the configuration */
	unsigned database_count;
	struct sequence *sequence;
	/* For what is opened later. Called on a committer. */
	void (*on_fault)(void *arg, const char *name);
	void *on_fault_arg;
	struct slow *slow;
	struct deploys *deploys;
	struct care *care; /* NULL: nothing is counted (tests) */
	struct flights *flights;
	struct reply_lengths *lengths;
	struct shared_replies *shared_replies;
	uint64_t boot; /* a sequence number that no other start has: ETags,
			  shared replies */
	struct local *locals; /* one a worker */
	uint64_t started_ms;

	/* Atomic. Set once by main or a committer, read by workers. */
	alignas(CACHE_LINE) unsigned draining;
	unsigned faulty;

	/* Atomic: the services. Published by a deploy, taken up by workers:
	 * see http/service/service.h. */
	struct catalog *catalog;

	/* Atomic, locked adds: bytes held for request bodies above
	 * BODY_SMALL; and connections over all shards. */
	alignas(CACHE_LINE) uint64_t body_memory;
	alignas(CACHE_LINE) uint64_t connections;
};

/* On a worker: its own part. */
struct local *local_self(void) ON_WORKER;
/* Called by daemon.c as the scheduler's begin and end. */
void local_begin(void *server, unsigned index);
void local_end(void *server, unsigned index);
/* After all workers have ended. */
void local_fini(struct local *local);

/* Any thread. A service may bring stores of its own: there are more then, and
 * never fewer. */
static inline unsigned
server_store_count(const struct server *server)
{
	unsigned count = ck_pr_load_uint(&server->store_count);

	/* Pairs with open_store() in tenant_stores.c. */
	ck_pr_fence_load();
	return count;
}

bool server_draining(const struct server *server);
bool server_faulty(const struct server *server);

/* The worker's snapshot of a store, for one turn; NULL: out of readers. */
struct kv_read *local_read(struct local *local, unsigned store);
/* A snapshot that outlives a turn, and its return. NULL: out of readers. */
struct kv_read *local_take_read(struct local *local, unsigned store) ON_WORKER;
void local_give_read(struct local *local, unsigned store,
		     struct kv_read *read) ON_WORKER;

/* One more, by the thread that alone writes the counter. */
static inline void
counter_add(uint64_t *counter, uint64_t n)
{
	ck_pr_store_64(counter, *counter + n);
}

#endif
