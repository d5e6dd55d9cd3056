/* SPDX-License-Identifier: MIT */
#include "http/service/files.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "core/json.h"
#include "core/log.h"
#include "http/service/files_internal.h"

/* ---- names --------------------------------------------------------------- */

bool
service_name_is_good(struct bytes name)
{
	const char *at = name.data;

	if (name.len == 0 || name.len > SERVICE_NAME_MAX || at[0] < 'a' ||
	    at[0] > 'z')
		return false;
	for (size_t i = 1; i < name.len; i++)
		if (!((at[i] >= 'a' && at[i] <= 'z') ||
		      (at[i] >= '0' && at[i] <= '9') || at[i] == '_' ||
		      at[i] == '-'))
			return false;
	return !bytes_listed("v1 livez readyz metrics openapi.json console",
			     name);
}

/* One name in a folder. */
static enum file_kind
name_kind(const char *name)
{
	size_t len = strlen(name);

	/* Editors, version control and the mounts of containers hide theirs. */
	if (name[0] == '.' && strcmp(name, ".") && strcmp(name, ".."))
		return FILE_LEFT_OUT;
	if (!strcmp(name, "README") || !strncmp(name, "README.", 7))
		return FILE_LEFT_OUT;
	if (len <= 4 || strcmp(name + len - 4, ".sql") != 0 ||
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			 "abcdefghijklmnopqrstuvwxyz0123456789_.-") != len ||
	    name[0] == '-')
		return FILE_REFUSED;
	return FILE_TAKEN;
}

/* Below a hidden folder? "." and ".." are none. */
static bool
is_below_hidden(const char *path)
{
	size_t len = strcspn(path, "/");

	return path[0] == '.' && path[len] == '/' &&
	       (len > 2 || (len == 2 && path[1] != '.'));
}

enum file_kind
file_kind(const char *path)
{
	static const char migrations[] = "migrations/";

	if (strlen(path) > SERVICE_PATH_MAX)
		return FILE_REFUSED;
	if (!strcmp(path, "service.conf"))
		return FILE_TAKEN;
	if (is_below_hidden(path))
		return FILE_LEFT_OUT;
	if (!strncmp(path, migrations, strlen(migrations)))
		path += strlen(migrations);
	return strchr(path, '/') ? FILE_REFUSED : name_kind(path);
}

/* ---- filling ------------------------------------------------------------- */

enum err
fill_refuse(struct filling *filling, enum err err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(filling->message, filling->message_size, format, args);
	va_end(args);
	return err;
}

enum err
fill_begin(struct filling *filling, struct service_files *files,
	   const char *name, char *message, size_t message_size)
{
	char quoted[100];

	*files = (struct service_files){ 0 };
	*filling = (struct filling){ .files = files,
				     .message = message,
				     .message_size = message_size };
	if (!service_name_is_good(bytes_of(name)))
		return fill_refuse(
			filling, ERR_BAD,
			"%s is no name for a service: [a-z][a-z0-9_-]*, at "
			"most %d bytes, and none of v1, livez, readyz, "
			"metrics, console",
			log_quote(quoted, sizeof(quoted), bytes_of(name)),
			SERVICE_NAME_MAX);
	strcpy(files->name, name);
	return ERR_OK;
}

enum err
fill_refuse_path(struct filling *filling, const char *path)
{
	char quoted[SERVICE_PATH_MAX + 10];

	return fill_refuse(
		filling, ERR_BAD,
		"%s does not belong to a service: it has service.conf, *.sql "
		"and migrations/*.sql, of A-Z a-z 0-9 _ . -, at most %d bytes",
		log_quote(quoted, sizeof(quoted), bytes_of(path)),
		SERVICE_PATH_MAX);
}

static unsigned
line_of(const char *data, size_t offset)
{
	unsigned line = 1;

	for (size_t i = 0; i < offset; i++)
		line += data[i] == '\n';
	return line;
}

/* By lines, so that the first that is wrong is known. A line's end is never a
 * part of a character. */
static unsigned
line_not_utf8(const char *data, size_t len)
{
	const char *at = data, *end = data + len;
	unsigned line = 1;

	for (; at < end; line++) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *next = newline ? newline + 1 : end;

		if (!json_is_utf8((struct bytes){ at, (size_t)(next - at) }))
			break;
		at = next;
	}
	return line;
}

static enum err
check_content(struct filling *filling, const char *path, const char *data,
	      size_t len)
{
	const char *nul = memchr(data, '\0', len);

	if (len > SERVICE_FILE_MAX)
		return fill_refuse(filling, ERR_TOO_LARGE,
				   "%s is larger than %d KiB", path,
				   SERVICE_FILE_MAX >> 10);
	if (len > SERVICE_BYTES_MAX - filling->bytes)
		return fill_refuse(filling, ERR_TOO_LARGE,
				   "the files are larger than %d MiB together",
				   SERVICE_BYTES_MAX >> 20);
	if (nul)
		return fill_refuse(filling, ERR_BAD, "%s:%u: a NUL byte", path,
				   line_of(data, (size_t)(nul - data)));
	if (!json_is_utf8((struct bytes){ data, len }))
		return fill_refuse(filling, ERR_BAD, "%s:%u: not UTF-8", path,
				   line_not_utf8(data, len));
	return ERR_OK;
}

static enum err
out_of_memory(struct filling *filling)
{
	return fill_refuse(filling, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
}

enum err
fill_add(struct filling *filling, const char *path, char *data, size_t len)
{
	struct service_files *files = filling->files;
	enum err err = check_content(filling, path, data, len);
	char *copy;

	if (!err && files->count == SERVICE_FILES_MAX)
		err = fill_refuse(filling, ERR_TOO_LARGE, "more than %d files",
				  SERVICE_FILES_MAX);
	if (!err && !files->files) {
		files->files = calloc(SERVICE_FILES_MAX, sizeof(*files->files));
		err = files->files ? ERR_OK : out_of_memory(filling);
	}
	if (err) {
		free(data);
		return err;
	}
	copy = strdup(path);
	if (!copy) {
		free(data);
		return out_of_memory(filling);
	}
	files->files[files->count++] = (struct service_file){ copy, data, len };
	filling->bytes += len;
	return ERR_OK;
}

/* ---- the whole ----------------------------------------------------------- */

static int
compare_files(const void *left, const void *right)
{
	const struct service_file *a = left, *b = right;

	return strcmp(a->path, b->path);
}

static bool
update(XXH3_state_t *state, const void *data, size_t len)
{
	uint64_t prefix = htole64(len);

	/* The length first, so that no two lists of files look the same. */
	return XXH3_64bits_update(state, &prefix, sizeof(prefix)) == XXH_OK &&
	       XXH3_64bits_update(state, data, len) == XXH_OK;
}

static bool
take_checksum(struct service_files *files)
{
	XXH3_state_t *state = XXH3_createState();
	bool good = state && XXH3_64bits_reset(state) == XXH_OK;

	for (unsigned i = 0; good && i < files->count; i++) {
		const struct service_file *file = &files->files[i];

		good = update(state, file->path, strlen(file->path)) &&
		       update(state, file->data, file->len);
	}
	if (good)
		files->checksum = XXH3_64bits_digest(state);
	XXH3_freeState(state);
	return good;
}

enum err
fill_end(struct filling *filling, enum err err)
{
	struct service_files *files = filling->files;

	if (!err && files->count == 0)
		err = fill_refuse(filling, ERR_BAD, "there are no files");
	if (!err) {
		qsort(files->files, files->count, sizeof(*files->files),
		      compare_files);
		if (!take_checksum(files))
			err = out_of_memory(filling);
	}
	if (err)
		service_files_fini(files);
	return err;
}

void
service_files_fini(struct service_files *files)
{
	for (unsigned i = 0; i < files->count; i++) {
		free(files->files[i].path);
		free(files->files[i].data);
	}
	free(files->files);
	*files = (struct service_files){ 0 };
}

const struct service_file *
service_files_find(const struct service_files *files, const char *path)
{
	struct service_file wanted = { .path = (char *)path };

	if (files->count == 0)
		return NULL;
	return bsearch(&wanted, files->files, files->count, sizeof(wanted),
		       compare_files);
}
