/* SPDX-License-Identifier: MIT */
/*
 * Keeps what a power failure could undo, in a program that runs:
 *
 *   LD_PRELOAD=.../power.so JACKDAW_POWER=PART-OF-PATH:/path/of/log jackdawd
 * ...
 *
 * Before each write to a file whose path ends in the part, what stood there
 * goes to the log; a sync that has succeeded empties it. So when the process
 * is killed, the log has all that was written and not synced: whoever writes
 * some of it back makes one of the states that a disk may be left in.
 *
 * An entry: offset and length, each 8 bytes of this machine, then the bytes.
 * One file and one writing thread, as the committer of a store is.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum { CHUNK = 1 << 16 };

static int log_fd = -1;
static const char *suffix;

static bool
begin(void)
{
	static char part[PATH_MAX];
	const char *setting = getenv("JACKDAW_POWER");
	const char *colon = setting ? strrchr(setting, ':') : NULL;

	if (log_fd >= 0 || !colon)
		return log_fd >= 0;
	snprintf(part, sizeof(part), "%.*s", (int)(colon - setting), setting);
	suffix = part;
	log_fd =
		open(colon + 1,
		     O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_APPEND, 0600);
	return log_fd >= 0;
}

static bool
is_ours(int fd)
{
	char link[64], path[PATH_MAX];
	ssize_t len;
	size_t end;

	if (!begin())
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len < 0)
		return false;
	end = strlen(suffix);
	return (size_t)len >= end && !strncmp(path + len - end, suffix, end);
}

static void
keep(int fd, size_t len, off_t offset)
{
	char entry[16 + CHUNK];

	while (len > 0) {
		uint64_t at = (uint64_t)offset;
		uint64_t n = len < CHUNK ? len : CHUNK;

		memset(entry + 16, 0, n);
		/* Behind the end of the file there is nothing, that is 0. */
		(void)!pread(fd, entry + 16, n, offset);
		memcpy(entry, &at, 8);
		memcpy(entry + 8, &n, 8);
		if (write(log_fd, entry, 16 + n) != (ssize_t)(16 + n))
			abort();
		len -= n;
		offset += (off_t)n;
	}
}

static size_t
size_of(const struct iovec *parts, int count)
{
	size_t size = 0;

	for (int i = 0; i < count; i++)
		size += parts[i].iov_len;
	return size;
}

int
fdatasync(int fd)
{
	int rc = REAL(fdatasync)(fd);

	if (rc == 0 && is_ours(fd) && ftruncate(log_fd, 0))
		abort();
	return rc;
}

ssize_t
pwrite(int fd, const void *data, size_t len, off_t offset)
{
	/* With O_DSYNC nothing is left to be undone. */
	if (is_ours(fd) && !(fcntl(fd, F_GETFL) & O_DSYNC))
		keep(fd, len, offset);
	return REAL(pwrite)(fd, data, len, offset);
}

ssize_t
writev(int fd, const struct iovec *parts, int count)
{
	if (is_ours(fd))
		keep(fd, size_of(parts, count), lseek(fd, 0, SEEK_CUR));
	return REAL(writev)(fd, parts, count);
}

ssize_t
pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	if (is_ours(fd))
		keep(fd, size_of(parts, count), offset);
	return REAL(pwritev)(fd, parts, count, offset);
}

/* The same functions by their names for large files. */
ssize_t
pwrite64(int fd, const void *data, size_t len, off64_t offset)
{
	return pwrite(fd, data, len, offset);
}

ssize_t
pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
	return pwritev(fd, parts, count, offset);
}
