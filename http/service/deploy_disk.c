/* SPDX-License-Identifier: MIT */
/*
 * data_dir/services: for each name a folder with
 *
 *	versions/N/  the files of version N
 *	current      which versions there were, and which is in force
 *	sql.db       the database
 *
 * `current` is replaced as a whole: that is the moment at which a deploy, a
 * rollback or a removal has happened, whatever crashes before or after it.
 */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/buffer.h"
#include "core/log.h"
#include "core/units.h"
#include "http/service/deploy_internal.h"
#include "storage/files.h"

enum {
	STATE_MAX = 4096,
	/* Folders whose names are looked at in one go. */
	DESCRIPTORS = 16,
};

void
deploy_path(const struct deploys *deploys, char path[PATH_MAX],
	    const char *format, ...)
{
	va_list args;
	int used = snprintf(path, PATH_MAX, "%s/", deploys->dir), more;

	va_start(args, format);
	more = vsnprintf(path + used, PATH_MAX - (size_t)used, format, args);
	va_end(args);
	assert(more >= 0 && used + more < PATH_MAX);
}

/* ---- the file `current` -------------------------------------------------- */

static bool
take_numbers(const char *text, struct tenant_state *state)
{
	while (*text) {
		size_t len = strcspn(text, " ");

		if (state->count == DEPLOY_HISTORY ||
		    !units_u64((struct bytes){ text, len },
			       &state->history[state->count++]))
			return false;
		text += len + (text[len] == ' ');
	}
	return true;
}

static bool
take_names(const char *text, struct tenant_state *state)
{
	while (*text) {
		size_t len = strcspn(text, " ");
		char *name = state->own_stores[state->own_store_count];

		if (state->own_store_count == OWN_STORES_MAX || !len ||
		    len > KV_NAME_MAX)
			return false;
		memcpy(name, text, len);
		name[len] = '\0';
		state->own_store_count++;
		text += len + (text[len] == ' ');
	}
	return true;
}

static bool
take_line(const char *line, struct tenant_state *state)
{
	const char *value = strchr(line, ' ');
	struct bytes name = { line, value ? (size_t)(value - line) : 0 };

	if (!value)
		return false;
	value++;
	if (bytes_equal(name, bytes_of("versions")))
		return take_numbers(value, state);
	if (bytes_equal(name, bytes_of("last")))
		return units_u64(bytes_of(value), &state->last);
	if (bytes_equal(name, bytes_of("stores")))
		return take_names(value, state);
	if (bytes_equal(name, bytes_of("purge")))
		return state->purge =
			       bytes_equal(bytes_of(value), bytes_of("1"));
	if (bytes_equal(name, bytes_of("deployed")))
		return units_u64(bytes_of(value), &state->deployed_ms);
	if (bytes_equal(name, bytes_of("loaded")))
		return state->loaded = units_u64(bytes_of(value),
						 &state->loaded_checksum);
	return false;
}

enum err
deploy_state_read(const struct deploys *deploys, const char *name,
		  struct tenant_state *state)
{
	struct tenant_state found = { 0 };
	char path[PATH_MAX], text[STATE_MAX + 1], *rest = text, *line;
	size_t len;
	enum err err;

	deploy_path(deploys, path, "%s/current", name);
	err = files_read(path, text, STATE_MAX, &len);
	if (err)
		return err;
	text[len] = '\0';
	while ((line = strsep(&rest, "\n")))
		if (*line && !take_line(line, &found))
			return ERR_BAD;
	for (unsigned i = 0; i < found.count; i++)
		if (!found.history[i] || found.history[i] > found.last)
			return ERR_BAD;
	*state = found;
	return ERR_OK;
}

static void
put_lists(struct buffer *text, const struct tenant_state *state)
{
	if (state->count) {
		buffer_add_str(text, "versions");
		for (unsigned i = 0; i < state->count; i++)
			buffer_addf(text, " %llu",
				    (unsigned long long)state->history[i]);
		buffer_add_str(text, "\n");
	}
	if (state->own_store_count) {
		buffer_add_str(text, "stores");
		for (unsigned i = 0; i < state->own_store_count; i++)
			buffer_addf(text, " %s", state->own_stores[i]);
		buffer_add_str(text, "\n");
	}
}

enum err
deploy_state_write(const struct deploys *deploys, const struct tenant *tenant)
{
	const struct tenant_state *state = tenant->state;
	struct buffer text;
	char path[PATH_MAX];
	enum err err;

	deploy_path(deploys, path, "%s/current", tenant->name);
	buffer_init(&text, STATE_MAX);
	put_lists(&text, state);
	buffer_addf(&text, "last %llu\ndeployed %llu\n",
		    (unsigned long long)state->last,
		    (unsigned long long)state->deployed_ms);
	if (state->loaded)
		buffer_addf(&text, "loaded %llu\n",
			    (unsigned long long)state->loaded_checksum);
	if (state->purge)
		buffer_add_str(&text, "purge 1\n");
	err = text.err ? text.err : files_replace(path, text.data, text.len);
	buffer_fini(&text);
	return err;
}

enum err
deploy_state_put(const struct deploys *deploys, const struct tenant *tenant,
		 struct complaints *complaints)
{
	enum err err = deploy_state_write(deploys, tenant);

	if (err)
		complain(complaints, NULL, 0,
			 "which version is in force cannot be written: %s",
			 err_text(err));
	return err;
}

bool
deploy_state_restore(const struct deploys *deploys, struct tenant *tenant,
		     const struct tenant_state *before)
{
	*tenant->state = *before;
	if (!deploy_state_write(deploys, tenant))
		return true;
	log_error("the version in force cannot be written service=%s",
		  tenant->name);
	return false;
}

/* ---- folders ------------------------------------------------------------- */

static int
remove_one(const char *path, const struct stat *info, int kind,
	   struct FTW *where)
{
	if (remove(path) && errno != ENOENT)
		log_warn("cannot be removed path=%s error=\"%s\"", path,
			 strerror(errno));
	return 0;
}

void
deploy_remove_tree(const char *path)
{
	nftw(path, remove_one, DESCRIPTORS, FTW_DEPTH | FTW_PHYS);
}

static int
is_rest(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
	       strcmp(entry->d_name, "current");
}

enum err
deploy_remove_rest(const struct deploys *deploys, const char *name)
{
	char path[PATH_MAX];
	struct dirent **entries;
	int count;
	bool gone = true;

	deploy_path(deploys, path, "%s", name);
	count = scandir(path, &entries, is_rest, NULL);
	if (count < 0)
		return errno == ENOENT ? ERR_OK : err_from_errno(errno);
	for (int i = 0; i < count; i++) {
		deploy_path(deploys, path, "%s/%s", name, entries[i]->d_name);
		deploy_remove_tree(path);
		gone = gone && access(path, F_OK);
		free(entries[i]);
	}
	free(entries);
	if (!gone)
		return ERR_IO;
	/* Before `current` goes. */
	deploy_path(deploys, path, "%s", name);
	return files_sync_dir(path);
}

static int
is_shown(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static bool
is_folder(const char *path, const char *name)
{
	char full[PATH_MAX];
	struct stat info;

	return snprintf(full, sizeof(full), "%s/%s", path, name) <
		       (int)sizeof(full) &&
	       !stat(full, &info) && S_ISDIR(info.st_mode);
}

enum err
deploy_each_folder(const char *path, void (*see)(void *arg, const char *name),
		   void *arg)
{
	struct dirent **entries;
	int count = scandir(path, &entries, is_shown, alphasort);

	if (count < 0)
		return err_from_errno(errno);
	for (int i = 0; i < count; i++) {
		if (is_folder(path, entries[i]->d_name))
			see(arg, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return ERR_OK;
}

struct pruning {
	const struct deploys *deploys;
	const struct tenant *tenant;
};

static void
prune_version(void *arg, const char *name)
{
	const struct pruning *pruning = arg;
	const struct tenant_state *state = pruning->tenant->state;
	char path[PATH_MAX];
	uint64_t version;

	if (!units_u64(bytes_of(name), &version))
		return;
	for (unsigned i = 0; i < state->count; i++)
		if (state->history[i] == version)
			return;
	/* Not to be rolled back to, but people may look at the latest. */
	if (state->count && version + DEPLOY_HISTORY > state->last)
		return;
	deploy_path(pruning->deploys, path, "%s/versions/%s",
		    pruning->tenant->name, name);
	deploy_remove_tree(path);
}

void
deploy_prune(const struct deploys *deploys, const struct tenant *tenant)
{
	struct pruning pruning = { deploys, tenant };
	char path[PATH_MAX];

	deploy_path(deploys, path, "%s/versions", tenant->name);
	/* What is left over is looked at again at the next deploy. */
	if (deploy_each_folder(path, prune_version, &pruning))
		return;
}
