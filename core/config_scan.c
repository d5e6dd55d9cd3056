/* SPDX-License-Identifier: MIT */
#include "core/config_scan.h"

struct scan {
	char *at, *end;
	int line;
	const char *reason;
	unsigned depth; /* braces open */
	int opened;     /* the line of the outermost */
	/* The last two characters that mean something; a word counts as 'w',
	 * a string as '"'. */
	char before, last;
};

static bool
fail(struct scan *scan, const char *reason)
{
	scan->reason = reason;
	return false;
}

static bool
starts(const struct scan *scan, const char *text)
{
	size_t len = strlen(text);

	return (size_t)(scan->end - scan->at) >= len &&
	       !memcmp(scan->at, text, len);
}

static bool
is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7F;
}

static bool
is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c != '\0' && strchr("_-.:/[]", c));
}

static void
blank_line(struct scan *scan)
{
	while (scan->at < scan->end && *scan->at != '\n')
		*scan->at++ = ' ';
}

static bool
blank_block(struct scan *scan)
{
	int begin = scan->line;

	for (; !starts(scan, "*/"); scan->at++) {
		if (scan->at == scan->end) {
			scan->line = begin;
			return fail(scan, "a comment without an end");
		}
		if (*scan->at == '\n')
			scan->line++;
		else
			*scan->at = ' ';
	}
	memcpy(scan->at, "  ", 2);
	scan->at += 2;
	return true;
}

static bool
skip_escape(struct scan *scan, char quote)
{
	const char *known = quote == '"' ? "\\\"$" : "\\'";

	scan->at++;
	if (scan->at == scan->end || *scan->at == '\0' ||
	    !strchr(known, *scan->at))
		return fail(scan, "a backslash stands before a backslash, a "
				  "quote or a dollar only");
	scan->at++;
	return true;
}

static bool
skip_string(struct scan *scan)
{
	char quote = *scan->at++;

	while (scan->at < scan->end && *scan->at != quote) {
		if (*scan->at == '\n')
			break;
		if (is_control(*scan->at))
			return fail(scan, "a control character in a string");
		if (quote == '"' && starts(scan, "${"))
			return fail(scan, "environment variables are not "
					  "expanded; use --set");
		if (*scan->at != '\\')
			scan->at++;
		else if (!skip_escape(scan, quote))
			return false;
	}
	if (scan->at == scan->end || *scan->at == '\n')
		return fail(scan, "a string that does not end on its line");
	scan->at++;
	return true;
}

static bool
skip_mark(struct scan *scan)
{
	char mark = *scan->at++;

	if (mark == '+' && (scan->at == scan->end || *scan->at != '='))
		return fail(scan, "+ without =");
	if (mark == '{' && scan->depth++ == 0)
		scan->opened = scan->line;
	/* One too many is left to libconfuse. */
	if (mark == '}' && scan->depth > 0)
		scan->depth--;
	if (mark == '}' && scan->last == '{' && scan->before == '=')
		return fail(scan, "an empty list");
	return true;
}

static bool
skip_token(struct scan *scan)
{
	char first = *scan->at;
	bool good = true;

	if (first == '"' || first == '\'') {
		good = skip_string(scan);
		first = '"';
	} else if (is_word(first)) {
		while (scan->at < scan->end && is_word(*scan->at))
			scan->at++;
		first = 'w';
	} else if (first != '\0' && strchr("={},+", first)) {
		good = skip_mark(scan);
	} else {
		return fail(scan, "an unexpected character");
	}
	scan->before = scan->last;
	scan->last = first;
	return good;
}

static bool
step(struct scan *scan)
{
	if (*scan->at == '#' || starts(scan, "//")) {
		blank_line(scan);
		return true;
	}
	if (starts(scan, "/*"))
		return blank_block(scan);
	if (*scan->at == '\n')
		scan->line++;
	else if (*scan->at != ' ' && *scan->at != '\t' && *scan->at != '\r')
		return skip_token(scan);
	scan->at++;
	return true;
}

static bool
scan_all(struct scan *scan)
{
	while (scan->at < scan->end)
		if (!step(scan))
			return false;
	if (scan->depth > 0) {
		scan->line = scan->opened;
		return fail(scan, "a brace that is not closed");
	}
	return true;
}

bool
config_scan(char *text, size_t len, int *line, const char **reason)
{
	struct scan scan = { .at = text, .end = text + len, .line = 1 };

	if (scan_all(&scan))
		return true;
	*line = scan.line;
	*reason = scan.reason;
	return false;
}
