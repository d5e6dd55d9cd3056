/* SPDX-License-Identifier: MIT */
/*
 * Filling a struct service_files, from a folder or from JSON: what both ways
 * check.
 */
#ifndef HTTP_SERVICE_FILES_INTERNAL_H
#define HTTP_SERVICE_FILES_INTERNAL_H

#include "http/service/files.h"

struct filling {
	struct service_files *files;
	size_t bytes; /* of all so far */
	char *message;
	size_t message_size;
};

enum file_kind {
	FILE_TAKEN,    /* service.conf, a.sql, migrations/0001_a.sql */
	FILE_LEFT_OUT, /* hidden, README */
	FILE_REFUSED,
};

/* Of a path in the folder. */
enum file_kind file_kind(const char *path);

/* Always err, for `return fill_refuse(...)`. */
enum err fill_refuse(struct filling *filling, enum err err, const char *format,
		     ...) PRINTF(3, 4);
/* Empties files, checks the name. */
MUST_CHECK enum err fill_begin(struct filling *filling,
			       struct service_files *files, const char *name,
			       char *message, size_t message_size);
/* What a FILE_REFUSED is told. */
MUST_CHECK enum err fill_refuse_path(struct filling *filling, const char *path);
/* Checks and takes data, which has a NUL behind its len bytes, also on an
 * error. */
MUST_CHECK enum err fill_add(struct filling *filling, const char *path,
			     char *data, size_t len);
/* Ends with err, or with what is found wrong with the whole: then files are
 * empty. */
MUST_CHECK enum err fill_end(struct filling *filling, enum err err);

#endif
