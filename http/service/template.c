/* SPDX-License-Identifier: MIT */
#include "http/service/template.h"

#include <stdarg.h>
#include <stdio.h>

/* What a segment is read into, and where to say what is wrong with it. */
struct reading {
	struct template *template;
	char *reason;
	size_t size;
};

static bool refuse(const struct reading *reading, const char *format, ...)
	PRINTF(2, 3);

static bool
refuse(const struct reading *reading, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reading->reason, reading->size, format, args);
	va_end(args);
	return false;
}

static bool
is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_literal(char c)
{
	return is_lower(c) || (c >= 'A' && c <= 'Z') || is_digit(c) ||
	       (c && strchr("-._~!$&'()*+,;=:@", c));
}

static bool
is_name(struct bytes name)
{
	const char *at = name.data;

	if (name.len == 0 || name.len > TEMPLATE_NAME_MAX || !is_lower(*at))
		return false;
	for (size_t i = 1; i < name.len; i++)
		if (!is_lower(at[i]) && !is_digit(at[i]) && at[i] != '_')
			return false;
	return true;
}

/* Pieces of a template in a message: as long as a literal may be. */
#define SHOWN(bytes) \
	(int)((bytes).len < TEMPLATE_LITERAL_MAX ? (bytes).len \
						 : TEMPLATE_LITERAL_MAX), \
		(const char *)(bytes).data

static bool
read_literal(const struct reading *reading, struct bytes segment,
	     struct template_part *part)
{
	const char *at = segment.data;

	if (segment.len > TEMPLATE_LITERAL_MAX)
		return refuse(reading, "a segment has more than %d bytes",
			      TEMPLATE_LITERAL_MAX);
	for (size_t i = 0; i < segment.len; i++) {
		if (is_literal(at[i]))
			continue;
		if (at[i] == '{' || at[i] == '}')
			return refuse(reading,
				      "a parameter is a whole segment: {name}");
		if (at[i] == '%')
			return refuse(reading, "a path is written without "
					       "percent-encoding");
		return refuse(reading,
			      "\"%.*s\" has a character that paths "
			      "do not have",
			      SHOWN(segment));
	}
	if (bytes_equal(segment, bytes_of(".")) ||
	    bytes_equal(segment, bytes_of("..")))
		return refuse(reading, "\"%.*s\" is no segment of a path",
			      SHOWN(segment));
	*part = (struct template_part){ TEMPLATE_LITERAL, segment };
	return true;
}

static bool
has_name(const struct template *template, struct bytes name)
{
	for (unsigned i = 0; i < template->count; i++)
		if (template->parts[i].kind != TEMPLATE_LITERAL &&
		    bytes_equal(template->parts[i].text, name))
			return true;
	return false;
}

/* segment is what stands between the braces. */
static bool
read_parameter(const struct reading *reading, struct bytes segment, bool last,
	       struct template_part *part)
{
	struct bytes name = segment;
	bool rest = name.len >= 3 &&
		    !memcmp((const char *)name.data + name.len - 3, "...", 3);

	if (rest)
		name.len -= 3;
	if (!is_name(name))
		return refuse(reading,
			      "{%.*s}: a parameter's name is [a-z][a-z0-9_]*, "
			      "at most %d bytes",
			      SHOWN(segment), TEMPLATE_NAME_MAX);
	if (has_name(reading->template, name))
		return refuse(reading, "{%.*s} is there twice", SHOWN(name));
	if (rest && !last)
		return refuse(reading,
			      "{%.*s} takes the rest: it is the last segment",
			      SHOWN(segment));
	part->kind = rest ? TEMPLATE_REST : TEMPLATE_PARAMETER;
	part->text = name;
	return true;
}

static bool
read_segment(const struct reading *reading, struct bytes segment, bool last)
{
	struct template *template = reading->template;
	const char *at = segment.data;
	struct template_part *part = &template->parts[template->count];
	bool good;

	if (template->count == TEMPLATE_SEGMENTS_MAX)
		return refuse(reading, "a path has more than %d segments",
			      TEMPLATE_SEGMENTS_MAX);
	if (segment.len == 0)
		return refuse(reading, last ? "a path ends without \"/\""
					    : "a path has an empty segment");
	if (segment.len >= 2 && at[0] == '{' && at[segment.len - 1] == '}')
		good = read_parameter(reading,
				      (struct bytes){ at + 1, segment.len - 2 },
				      last, part);
	else
		good = read_literal(reading, segment, part);
	template->count += good;
	return good;
}

bool
template_parse(struct template *template, struct bytes text, char *reason,
	       size_t reason_size)
{
	struct reading reading = { template, reason, reason_size };
	const char *at = text.data;
	const char *end = at + text.len;

	template->count = 0;
	if (text.len == 0 || *at != '/')
		return refuse(&reading, "a path begins with \"/\"");
	if (text.len == 1)
		return true;
	while (at < end) {
		const char *begin = at + 1; /* behind the "/" */
		const char *slash = memchr(begin, '/', (size_t)(end - begin));

		at = slash ? slash : end;
		if (!read_segment(&reading,
				  (struct bytes){ begin, (size_t)(at - begin) },
				  at == end))
			return false;
	}
	return true;
}
