/* SPDX-License-Identifier: MIT */
/*
 * The start and HUP: what was deployed is brought up again, then the folders
 * of service_dir are deployed where they have changed.
 *
 * A folder is loaded when its checksum is another than the one noted when it
 * was last loaded. So what an administrator has done since, such as a
 * rollback, is not undone by a start.
 */
#include <stdio.h>
#include <unistd.h>

#include "core/log.h"
#include "http/service/deploy_internal.h"

struct loading {
	struct deploys *deploys;
	bool good;
};

static void
log_complaints(const char *name, const struct complaints *complaints)
{
	for (unsigned i = 0; i < complaints->count; i++) {
		const struct complaint *complaint = &complaints->list[i];
		char where[SERVICE_PATH_MAX + 64] = "";

		if (complaint->file && complaint->line)
			snprintf(where, sizeof(where),
				 "%s:%u: ", complaint->file, complaint->line);
		else if (complaint->file)
			snprintf(where, sizeof(where), "%s: ", complaint->file);
		if (complaint->warning)
			log_info("service %s: hint: %s%s", name, where,
				 complaint->text);
		else
			log_error("service %s: %s%s", name, where,
				  complaint->text);
	}
	if (complaints->more)
		log_error("service %s: there is more", name);
}

/* ---- what was in force --------------------------------------------------- */

static enum err
migrate_again(struct attempt *attempt)
{
	const struct service_spec *spec = &attempt->service->spec;
	struct tenant *tenant = attempt->tenant;
	struct sql_error error = { .offset = -1 };
	unsigned applied;
	enum err err = sql_migrations_pending(tenant->sql, spec->migrations,
					      spec->migration_count,
					      &attempt->pending, &error);

	/* Rolled back: the database knows migrations that this version does
	 * not have. It was checked against them then, and is again now. */
	if (err == ERR_CONDITION)
		return ERR_OK;
	if (!err && attempt->pending)
		err = sql_migrate(tenant->sql, spec->migrations,
				  spec->migration_count, &applied, &error);
	if (err)
		attempt_complain(attempt, &error);
	return err;
}

static enum err
bring_up_attempt(struct attempt *attempt)
{
	struct deploys *deploys = attempt->deploys;
	struct tenant *tenant = attempt->tenant;
	enum err err = deploy_read_version(attempt, tenant->state->history[0]);
	struct catalog *catalog;

	if (err)
		return err;
	err = tenant_open(deploys, tenant, &attempt->service->spec.settings,
			  attempt->complaints);
	if (!err)
		err = migrate_again(attempt);
	if (err)
		return err;
	tenant_check_name(deploys, tenant, attempt->complaints);
	tenant_check_stores(deploys, tenant, &attempt->service->spec.settings,
			    attempt->complaints);
	err = service_prepare(attempt->service, tenant->sql,
			      attempt->complaints);
	if (err)
		return err;
	if (attempt->complaints->errors)
		return ERR_BAD;
	/* They are, but for what was deployed when they were not yet. */
	err = tenant_note_stores(deploys, tenant,
				 &attempt->service->spec.settings,
				 attempt->complaints);
	if (!err)
		err = deploy_make_ready(attempt, &catalog);
	if (err)
		return err;
	swap_publish(deploys, tenant, catalog);
	return ERR_OK;
}

static void
bring_up(void *arg, const char *name)
{
	struct loading *loading = arg;
	struct complaints complaints;
	struct attempt attempt = { .deploys = loading->deploys,
				   .complaints = &complaints };
	enum err err;

	if (!service_name_is_good(bytes_of(name)))
		return;
	complaints_init(&complaints);
	err = tenant_get(loading->deploys, name, &attempt.tenant, &complaints);
	if (!err && !attempt.tenant->state->count) {
		complaints_fini(&complaints);
		/* It was removed; its database is still there, or a crash came
		 * before its purge. */
		tenant_finish(loading->deploys, attempt.tenant);
		return;
	}
	if (!err)
		err = bring_up_attempt(&attempt);
	if (err) {
		loading->good = false;
		service_destroy(attempt.service);
		if (attempt.tenant)
			tenant_close(attempt.tenant);
		log_complaints(name, &complaints);
		log_error("service not brought up service=%s error=\"%s\"",
			  name, err_text(err));
	} else {
		log_info("service brought up service=%s version=%llu", name,
			 (unsigned long long)attempt.tenant->state->history[0]);
	}
	complaints_fini(&complaints);
}

static void
bring_up_all(struct loading *loading)
{
	enum err err =
		deploy_each_folder(loading->deploys->dir, bring_up, loading);

	loading->deploys->started = true;
	if (!err || err == ERR_NOTFOUND)
		return;
	loading->good = false;
	log_error("services cannot be looked for dir=%s error=\"%s\"",
		  loading->deploys->dir, err_text(err));
}

/* ---- the folders of service_dir ------------------------------------------ */

static bool
is_new(const struct tenant *tenant, const struct service_files *files)
{
	return !tenant->state->loaded ||
	       tenant->state->loaded_checksum != files->checksum;
}

static enum err
load_files(struct loading *loading, struct service_files *files,
	   struct complaints *complaints)
{
	struct deploy_outcome outcome;
	struct tenant *tenant;
	enum err err =
		tenant_get(loading->deploys, files->name, &tenant, complaints);

	if (err || !is_new(tenant, files)) {
		service_files_fini(files);
		return err;
	}
	return deploy_files(loading->deploys, files, true, &outcome,
			    complaints);
}

static void
load_folder(void *arg, const char *name)
{
	struct loading *loading = arg;
	const char *dir = loading->deploys->server->config->service_dir;
	char path[PATH_MAX], message[256];
	struct service_files files;
	struct complaints complaints;
	enum err err;

	/* What is not begun need not be waited for. */
	if (server_draining(loading->deploys->server))
		return;
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >=
	    (int)sizeof(path))
		return;
	complaints_init(&complaints);
	err = service_files_read(&files, path, name, message, sizeof(message));
	if (err)
		complain(&complaints, NULL, 0, "%s", message);
	else
		err = load_files(loading, &files, &complaints);
	if (err) {
		loading->good = false;
		log_complaints(name, &complaints);
		log_error("service not loaded, what was in force goes on "
			  "service=%s folder=%s error=\"%s\"",
			  name, path, err_text(err));
	} else {
		log_complaints(name, &complaints);
	}
	complaints_fini(&complaints);
}

/* A folder that is gone takes nothing away: only a removal does. */
static void
tell_gone(const struct loading *loading)
{
	const char *dir = loading->deploys->server->config->service_dir;

	for (const struct tenant *tenant = loading->deploys->tenants; tenant;
	     tenant = tenant->next) {
		char path[PATH_MAX];

		if (!tenant->state->count || !tenant->state->loaded)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, tenant->name);
		if (access(path, F_OK))
			log_info("the folder of a service is gone, and it goes "
				 "on service=%s folder=%s",
				 tenant->name, path);
	}
}

static void
load_folders(struct loading *loading)
{
	const char *dir = loading->deploys->server->config->service_dir;
	enum err err;

	if (!dir)
		return;
	err = deploy_each_folder(dir, load_folder, loading);
	if (err) {
		loading->good = false;
		log_error("services cannot be loaded service_dir=%s "
			  "error=\"%s\"",
			  dir, err_text(err));
		return;
	}
	tell_gone(loading);
}

bool
deploys_load(struct deploys *deploys)
{
	struct loading loading = { .deploys = deploys, .good = true };

	if (!deploys->started)
		bring_up_all(&loading);
	swap_reap(deploys);
	load_folders(&loading);
	return loading.good;
}

void
deploy_run_reload(struct deploys_turn *turn, enum err err)
{
	struct deploys *deploys = CONTAINER_OF(turn, struct deploys, reload);

	/* From here on another HUP is another load: the exchange in
	 * deploys_reload() either finds this store, or comes before it, and
	 * then we see the folders as they were at that HUP. */
	ck_pr_store_uint(&deploys->reload_waits, 0);
	ck_pr_fence_memory();
	if (err) {
		log_error("services cannot be loaded error=\"%s\"",
			  err_text(err));
		return;
	}
	log_info("loading services");
	(void)deploys_load(deploys);
}

void
deploys_reload(struct deploys *deploys)
{
	/* Pairs with deploy_run_reload(). */
	if (ck_pr_fas_uint(&deploys->reload_waits, 1))
		return;
	deploys_submit(deploys, &deploys->reload);
}
