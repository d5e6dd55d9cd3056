/* SPDX-License-Identifier: MIT */
/*
 * A service is taken out, and what it had is thrown away.
 */
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "http/service/deploy_internal.h"

/* How long a removal waits for the service's last requests, so that the
 * database is usually closed when it is answered. */
#define REMOVE_WAIT_NS (2 * NS_PER_S)
enum { REMOVE_LOOK_US = 2000 };

static void
wait_finished(struct deploys *deploys, const struct tenant *tenant)
{
	uint64_t end = clock_mono_ns() + REMOVE_WAIT_NS;

	while (tenant->state->closing && clock_mono_ns() < end) {
		usleep(REMOVE_LOOK_US);
		swap_reap(deploys);
	}
	if (tenant->state->closing)
		log_info("service removed, its database is closed when its "
			 "last request has ended service=%s",
			 tenant->name);
}

/* What became of a purge, if that is over. */
static enum err
purge_outcome(const struct tenant *tenant, struct complaints *complaints)
{
	const struct tenant_state *state = tenant->state;

	if (state->closing || !state->purge)
		return ERR_OK;
	complain(complaints, NULL, 0,
		 "it is out of service, but not all of it could be purged: %s; "
		 "the next start tries again, and so does another purge",
		 err_text(state->purge_err));
	return state->purge_err;
}

/* Removed before; what was kept then goes now. */
static enum err
purge_removed(struct deploys *deploys, const char *name,
	      struct complaints *complaints)
{
	struct tenant *tenant;
	enum err err = tenant_get(deploys, name, &tenant, complaints);
	bool purge;

	if (err)
		return err == ERR_BAD ? ERR_FAULT : err;
	if (!tenant->state->closing && !tenant_has_rest(deploys, tenant))
		return ERR_NOTFOUND;
	purge = tenant->state->purge;
	tenant->state->purge = true;
	err = deploy_state_put(deploys, tenant, complaints);
	if (tenant->state->closing && err) {
		/* What was answered before stands. */
		tenant->state->purge = purge;
		return err;
	}
	/* Otherwise it is done now: the note is for a crash in the middle, and
	 * a disk that is full is a reason to go on. */
	if (tenant->state->closing)
		swap_reap(deploys);
	else
		tenant_finish(deploys, tenant);
	return purge_outcome(tenant, complaints);
}

/* What goes on without it; NULL where it was not brought up: then there is
 * nothing to publish. */
static enum err
prepare_without(struct deploys *deploys, struct tenant *tenant,
		struct catalog **catalog)
{
	*catalog = NULL;
	if (!swap_current(deploys, tenant->name))
		return ERR_OK;
	*catalog = swap_prepare(deploys, tenant, NULL);
	return *catalog ? ERR_OK : ERR_NOMEM;
}

enum err
deploys_remove(struct deploys *deploys, const char *name, bool purge,
	       struct complaints *complaints)
{
	struct tenant *tenant = tenant_find(deploys, name);
	struct tenant_state before;
	struct catalog *catalog;
	enum err err;

	if (!tenant || !tenant->state->count)
		return purge ? purge_removed(deploys, name, complaints)
			     : ERR_NOTFOUND;
	err = prepare_without(deploys, tenant, &catalog);
	if (err)
		return err;
	before = *tenant->state;
	tenant->state->count = 0;
	tenant->state->purge = purge;
	err = deploy_state_put(deploys, tenant, complaints);
	if (err) {
		(void)deploy_state_restore(deploys, tenant, &before);
		if (catalog)
			catalog_destroy(catalog);
		return err;
	}
	tenant->state->closing = true;
	log_info("service removed service=%s", name);
	if (catalog)
		swap_publish(deploys, tenant, catalog);
	else
		swap_reap(deploys);
	deploy_prune(deploys, tenant);
	wait_finished(deploys, tenant);
	return purge_outcome(tenant, complaints);
}
