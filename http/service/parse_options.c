/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/units.h"
#include "http/service/parse_internal.h"

enum {
	VALUE_MAX = 2000, /* bytes of an option's value */
	TIMEOUT_MAX_MS = 10 * 60 * 1000,
	ROWS_MAX = 10 * 1000 * 1000,
	TYPE_MAX = 200,
	LOCATION_MAX = 800,
	SUMMARY_MAX = 300,
};

void
option_complain(struct options *options, const char *format, ...)
{
	char text[600];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	options->failed = true;
	complain(options->complaints, options->route->file, options->line, "%s",
		 text);
}

static void
complain_value(struct options *options, const char *name, const char *value,
	       const char *expected)
{
	char quoted[100];

	log_quote(quoted, sizeof(quoted), bytes_of(value));
	option_complain(options, "%s is %s, not %s", name, quoted, expected);
}

static void
take_copy(struct options *options, const char *value, char **out)
{
	free(*out);
	*out = strdup(value);
	if (!*out)
		option_complain(options, "%s", err_text(ERR_NOMEM));
}

/* ---- one function for each ----------------------------------------------- */

static void
take_reply(struct options *options, const char *value)
{
	static const char *const names[] = {
		[REPLY_ROWS] = "rows",
		[REPLY_ONE] = "one",
		[REPLY_VALUE] = "value",
		[REPLY_NONE] = "none",
	};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(value, names[i])) {
			options->route->reply = (enum route_reply)i;
			return;
		}
	complain_value(options, "reply", value, "rows, one, value or none");
}

/* 206 and 304 are the server's own. */
static void
take_status(struct options *options, const char *value)
{
	static const unsigned short good[] = { 200, 201, 202, 204, 301,
					       302, 303, 307, 308 };
	uint64_t number;

	if (units_u64(bytes_of(value), &number))
		for (unsigned i = 0; i < ARRAY_LEN(good); i++)
			if (number == good[i]) {
				options->route->status = good[i];
				return;
			}
	complain_value(options, "status", value,
		       "200, 201, 202, 204, 301, 302, 303, 307 or 308");
}

/* RFC 9110, section 5.6.2 */
static size_t
token_len(const char *at)
{
	return strspn(at, "!#$%&'*+-.^_`|~0123456789"
			  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			  "abcdefghijklmnopqrstuvwxyz");
}

/* RFC 9110, section 5.6.4; 0: it does not end. */
static size_t
quoted_len(const char *at)
{
	size_t len = 1;

	while (at[len] && at[len] != '"')
		len += at[len] == '\\' && at[len + 1] ? 2 : 1;
	return at[len] ? len + 1 : 0;
}

/* "; charset=utf-8" and so on (RFC 9110, section 5.6.6) */
static bool
are_parameters(const char *at)
{
	while (*at) {
		size_t len;

		at += strspn(at, " \t");
		if (*at++ != ';')
			return false;
		at += strspn(at, " \t");
		len = token_len(at);
		at += len;
		if (len == 0 || *at++ != '=')
			return false;
		len = *at == '"' ? quoted_len(at) : token_len(at);
		if (len == 0)
			return false;
		at += len;
	}
	return true;
}

static void
take_type(struct options *options, const char *value)
{
	size_t len = token_len(value);
	size_t sub = len && value[len] == '/' ? token_len(value + len + 1) : 0;

	if (sub == 0 || !are_parameters(value + len + 1 + sub) ||
	    strlen(value) > TYPE_MAX)
		complain_value(options, "type", value,
			       "a media type such as text/html; charset=utf-8");
	else
		take_copy(options, value, &options->route->type);
}

/* Placeholders are {name}, not nested and not empty. A column's name may be
 * anything. */
static bool
are_placeholders(const char *at)
{
	while ((at = strpbrk(at, "{}"))) {
		size_t len;

		if (*at++ == '}')
			return false;
		len = strcspn(at, "{}");
		if (len == 0 || at[len] != '}')
			return false;
		at += len + 1;
	}
	return true;
}

static bool
begins(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

/* One that begins with a placeholder has the whole reference in it. */
static void
take_location(struct options *options, const char *value)
{
	if (!begins(value, "/") && !begins(value, "http://") &&
	    !begins(value, "https://") && !begins(value, "{"))
		complain_value(options, "location", value,
			       "one that begins with /, http://, https:// or "
			       "{name}");
	else if (strpbrk(value, " \t\"<>\\^`|"))
		complain_value(options, "location", value,
			       "one without blanks, quotes and the like");
	else if (!are_placeholders(value))
		complain_value(options, "location", value,
			       "one whose braces are {name}");
	else if (strlen(value) > LOCATION_MAX)
		option_complain(options, "location has more than %d bytes",
				LOCATION_MAX);
	else
		take_copy(options, value, &options->route->location);
}

static void
take_cache(struct options *options, const char *value)
{
	if (strcmp(value, "on") && strcmp(value, "off"))
		complain_value(options, "cache", value, "on or off");
	else
		options->route->cache_off = !strcmp(value, "off");
}

static void
take_timeout(struct options *options, const char *value)
{
	uint64_t ms;

	if (!units_duration_ms(bytes_of(value), &ms))
		complain_value(options, "timeout", value,
			       "a duration such as 500ms or 5s");
	else if (ms == 0 || ms > TIMEOUT_MAX_MS)
		complain_value(options, "timeout", value, "from 1ms to 10m");
	else
		options->route->timeout_ms = ms;
}

static void
take_max_rows(struct options *options, const char *value)
{
	uint64_t rows;

	if (!units_u64(bytes_of(value), &rows) || rows == 0 || rows > ROWS_MAX)
		complain_value(options, "max_rows", value,
			       "a number from 1 to 10000000");
	else
		options->route->max_rows = rows;
}

static void
take_summary(struct options *options, const char *value)
{
	if (strlen(value) > SUMMARY_MAX)
		option_complain(options, "summary has more than %d bytes",
				SUMMARY_MAX);
	else
		take_copy(options, value, &options->route->summary);
}

static const struct {
	const char *name;
	void (*take)(struct options *options, const char *value);
} known[OPTION_COUNT] = {
	[OPTION_REPLY] = { "reply", take_reply },
	[OPTION_STATUS] = { "status", take_status },
	[OPTION_TYPE] = { "type", take_type },
	[OPTION_LOCATION] = { "location", take_location },
	[OPTION_CACHE] = { "cache", take_cache },
	[OPTION_OPTIONAL] = { "optional", optional_take },
	[OPTION_TIMEOUT] = { "timeout", take_timeout },
	[OPTION_MAX_ROWS] = { "max_rows", take_max_rows },
	[OPTION_SUMMARY] = { "summary", take_summary },
};

/* ---- names --------------------------------------------------------------- */

static bool
option_find(struct bytes name, enum option *out)
{
	for (unsigned i = 0; i < OPTION_COUNT; i++)
		if (bytes_equal(bytes_of(known[i].name), name)) {
			*out = (enum option)i;
			return true;
		}
	return false;
}

bool
option_is_known(struct bytes name)
{
	enum option option;

	return option_find(name, &option);
}

static bool
is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_' || c == '-';
}

bool
option_split(struct bytes comment, struct bytes *name, struct bytes *value)
{
	struct bytes text = bytes_trim((struct bytes){
		(const char *)comment.data + 2, comment.len - 2 });
	const char *at = text.data;
	size_t len = 0, colon;

	/* "---" is a line that somebody has drawn. */
	while (len < text.len && is_name_byte(at[len]) && *at != '-')
		len++;
	colon = len;
	while (colon < text.len && (at[colon] == ' ' || at[colon] == '\t'))
		colon++;
	if (len == 0 || colon == text.len || at[colon] != ':')
		return false;
	*name = (struct bytes){ at, len };
	*value = (struct bytes){ at + colon + 1, text.len - colon - 1 };
	/* The address of a page is none. */
	if (bytes_begin(*value, "//"))
		return false;
	*value = bytes_trim(*value);
	return true;
}

enum { WORD_MAX = 16 };

/* How many letters are to be added, left out or changed: Levenshtein's
 * distance, row by row. Both are WORD_MAX long at most. */
static unsigned
distance(struct bytes a, struct bytes b)
{
	const char *at_a = a.data, *at_b = b.data;
	unsigned row[WORD_MAX + 1];

	for (unsigned j = 0; j <= b.len; j++)
		row[j] = j;
	for (unsigned i = 0; i < a.len; i++) {
		unsigned corner = row[0];

		row[0] = i + 1;
		for (unsigned j = 0; j < b.len; j++) {
			unsigned best = corner + (at_a[i] != at_b[j]);

			corner = row[j + 1];
			if (corner + 1 < best)
				best = corner + 1;
			if (row[j] + 1 < best)
				best = row[j] + 1;
			row[j + 1] = best;
		}
	}
	return row[b.len];
}

/* NULL: nothing is near. Two letters of a short word are another word. */
static const char *
nearest(struct bytes name)
{
	unsigned most = name.len <= 4 ? 1 : 2, least = most + 1;
	const char *found = NULL;

	if (name.len > WORD_MAX)
		return NULL;
	for (unsigned i = 0; i < OPTION_COUNT; i++) {
		unsigned d = distance(name, bytes_of(known[i].name));

		if (d >= least)
			continue;
		least = d;
		found = known[i].name;
	}
	return found;
}

static void
complain_unknown(struct options *options, struct bytes name)
{
	const char *near = nearest(name);
	char text[OPTION_COUNT * WORD_MAX] = "";

	for (unsigned i = 0; i < OPTION_COUNT; i++) {
		strcat(text, i > 0 ? ", " : "");
		strcat(text, known[i].name);
	}
	option_complain(options, "no option \"%.*s\"%s%s%s: there are %s",
			(int)(name.len < 60 ? name.len : 60),
			(const char *)name.data, near ? ", but " : "",
			near ? near : "", near ? " is one" : "", text);
}

/* ---- all of a route's ---------------------------------------------------- */

static bool
has_control(struct bytes value)
{
	const unsigned char *at = value.data;

	for (size_t i = 0; i < value.len; i++)
		if (at[i] < 0x20 || at[i] == 0x7F)
			return true;
	return false;
}

void
options_take(struct options *options, unsigned line, struct bytes name,
	     struct bytes value)
{
	unsigned *first;
	char text[VALUE_MAX + 1];
	enum option option;

	options->line = line;
	if (!option_find(name, &option)) {
		complain_unknown(options, name);
		return;
	}
	first = &options->lines[option];
	if (*first && option != OPTION_OPTIONAL) {
		option_complain(options, "%s is given twice, first on line %u",
				known[option].name, *first);
		return;
	}
	*first = line;
	if (value.len == 0) {
		option_complain(options, "%s has no value", known[option].name);
	} else if (value.len > VALUE_MAX) {
		option_complain(options, "%s has more than %d bytes",
				known[option].name, VALUE_MAX);
	} else if (has_control(value)) {
		option_complain(options, "a control character in %s",
				known[option].name);
	} else {
		memcpy(text, value.data, value.len);
		text[value.len] = '\0';
		known[option].take(options, text);
	}
}

static bool
status_has_location(unsigned status)
{
	return status == 201 || (status >= 300 && status <= 399);
}

/* Was it given, and is it wrong? The complaint is about its line. */
static bool
is_wrong(struct options *options, enum option option, bool wrong)
{
	options->line = options->lines[option];
	return options->line && wrong;
}

static unsigned
default_status(const struct route_spec *route)
{
	return route->reply == REPLY_NONE ? 204 : 200;
}

static void
check_status(struct options *options)
{
	const struct route_spec *route = options->route;
	unsigned status = route->status ? route->status : default_status(route);

	if (is_wrong(options, OPTION_STATUS,
		     status == 204 && route->reply != REPLY_NONE))
		option_complain(options, "status 204 has no body: it needs "
					 "`-- reply: none`");
	if (is_wrong(options, OPTION_STATUS,
		     status >= 300 && !options->lines[OPTION_LOCATION]))
		option_complain(options, "status %u needs a location", status);
	if (is_wrong(options, OPTION_LOCATION, !status_has_location(status)))
		option_complain(options, "location needs `-- status:` 201, "
					 "301, 302, 303, 307 or 308");
}

static void
check_together(struct options *options)
{
	const struct route_spec *route = options->route;

	check_status(options);
	if (is_wrong(options, OPTION_TYPE, route->reply != REPLY_VALUE))
		option_complain(options, "type needs `-- reply: value`");
	if (is_wrong(options, OPTION_MAX_ROWS, route->reply != REPLY_ROWS))
		option_complain(options, "max_rows needs `-- reply: rows`");
	if (is_wrong(options, OPTION_CACHE,
		     !route->cache_off && route->method != METHOD_GET))
		option_complain(options, "only GET is cached");
}

void
options_finish(struct options *options)
{
	struct route_spec *route = options->route;

	/* What was wrong alone is not said to fit badly as well. */
	if (!options->failed)
		check_together(options);
	if (route->status == 0)
		route->status = default_status(route);
	options->line = route->line;
	if (route->reply == REPLY_VALUE && !route->type)
		take_copy(options, "text/plain; charset=utf-8", &route->type);
}
