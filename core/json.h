/* SPDX-License-Identifier: MIT */
/*
 * Writing JSON straight into a buffer (RFC 8259). No tree, no allocation but
 * the buffer's own. Commas are the writer's business.
 */
#ifndef CORE_JSON_H
#define CORE_JSON_H

#include "core/buffer.h"

enum { JSON_DEPTH_MAX = 16 };

struct json {
	struct buffer *out;
	unsigned depth;
	bool comma[JSON_DEPTH_MAX]; /* an element stands before, per level */
};

void json_begin(struct json *json, struct buffer *out);

void json_object(struct json *json);
void json_object_end(struct json *json);
void json_array(struct json *json);
void json_array_end(struct json *json);
/* Inside an object, before each value. */
void json_name(struct json *json, const char *name);

/* text must be UTF-8: see json_is_utf8(). */
void json_string(struct json *json, struct bytes text);
void json_u64(struct json *json, uint64_t number);
void json_i64(struct json *json, int64_t number);
void json_bool(struct json *json, bool value);
void json_null(struct json *json);
/* "name": "text", or "name": {"base64": "..."} where it is not UTF-8. */
void json_text_or_base64(struct json *json, const char *name,
			 struct bytes bytes);
void json_base64(struct json *json, struct bytes bytes);

/* Well-formed per RFC 3629: no surrogates, no overlong forms. */
bool json_is_utf8(struct bytes text);

/* Standard alphabet with padding (RFC 4648, section 4), strict. out has room
 * for base64_decoded_max(text.len). */
static inline size_t
base64_decoded_max(size_t len)
{
	return len / 4 * 3 + 3;
}
MUST_CHECK bool base64_decode(struct bytes text, void *out, size_t *len);

#endif
