/* SPDX-License-Identifier: MIT */
#include "tools/sql/row.h"

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct bytes
from(struct bytes text, size_t at)
{
	return (struct bytes){ (const char *)text.data + at, text.len - at };
}

static struct bytes
skip_blanks(struct bytes text)
{
	const char *data = text.data;
	size_t at = 0;

	while (at < text.len && is_blank(data[at]))
		at++;
	return from(text, at);
}

static char
first(struct bytes text)
{
	return text.len > 0 ? *(const char *)text.data : '\0';
}

/* Bytes of the string that begins the text, with its quotes; 0: it has no
 * end. */
static size_t
string_len(struct bytes text)
{
	const char *data = text.data;

	for (size_t at = 1; at < text.len; at++) {
		if (data[at] == '\\')
			at++;
		else if (data[at] == '"')
			return at + 1;
	}
	return 0;
}

/* Bytes of the value that begins the text: up to a comma or a bracket that
 * does not belong to it. 0: it has no end. */
static size_t
value_len(struct bytes text)
{
	const char *data = text.data;
	unsigned depth = 0;
	size_t at = 0, len;

	while (at < text.len) {
		char c = data[at];

		if (depth == 0 && (c == ',' || c == '}' || c == ']'))
			return at;
		if (c == '"') {
			len = string_len(from(text, at));
			if (len == 0)
				return 0;
			at += len;
			continue;
		}
		if (c == '{' || c == '[')
			depth++;
		else if (c == '}' || c == ']')
			depth--;
		at++;
	}
	return 0;
}

static struct bytes
without_end_blanks(struct bytes text)
{
	const char *data = text.data;

	while (text.len > 0 && is_blank(data[text.len - 1]))
		text.len--;
	return text;
}

bool
row_member(struct bytes *rest, struct bytes *name, struct bytes *value)
{
	struct bytes text = skip_blanks(*rest);
	size_t len;

	if (first(text) != '{' && first(text) != ',')
		return false;
	text = skip_blanks(from(text, 1));
	if (first(text) != '"' || (len = string_len(text)) == 0)
		return false;
	*name = (struct bytes){ text.data, len };
	text = skip_blanks(from(text, len));
	if (first(text) != ':')
		return false;
	text = skip_blanks(from(text, 1));
	len = value_len(text);
	*value = without_end_blanks((struct bytes){ text.data, len });
	*rest = from(text, len);
	return value->len > 0;
}

bool
row_ended(struct bytes rest)
{
	rest = skip_blanks(rest);
	return first(rest) == '}' && skip_blanks(from(rest, 1)).len == 0;
}
