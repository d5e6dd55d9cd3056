/* SPDX-License-Identifier: MIT */
#include "core/json.h"

/* ---- bytes, eight at a time --------------------------------------------- */

#define EACH_BYTE(byte) (UINT64_MAX / 255 * (byte))
#define HIGH_BITS EACH_BYTE(0x80)

static uint64_t
load_word(const unsigned char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* Not 0 exactly when one of the eight bytes is below n (n <= 128). */
static uint64_t
any_below(uint64_t word, uint64_t n)
{
	return (word - EACH_BYTE(n)) & ~word & HIGH_BITS;
}

/* Not 0 exactly when one of the eight bytes needs an escape. */
static uint64_t
any_escape(uint64_t word)
{
	return any_below(word, 0x20) | any_below(word ^ EACH_BYTE('"'), 1) |
	       any_below(word ^ EACH_BYTE('\\'), 1);
}

static bool
needs_escape(unsigned char byte)
{
	return byte < 0x20 || byte == '"' || byte == '\\';
}

/* How many bytes can be copied as they are. */
static size_t
plain_run(const unsigned char *at, size_t len)
{
	size_t i = 0;

	while (len - i >= 8 && !any_escape(load_word(at + i)))
		i += 8;
	while (i < len && !needs_escape(at[i]))
		i++;
	return i;
}

/* ---- strings ------------------------------------------------------------ */

static void
add_escape(struct buffer *out, unsigned char byte)
{
	static const char hex[] = "0123456789abcdef";
	char text[6] = { '\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15] };
	size_t len = 2;

	switch (byte) {
	case '\b':
		text[1] = 'b';
		break;
	case '\f':
		text[1] = 'f';
		break;
	case '\n':
		text[1] = 'n';
		break;
	case '\r':
		text[1] = 'r';
		break;
	case '\t':
		text[1] = 't';
		break;
	case '"':
	case '\\':
		text[1] = (char)byte;
		break;
	default:
		len = sizeof(text);
	}
	buffer_add(out, text, len);
}

static void
add_string(struct buffer *out, struct bytes text)
{
	const unsigned char *at = text.data;
	size_t left = text.len;

	buffer_add(out, "\"", 1);
	while (left > 0) {
		size_t run = plain_run(at, left);

		buffer_add(out, at, run);
		at += run;
		left -= run;
		if (left == 0)
			break;
		add_escape(out, *at++);
		left--;
	}
	buffer_add(out, "\"", 1);
}

/* ---- structure ---------------------------------------------------------- */

void
json_begin(struct json *json, struct buffer *out)
{
	*json = (struct json){ .out = out };
}

/* Before each value: the comma, if an element of the array stands before. */
static void
separate(struct json *json)
{
	if (json->comma[json->depth])
		buffer_add(json->out, ",", 1);
	json->comma[json->depth] = true;
}

static void
descend(struct json *json, const char *bracket)
{
	assert(json->depth + 1 < JSON_DEPTH_MAX);
	separate(json);
	buffer_add(json->out, bracket, 1);
	json->comma[++json->depth] = false;
}

static void
ascend(struct json *json, const char *bracket)
{
	assert(json->depth > 0);
	json->depth--;
	buffer_add(json->out, bracket, 1);
}

void
json_object_begin(struct json *json)
{
	descend(json, "{");
}

void
json_object_end(struct json *json)
{
	ascend(json, "}");
}

void
json_array_begin(struct json *json)
{
	descend(json, "[");
}

void
json_array_end(struct json *json)
{
	ascend(json, "]");
}

void
json_name(struct json *json, const char *name)
{
	separate(json);
	add_string(json->out, bytes_of(name));
	buffer_add(json->out, ":", 1);
	/* The value belongs to the name, no comma between. */
	json->comma[json->depth] = false;
}

/* ---- values ------------------------------------------------------------- */

void
json_text(struct json *json, struct bytes text)
{
	separate(json);
	add_string(json->out, text);
}

void
json_u64(struct json *json, uint64_t number)
{
	separate(json);
	buffer_add_u64(json->out, number);
}

void
json_i64(struct json *json, int64_t number)
{
	separate(json);
	buffer_add_i64(json->out, number);
}

void
json_fixed(struct json *json, double number, unsigned decimals)
{
	separate(json);
	buffer_addf(json->out, "%.*f", (int)decimals, number);
}

void
json_bool(struct json *json, bool value)
{
	separate(json);
	buffer_add_str(json->out, value ? "true" : "false");
}

void
json_none(struct json *json)
{
	separate(json);
	buffer_add_str(json->out, "null");
}

void
json_text_or_base64(struct json *json, const char *name, struct bytes bytes)
{
	json_name(json, name);
	if (json_is_utf8(bytes)) {
		json_text(json, bytes);
		return;
	}
	json_object_begin(json);
	json_name(json, "base64");
	json_base64(json, bytes);
	json_object_end(json);
}

void
json_base64(struct json *json, struct bytes bytes)
{
	size_t len = base64_encoded_len(bytes.len);
	char *room;

	separate(json);
	buffer_add(json->out, "\"", 1);
	room = buffer_reserve(json->out, len);
	if (!room)
		return;
	base64_encode(bytes, room);
	buffer_added(json->out, len);
	buffer_add(json->out, "\"", 1);
}

/* ---- UTF-8 -------------------------------------------------------------- */

/*
 * Length of the sequence at the front of at, 0 where it is malformed. The
 * second byte of four lead bytes has a narrower range (RFC 3629, section 4):
 * that is what keeps out overlong forms, surrogates, and what lies beyond
 * U+10FFFF.
 */
static size_t
utf8_sequence(const unsigned char *at, size_t left)
{
	unsigned char lead = at[0];
	unsigned char low = 0x80, high = 0xBF;
	size_t len = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;

	if (lead < 0x80)
		return 1;
	if (lead < 0xC2 || lead > 0xF4 || left < len)
		return 0;
	if (lead == 0xE0)
		low = 0xA0;
	else if (lead == 0xED)
		high = 0x9F;
	else if (lead == 0xF0)
		low = 0x90;
	else if (lead == 0xF4)
		high = 0x8F;
	if (at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((at[i] & 0xC0) != 0x80)
			return 0;
	return len;
}

bool
json_is_utf8(struct bytes text)
{
	const unsigned char *at = text.data;
	size_t left = text.len;

	while (left > 0) {
		size_t n;

		if (left >= 8 && !(load_word(at) & HIGH_BITS))
			n = 8;
		else
			n = utf8_sequence(at, left);
		if (n == 0)
			return false;
		at += n;
		left -= n;
	}
	return true;
}
