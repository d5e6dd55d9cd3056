/* SPDX-License-Identifier: MIT */
#include "tools/admin/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/json.h"
#include "tools/out.h"

enum {
	/* More than the server takes: it says what its limits are. */
	FILE_BYTES_MAX = 16 << 20,
	BODY_MAX = 128 << 20,
	PATH_BYTES_MAX = 4096,
};

struct folder {
	const char *path; /* as the user wrote it */
	struct json json;
	bool good;
};

static const char migrations[] = "migrations";

/* ---- files ------------------------------------------------------------------
 */

static void
complain(struct folder *folder, const char *name, const char *why)
{
	say("%s/%s: %s", folder->path, name, why);
	folder->good = false;
}

static void
add_text(struct folder *folder, const char *name, const struct buffer *text)
{
	struct bytes bytes = { text->data ? text->data : "", text->len };

	if (!json_is_utf8(bytes)) {
		complain(folder, name, "the file is not UTF-8");
		return;
	}
	json_name(&folder->json, name);
	json_text(&folder->json, bytes);
}

/* name: from the folder on. */
static void
add_file(struct folder *folder, int dir, const char *name)
{
	/* A pipe in the folder must not stop us: it is said below. */
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct buffer text;
	struct stat stat;

	if (fd < 0) {
		complain(folder, name, strerror(errno));
		return;
	}
	buffer_init(&text, FILE_BYTES_MAX);
	if (fstat(fd, &stat) == 0 && !S_ISREG(stat.st_mode))
		complain(folder, name, "this is no file");
	else if (buffer_read_all(&text, fd))
		add_text(folder, name, &text);
	else
		complain(folder, name, strerror(errno));
	buffer_fini(&text);
	close(fd);
}

/* ---- folders ------------------------------------------------------------ */

static bool
ends_with(const char *name, const char *end)
{
	size_t len = strlen(name), end_len = strlen(end);

	return len > end_len && !strcmp(name + len - end_len, end);
}

/* As the server does it: README2.sql is no README. */
static bool
is_left_out(const char *name)
{
	return name[0] == '.' || !strcmp(name, "README") ||
	       !strncmp(name, "README.", 7);
}

static int
is_wanted(const struct dirent *entry)
{
	return !is_left_out(entry->d_name);
}

static void add_folder(struct folder *folder, int dir, const char *below);

static void
add_entry(struct folder *folder, int dir, const char *below, const char *entry)
{
	char name[PATH_BYTES_MAX];

	snprintf(name, sizeof(name), "%s%s%s", below, *below ? "/" : "", entry);
	if (!json_is_utf8(bytes_of(name)))
		complain(folder, name, "the name is not UTF-8");
	else if (!*below && !strcmp(entry, migrations))
		add_folder(folder, dir, migrations);
	else if (ends_with(entry, ".sql") ||
		 (!*below && !strcmp(entry, "service.conf")))
		add_file(folder, dir, name);
	else
		complain(folder, name,
			 *below ? "only files that end in .sql belong here"
				: "only service.conf, files that end in .sql "
				  "and the folder migrations belong here");
}

/* below: "" or the folder in it. Sorted, so that complaints have an order. */
static void
add_folder(struct folder *folder, int dir, const char *below)
{
	struct dirent **entries = NULL;
	int count = scandirat(dir, *below ? below : ".", &entries, is_wanted,
			      alphasort);

	if (count < 0) {
		complain(folder, below, strerror(errno));
		return;
	}
	for (int i = 0; i < count; i++) {
		add_entry(folder, dir, below, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
}

bool
folder_read(const char *path, struct buffer *body)
{
	struct folder folder = { .path = path, .good = true };
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	buffer_init(body, BODY_MAX);
	if (dir < 0) {
		say("%s: %s", path, strerror(errno));
		return false;
	}
	json_begin(&folder.json, body);
	json_object_begin(&folder.json);
	json_name(&folder.json, "files");
	json_object_begin(&folder.json);
	add_folder(&folder, dir, "");
	json_object_end(&folder.json);
	json_object_end(&folder.json);
	close(dir);
	if (body->err)
		say("%s: %s", path, err_text(body->err));
	return folder.good && !body->err;
}

char *
folder_name(const char *path)
{
	char *real = realpath(path, NULL);
	const char *slash;
	char *name = NULL;

	if (!real) {
		say("%s: %s", path, strerror(errno));
		return NULL;
	}
	slash = strrchr(real, '/');
	if (slash && slash[1])
		name = strdup(slash + 1);
	else
		say("%s has no name: --name gives one", path);
	free(real);
	return name;
}
