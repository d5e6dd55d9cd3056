/* SPDX-License-Identifier: MIT */
#include "http/server.h"

#include <stdlib.h>
#include <sys/random.h>

#include "core/clock.h"
#include "core/log.h"
#include "http/kept.h"
#include "http/request.h"
#include "http/service/run.h"

static _Thread_local struct local *current;

struct local *
local_self(void)
{
	assert(current);
	return current;
}

/* What a worker cannot have is said once, and felt as misses or 503. */
static void
make_caches(struct local *local)
{
	struct server *server = local->server;
	size_t budget = (size_t)server->config->cache_size /
			sched_workers(server->sched);

	if (cache_init(&local->cache, budget, kept_free)) {
		log_warn("no memory for a cache worker=%u", local->index);
		if (cache_init(&local->cache, 0, kept_free))
			abort(); /* a budget of 0 allocates nothing */
	}
	for (unsigned i = 0; i < server_store_count(server); i++)
		(void)local_read(local, i);
}

struct kv_read *
local_read(struct local *local, unsigned store)
{
	struct server *server = local->server;

	/* One that came with a service has none yet. */
	if (!local->reads[store] &&
	    kv_read_create(server->stores[store], &local->reads[store]))
		log_error("no reader for a worker store=%s worker=%u",
			  kv_name(server->stores[store]), local->index);
	return local->reads[store];
}

void
local_begin(void *arg, unsigned index)
{
	struct server *server = arg;
	struct local *local = &server->locals[index];

	current = local;
	if (local->server)
		return; /* main takes over worker 0's after it has ended */
	local->server = server;
	local->index = index;
	if (getrandom(&local->id_next, sizeof(local->id_next), 0) !=
	    sizeof(local->id_next))
		local->id_next = clock_wall_ms() << 8 | index;
	make_caches(local);
}

void
local_end(void *arg, unsigned index)
{
	current = NULL;
}

static void
free_requests(struct local *local)
{
	struct request *request;

	while ((request = local->free_requests)) {
		local->free_requests = request->next_free;
		free(request);
	}
}

void
local_fini(struct local *local)
{
	if (!local->server)
		return;
	cache_fini(&local->cache);
	free_requests(local);
	runs_fini(local);
	frames_fini(&local->frames);
	for (unsigned i = 0; i < local->server->store_count; i++) {
		if (local->reads[i])
			kv_read_destroy(local->reads[i]);
		while (local->spare_count[i])
			kv_read_destroy(
				local->spare[i][--local->spare_count[i]]);
	}
}

bool
server_draining(const struct server *server)
{
	return ck_pr_load_uint(&server->draining);
}

bool
server_faulty(const struct server *server)
{
	return ck_pr_load_uint(&server->faulty);
}

struct kv_read *
local_take_read(struct local *local, unsigned store)
{
	struct kv_read *read;

	if (local->spare_count[store])
		return local->spare[store][--local->spare_count[store]];
	return kv_read_create(local->server->stores[store], &read) ? NULL
								   : read;
}

void
local_give_read(struct local *local, unsigned store, struct kv_read *read)
{
	kv_read_reset(read);
	if (local->spare_count[store] < SPARE_READS)
		local->spare[store][local->spare_count[store]++] = read;
	else
		kv_read_destroy(read);
}
