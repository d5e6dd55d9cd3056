/* SPDX-License-Identifier: MIT */
#include "http/service/deploy.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "http/service/deploy_internal.h"
#include "http/sql/care.h"
#include "storage/files.h"

/* ---- life ---------------------------------------------------------------- */

enum err
deploys_create(struct server *server, struct deploys **out)
{
	struct deploys *deploys = calloc(1, sizeof(*deploys));
	struct catalog *catalog;

	if (!deploys)
		return ERR_NOMEM;
	deploys->server = server;
	deploys->workers = sched_workers(server->sched);
	deploys->job.run = deploy_run_job;
	deploys->reload.run = deploy_run_reload;
	deploys->reap.run = swap_run_reap;
	catalog = catalog_create(deploys->workers, NULL, NULL, "");
	if (!catalog || asprintf(&deploys->dir, "%s/services",
				 server->config->data_dir) < 0) {
		if (catalog)
			catalog_destroy(catalog);
		free(deploys);
		return ERR_NOMEM;
	}
	catalog_publish(server, catalog);
	*out = deploys;
	return ERR_OK;
}

void
deploys_settle(struct deploys *deploys)
{
	/* They may be on the way to a service's database, and be the last that
	 * has its catalog. */
	if (deploys->server->care)
		care_wait(deploys->server->care);
	deploys_wait_idle(deploys);
	for (struct tenant *tenant = deploys->tenants; tenant;
	     tenant = tenant->next)
		if (tenant->sql)
			sql_settle(tenant->sql);
}

void
deploys_destroy(struct deploys *deploys)
{
	struct catalog *catalog = deploys->server->catalog, *older;
	struct tenant *tenant;

	deploys->server->catalog = NULL;
	for (; catalog; catalog = older) {
		older = catalog->older;
		catalog_destroy(catalog);
	}
	while ((tenant = deploys->tenants)) {
		deploys->tenants = tenant->next;
		if (tenant->state->closing)
			tenant_finish(deploys, tenant);
		tenant_destroy(tenant);
	}
	free(deploys->dir);
	free(deploys);
}

unsigned
deploys_count(const struct deploys *deploys)
{
	const struct catalog *catalog =
		ck_pr_load_ptr(&deploys->server->catalog);

	return catalog->count;
}

/* ---- check --------------------------------------------------------------- */

/* What was opened for the check only. */
static void
close_unused(struct deploys *deploys, struct tenant *tenant)
{
	if (!tenant->versions && !tenant->state->closing)
		tenant_close(tenant);
}

enum err
deploys_check(struct deploys *deploys, struct service_files *files,
	      unsigned *pending, struct complaints *complaints)
{
	struct attempt attempt = { .deploys = deploys,
				   .complaints = complaints };
	enum err err =
		tenant_get(deploys, files->name, &attempt.tenant, complaints);

	if (err) {
		service_files_fini(files);
		return err;
	}
	err = attempt_check(&attempt, files);
	if (!err)
		*pending = attempt.pending;
	service_destroy(attempt.service);
	close_unused(deploys, attempt.tenant);
	return err;
}

/* ---- deploy -------------------------------------------------------------- */

static bool
are_same(const struct service_files *a, const struct service_files *b)
{
	if (a->count != b->count || a->checksum != b->checksum)
		return false;
	for (unsigned i = 0; i < a->count; i++)
		if (strcmp(a->files[i].path, b->files[i].path) ||
		    !bytes_equal(
			    (struct bytes){ a->files[i].data, a->files[i].len },
			    (struct bytes){ b->files[i].data,
					    b->files[i].len }))
			return false;
	return true;
}

/* In force already: nothing but where it came from is noted. */
static enum err
note_unchanged(struct deploys *deploys, struct tenant *tenant, bool loaded,
	       uint64_t checksum)
{
	struct tenant_state *state = tenant->state;

	if (!loaded || (state->loaded && state->loaded_checksum == checksum))
		return ERR_OK;
	state->loaded = true;
	state->loaded_checksum = checksum;
	return deploy_state_write(deploys, tenant);
}

static void
push_version(struct tenant_state *state, uint64_t version)
{
	memmove(&state->history[1], &state->history[0],
		(DEPLOY_HISTORY - 1) * sizeof(state->history[0]));
	state->history[0] = version;
	if (state->count < DEPLOY_HISTORY)
		state->count++;
	if (state->last < version)
		state->last = version;
	state->deployed_ms = clock_wall_ms();
	state->purge = false; /* one that failed, before it came again */
}

static void
version_path(const struct attempt *attempt, uint64_t version,
	     char path[PATH_MAX])
{
	deploy_path(attempt->deploys, path, "%s/versions/%llu",
		    attempt->tenant->name, (unsigned long long)version);
}

static void
remove_version(const struct attempt *attempt, uint64_t version)
{
	char path[PATH_MAX];

	version_path(attempt, version, path);
	deploy_remove_tree(path);
}

static enum err
write_version(struct attempt *attempt, uint64_t version)
{
	char path[PATH_MAX];
	enum err err;

	deploy_path(attempt->deploys, path, "%s/versions",
		    attempt->tenant->name);
	err = files_make_dir(path);
	/* Left by a deploy that a crash has interrupted. */
	remove_version(attempt, version);
	version_path(attempt, version, path);
	if (!err)
		err = service_files_write(&attempt->service->files, path);
	if (err)
		complain(attempt->complaints, NULL, 0,
			 "the files cannot be written to the data folder: %s",
			 err_text(err));
	return err;
}

static void
set_version(struct service *service, const struct tenant *tenant)
{
	const struct tenant_state *state = tenant->state;

	service->version = state->history[0];
	service->previous = state->count > 1 ? state->history[1] : 0;
	service->deployed_ms = state->deployed_ms;
}

enum err
deploy_make_ready(struct attempt *attempt, struct catalog **catalog)
{
	struct deploys *deploys = attempt->deploys;
	struct tenant *tenant = attempt->tenant;
	struct service *service = attempt->service;
	enum err err;

	service->tenant = tenant;
	set_version(service, tenant);
	err = tenant_open(deploys, tenant, &service->spec.settings,
			  attempt->complaints);
	if (!err)
		err = tenant_give_counters(deploys, tenant, service);
	if (!err)
		err = tenant_give_stores(deploys, tenant,
					 &service->spec.settings,
					 attempt->complaints);
	if (err)
		return err;
	*catalog = swap_prepare(deploys, tenant, service);
	if (!*catalog)
		return ERR_NOMEM;
	attempt->service = NULL; /* the catalog's */
	return ERR_OK;
}

/*
 * The files are on the disk. First the new version is noted as the one in
 * force, then the database is migrated: a start after a crash between the two
 * goes on with the migrations. The other way round it would run the old
 * version on the new schema. Between the migration and the publication, some
 * microseconds, old requests meet the new schema.
 */
static enum err
put_in_force(struct attempt *attempt, const struct service_spec *spec,
	     struct catalog *catalog, unsigned *migrations)
{
	struct tenant *tenant = attempt->tenant;
	struct sql_error error = { .offset = -1 };
	enum err err =
		deploy_state_put(attempt->deploys, tenant, attempt->complaints);

	if (err)
		return err;
	*migrations = 0;
	if (attempt->pending)
		err = sql_migrate(tenant->sql, spec->migrations,
				  spec->migration_count, migrations, &error);
	if (!err) {
		swap_publish(attempt->deploys, tenant, catalog);
		return ERR_OK;
	}
	/* It went well on the copy: data that came since is in its way, or
	 * the disk is full. */
	complain(attempt->complaints, NULL, 0,
		 "%s: this failed on the database itself, after it went well "
		 "on a copy; the version before stays in force",
		 error.message);
	return err;
}

static enum err
swap_in(struct attempt *attempt, uint64_t version, bool loaded,
	unsigned *migrations)
{
	struct tenant *tenant = attempt->tenant;
	struct tenant_state before = *tenant->state;
	struct service *service = attempt->service;
	struct catalog *catalog = NULL;
	enum err err;

	push_version(tenant->state, version);
	if (loaded) {
		tenant->state->loaded = true;
		tenant->state->loaded_checksum = service->checksum;
	}
	err = deploy_make_ready(attempt, &catalog);
	if (!err)
		err = put_in_force(attempt, &service->spec, catalog,
				   migrations);
	if (!err)
		return ERR_OK;
	if (catalog)
		catalog_destroy(catalog);
	/* The number is not used again: it may be on the disk as the one in
	 * force, if that cannot be taken back. */
	before.last = version;
	*tenant->state = before;
	if (!catalog || deploy_state_restore(attempt->deploys, tenant, &before))
		remove_version(attempt, version);
	return err;
}

static enum err
deploy_attempt(struct attempt *attempt, struct service_files *files,
	       bool loaded, struct deploy_outcome *outcome)
{
	struct tenant *tenant = attempt->tenant;
	uint64_t version = tenant->state->last + 1;
	enum err err = attempt_check(attempt, files);

	if (!err)
		err = write_version(attempt, version);
	if (!err)
		err = tenant_note_stores(attempt->deploys, tenant,
					 &attempt->service->spec.settings,
					 attempt->complaints);
	if (!err)
		err = swap_in(attempt, version, loaded, &outcome->migrations);
	if (err) {
		service_destroy(attempt->service);
		return err;
	}
	outcome->version = version;
	outcome->unchanged = false;
	deploy_prune(attempt->deploys, tenant);
	log_info("service deployed service=%s version=%llu migrations=%u",
		 tenant->name, (unsigned long long)version,
		 outcome->migrations);
	return ERR_OK;
}

enum err
deploy_files(struct deploys *deploys, struct service_files *files, bool loaded,
	     struct deploy_outcome *outcome, struct complaints *complaints)
{
	const struct service *current = swap_current(deploys, files->name);
	struct attempt attempt = { .deploys = deploys,
				   .complaints = complaints };
	enum err err =
		tenant_get(deploys, files->name, &attempt.tenant, complaints);

	if (err) {
		service_files_fini(files);
		return err;
	}
	if (current && are_same(&current->files, files)) {
		*outcome = (struct deploy_outcome){ .version = current->version,
						    .unchanged = true };
		err = note_unchanged(deploys, attempt.tenant, loaded,
				     files->checksum);
		service_files_fini(files);
		return err;
	}
	err = deploy_attempt(&attempt, files, loaded, outcome);
	close_unused(deploys, attempt.tenant);
	return err;
}

enum err
deploys_deploy(struct deploys *deploys, struct service_files *files,
	       struct deploy_outcome *outcome, struct complaints *complaints)
{
	return deploy_files(deploys, files, false, outcome, complaints);
}

/* ---- roll back ----------------------------------------------------------- */

enum err
deploy_read_version(struct attempt *attempt, uint64_t version)
{
	char path[PATH_MAX], message[256];
	struct service_files files;
	enum err err;

	version_path(attempt, version, path);
	err = service_files_read(&files, path, attempt->tenant->name, message,
				 sizeof(message));
	if (err) {
		complain(attempt->complaints, NULL, 0, "version %llu: %s",
			 (unsigned long long)version, message);
		return err == ERR_NOTFOUND ? ERR_FAULT : err;
	}
	attempt->service = service_create(&files, attempt->complaints);
	return attempt->service ? ERR_OK : ERR_NOMEM;
}

static void
pop_version(struct tenant_state *state)
{
	state->count--;
	memmove(&state->history[0], &state->history[1],
		state->count * sizeof(state->history[0]));
	state->deployed_ms = clock_wall_ms();
}

/* The version before: all that can be found out. Its database may not be open,
 * where the one in force could not be brought up. */
static enum err
check_before(struct attempt *attempt)
{
	struct deploys *deploys = attempt->deploys;
	struct tenant *tenant = attempt->tenant;
	const struct service_settings *settings;
	enum err err = deploy_read_version(attempt, tenant->state->history[1]);

	if (err)
		return err;
	settings = &attempt->service->spec.settings;
	err = tenant_open(deploys, tenant, settings, attempt->complaints);
	if (err)
		return err;
	tenant_check_name(deploys, tenant, attempt->complaints);
	tenant_check_stores(deploys, tenant, settings, attempt->complaints);
	err = service_prepare(attempt->service, tenant->sql,
			      attempt->complaints);
	if (err)
		return err;
	if (attempt->complaints->errors)
		return ERR_BAD;
	return tenant_note_stores(deploys, tenant, settings,
				  attempt->complaints);
}

static enum err
roll_back_attempt(struct attempt *attempt)
{
	struct tenant *tenant = attempt->tenant;
	struct tenant_state before;
	struct catalog *catalog = NULL;
	unsigned migrations;
	enum err err = check_before(attempt);

	if (err)
		return err;
	before = *tenant->state;
	pop_version(tenant->state);
	err = deploy_make_ready(attempt, &catalog);
	if (!err)
		err = put_in_force(attempt, NULL, catalog, &migrations);
	if (!err)
		return ERR_OK;
	*tenant->state = before;
	if (catalog) {
		catalog_destroy(catalog);
		(void)deploy_state_restore(attempt->deploys, tenant, &before);
	}
	return err;
}

enum err
deploys_rollback(struct deploys *deploys, const char *name, uint64_t *version,
		 struct complaints *complaints)
{
	struct attempt attempt = { .deploys = deploys,
				   .tenant = tenant_find(deploys, name),
				   .complaints = complaints };
	enum err err;

	if (!attempt.tenant || attempt.tenant->state->count < 2)
		return ERR_NOTFOUND;
	err = roll_back_attempt(&attempt);
	if (err) {
		service_destroy(attempt.service);
		close_unused(deploys, attempt.tenant);
		return err;
	}
	*version = attempt.tenant->state->history[0];
	log_info("service rolled back service=%s version=%llu", name,
		 (unsigned long long)*version);
	return ERR_OK;
}
