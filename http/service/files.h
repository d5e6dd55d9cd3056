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
	SERVICE_BODY_MAX = 32 << 20, /* of the JSON that has them all */
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

/* Only service.conf and files that end in .sql are read, here and in the
 * folder migrations; hidden files and README are left out; anything else is an
 * error that names it. */
MUST_CHECK enum err service_files_read(struct service_files *files,
				       const char *dir, const char *name,
				       char *message, size_t message_size);
/* {"files":{"path":"text",...}} */
MUST_CHECK enum err service_files_parse(struct service_files *files,
					struct bytes json, const char *name,
					char *message, size_t message_size);
/* Into a new folder, durably: all of it or nothing. */
MUST_CHECK enum err service_files_write(const struct service_files *files,
					const char *dir);
void service_files_fini(struct service_files *files);
const struct service_file *
service_files_find(const struct service_files *files, const char *path);

#endif
