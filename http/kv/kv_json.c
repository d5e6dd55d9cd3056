/* SPDX-License-Identifier: MIT */
#include "http/kv/kv_json.h"

#include <stdio.h>

#include "core/base64.h"
#include "core/units.h"
#include "http/conditional.h"
#include "http/guard.h"

__attribute__((format(printf, 2, 3))) static bool
wrong(struct json_read *read, const char *format, ...)
{
	va_list args;

	if (!read->wrong[0]) {
		va_start(args, format);
		vsnprintf(read->wrong, sizeof(read->wrong), format, args);
		va_end(args);
	}
	return false;
}

/* A predicate: some callers say before it what is so. */
static void
say_fault(struct json_read *read, const json_error_t *error)
{
	const char *what = json_error_code(error) == json_error_numeric_overflow
				   ? "JSON with a number out of range"
				   : "not JSON";

	if (error->line > 1)
		wrong(read, "%s at line %d, column %d", what, error->line,
		      error->column);
	else
		wrong(read, "%s at column %d", what, error->column);
}

void
json_read_begin(struct json_read *read, struct bytes text)
{
	json_error_t error;

	read->wrong[0] = '\0';
	/* U+0000 is legal in a string and so in a value; what it is not legal
	 * in, such as a key, is checked there. */
	read->root =
		json_loadb(text.data ? text.data : "", text.len,
			   JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	if (!read->root)
		say_fault(read, &error);
}

void
json_read_end(struct json_read *read)
{
	json_decref(read->root);
	read->root = NULL;
}

bool
json_read_names(struct json_read *read, const json_t *value, const char *names)
{
	const char *name;
	json_t *member;

	if (read->wrong[0])
		return false;
	if (!json_is_object(value))
		return wrong(read, "an object is expected");
	json_object_foreach((json_t *)(uintptr_t)value, name, member)
	{
		if (!bytes_listed(names, bytes_of(name)))
			return wrong(read,
				     "an unknown member; these are known: %s",
				     names);
	}
	return true;
}

bool
json_read_i64(struct json_read *read, const json_t *object, const char *name,
	      int64_t *out)
{
	const json_t *member = json_object_get(object, name);

	if (read->wrong[0])
		return false;
	if (!member)
		return true;
	if (!json_is_integer(member))
		return wrong(read, "\"%s\" must be a whole number of 64 bits",
			     name);
	*out = json_integer_value(member);
	return true;
}

static struct bytes
text_of(const json_t *value)
{
	return (struct bytes){ json_string_value(value),
			       json_string_length(value) };
}

bool
json_read_text(struct json_read *read, const json_t *object, const char *name,
	       struct bytes *out)
{
	const json_t *member = json_object_get(object, name);

	if (read->wrong[0])
		return false;
	if (!member)
		return true;
	if (!json_is_string(member))
		return wrong(read, "\"%s\" must be a string", name);
	*out = text_of(member);
	return true;
}

/* Decoded where the string stands: nobody reads the text of it again, and
 * what comes out is shorter. */
static bool
decode(struct json_read *read, json_t *value, const char *name,
       struct bytes *out)
{
	struct bytes text = text_of(value);
	size_t len;

	if (!json_is_string(value) ||
	    !base64_decode(text, (void *)(uintptr_t)text.data, &len))
		return wrong(read, "\"%s\" is not base64 with padding", name);
	*out = (struct bytes){ text.data, len };
	return true;
}

bool
json_read_bytes(struct json_read *read, json_t *value, const char *name,
		struct bytes *out)
{
	if (read->wrong[0])
		return false;
	if (json_is_string(value)) {
		*out = text_of(value);
		return true;
	}
	if (!json_is_object(value) || json_object_size(value) != 1 ||
	    !json_object_get(value, "base64"))
		return wrong(read,
			     "\"%s\" must be a string or {\"base64\":\"...\"}",
			     name);
	return decode(read, json_object_get(value, "base64"), name, out);
}

bool
json_read_value(struct json_read *read, json_t *object, struct bytes *out)
{
	json_t *text = json_object_get(object, "value");
	json_t *base64 = json_object_get(object, "base64");

	if (read->wrong[0])
		return false;
	if (!text == !base64)
		return wrong(read, "one of \"value\" and \"base64\" is needed");
	if (base64)
		return decode(read, base64, "base64", out);
	return json_read_bytes(read, text, "value", out);
}

bool
json_read_key(struct json_read *read, json_t *value, struct bytes *out)
{
	if (!value)
		return wrong(read, "a key is needed");
	if (!json_read_bytes(read, value, "key", out))
		return false;
	if (out->len < 1 || out->len > KV_KEY_MAX ||
	    memchr(out->data, '\0', out->len))
		return wrong(read,
			     "a key has 1 to %d bytes, none of them NUL; this "
			     "one has %zu",
			     KV_KEY_MAX, out->len);
	return true;
}

static bool
add_tag(struct json_read *read, const json_t *value, const char *name,
	struct kv_condition *out)
{
	struct bytes text = text_of(value);
	const char *data = text.data;
	uint64_t seq = 0;

	if (json_is_integer(value) && json_integer_value(value) > 0) {
		seq = (uint64_t)json_integer_value(value);
	} else if (json_is_string(value)) {
		if (bytes_equal(text, bytes_of("*"))) {
			out->any = true;
			return true;
		}
		if (text.len >= 2 && data[0] == '"' &&
		    data[text.len - 1] == '"')
			text = (struct bytes){ data + 1, text.len - 2 };
		seq = etag_parse(text);
		if (!seq)
			return true; /* matches nothing */
	} else {
		return wrong(read, "\"%s\" must be an ETag or \"*\"", name);
	}
	if (out->count == KV_TAGS_MAX)
		return wrong(read, "\"%s\" has more than %d tags", name,
			     KV_TAGS_MAX);
	out->tags[out->count++] = seq;
	return true;
}

bool
json_read_condition(struct json_read *read, json_t *object, const char *name,
		    struct kv_condition *out)
{
	json_t *member = json_object_get(object, name), *tag;
	size_t i;

	if (read->wrong[0])
		return false;
	if (!member)
		return true;
	out->present = true;
	if (!json_is_array(member))
		return add_tag(read, member, name, out);
	json_array_foreach(member, i, tag)
	{
		if (!add_tag(read, tag, name, out))
			return false;
	}
	return true;
}

bool
json_read_ttl(struct json_read *read, const json_t *object, struct kv_op *op)
{
	struct bytes text = { NULL, 0 };

	if (!json_read_text(read, object, "ttl", &text))
		return false;
	if (!text.data)
		return true;
	op->has_ttl = true;
	if (units_duration_ms(text, &op->ttl_ms) && op->ttl_ms <= KV_TTL_MAX_MS)
		return true;
	return wrong(read, "\"ttl\" is a whole number and a unit, such as "
			   "\"30s\", up to 100 years");
}

bool
json_read_type(struct json_read *read, json_t *object, struct bytes *out)
{
	json_t *member = json_object_get(object, "type");

	if (read->wrong[0])
		return false;
	if (!member)
		return true;
	if (!json_read_bytes(read, member, "type", out))
		return false;
	if (guard_has_control(*out))
		return wrong(read, "\"type\" has a character in it that no "
				   "header can have");
	return out->len <= KV_TYPE_MAX ||
	       wrong(read, "\"type\" is longer than %d bytes", KV_TYPE_MAX);
}

void
json_put_value(struct json *json, struct bytes value)
{
	if (json_is_utf8(value)) {
		json_name(json, "value");
		json_text(json, value);
	} else {
		json_name(json, "base64");
		json_base64(json, value);
	}
}
