/* SPDX-License-Identifier: MIT */
/*
 * Request targets: "/v1/kv/main/a%20key?ttl=30s", built in a buffer that the
 * caller owns. path_text() gives the string and tells whether all went in.
 */
#ifndef TOOLS_PATH_H
#define TOOLS_PATH_H

#include "core/buffer.h"

/* "/v1/kv/STORE/KEY"; key "" is the store itself. */
void path_kv(struct buffer *path, const char *store, const char *key);
/* base, then "/NAME". */
void path_named(struct buffer *path, const char *base, const char *name);
/* "?name=value" or "&name=value"; nothing where value is NULL. */
void path_query(struct buffer *path, const char *name, const char *value);
/* Terminated; NULL, after saying so, when there was no memory. */
MUST_CHECK const char *path_text(struct buffer *path);

#endif
