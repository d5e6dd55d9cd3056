/* SPDX-License-Identifier: MIT */
/*
 * The folder of a store:
 *
 *   lock      locked as long as a process has the store
 *   format    what it is, written once it was made: without this file a
 *             missing data file is a new store, with it a damaged one
 *   boot      volatile only: the boot in which the data file was last open,
 *             and whether it was closed in peace
 *   data.mdb, lock.mdb    LMDB's
 *
 * A volatile store writes without syncs. Its file is good when the pages that
 * it wrote are still in the page cache (the same boot), or were synced (a
 * clean end). Otherwise it starts empty. The marker says "running" durably
 * before the first write, or a crash of the machine after a clean end would
 * pass for that clean end.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/files.h"
#include "storage/kv/kv_internal.h"

enum {
	BOOT_ID_MAX = 64,
	MARKER_SIZE = 128,
	/* Of LMDB's first page: where its head says how large pages are. */
	LMDB_PAGE_SIZE_AT = 40,
	/* LMDB's lock file: a head, and a line a reader. */
	LMDB_LOCK_HEAD = 512,
	LMDB_LOCK_READER = 64,
};

static const char format_durable[] = "jackdaw store 1 durable\n";
static const char format_volatile[] = "jackdaw store 1 volatile\n";

enum err
kv_say(char *message, size_t size, enum err err, const char *format, ...)
{
	va_list args;

	if (size == 0)
		return err;
	va_start(args, format);
	vsnprintf(message, size, format, args);
	va_end(args);
	return err;
}

static const char *
path_of(const struct kv *kv, const char *file, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s", kv->dir, file);
	return path;
}

static enum err
say_failed(char *message, size_t size, enum err err, const char *what,
	   const char *path)
{
	return kv_say(message, size, err, "%s: cannot %s: %s", path, what,
		      err_text(err));
}

/* ---- the lock ----------------------------------------------------------- */

/* Bound to the open file, not to the process: it ends with the process even
 * when that is killed, and no other descriptor's close can end it. */
static enum err
lock_dir(struct kv *kv, char *message, size_t size)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[PATH_MAX];

	path_of(kv, "lock", path);
	kv->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (kv->lock_fd < 0)
		return say_failed(message, size, err_from_errno(errno), "open",
				  path);
	if (fcntl(kv->lock_fd, F_OFD_SETLK, &lock) == 0)
		return ERR_OK;
	if (errno != EAGAIN && errno != EACCES)
		return say_failed(message, size, err_from_errno(errno), "lock",
				  path);
	return kv_say(message, size, ERR_LOCKED,
		      "%s: another process has this store open", kv->dir);
}

/* ---- the format --------------------------------------------------------- */

static const char *
format_of(const struct kv *kv)
{
	return kv->is_volatile ? format_volatile : format_durable;
}

/* Whether the store was made before. */
static enum err
check_format(struct kv *kv, bool *made, char *message, size_t size)
{
	char path[PATH_MAX], found[64] = "";
	size_t len = 0;
	enum err err = files_read(path_of(kv, "format", path), found,
				  sizeof(found) - 1, &len);

	*made = err == ERR_OK;
	if (err == ERR_NOTFOUND)
		return ERR_OK;
	if (err != ERR_OK)
		return say_failed(message, size, err, "read", path);
	if (!strcmp(found, format_of(kv)))
		return ERR_OK;
	if (!strcmp(found, format_durable) || !strcmp(found, format_volatile))
		return kv_say(message, size, ERR_BAD,
			      "%s: this is a %s store; it cannot be opened as "
			      "a %s one",
			      kv->dir, kv->is_volatile ? "durable" : "volatile",
			      kv->is_volatile ? "volatile" : "durable");
	return kv_say(message, size, ERR_BAD, "%s: unknown format", path);
}

enum err
kv_state_made(struct kv *kv, char *message, size_t size)
{
	char path[PATH_MAX];
	enum err err;

	path_of(kv, "format", path);
	if (access(path, F_OK) == 0)
		return ERR_OK;
	/* Syncs the folder, so LMDB's files have their names for good too. */
	err = files_replace(path, format_of(kv), strlen(format_of(kv)));
	if (err != ERR_OK)
		return say_failed(message, size, err, "write", path);
	return ERR_OK;
}

/* ---- the marker --------------------------------------------------------- */

static void
marker_text(const struct kv *kv, const char *state, char marker[MARKER_SIZE])
{
	char id[BOOT_ID_MAX] = "unknown";
	size_t len = 0;

	if (kv->tuning.boot_id)
		snprintf(id, sizeof(id), "%s", kv->tuning.boot_id);
	else if (files_read("/proc/sys/kernel/random/boot_id", id,
			    sizeof(id) - 1, &len) == ERR_OK)
		id[len && id[len - 1] == '\n' ? len - 1 : len] = '\0';
	memset(marker, 0, MARKER_SIZE);
	snprintf(marker, MARKER_SIZE, "%s %s\n", state, id);
}

/* In place, so it also works on a full disk. A torn one is no known text, and
 * the store starts empty. */
static enum err
write_marker(struct kv *kv, const char *state)
{
	char marker[MARKER_SIZE];

	marker_text(kv, state, marker);
	return files_overwrite(kv->marker_fd, marker, sizeof(marker), 0);
}

/* Without a boot id the same boot cannot be told from another. */
static bool
marker_is_good(struct kv *kv, const char *found)
{
	char running[MARKER_SIZE];

	if (!strncmp(found, "clean ", 6))
		return true;
	marker_text(kv, "running", running);
	return !strcmp(found, running) && !strstr(found, " unknown\n");
}

static enum err
open_marker(struct kv *kv, const char *path)
{
	static const char fresh[MARKER_SIZE] = "new\n";
	char found[MARKER_SIZE + 1] = "";
	size_t len = 0;
	enum err err = files_read(path, found, MARKER_SIZE, &len);

	if (err == ERR_NOTFOUND || (err == ERR_OK && len < MARKER_SIZE))
		err = files_replace(path, fresh, sizeof(fresh));
	if (err != ERR_OK)
		return err;
	kv->marker_fd = open(path, O_WRONLY | O_CLOEXEC);
	if (kv->marker_fd < 0)
		return err_from_errno(errno);
	if (!marker_is_good(kv, found)) {
		err = kv_state_remove_data(kv);
		if (err != ERR_OK)
			return err;
	}
	return write_marker(kv, "running");
}

/* ---- the data file ------------------------------------------------------ */

enum err
kv_state_remove_data(struct kv *kv)
{
	static const char *const files[] = { "data.mdb", "lock.mdb" };
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (unlink(path_of(kv, files[i], path)) < 0 && errno != ENOENT)
			return err_from_errno(errno);
	return files_sync_dir(kv->dir);
}

/*
 * LMDB maps its lock file and writes to the mapping: on a full disk, a page
 * of it that has no block yet would be a SIGBUS. So it gets its blocks here.
 */
static enum err
allocate_lock_file(struct kv *kv, const char *path)
{
	off_t size = LMDB_LOCK_HEAD +
		     (off_t)LMDB_LOCK_READER * (kv->readers + KV_READERS_EXTRA);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int rc;

	if (fd < 0)
		return err_from_errno(errno);
	rc = posix_fallocate(fd, 0, size);
	close(fd);
	return err_from_errno(rc);
}

static bool
is_page_size(uint32_t size)
{
	return size >= 512 && size <= 65536 && (size & (size - 1)) == 0;
}

/* LMDB checks magic and version, and divides by the page size. */
enum err
kv_state_check_file(struct kv *kv, char *message, size_t size)
{
	uint8_t head[LMDB_PAGE_SIZE_AT + 4];
	char path[PATH_MAX], format[PATH_MAX];
	uint32_t page_size;
	size_t len = 0;
	enum err err = files_read(path_of(kv, "data.mdb", path), head,
				  sizeof(head), &len);

	if (err != ERR_OK && err != ERR_NOTFOUND)
		return say_failed(message, size, err, "read", path);
	if (len == 0 && access(path_of(kv, "format", format), F_OK) == 0 &&
	    !kv->is_volatile)
		return kv_say(message, size, ERR_FAULT,
			      "%s: the file is %s, but the store was in use",
			      path, err == ERR_OK ? "empty" : "missing");
	if (len == 0)
		return ERR_OK;
	if (len < sizeof(head))
		return kv_say(message, size, ERR_FAULT,
			      "%s: the file is cut short", path);
	memcpy(&page_size, head + LMDB_PAGE_SIZE_AT, sizeof(page_size));
	if (!is_page_size(page_size))
		return kv_say(message, size, ERR_FAULT,
			      "%s: this is no data file of a store", path);
	return ERR_OK;
}

/* ---- all of it ---------------------------------------------------------- */

enum err
kv_state_open(struct kv *kv, char *message, size_t size)
{
	char path[PATH_MAX];
	bool made;
	enum err err;

	if (strlen(kv->dir) + 16 > sizeof(path))
		return kv_say(message, size, ERR_TOO_LARGE,
			      "%s: the path is too long", kv->dir);
	err = files_make_dir(kv->dir);
	if (err != ERR_OK)
		return say_failed(message, size, err, "make this folder",
				  kv->dir);
	err = lock_dir(kv, message, size);
	if (err == ERR_OK)
		err = check_format(kv, &made, message, size);
	if (err != ERR_OK)
		return err;
	if (kv->is_volatile) {
		err = open_marker(kv, path_of(kv, "boot", path));
		if (err != ERR_OK)
			return say_failed(message, size, err, "write", path);
	}
	err = allocate_lock_file(kv, path_of(kv, "lock.mdb", path));
	if (err != ERR_OK)
		return say_failed(message, size, err, "allocate", path);
	return ERR_OK;
}

void
kv_state_close(struct kv *kv, bool clean)
{
	if (kv->marker_fd >= 0) {
		/* Without the word "clean" it is still good for this boot. */
		if (clean)
			(void)!write_marker(kv, "clean");
		close(kv->marker_fd);
	}
	if (kv->lock_fd >= 0)
		close(kv->lock_fd);
}
