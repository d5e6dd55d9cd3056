/* SPDX-License-Identifier: MIT */
/*
 * From one catalog to the next: see service.h.
 */
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "http/service/deploy_internal.h"

enum {
	/* A run of a shard takes less than a millisecond. */
	LOOK_US = 100,
	LOOK_MAX_US = 5000,
};
/* A worker that is in the same run for so long has hung, and a deploy is not
 * what will help it. */
#define PUT_DOWN_NS (10 * NS_PER_S)

const struct service *
swap_current(const struct deploys *deploys, const char *name)
{
	/* It changes in a turn only. */
	return catalog_find(ck_pr_load_ptr(&deploys->server->catalog),
			    bytes_of(name));
}

struct catalog *
swap_prepare(struct deploys *deploys, struct tenant *tenant,
	     struct service *service)
{
	return catalog_create(deploys->workers,
			      ck_pr_load_ptr(&deploys->server->catalog),
			      service, tenant->name);
}

static bool
all_are_put_down(const struct deploys *deploys, const struct catalog *newest)
{
	for (const struct catalog *old = newest->older; old; old = old->older)
		if (!catalog_is_put_down(deploys->server, old))
			return false;
	return true;
}

/* Those of the new version beside those of the old one, whose requests end
 * with what they began with. A name that both have is the new one's: what
 * either keeps meanwhile is good for its own catalog only. */
static void
show_stores(const struct deploys *deploys, struct tenant *tenant,
	    const struct catalog *catalog)
{
	const struct service *service =
		catalog_find(catalog, bytes_of(tenant->name));

	if (!service)
		return;
	tenant_show_stores(deploys, tenant, &service->spec.settings, false);
	tenant->state->sees_old_stores = true;
}

void
swap_publish(struct deploys *deploys, struct tenant *tenant,
	     struct catalog *catalog)
{
	uint64_t end = clock_mono_ns() + PUT_DOWN_NS;
	unsigned wait_us = LOOK_US;

	show_stores(deploys, tenant, catalog);
	catalog_publish(deploys->server, catalog);
	while (!all_are_put_down(deploys, catalog)) {
		if (clock_mono_ns() > end) {
			log_warn("a worker has not taken up the new services");
			break;
		}
		usleep(wait_us);
		if (wait_us < LOOK_MAX_US)
			wait_us *= 2;
	}
	swap_reap(deploys);
}

static void
reap_tenant(struct deploys *deploys, struct tenant *tenant)
{
	const struct service *service = swap_current(deploys, tenant->name);
	struct tenant_state *state = tenant->state;

	if (state->closing && !tenant->versions)
		tenant_finish(deploys, tenant);
	if (!state->sees_old_stores || !service || tenant->versions > 1)
		return;
	tenant_show_stores(deploys, tenant, &service->spec.settings, true);
	state->sees_old_stores = false;
}

void
swap_reap(struct deploys *deploys)
{
	struct catalog *newest = ck_pr_load_ptr(&deploys->server->catalog);
	struct catalog **place = &newest->older;
	struct catalog *old;

	while ((old = *place)) {
		if (!catalog_is_put_down(deploys->server, old) ||
		    !catalog_is_unused(old)) {
			place = &old->older;
			continue;
		}
		*place = old->older;
		catalog_destroy(old);
	}
	for (struct tenant *tenant = deploys->tenants; tenant;
	     tenant = tenant->next)
		reap_tenant(deploys, tenant);
}

void
swap_run_reap(struct deploys_turn *turn, enum err err)
{
	struct deploys *deploys = CONTAINER_OF(turn, struct deploys, reap);

	/* The exchange in catalog_reap() finds this store, and there is another
	 * turn, or it comes before it, and we see the count that has fallen. */
	ck_pr_store_uint(&deploys->reap_waits, 0);
	ck_pr_fence_memory();
	/* Otherwise the next deploy looks. */
	if (!err)
		swap_reap(deploys);
}

void
catalog_reap(const struct server *server)
{
	struct deploys *deploys = server->deploys;

	if (!deploys) /* tests */
		return;
	/* Pairs with swap_run_reap(). */
	if (!ck_pr_fas_uint(&deploys->reap_waits, 1))
		deploys_submit(deploys, &deploys->reap);
}
