/* SPDX-License-Identifier: MIT */
/*
 * A name, and what belongs to it over all its versions: its database, its
 * stores, its counters.
 */
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "http/service/deploy_internal.h"

static const char config_file[] = "service.conf";

enum {
	/* Snapshots of a service's own store: one a worker, one a connection
	 * of its database, and scans over HTTP. */
	SCAN_READS = 64,
	/* Keys that are deleted in one commit when a store is emptied. */
	EMPTY_BATCH = 500,
};

struct tenant_route {
	struct tenant_route *next;
	char *name;                        /* "GET /shop/orders/{id}" */
	struct route_counters *counters[]; /* deploys->workers + 1 */
};

/* ---- names --------------------------------------------------------------- */

struct tenant *
tenant_find(const struct deploys *deploys, const char *name)
{
	struct tenant *tenant = deploys->tenants;

	while (tenant && strcmp(tenant->name, name))
		tenant = tenant->next;
	return tenant;
}

static struct tenant *
create(const char *name)
{
	struct tenant *tenant = aligned_alloc(CACHE_LINE, sizeof(*tenant));

	if (!tenant)
		return NULL;
	memset(tenant, 0, sizeof(*tenant));
	tenant->state = calloc(1, sizeof(*tenant->state));
	if (!tenant->state) {
		free(tenant);
		return NULL;
	}
	snprintf(tenant->name, sizeof(tenant->name), "%s", name);
	return tenant;
}

struct tenant *
tenant_get(struct deploys *deploys, const char *name,
	   struct complaints *complaints)
{
	struct tenant *tenant = tenant_find(deploys, name);
	enum err err;

	if (tenant)
		return tenant;
	tenant = create(name);
	if (!tenant) {
		complain(complaints, NULL, 0, "%s", err_text(ERR_NOMEM));
		return NULL;
	}
	err = deploy_state_read(deploys, name, tenant->state);
	if (err && err != ERR_NOTFOUND) {
		complain(complaints, NULL, 0,
			 "the file `current` of the service in the data folder "
			 "cannot be read: %s",
			 err_text(err));
		tenant_destroy(tenant);
		return NULL;
	}
	tenant->index = deploys->tenant_count++;
	tenant->next = deploys->tenants;
	deploys->tenants = tenant;
	return tenant;
}

static void
free_route(const struct tenant_route *route)
{
	for (unsigned i = 0; route->counters[i]; i++)
		free(route->counters[i]);
	free(route->name);
}

void
tenant_destroy(struct tenant *tenant)
{
	struct tenant_route *route;

	tenant_close(tenant);
	while ((route = tenant->routes)) {
		tenant->routes = route->next;
		free_route(route);
		free(route);
	}
	free(tenant->state);
	free(tenant);
}

/* ---- the database -------------------------------------------------------- */

bool
tenant_has_database(const struct deploys *deploys, const struct tenant *tenant)
{
	char path[PATH_MAX];

	if (tenant->sql)
		return true;
	deploy_path(deploys, path, "%s/sql.db", tenant->name);
	return !access(path, F_OK);
}

enum err
tenant_open(struct deploys *deploys, struct tenant *tenant,
	    const struct service_settings *settings,
	    struct complaints *complaints)
{
	const struct server *server = deploys->server;
	char path[PATH_MAX], message[256];
	struct sql_options options = {
		.name = tenant->name,
		.path = path,
		.max_size = settings->max_size,
		.workers = deploys->workers,
		.max_age_ns = server->config->queue_age_ms * NS_PER_MS,
		.sequence = server->sequence,
		.slow = server->slow,
		.on_fault = server->on_fault,
		.on_fault_arg = server->on_fault_arg,
	};
	enum err err;

	if (tenant->sql)
		return ERR_OK;
	deploy_path(deploys, path, "%s/sql.db", tenant->name);
	err = sql_open(&tenant->sql, &options, message, sizeof(message));
	if (err)
		complain(complaints, NULL, 0, "%s", message);
	return err;
}

void
tenant_close(struct tenant *tenant)
{
	if (tenant->sql)
		sql_close(tenant->sql);
	tenant->sql = NULL;
}

/* ---- stores -------------------------------------------------------------- */

/* "shop-cart". False: too long. */
static bool
store_name(const struct tenant *tenant, const struct config_store *store,
	   char out[KV_NAME_MAX + 1])
{
	return snprintf(out, KV_NAME_MAX + 1, "%s-%s", tenant->name,
			store->name) <= KV_NAME_MAX;
}

/* Its index, -1: there is none. */
static int
find_store(const struct server *server, const char *name, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (!strcmp(kv_name(server->stores[i]), name))
			return (int)i;
	return -1;
}

static bool
is_listed(const struct service_settings *settings, const char *name)
{
	for (unsigned i = 0; i < settings->store_count; i++)
		if (!strcmp(settings->stores[i], name))
			return true;
	return false;
}

static void
check_open_store(const struct deploys *deploys, unsigned index,
		 const struct config_store *store,
		 struct complaints *complaints)
{
	const struct config_store *open = &deploys->stores[index];

	if (index < deploys->server->config->store_count)
		complain(complaints, config_file, 0,
			 "store %s: the daemon's own store %s has that name "
			 "outside",
			 store->name, kv_name(deploys->server->stores[index]));
	else if (open->is_volatile != store->is_volatile)
		complain(complaints, config_file, 0,
			 "store %s: the kind of a store cannot be changed",
			 store->name);
	else if (open->max_size != store->max_size ||
		 open->ttl_ms != store->ttl_ms)
		complain_hint(complaints, config_file, 0,
			      "store %s: its new size and time to live take "
			      "effect when the daemon is started again",
			      store->name);
}

void
tenant_check_stores(const struct deploys *deploys, const struct tenant *tenant,
		    const struct service_settings *settings,
		    struct complaints *complaints)
{
	const struct server *server = deploys->server;
	unsigned count = server->store_count, wanted = count;
	char name[KV_NAME_MAX + 1];

	for (unsigned i = 0; i < settings->store_count; i++)
		if (find_store(server, settings->stores[i],
			       server->config->store_count) < 0)
			complain(complaints, config_file, 0,
				 "stores: the daemon has no store %s",
				 settings->stores[i]);
	for (unsigned i = 0; i < settings->own_store_count; i++) {
		const struct config_store *store = &settings->own_stores[i];
		int index;

		if (!store_name(tenant, store, name)) {
			complain(complaints, config_file, 0,
				 "store %s: with the service's name it is "
				 "longer than %d bytes",
				 store->name, KV_NAME_MAX);
			continue;
		}
		if (is_listed(settings, store->name))
			complain(complaints, config_file, 0,
				 "store %s: `stores` has this name too",
				 store->name);
		index = find_store(server, name, count);
		if (index < 0)
			wanted++;
		else
			check_open_store(deploys, (unsigned)index, store,
					 complaints);
	}
	if (wanted > CONFIG_STORES_MAX)
		complain(complaints, config_file, 0,
			 "with its stores the daemon would have %u, the limit "
			 "is %d",
			 wanted, CONFIG_STORES_MAX);
}

static enum err
open_store(struct deploys *deploys, const char *name,
	   const struct config_store *store, struct complaints *complaints)
{
	struct server *server = deploys->server;
	unsigned index = server->store_count;
	char path[PATH_MAX], message[256];
	struct kv_options options = {
		.name = name,
		.dir = path,
		.is_volatile = store->is_volatile,
		.max_size = store->max_size,
		.default_ttl_ms = store->ttl_ms,
		.readers =
			deploys->workers + SCAN_READS +
			(deploys->workers + SLOW_THREADS + 2) * SQL_READERS_MAX,
		.max_age_ns = server->config->queue_age_ms * NS_PER_MS,
		.sequence = server->sequence,
		.on_fault = server->on_fault,
		.on_fault_arg = server->on_fault_arg,
	};
	enum err err;

	if (index == CONFIG_STORES_MAX)
		return ERR_FULL;
	snprintf(path, sizeof(path), "%s/kv/%s", server->config->data_dir,
		 name);
	err = kv_open(&server->stores[index], &options, message,
		      sizeof(message));
	if (err) {
		complain(complaints, config_file, 0, "store %s: %s",
			 store->name, message);
		return err;
	}
	deploys->stores[index] = (struct config_store){
		.is_volatile = store->is_volatile,
		.max_size = store->max_size,
		.ttl_ms = store->ttl_ms,
	};
	HANDS_OVER(server->stores[index]);
	/* Pairs with server_store_count(): who counts it sees it. */
	ck_pr_fence_store();
	ck_pr_store_uint(&server->store_count, index + 1);
	return ERR_OK;
}

static enum err
open_own_stores(struct deploys *deploys, struct tenant *tenant,
		const struct service_settings *settings,
		struct complaints *complaints)
{
	struct server *server = deploys->server;
	char name[KV_NAME_MAX + 1];

	for (unsigned i = 0; i < settings->own_store_count; i++) {
		const struct config_store *store = &settings->own_stores[i];
		int index;

		if (!store_name(tenant, store, name))
			return ERR_BAD;
		index = find_store(server, name, server->store_count);
		if (index < 0) {
			enum err err =
				open_store(deploys, name, store, complaints);

			if (err)
				return err;
			index = (int)server->store_count - 1;
		}
		tenant->state->own_stores |= UINT32_C(1) << index;
	}
	return ERR_OK;
}

enum err
tenant_give_stores(struct deploys *deploys, struct tenant *tenant,
		   const struct service_settings *settings,
		   struct complaints *complaints)
{
	const struct server *server = deploys->server;
	struct kv *stores[CONFIG_STORES_MAX];
	const char *names[CONFIG_STORES_MAX];
	char name[KV_NAME_MAX + 1];
	unsigned count = 0;
	enum err err = open_own_stores(deploys, tenant, settings, complaints);

	if (err)
		return err;
	for (unsigned i = 0; i < settings->own_store_count; i++) {
		const struct config_store *store = &settings->own_stores[i];

		if (!store_name(tenant, store, name))
			return ERR_BAD;
		names[count] = store->name;
		stores[count++] = server->stores[find_store(
			server, name, server->store_count)];
	}
	for (unsigned i = 0; i < settings->store_count; i++) {
		int index = find_store(server, settings->stores[i],
				       server->config->store_count);

		if (index < 0 || count == CONFIG_STORES_MAX)
			continue;
		names[count] = settings->stores[i];
		stores[count++] = server->stores[index];
	}
	return sql_set_stores(tenant->sql, stores, names, count);
}

/* ---- emptying a store ---------------------------------------------------- */

struct emptying {
	struct kv_write write;
	struct kv_op ops[EMPTY_BATCH];
	sem_t done;
};

static void
on_emptied(struct lane_item *item)
{
	struct emptying *emptying =
		CONTAINER_OF(item, struct emptying, write.item);

	HANDS_OVER(emptying);
	sem_post(&emptying->done);
}

/* Copies of up to EMPTY_BATCH keys. */
static enum err
find_keys(struct kv *kv, struct emptying *emptying)
{
	struct kv_read *read;
	struct kv_scan *scan;
	struct kv_record record;
	struct bytes key;
	enum err err = kv_read_create(kv, &read);

	emptying->write.count = 0;
	if (err)
		return err;
	err = kv_read_renew(read, true);
	if (!err)
		err = kv_scan_begin(read, false, (struct bytes){ "", 0 },
				    clock_wall_ms(), &scan);
	if (err) {
		kv_read_destroy(read);
		return err;
	}
	while (emptying->write.count < EMPTY_BATCH &&
	       !(err = kv_scan_next(scan, &key, &record))) {
		struct kv_op *op = &emptying->ops[emptying->write.count];
		char *copy = malloc(key.len ? key.len : 1);

		if (!copy) {
			err = ERR_NOMEM;
			break;
		}
		memcpy(copy, key.data, key.len);
		*op = (struct kv_op){ .kind = KV_DELETE,
				      .key = { copy, key.len } };
		emptying->write.count++;
	}
	kv_scan_end(scan);
	kv_read_destroy(read);
	return err == ERR_NOTFOUND ? ERR_OK : err;
}

static enum err
delete_keys(struct kv *kv, struct emptying *emptying)
{
	struct kv_write *write = &emptying->write;
	enum err err;

	write->item.source = NULL;
	write->item.done = on_emptied;
	write->item.patient = true;
	write->atomic = false;
	write->ops = emptying->ops;
	HANDS_OVER(emptying);
	err = kv_submit(kv, write);
	if (!err) {
		while (sem_wait(&emptying->done))
			;
		TAKES_OVER(emptying);
		err = write->item.err;
	}
	for (unsigned i = 0; i < write->count; i++)
		free((void *)(uintptr_t)emptying->ops[i].key.data);
	return err;
}

static void
empty_store(struct kv *kv)
{
	struct emptying *emptying = calloc(1, sizeof(*emptying));
	enum err err = emptying ? ERR_OK : ERR_NOMEM;

	if (emptying) {
		sem_init(&emptying->done, 0, 0);
		do {
			err = find_keys(kv, emptying);
			if (emptying->write.count) {
				enum err other = delete_keys(kv, emptying);

				err = err ? err : other;
			}
		} while (!err && emptying->write.count);
		sem_destroy(&emptying->done);
		free(emptying);
	}
	if (err)
		log_error("a store cannot be emptied store=%s error=\"%s\"",
			  kv_name(kv), err_text(err));
}

/* ---- the end ------------------------------------------------------------- */

static void
purge(struct deploys *deploys, struct tenant *tenant)
{
	struct tenant_state *state = tenant->state;
	char path[PATH_MAX];

	for (unsigned i = 0; i < CONFIG_STORES_MAX; i++)
		if (state->own_stores & UINT32_C(1) << i)
			empty_store(deploys->server->stores[i]);
	deploy_path(deploys, path, "%s", tenant->name);
	deploy_remove_tree(path);
	/* The numbers of its versions go on while the process lives. */
	*state = (struct tenant_state){ .last = state->last };
	log_info("service purged service=%s", tenant->name);
}

void
tenant_finish(struct deploys *deploys, struct tenant *tenant)
{
	tenant_close(tenant);
	tenant->state->closing = false;
	if (tenant->state->purge)
		purge(deploys, tenant);
}

/* ---- counters ------------------------------------------------------------ */

static struct tenant_route *
find_route(const struct tenant *tenant, const char *name)
{
	struct tenant_route *route = tenant->routes;

	while (route && strcmp(route->name, name))
		route = route->next;
	return route;
}

static struct tenant_route *
make_route(struct tenant *tenant, const char *name, unsigned count)
{
	/* One pointer more, NULL, is the end. */
	struct tenant_route *route = calloc(
		1, sizeof(*route) + (count + 1) * sizeof(route->counters[0]));

	if (!route)
		return NULL;
	route->name = strdup(name);
	for (unsigned i = 0; i < count; i++) {
		size_t size = (sizeof(struct route_counters) + CACHE_LINE - 1) &
			      ~(size_t)(CACHE_LINE - 1);

		route->counters[i] = aligned_alloc(CACHE_LINE, size);
		if (!route->counters[i] || !route->name) {
			free_route(route);
			free(route);
			return NULL;
		}
		memset(route->counters[i], 0, size);
	}
	route->next = tenant->routes;
	tenant->routes = route;
	return route;
}

enum err
tenant_give_counters(const struct deploys *deploys, struct tenant *tenant,
		     struct service *service)
{
	for (unsigned i = 0; i < service->route_count; i++) {
		struct route *route = &service->routes[i];
		struct tenant_route *known = find_route(tenant, route->name);

		if (!known)
			known = make_route(tenant, route->name,
					   deploys->workers + 1);
		if (!known)
			return ERR_NOMEM;
		route->counters = known->counters;
	}
	return ERR_OK;
}
