/* SPDX-License-Identifier: MIT */
/*
 * The folder of a service, as it is sent to the server:
 *
 *	{"files":{"service.conf":"text","migrations/0001_init.sql":"text"}}
 *
 * service.conf and *.sql in the folder and *.sql in its folder migrations are
 * read. Hidden files and README (README.md and the like) are left out, and
 * anything else is an error, as it is for a server that reads the folder
 * itself.
 */
#ifndef TOOLS_ADMIN_FOLDER_H
#define TOOLS_ADMIN_FOLDER_H

#include "core/buffer.h"

/* Fills body, which the caller has not initialised and finishes in any case.
 * False, after saying why, file by file. */
MUST_CHECK bool folder_read(const char *path, struct buffer *body);
/* The last part of its real path, so that "." has a name. The caller frees.
 * NULL, after saying why. */
MUST_CHECK char *folder_name(const char *path);

#endif
