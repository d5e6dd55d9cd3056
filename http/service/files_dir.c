/* SPDX-License-Identifier: MIT */
/*
 * The files of a service in a folder of the file system.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/log.h"
#include "http/service/files_internal.h"
#include "storage/files.h"

/* ---- reading ------------------------------------------------------------- */

/*
 * A link inside the folder is followed, as mounts of containers are made of
 * them; one that leads out of it is refused. Where the kernel cannot tell,
 * each link is.
 */
static int
open_beneath(int dir, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

	if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
		return (int)fd;
	return openat(dir, path,
		      flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
}

static enum err
refuse_errno(struct filling *filling, const char *path, int number)
{
	enum err err = err_from_errno(number);

	if (number == EXDEV || number == ELOOP)
		return fill_refuse(filling, ERR_BAD,
				   "%s is a link that leads out of the folder",
				   path);
	return fill_refuse(filling, err, "%s: %s", path, strerror(number));
}

/* A byte more than there may be: whoever adds it says that it is too large. */
static enum err
read_all(struct filling *filling, const char *path, int fd, size_t expected)
{
	size_t size = expected < SERVICE_FILE_MAX ? expected + 1
						  : SERVICE_FILE_MAX + 1;
	char *data = malloc(size + 1);
	size_t len = 0;
	ssize_t n;

	if (!data)
		return fill_refuse(filling, ERR_NOMEM, "%s",
				   err_text(ERR_NOMEM));
	do {
		n = read(fd, data + len, size - len);
		if (n > 0)
			len += (size_t)n;
	} while ((n > 0 && len < size) || (n < 0 && errno == EINTR));
	if (n < 0) {
		enum err err = refuse_errno(filling, path, errno);

		free(data);
		return err;
	}
	/* It grew while it was read: what was there is no version of it. */
	if (len > expected && len <= SERVICE_FILE_MAX) {
		free(data);
		return fill_refuse(filling, ERR_IO, "%s is being written",
				   path);
	}
	data[len] = '\0';
	return fill_add(filling, path, data, len);
}

static enum err
read_one(struct filling *filling, int dir, const char *path)
{
	int fd = open_beneath(dir, path, 0);
	struct stat st;
	enum err err;

	if (fd < 0)
		return refuse_errno(filling, path, errno);
	if (fstat(fd, &st) < 0)
		err = refuse_errno(filling, path, errno);
	else if (!S_ISREG(st.st_mode))
		err = fill_refuse(filling, ERR_BAD, "%s is no regular file",
				  path);
	else
		err = read_all(filling, path, fd, (size_t)st.st_size);
	close(fd);
	return err;
}

static enum err read_folder(struct filling *filling, int root, const char *path,
			    const char *prefix);

static enum err
read_entry(struct filling *filling, int root, const char *prefix,
	   const char *name)
{
	/* An entry's name has 255 bytes at most. */
	char path[512];

	snprintf(path, sizeof(path), "%s%s", prefix, name);
	if (!strcmp(path, "migrations"))
		return read_folder(filling, root, path, "migrations/");
	switch (file_kind(path)) {
	case FILE_LEFT_OUT:
		return ERR_OK;
	case FILE_REFUSED:
		return fill_refuse_path(filling, path);
	case FILE_TAKEN:
		break;
	}
	return read_one(filling, root, path);
}

static enum err
read_entries(struct filling *filling, int root, DIR *dir, const char *prefix)
{
	const struct dirent *entry;
	enum err err = ERR_OK;

	while (!err && (errno = 0, entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			err = read_entry(filling, root, prefix, entry->d_name);
	if (!err && errno)
		err = refuse_errno(filling, *prefix ? prefix : ".", errno);
	return err;
}

/* path is below root; prefix is what its files' paths begin with. */
static enum err
read_folder(struct filling *filling, int root, const char *path,
	    const char *prefix)
{
	int fd = open_beneath(root, path, O_DIRECTORY);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	enum err err;

	if (!dir) {
		err = refuse_errno(filling, path, errno);
		if (fd >= 0)
			close(fd);
		return err;
	}
	err = read_entries(filling, root, dir, prefix);
	closedir(dir);
	return err;
}

static enum err
read_root(struct filling *filling, const char *path)
{
	int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err err;

	if (root < 0)
		return fill_refuse(filling, err_from_errno(errno), "%s: %s",
				   path, strerror(errno));
	err = read_folder(filling, root, ".", "");
	close(root);
	return err;
}

enum err
service_files_read(struct service_files *files, const char *dir,
		   const char *name, char *message, size_t message_size)
{
	struct filling filling;
	enum err err = fill_begin(&filling, files, name, message, message_size);

	if (!err)
		err = read_root(&filling, dir);
	return fill_end(&filling, err);
}

/* ---- writing ------------------------------------------------------------- */

/* Joins folder and path; false: too long. */
static bool
join(char out[PATH_MAX], const char *dir, const char *path)
{
	return snprintf(out, PATH_MAX, "%s/%s", dir, path) < PATH_MAX;
}

/* What write_into() may have made. Nothing depends on its success. */
static void
remove_folder(const struct service_files *files, const char *dir)
{
	char path[PATH_MAX];

	for (unsigned i = 0; i < files->count; i++)
		if (join(path, dir, files->files[i].path))
			unlink(path);
	if (join(path, dir, "migrations"))
		rmdir(path);
	rmdir(dir);
}

static enum err
write_into(const struct service_files *files, const char *dir)
{
	bool has_migrations = false;
	char path[PATH_MAX];
	enum err err = ERR_OK;

	for (unsigned i = 0; !err && i < files->count; i++) {
		const struct service_file *file = &files->files[i];

		if (!has_migrations && strchr(file->path, '/')) {
			has_migrations = true;
			err = join(path, dir, "migrations")
				      ? files_make_dir(path)
				      : ERR_TOO_LARGE;
		}
		if (!err && !join(path, dir, file->path))
			err = ERR_TOO_LARGE;
		if (!err)
			err = files_replace(path, file->data, file->len);
	}
	return err;
}

/* A new name, so that nothing of another, unfinished folder gets into this
 * one. */
static enum err
make_fresh(char fresh[PATH_MAX], const char *dir)
{
	char parent[PATH_MAX];
	char *slash;
	enum err err;

	/* The longest path in it is to fit as well. */
	if (snprintf(fresh, PATH_MAX, "%s.XXXXXX", dir) >=
	    PATH_MAX - SERVICE_PATH_MAX - 2)
		return ERR_TOO_LARGE;
	strcpy(parent, fresh);
	slash = strrchr(parent, '/');
	if (slash && slash > parent) {
		*slash = '\0';
		err = files_make_dir(parent);
		if (err)
			return err;
	}
	return mkdtemp(fresh) ? ERR_OK : err_from_errno(errno);
}

enum err
service_files_write(const struct service_files *files, const char *dir)
{
	char fresh[PATH_MAX];
	enum err err = make_fresh(fresh, dir);

	if (err)
		return err;
	err = write_into(files, fresh);
	/* rename(2) replaces an empty folder, and no other. */
	if (!err && rename(fresh, dir) < 0)
		err = errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR
			      ? ERR_CONDITION
			      : err_from_errno(errno);
	if (err) {
		remove_folder(files, fresh);
		return err;
	}
	return files_sync_parent(dir);
}
