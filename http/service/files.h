/* SPDX-License-Identifier: MIT */
/*
 * The files of a service: from a folder, or from the JSON that the client
 * sends. In memory, immutable once read.
 */
#ifndef HTTP_SERVICE_FILES_H
#define HTTP_SERVICE_FILES_H

#include "core/base.h"
#include "core/err.h"

enum {
	SERVICE_NAME_MAX = 48,
	SERVICE_FILES_MAX = 1000,
	SERVICE_FILE_MAX = 1 << 20,   /* bytes of one */
	SERVICE_BYTES_MAX = 16 << 20, /* of all */
	SERVICE_BODY_MAX = 32 << 20,  /* of the JSON that has them all */
	SERVICE_PATH_MAX = 200,       /* of a file, in the folder */
};

struct service_file {
	char *path; /* "service.conf", "migrations/0001_init.sql", "a.sql" */
	char *data; /* a NUL follows */
	size_t len;
};

struct service_files {
	char name[SERVICE_NAME_MAX + 1]; /* the folder's */
	struct service_file *files;      /* sorted by path */
	unsigned count;
	uint64_t checksum; /* over all paths and contents */
};

/* [a-z][a-z0-9_-]*, and none of the names that stand alone: v1, livez, readyz,
 * metrics, openapi.json, console. */
bool service_name_is_good(struct bytes name);

/*
 * Only service.conf and files that end in .sql are read, here and in the
 * folder migrations; hidden files and README (README.md and the like) are left
 * out; anything else is an error that names it, and so are links that lead out
 * of the folder, what is no regular file, NULs, and text that is not UTF-8.
 *
 * On an error nothing is to be freed, and message says what, as "a.sql:12: not
 * UTF-8" where it is in a line. ERR_NOTFOUND: no such folder. ERR_BAD: a
 * mistake of the service's author. ERR_TOO_LARGE: beyond a limit above.
 */
MUST_CHECK enum err service_files_read(struct service_files *files,
				       const char *dir, const char *name,
				       char *message, size_t message_size);
/* {"files":{"path":"text",...}}: the same rules. */
MUST_CHECK enum err service_files_parse(struct service_files *files,
					struct bytes json, const char *name,
					char *message, size_t message_size);
/* Into a new folder dir, durably: all of it or nothing. Folders above it are
 * made. ERR_CONDITION: it is there already, and not empty. A crash may leave a
 * folder dir.XXXXXX behind, which nobody needs. */
MUST_CHECK enum err service_files_write(const struct service_files *files,
					const char *dir);
/* Also after an error, and twice. */
void service_files_fini(struct service_files *files);
const struct service_file *service_files_find(const struct service_files *files,
					      const char *path);

#endif
