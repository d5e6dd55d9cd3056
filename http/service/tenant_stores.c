/* SPDX-License-Identifier: MIT */
/*
 * The stores of a service: its own, which it brings, and those of the daemon
 * that it asks for.
 */
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "http/service/deploy_internal.h"
#include "storage/files.h"

static const char config_file[] = "service.conf";

enum {
	/* Snapshots of a service's own store: one a worker, one a connection
	 * of its database, and scans over HTTP. */
	SCAN_READS = 64,
	/* Keys that are deleted in one commit when a store is emptied. */
	EMPTY_BATCH = 500,
};

/* ---- stores -------------------------------------------------------------- */

/* "shop-cart". False: too long. */
static bool
store_name(const struct tenant *tenant, const char *name,
	   char out[KV_NAME_MAX + 1])
{
	return snprintf(out, KV_NAME_MAX + 1, "%s-%s", tenant->name, name) <=
	       KV_NAME_MAX;
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

/* ---- their names --------------------------------------------------------- */

static bool
is_noted(const struct tenant_state *state, const char *name)
{
	for (unsigned i = 0; i < state->own_store_count; i++)
		if (!strcmp(state->own_stores[i], name))
			return true;
	return false;
}

static void
check_names(const struct tenant_state *state,
	    const struct service_settings *settings,
	    struct complaints *complaints)
{
	unsigned count = state->own_store_count;

	for (unsigned i = 0; i < settings->own_store_count; i++)
		count += !is_noted(state, settings->own_stores[i].name);
	if (count > OWN_STORES_MAX)
		complain(complaints, config_file, 0,
			 "with those of its versions before it would have %u "
			 "stores, the limit is %d: a purge forgets them",
			 count, OWN_STORES_MAX);
}

enum err
tenant_note_stores(const struct deploys *deploys, struct tenant *tenant,
		   const struct service_settings *settings,
		   struct complaints *complaints)
{
	struct tenant_state *state = tenant->state;
	unsigned before = state->own_store_count;
	enum err err = ERR_OK;

	for (unsigned i = 0; i < settings->own_store_count; i++) {
		const char *name = settings->own_stores[i].name;

		if (is_noted(state, name))
			continue;
		if (state->own_store_count == OWN_STORES_MAX)
			return ERR_BAD;
		snprintf(state->own_stores[state->own_store_count++],
			 sizeof(state->own_stores[0]), "%s", name);
	}
	if (state->own_store_count > before)
		err = deploy_state_write(deploys, tenant);
	if (!err)
		return ERR_OK;
	/* The next try writes them again. */
	state->own_store_count = before;
	complain(complaints, NULL, 0,
		 "the names of its stores cannot be written: %s",
		 err_text(err));
	return err;
}

/* ---- what is wrong with them --------------------------------------------- */

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

		if (!store_name(tenant, store->name, name)) {
			complain(complaints, config_file, 0,
				 "store %s: with the service's name it is "
				 "longer than %d bytes",
				 store->name, KV_NAME_MAX);
			continue;
		}
		index = find_store(server, name, count);
		if (index < 0)
			wanted++;
		else
			check_open_store(deploys, (unsigned)index, store,
					 complaints);
	}
	check_names(tenant->state, settings, complaints);
	if (wanted > CONFIG_STORES_MAX)
		complain(complaints, config_file, 0,
			 "with its stores the daemon would have %u, the limit "
			 "is %d",
			 wanted, CONFIG_STORES_MAX);
}

/* ---- opening and showing them -------------------------------------------- */

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
		enum err err;

		if (!store_name(tenant, store->name, name))
			return ERR_BAD;
		if (find_store(server, name, server->store_count) >= 0)
			continue;
		err = open_store(deploys, name, store, complaints);
		if (err)
			return err;
	}
	return ERR_OK;
}

/* What the SQL of a version may see, by the names that it has there. */
struct seen {
	struct kv *stores[CONFIG_STORES_MAX];
	const char *names[CONFIG_STORES_MAX];
	unsigned count;
};

static void
see(struct seen *seen, const struct server *server, int index, const char *name)
{
	if (index < 0 || seen->count == CONFIG_STORES_MAX)
		return;
	seen->names[seen->count] = name;
	seen->stores[seen->count++] = server->stores[index];
}

/* Its own are open. */
static void
list_seen(const struct deploys *deploys, const struct tenant *tenant,
	  const struct service_settings *settings, struct seen *seen)
{
	const struct server *server = deploys->server;
	char name[KV_NAME_MAX + 1];

	seen->count = 0;
	for (unsigned i = 0; i < settings->own_store_count; i++) {
		const struct config_store *store = &settings->own_stores[i];

		if (store_name(tenant, store->name, name))
			see(seen, server,
			    find_store(server, name, server->store_count),
			    store->name);
	}
	for (unsigned i = 0; i < settings->store_count; i++)
		see(seen, server,
		    find_store(server, settings->stores[i],
			       server->config->store_count),
		    settings->stores[i]);
}

enum err
tenant_give_stores(struct deploys *deploys, struct tenant *tenant,
		   const struct service_settings *settings,
		   struct complaints *complaints)
{
	enum err err = open_own_stores(deploys, tenant, settings, complaints);
	struct seen seen;

	if (err)
		return err;
	list_seen(deploys, tenant, settings, &seen);
	return sql_add_stores(tenant->sql, seen.stores, seen.names, seen.count);
}

void
tenant_show_stores(const struct deploys *deploys, const struct tenant *tenant,
		   const struct service_settings *settings, bool only)
{
	struct seen seen;

	list_seen(deploys, tenant, settings, &seen);
	sql_show_stores(tenant->sql, seen.stores, seen.names, seen.count, only);
}

/* ---- emptying them ---------------------------------------------------- */

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
		for (unsigned i = 0; i < write->count; i++)
			if (!err && write->ops[i].err != ERR_NOTFOUND)
				err = write->ops[i].err;
	}
	for (unsigned i = 0; i < write->count; i++)
		free((void *)(uintptr_t)emptying->ops[i].key.data);
	return err;
}

static enum err
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
	return err;
}

static enum err
purge_store(const struct deploys *deploys, const char *name)
{
	const struct server *server = deploys->server;
	int index = find_store(server, name, server->store_count);
	char path[PATH_MAX];

	/* The configuration has it by now. */
	if (index >= 0 && (unsigned)index < server->config->store_count)
		return ERR_OK;
	if (index >= 0)
		return empty_store(server->stores[index]);
	snprintf(path, sizeof(path), "%s/kv/%s", server->config->data_dir,
		 name);
	if (access(path, F_OK))
		return ERR_OK;
	deploy_remove_tree(path);
	return access(path, F_OK) ? files_sync_parent(path) : ERR_IO;
}

enum err
tenant_purge_stores(const struct deploys *deploys, const struct tenant *tenant)
{
	const struct tenant_state *state = tenant->state;
	char name[KV_NAME_MAX + 1];
	enum err err = ERR_OK;

	for (unsigned i = 0; i < state->own_store_count; i++) {
		enum err other = ERR_OK;

		if (store_name(tenant, state->own_stores[i], name))
			other = purge_store(deploys, name);
		err = err ? err : other;
	}
	return err;
}
