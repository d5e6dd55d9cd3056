/* SPDX-License-Identifier: MIT */
/*
 * Makes system calls fail, in a program that runs:
 *
 *   LD_PRELOAD=.../fault.so JACKDAW_FAULT=/path/of/rules jackdawd ...
 *
 * The file of rules is read at each of the calls below, so a fault begins when
 * the file is written and ends when it is emptied or removed (write it under
 * another name and rename it, and no call sees half of it). Each line is
 *
 *   CALL ACTION [PART-OF-PATH [LEAST]]
 *
 *   CALL     fdatasync | fsync | ftruncate | pread
 *            unlinkat | readdir, of the folder
 *            fallocate posix_fallocate
 *            pwrite    pwrite, writev and pwritev, of whatever descriptor
 *            dsync     the same on a descriptor with O_DSYNC: in a store, the
 *                      meta page, the last write of a commit
 *   ACTION   an errno: EIO ENOSPC EDQUOT EFBIG EROFS ENOMEM
 *            short     half of it is written (pwrite, dsync)
 *            kill      the process is killed by SIGKILL, before the call
 *            sleep-N   the call is made N milliseconds later
 *            unknown   of readdir, the only one: nobody says what an entry is,
 *                      as on a file system that does not know
 *   PART-OF-PATH    only files whose path has this in it, such as data.mdb;
 * with a $ at its end: whose path ends so, which keeps the WAL out of main.db$
 *   LEAST    only writes of at least so many bytes (pwrite, dsync)
 *
 * The first line that fits counts. An example: a disk that fails its syncs,
 *   echo 'fdatasync EIO data.mdb' > rules.new && mv rules.new rules
 *
 * Under a sanitizer it also needs ASAN_OPTIONS=verify_asan_link_order=0.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { RULES_MAX = 4096 };

/* The text of the rules; false where there are none. By bare system calls:
 * the library's own could be ours. */
static bool
read_rules(char *text)
{
	const char *path = getenv("JACKDAW_FAULT");
	long fd, len;

	if (!path || !*path)
		return false;
	fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	len = syscall(SYS_read, fd, text, RULES_MAX - 1);
	syscall(SYS_close, fd);
	if (len <= 0)
		return false;
	text[len] = '\0';
	return true;
}

static bool
is_in(const char *path, const char *part)
{
	size_t path_len = strlen(path), len = strlen(part);

	if (part[len - 1] != '$')
		return strstr(path, part);
	len--;
	return path_len >= len && !strncmp(path + path_len - len, part, len);
}

static bool
path_has(int fd, const char *part)
{
	char link[64], path[PATH_MAX];
	ssize_t len;

	if (!*part)
		return true;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len < 0)
		return false;
	path[len] = '\0';
	return is_in(path, part);
}

/* The action for this call, which writes len bytes, or false. */
static bool
find_rule(const char *call, int fd, size_t len, char action[32])
{
	char text[RULES_MAX], *rest = text, *line;
	int error = errno;
	bool found = false;

	if (!read_rules(text))
		return false;
	while (!found && (line = strsep(&rest, "\n"))) {
		char name[32] = "", part[256] = "";
		size_t least = 0;

		if (sscanf(line, "%31s %31s %255s %zu", name, action, part,
			   &least) < 2)
			continue;
		found = !strcmp(name, call) && len >= least &&
			path_has(fd, part);
	}
	errno = error;
	return found;
}

/* What an action makes of a call: 0, or the errno with which it fails. */
static int
act(const char *action)
{
	static const struct {
		const char *name;
		int number;
	} errors[] = {
		{ "EIO", EIO },     { "ENOSPC", ENOSPC }, { "EDQUOT", EDQUOT },
		{ "EROFS", EROFS }, { "ENOMEM", ENOMEM }, { "EFBIG", EFBIG },
	};

	if (!strcmp(action, "kill"))
		kill(getpid(), SIGKILL);
	if (!strncmp(action, "sleep-", 6))
		usleep((useconds_t)atoi(action + 6) * 1000);
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		if (!strcmp(action, errors[i].name))
			return errors[i].number;
	return 0;
}

static int
fault(const char *call, int fd)
{
	char action[32];

	return find_rule(call, fd, SIZE_MAX, action) ? act(action) : 0;
}

static bool
is_dsync(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_DSYNC);
}

/* For a write; *half is set where it is to be short. */
static int
write_fault(int fd, size_t len, bool *half)
{
	char action[32];

	*half = false;
	if (!(is_dsync(fd) && find_rule("dsync", fd, len, action)) &&
	    !find_rule("pwrite", fd, len, action))
		return 0;
	*half = !strcmp(action, "short");
	return act(action);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define FAIL_IF(error) \
	do { \
		int number = (error); \
		if (number) { \
			errno = number; \
			return -1; \
		} \
	} while (0)

int
fdatasync(int fd)
{
	FAIL_IF(fault("fdatasync", fd));
	return REAL(fdatasync)(fd);
}

int
fsync(int fd)
{
	FAIL_IF(fault("fsync", fd));
	return REAL(fsync)(fd);
}

int
ftruncate(int fd, off_t length)
{
	FAIL_IF(fault("ftruncate", fd));
	return REAL(ftruncate)(fd, length);
}

int
ftruncate64(int fd, off64_t length)
{
	return ftruncate(fd, length);
}

ssize_t
pread(int fd, void *data, size_t len, off_t offset)
{
	FAIL_IF(fault("pread", fd));
	return REAL(pread)(fd, data, len, offset);
}

ssize_t
pread64(int fd, void *data, size_t len, off64_t offset)
{
	return pread(fd, data, len, offset);
}

int
posix_fallocate(int fd, off_t offset, off_t len)
{
	int number = fault("fallocate", fd);

	return number ? number : REAL(posix_fallocate)(fd, offset, len);
}

int
epoll_ctl(int epoll_fd, int what, int fd, struct epoll_event *event)
{
	FAIL_IF(what == EPOLL_CTL_ADD ? fault("epoll_ctl", fd) : 0);
	return REAL(epoll_ctl)(epoll_fd, what, fd, event);
}

ssize_t
pwrite(int fd, const void *data, size_t len, off_t offset)
{
	bool half;

	FAIL_IF(write_fault(fd, len, &half));
	return REAL(pwrite)(fd, data, half ? len / 2 : len, offset);
}

static size_t
size_of(const struct iovec *parts, int count)
{
	size_t size = 0;

	for (int i = 0; i < count; i++)
		size += parts[i].iov_len;
	return size;
}

ssize_t
writev(int fd, const struct iovec *parts, int count)
{
	bool half;

	FAIL_IF(write_fault(fd, size_of(parts, count), &half));
	return REAL(writev)(fd, parts, half ? (count + 1) / 2 : count);
}

ssize_t
pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	bool half;

	FAIL_IF(write_fault(fd, size_of(parts, count), &half));
	return REAL(pwritev)(fd, parts, half ? (count + 1) / 2 : count, offset);
}

int
unlinkat(int dir, const char *name, int flags)
{
	FAIL_IF(fault("unlinkat", dir));
	return REAL(unlinkat)(dir, name, flags);
}

static bool
is_unknown(DIR *dir)
{
	char action[32];

	return find_rule("readdir", dirfd(dir), SIZE_MAX, action) &&
	       !strcmp(action, "unknown");
}

struct dirent *
readdir(DIR *dir)
{
	struct dirent *entry = REAL(readdir)(dir);

	if (entry && is_unknown(dir))
		entry->d_type = DT_UNKNOWN;
	return entry;
}

struct dirent64 *
readdir64(DIR *dir)
{
	struct dirent64 *entry = REAL(readdir64)(dir);

	if (entry && is_unknown(dir))
		entry->d_type = DT_UNKNOWN;
	return entry;
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

int
posix_fallocate64(int fd, off64_t offset, off64_t len)
{
	return posix_fallocate(fd, offset, len);
}
