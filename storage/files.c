/* SPDX-License-Identifier: MIT */
#include "storage/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err
err_from_sync(int number)
{
	return number == EIO ? ERR_FAULT : err_from_errno(number);
}

enum err
files_sync_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err err = ERR_OK;

	if (fd < 0)
		return err_from_errno(errno);
	/* Some network file systems cannot sync a folder, and say EINVAL. */
	if (fsync(fd) < 0 && errno != EINVAL)
		err = err_from_sync(errno);
	close(fd);
	return err;
}

enum err
files_sync_parent(const char *path)
{
	char parent[PATH_MAX];
	char *slash;

	if (strlen(path) >= sizeof(parent))
		return ERR_TOO_LARGE;
	strcpy(parent, path);
	slash = strrchr(parent, '/');
	if (!slash)
		return files_sync_dir(".");
	slash[slash == parent] = '\0';
	return files_sync_dir(parent);
}

static enum err
make_one(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) == 0)
		return files_sync_parent(path);
	if (errno != EEXIST)
		return err_from_errno(errno);
	if (stat(path, &st) < 0)
		return err_from_errno(errno);
	return S_ISDIR(st.st_mode) ? ERR_OK : ERR_BAD;
}

enum err
files_make_dir(const char *path)
{
	char part[PATH_MAX];
	enum err err;

	if (strlen(path) >= sizeof(part))
		return ERR_TOO_LARGE;
	strcpy(part, path);
	for (char *slash = strchr(part + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		err = make_one(part);
		*slash = '/';
		if (err != ERR_OK)
			return err;
	}
	return make_one(part);
}

static enum err
write_all(int fd, const void *data, size_t len, uint64_t offset)
{
	const char *bytes = data;

	while (len > 0) {
		ssize_t n = pwrite(fd, bytes, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_from_sync(errno);
		bytes += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return ERR_OK;
}

enum err
files_overwrite(int fd, const void *data, size_t len, uint64_t offset)
{
	enum err err = write_all(fd, data, len, offset);

	if (err == ERR_OK && fdatasync(fd) < 0)
		return ERR_FAULT;
	return err;
}

enum err
files_replace(const char *path, const void *data, size_t len)
{
	char fresh[PATH_MAX];
	enum err err;
	int fd;

	if (snprintf(fresh, sizeof(fresh), "%s.new", path) >=
	    (int)sizeof(fresh))
		return ERR_TOO_LARGE;
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_from_errno(errno);
	err = write_all(fd, data, len, 0);
	if (err == ERR_OK && fsync(fd) < 0)
		err = err_from_sync(errno);
	close(fd);
	if (err == ERR_OK && rename(fresh, path) < 0)
		err = err_from_errno(errno);
	if (err != ERR_OK) {
		unlink(fresh);
		return err;
	}
	return files_sync_parent(path);
}

enum err
files_read(const char *path, void *data, size_t size, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t got = 0;
	ssize_t n;

	if (fd < 0)
		return err_from_errno(errno);
	do {
		n = read(fd, (char *)data + got, size - got);
		if (n > 0)
			got += (size_t)n;
	} while ((n > 0 && got < size) || (n < 0 && errno == EINTR));
	close(fd);
	if (n < 0)
		return ERR_IO;
	*len = got;
	return ERR_OK;
}
