/* SPDX-License-Identifier: MIT */
/*
 * A name, and what belongs to it over all its versions: its database, its
 * counters; its stores are in tenant_stores.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "http/service/deploy_internal.h"

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

enum err
tenant_get(struct deploys *deploys, const char *name, struct tenant **out,
	   struct complaints *complaints)
{
	struct tenant *tenant = tenant_find(deploys, name);
	enum err err;

	*out = tenant;
	if (tenant)
		return ERR_OK;
	tenant = create(name);
	if (!tenant) {
		complain(complaints, NULL, 0, "%s", err_text(ERR_NOMEM));
		return ERR_NOMEM;
	}
	err = deploy_state_read(deploys, name, tenant->state);
	if (err && err != ERR_NOTFOUND) {
		complain(complaints, NULL, 0,
			 "the file `current` of the service in the data folder "
			 "cannot be read: %s",
			 err_text(err));
		tenant_destroy(tenant);
		return err;
	}
	tenant->next = deploys->tenants;
	deploys->tenants = tenant;
	*out = tenant;
	return ERR_OK;
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

void
tenant_check_name(const struct deploys *deploys, const struct tenant *tenant,
		  struct complaints *complaints)
{
	const struct config *config = deploys->server->config;

	for (unsigned i = 0; i < config->database_count; i++)
		if (!strcmp(config->databases[i].name, tenant->name))
			complain(complaints, NULL, 0,
				 "the daemon has a database %s: a service "
				 "needs another name",
				 tenant->name);
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

/* ---- the end ------------------------------------------------------------- */

bool
tenant_has_rest(const struct deploys *deploys, const struct tenant *tenant)
{
	char path[PATH_MAX];

	if (tenant->state->purge || tenant->state->own_store_count ||
	    tenant_has_database(deploys, tenant))
		return true;
	deploy_path(deploys, path, "%s/versions", tenant->name);
	return !access(path, F_OK);
}

/* Where it came from service_dir, `current` stays, and says so: it would be
 * loaded from there again, though its folder has not changed. */
static enum err
note_purged(struct deploys *deploys, struct tenant *tenant)
{
	struct tenant_state before = *tenant->state, *state = tenant->state;
	char path[PATH_MAX];
	enum err err;

	/* The numbers of its versions go on while the process lives. */
	*state = (struct tenant_state){
		.last = before.last,
		.loaded = before.loaded,
		.loaded_checksum = before.loaded_checksum,
	};
	if (!state->loaded) {
		deploy_path(deploys, path, "%s", tenant->name);
		deploy_remove_tree(path);
		return ERR_OK;
	}
	err = deploy_state_write(deploys, tenant);
	if (err)
		*state = before;
	return err;
}

static void
purge(struct deploys *deploys, struct tenant *tenant)
{
	enum err err = tenant_purge_stores(deploys, tenant);
	enum err other = deploy_remove_rest(deploys, tenant->name);

	if (!err)
		err = other;
	if (!err)
		err = note_purged(deploys, tenant);
	if (err)
		log_error("a purge has failed, the next start tries again "
			  "service=%s error=\"%s\"",
			  tenant->name, err_text(err));
	else
		log_info("service purged service=%s", tenant->name);
	tenant->state->purge_err = err;
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
