/* SPDX-License-Identifier: MIT */
/*
 * Reading JSON bodies, and keys, values and types in JSON both ways.
 *
 * Bytes that are UTF-8 are a string; others are {"base64":"..."}. A value may
 * also stand as a member `base64` beside the key, instead of `value`.
 *
 * Every function that can fail leaves one sentence in read->wrong, and does
 * nothing where there is one already: a caller checks once.
 */
#ifndef HTTP_KV_JSON_H
#define HTTP_KV_JSON_H

#include <jansson.h>

#include "core/base.h"
#include "core/json.h"
#include "storage/kv.h"

/* A hundred years: below what a 64-bit time in milliseconds overflows on. */
#define KV_TTL_MAX_MS (UINT64_C(100) * 365 * 24 * 3600 * 1000)

struct json_read {
	json_t *root; /* NULL when wrong */
	char wrong[200];
};

/* Parses; read->root lives until json_read_end(). Strings that are borrowed
 * from it live as long. */
void json_read_begin(struct json_read *read, struct bytes text);
void json_read_end(struct json_read *read);

/* value is an object whose names are all words of names. */
MUST_CHECK bool json_read_names(struct json_read *read, const json_t *value,
				const char *names);
/* An absent member leaves *out as it is. */
MUST_CHECK bool json_read_i64(struct json_read *read, const json_t *object,
			      const char *name, int64_t *out);
MUST_CHECK bool json_read_text(struct json_read *read, const json_t *object,
			       const char *name, struct bytes *out);
/* A string, or {"base64":"..."}, which is decoded where it stands. */
MUST_CHECK bool json_read_bytes(struct json_read *read, json_t *value,
				const char *name, struct bytes *out);
/* The member `value` or the member `base64`, one of them. */
MUST_CHECK bool json_read_value(struct json_read *read, json_t *object,
				struct bytes *out);
/* A key: bytes, 1 to KV_KEY_MAX, no NUL. */
MUST_CHECK bool json_read_key(struct json_read *read, json_t *value,
			      struct bytes *out);
/* A condition: "*", a number as text or JSON number, with quotes or without,
 * or an array of these. */
MUST_CHECK bool json_read_condition(struct json_read *read, json_t *object,
				    const char *name, struct kv_condition *out);
/* The member `type`: up to KV_TYPE_MAX bytes that a header can have, as a PUT
 * takes them. */
MUST_CHECK bool json_read_type(struct json_read *read, json_t *object,
			       struct bytes *out);
MUST_CHECK bool json_read_ttl(struct json_read *read, const json_t *object,
			      struct kv_op *op);

/* Members `value` or `base64`. */
void json_put_value(struct json *json, struct bytes value);

#endif
