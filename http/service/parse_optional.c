/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>

#include "core/json.h"
#include "core/units.h"
#include "http/service/parse_internal.h"

enum { NAME_LEN_MAX = 64 };

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* ---- values -------------------------------------------------------------- */

static size_t
digits(const char *at, size_t len)
{
	size_t n = 0;

	while (n < len && is_digit(at[n]))
		n++;
	return n;
}

/* RFC 8259, section 6, but what would be an integer. */
static bool
is_real(const char *at, size_t len)
{
	size_t i = len > 0 && *at == '-', n;
	bool real = false;

	n = digits(at + i, len - i);
	if (n == 0 || (n > 1 && at[i] == '0'))
		return false;
	i += n;
	if (i < len && at[i] == '.') {
		n = digits(at + i + 1, len - i - 1);
		if (n == 0)
			return false;
		i += n + 1;
		real = true;
	}
	if (i < len && (at[i] == 'e' || at[i] == 'E')) {
		i++;
		i += i < len && (at[i] == '+' || at[i] == '-');
		n = digits(at + i, len - i);
		if (n == 0)
			return false;
		i += n;
		real = true;
	}
	return real && i == len;
}

/* text is followed by a comma, a blank or a NUL: strtod() ends there. */
static bool
take_real(struct bytes text, struct sql_value *value)
{
	if (!is_real(text.data, text.len))
		return false;
	value->kind = SQL_REAL;
	value->real = strtod(text.data, NULL);
	return isfinite(value->real);
}

/* 'it''s' */
static bool
take_text(struct options *options, struct bytes text, struct sql_value *value)
{
	const char *at = text.data;
	char *copy = malloc(text.len);
	size_t len = 0;

	if (!copy) {
		option_complain(options, "%s", err_text(ERR_NOMEM));
		return true;
	}
	for (size_t i = 1; i < text.len - 1; i++) {
		copy[len++] = at[i];
		i += at[i] == '\''; /* doubled: see item_len() */
	}
	value->kind = SQL_TEXT;
	value->bytes = (struct bytes){ copy, len };
	return true;
}

static bool
take_word(struct bytes text, struct sql_value *value)
{
	bool yes = bytes_equal(text, bytes_of("true"));

	if (bytes_equal(text, bytes_of("null"))) {
		value->kind = SQL_NULL;
		return true;
	}
	if (!yes && !bytes_equal(text, bytes_of("false")))
		return false;
	value->kind = SQL_INTEGER;
	value->integer = yes;
	return true;
}

/* Is it one string, from the first quote to the last byte? */
static bool
is_string(struct bytes text)
{
	const char *at = text.data;
	size_t i = 1;

	if (text.len < 2 || *at != '\'')
		return false;
	while (i < text.len &&
	       (at[i] != '\'' || (i + 1 < text.len && at[i + 1] == '\'')))
		i += at[i] == '\'' ? 2 : 1;
	return i == text.len - 1;
}

static bool
take_value(struct options *options, struct bytes text, struct sql_value *value)
{
	if (is_string(text))
		return take_text(options, text, value);
	if (units_i64(text, &value->integer)) {
		value->kind = SQL_INTEGER;
		return true;
	}
	return take_real(text, value) || take_word(text, value);
}

/* ---- items --------------------------------------------------------------- */

static bool
is_name(struct bytes name)
{
	const char *at = name.data;

	if (name.len == 0 || name.len > NAME_LEN_MAX || !is_letter(*at))
		return false;
	for (size_t i = 1; i < name.len; i++)
		if (!is_letter(at[i]) && !is_digit(at[i]))
			return false;
	return true;
}

static bool
is_new(const struct route_spec *route, struct bytes name)
{
	for (unsigned i = 0; i < route->optional_count; i++)
		if (bytes_equal(bytes_of(route->optionals[i].name), name))
			return false;
	return true;
}

static bool
check_name(struct options *options, struct bytes name)
{
	int len = (int)(name.len < 80 ? name.len : 80);
	const char *text = name.data;

	if (!is_name(name))
		option_complain(options,
				"\"%.*s\" is no parameter's name: "
				"[A-Za-z_][A-Za-z0-9_]*, at most %d bytes",
				len, text, NAME_LEN_MAX);
	else if (parameter_is_reserved(name))
		option_complain(options, "%.*s is always there", len, text);
	else if (!is_new(options->route, name))
		option_complain(options, "%.*s is there twice", len, text);
	else
		return true;
	return false;
}

/* "name" or "name = value" */
static void
take_item(struct options *options, struct bytes item)
{
	struct route_spec *route = options->route;
	const char *equals = memchr(item.data, '=', item.len);
	struct route_optional optional = { .name = NULL };
	struct bytes name = item, value = { "null", 4 };

	if (equals) {
		name.len = (size_t)(equals - (const char *)item.data);
		value = bytes_trim(
			(struct bytes){ equals + 1, item.len - name.len - 1 });
		name = bytes_trim(name);
	}
	if (!check_name(options, name))
		return;
	if (route->optional_count == ROUTE_OPTIONALS_MAX) {
		option_complain(options, "more than %d", ROUTE_OPTIONALS_MAX);
		return;
	}
	if (!take_value(options, value, &optional.otherwise)) {
		option_complain(options,
				"%.*s=%.*s: a default is 10, 1.5, 'text', "
				"true, false or null",
				(int)name.len, (const char *)name.data,
				(int)(value.len < 80 ? value.len : 80),
				(const char *)value.data);
		return;
	}
	optional.name = bytes_copy(name);
	if (!optional.name) {
		option_complain(options, "%s", err_text(ERR_NOMEM));
		if (optional.otherwise.kind == SQL_TEXT)
			free((void *)optional.otherwise.bytes.data);
		return;
	}
	route->optionals[route->optional_count++] = optional;
}

/* Up to the next comma that is in no string. */
static size_t
item_len(const char *at)
{
	bool quoted = false;
	size_t len = 0;

	for (; at[len] && (quoted || at[len] != ','); len++)
		quoted ^= at[len] == '\'';
	return len;
}

void
optional_take(struct options *options, const char *value)
{
	for (;;) {
		size_t len = item_len(value);

		take_item(options, bytes_trim((struct bytes){ value, len }));
		if (!value[len])
			return;
		value += len + 1;
	}
}
