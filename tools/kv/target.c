/* SPDX-License-Identifier: MIT */
#include "tools/kv/target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/out.h"

/* The file to remove when a signal ends the program; NULL: none. */
static const char *volatile doomed;

static const int deadly[] = { SIGHUP, SIGINT, SIGTERM };

static void
on_signal(int number)
{
	if (doomed)
		unlink(doomed);
	/* SA_RESETHAND: this time it has its usual effect. */
	raise(number);
}

/* Signals that the parent has us ignore stay ignored. */
static void
watch_signals(void)
{
	struct sigaction watch = { .sa_handler = on_signal,
				   .sa_flags = (int)SA_RESETHAND };

	for (size_t i = 0; i < ARRAY_LEN(deadly); i++) {
		struct sigaction old;

		if (sigaction(deadly[i], NULL, &old) == 0 &&
		    old.sa_handler == SIG_DFL)
			sigaction(deadly[i], &watch, NULL);
	}
}

/* The deadly signals wait while the file is made and noted as doomed: one in
 * between would leave it there. */
static int
make_temporary(char *name)
{
	sigset_t set, before;
	int fd, error;

	watch_signals();
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(deadly); i++)
		sigaddset(&set, deadly[i]);
	sigprocmask(SIG_BLOCK, &set, &before);
	fd = mkostemp(name, O_CLOEXEC);
	error = errno;
	if (fd >= 0)
		doomed = name;
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = error;
	return fd;
}

static bool
complain(const char *path)
{
	say("%s: %s", path, strerror(errno));
	return false;
}

/* As open() would have made it, or as the file that it replaces. */
static mode_t
mode_for(const struct stat *old)
{
	mode_t mask;

	if (old)
		return old->st_mode & 07777;
	mask = umask(0);
	umask(mask);
	return 0666 & ~mask;
}

static bool
open_temporary(struct target *target, const struct stat *old)
{
	int fd;

	if (asprintf(&target->temporary, "%s.XXXXXX", target->path) < 0) {
		target->temporary = NULL;
		return complain(target->path);
	}
	fd = make_temporary(target->temporary);
	if (fd < 0)
		return complain(target->temporary);
	if (fchmod(fd, mode_for(old)) == 0 && (target->file = fdopen(fd, "w")))
		return true;
	close(fd);
	unlink(target->temporary);
	doomed = NULL;
	return complain(target->path);
}

static void
forget(struct target *target)
{
	doomed = NULL;
	free(target->temporary);
	free(target->path);
	*target = (struct target){ 0 };
}

/* Where the symbolic link at path leads, from its own folder on. The caller
 * frees. NULL: errno is EINVAL where it is no link. */
static char *
link_target(const char *path)
{
	const char *slash = strrchr(path, '/');
	int folder_len = slash ? (int)(slash + 1 - path) : 0;
	char to[PATH_MAX], *next;
	ssize_t len = readlink(path, to, sizeof(to));

	if (len < 0)
		return NULL;
	/* A path of PATH_MAX bytes cannot be opened. */
	if (len == sizeof(to)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	if (to[0] == '/')
		folder_len = 0;
	if (asprintf(&next, "%.*s%.*s", folder_len, path, (int)len, to) < 0)
		return NULL;
	return next;
}

/* The path behind symbolic links, also where no file is yet, which realpath()
 * does not tell. The caller frees. NULL, with errno. */
static char *
follow_links(const char *path)
{
	enum { LINKS_MAX = 40 }; /* as the kernel follows */
	char *at = strdup(path);

	for (unsigned i = 0; at && i <= LINKS_MAX; i++) {
		char *next = link_target(at);

		/* None, or nothing: what is wrong with it is said when a file
		 * is made there. */
		if (!next && (errno == EINVAL || errno == ENOENT))
			return at;
		free(at);
		at = next;
	}
	if (at)
		errno = ELOOP;
	free(at);
	return NULL;
}

bool
target_open(struct target *target, const char *path)
{
	bool exists, good;
	struct stat old;

	*target = (struct target){ 0 };
	if (!path || !strcmp(path, "-")) {
		target->file = stdout;
		return true;
	}
	exists = stat(path, &old) == 0;
	if (exists && !S_ISREG(old.st_mode)) {
		/* A rename would put a file in place of the device. */
		target->file = fopen(path, "we");
		return target->file || complain(path);
	}
	/* Behind a symbolic link it is the file that is replaced or made. */
	target->path = follow_links(path);
	good = target->path ? open_temporary(target, exists ? &old : NULL)
			    : complain(path);
	if (!good)
		forget(target);
	return good;
}

bool
target_commit(struct target *target)
{
	bool good = fflush(target->file) == 0;

	if (target->file == stdout)
		return true; /* out_finish() tells */
	if (good && target->temporary)
		good = fsync(fileno(target->file)) == 0;
	if (fclose(target->file) != 0)
		good = false;
	if (good && target->temporary)
		good = rename(target->temporary, target->path) == 0;
	if (!good) {
		complain(target->path ? target->path : "the output");
		if (target->temporary)
			unlink(target->temporary);
	}
	forget(target);
	return good;
}

void
target_abort(struct target *target)
{
	if (target->file == stdout)
		return;
	fclose(target->file);
	if (target->temporary)
		unlink(target->temporary);
	forget(target);
}
