/* SPDX-License-Identifier: MIT */
/*
 * A version is checked whole, and leaves no trace: where it brings migrations,
 * on a copy of the database, which is thrown away.
 */
#include <stdio.h>

#include "core/clock.h"
#include "http/service/deploy_internal.h"
#include "storage/files.h"

static const char scratch_dir[] = ".check";

/* ---- migrations ---------------------------------------------------------- */

/* The message names it; the longest name that is in it is meant. */
static const struct sql_migration *
find_named(const struct service_spec *spec, const char *message)
{
	const struct sql_migration *found = NULL;

	for (unsigned i = 0; i < spec->migration_count; i++) {
		const struct sql_migration *migration = &spec->migrations[i];

		if (strstr(message, migration->name) &&
		    (!found || strlen(migration->name) > strlen(found->name)))
			found = migration;
	}
	return found;
}

static unsigned
line_at(struct bytes text, int offset)
{
	const char *at = text.data;
	unsigned line = 1;

	if (offset < 0)
		return 0;
	for (size_t i = 0; i < (size_t)offset && i < text.len; i++)
		line += at[i] == '\n';
	return line;
}

void
attempt_complain(struct attempt *attempt, const struct sql_error *error)
{
	const struct sql_migration *migration =
		find_named(&attempt->service->spec, error->message);
	char file[SERVICE_PATH_MAX + 16];

	if (!migration) {
		complain(attempt->complaints, NULL, 0, "%s", error->message);
		return;
	}
	snprintf(file, sizeof(file), "%s%s",
		 strncmp(migration->name, "migrations/", 11) ? "migrations/"
							     : "",
		 migration->name);
	complain(attempt->complaints, file,
		 line_at(migration->text, error->offset), "%s", error->message);
}

static enum err
count_pending(struct attempt *attempt)
{
	const struct service_spec *spec = &attempt->service->spec;
	struct sql_error error = { .offset = -1 };
	enum err err;

	attempt->pending = spec->migration_count;
	if (!attempt->tenant->sql)
		return ERR_OK;
	err = sql_migrations_pending(attempt->tenant->sql, spec->migrations,
				     spec->migration_count, &attempt->pending,
				     &error);
	if (err)
		attempt_complain(attempt, &error);
	return err;
}

/* ---- the copy ------------------------------------------------------------ */

static enum err
copy_database(struct attempt *attempt, const char *path)
{
	enum err err;

	if (!attempt->tenant->sql)
		return ERR_OK;
	err = sql_copy(attempt->tenant->sql, path);
	if (err)
		complain(attempt->complaints, NULL, 0,
			 "the database cannot be copied to try the migrations: "
			 "%s",
			 err_text(err));
	return err;
}

static enum err
open_copy(struct attempt *attempt, const char *path, struct sql **out)
{
	const struct deploys *deploys = attempt->deploys;
	char message[256];
	struct sql_options options = {
		.name = attempt->tenant->name,
		.path = path,
		.max_size = attempt->service->spec.settings.max_size,
		.workers = deploys->workers,
		.sequence = deploys->server->sequence,
		.scratch = true,
	};
	enum err err = sql_open(out, &options, message, sizeof(message));

	if (err)
		complain(attempt->complaints, NULL, 0, "%s", message);
	return err;
}

static enum err
try_on(struct attempt *attempt, struct sql *copy)
{
	const struct service_spec *spec = &attempt->service->spec;
	struct sql_error error = { .offset = -1 };
	unsigned applied;
	enum err err = sql_migrate(copy, spec->migrations,
				   spec->migration_count, &applied, &error);

	if (err)
		attempt_complain(attempt, &error);
	else
		err = service_prepare(attempt->service, copy,
				      attempt->complaints);
	return err;
}

static enum err
try_on_copy(struct attempt *attempt)
{
	char dir[PATH_MAX], path[PATH_MAX];
	struct sql *copy;
	enum err err;

	deploy_path(attempt->deploys, dir, "%s", scratch_dir);
	deploy_path(attempt->deploys, path, "%s/sql.db", scratch_dir);
	deploy_remove_tree(dir);
	err = files_make_dir(dir);
	if (err)
		complain(attempt->complaints, NULL, 0,
			 "a folder for trying the migrations cannot be made: "
			 "%s",
			 err_text(err));
	if (!err)
		err = copy_database(attempt, path);
	if (!err)
		err = open_copy(attempt, path, &copy);
	if (!err) {
		err = try_on(attempt, copy);
		sql_close(copy);
	}
	deploy_remove_tree(dir);
	return err;
}

/* ---- all of it ----------------------------------------------------------- */

static bool
is_free(struct attempt *attempt)
{
	if (!attempt->tenant->state->closing)
		return true;
	swap_reap(attempt->deploys);
	if (!attempt->tenant->state->closing)
		return true;
	complain(attempt->complaints, NULL, 0,
		 "the service was removed, and requests of it still run: try "
		 "again");
	return false;
}

/* The database is open already, with the size of before. */
static void
check_size(struct sql *sql, const struct service_settings *settings,
	   struct complaints *complaints)
{
	struct sql_stats stats;

	sql_stats(sql, &stats);
	if (stats.max_size != settings->max_size)
		complain_hint(complaints, "service.conf", 0,
			      "the new max_size takes effect when the daemon "
			      "is started again");
}

static enum err
check_all(struct attempt *attempt)
{
	struct tenant *tenant = attempt->tenant;
	const struct service_spec *spec = &attempt->service->spec;
	enum err err;

	tenant_check_name(attempt->deploys, tenant, attempt->complaints);
	tenant_check_stores(attempt->deploys, tenant, &spec->settings,
			    attempt->complaints);
	if (tenant_has_database(attempt->deploys, tenant)) {
		err = tenant_open(attempt->deploys, tenant, &spec->settings,
				  attempt->complaints);
		if (err)
			return err;
		check_size(tenant->sql, &spec->settings, attempt->complaints);
	}
	err = count_pending(attempt);
	if (err)
		return err;
	if (attempt->pending || !tenant->sql)
		return try_on_copy(attempt);
	return service_prepare(attempt->service, tenant->sql,
			       attempt->complaints);
}

/* Their own names; the rest is what is wrong with the service. */
static enum err
plain_error(enum err err)
{
	switch (err) {
	case ERR_NOMEM:
	case ERR_FULL:
	case ERR_FAULT:
	case ERR_IO:
	case ERR_OVERLOADED:
	case ERR_LOCKED:
		return err;
	default:
		return ERR_BAD;
	}
}

enum err
attempt_check(struct attempt *attempt, struct service_files *files)
{
	enum err err;

	if (!is_free(attempt)) {
		service_files_fini(files);
		return ERR_BAD;
	}
	attempt->service = service_create(files, attempt->complaints);
	if (!attempt->service)
		return ERR_NOMEM;
	err = check_all(attempt);
	if (!err && !attempt->complaints->errors)
		return ERR_OK;
	service_destroy(attempt->service);
	attempt->service = NULL;
	return plain_error(err);
}
