/* SPDX-License-Identifier: MIT */
/*
 * Writing JSON straight into a buffer (RFC 8259). No tree, no allocation but
 * the buffer's own. Commas are the writer's business.
 *
 * No name here may be one of jansson's: the linker would give it ours.
 */
#ifndef CORE_JSON_H
#define CORE_JSON_H

#include "core/base64.h"
#include "core/buffer.h"

enum { JSON_DEPTH_MAX = 16 };

struct json {
	struct buffer *out;
	unsigned depth;
	bool comma[JSON_DEPTH_MAX]; /* an element stands before, per level */
};

void json_begin(struct json *json, struct buffer *out);

void json_object_begin(struct json *json);
void json_object_end(struct json *json);
void json_array_begin(struct json *json);
void json_array_end(struct json *json);
/* Inside an object, before each value. */
void json_name(struct json *json, const char *name);

/* text must be UTF-8: see json_is_utf8(). */
void json_text(struct json *json, struct bytes text);
void json_u64(struct json *json, uint64_t number);
void json_i64(struct json *json, int64_t number);
/* A finite one, with that many decimals. */
void json_fixed(struct json *json, double number, unsigned decimals);
void json_bool(struct json *json, bool value);
/* null */
void json_none(struct json *json);
/* "name": "text", or "name": {"base64": "..."} where it is not UTF-8. */
void json_text_or_base64(struct json *json, const char *name,
			 struct bytes bytes);
/* A string: the bytes in base64. */
void json_base64(struct json *json, struct bytes bytes);

/* Well-formed per RFC 3629: no surrogates, no overlong forms. */
bool json_is_utf8(struct bytes text);

#endif
