/* SPDX-License-Identifier: MIT */
#include "http/sql/accept.h"

#include <strings.h>

/* One element of the header, such as application/json;q=0.5. */
struct range {
	struct bytes type, subtype;
	unsigned q; /* thousandths */
};

static const struct {
	const char *type, *subtype;
} known[ACCEPT_COUNT] = {
	[ACCEPT_JSON] = { "application", "json" },
	[ACCEPT_NDJSON] = { "application", "x-ndjson" },
	[ACCEPT_CSV] = { "text", "csv" },
};

const char *
accept_type(enum accept accept)
{
	switch (accept) {
	case ACCEPT_JSON:
	case ACCEPT_COUNT:
		break;
	case ACCEPT_NDJSON:
		return "application/x-ndjson";
	case ACCEPT_CSV:
		return "text/csv; charset=utf-8; header=present";
	}
	return "application/json";
}

static struct bytes
trim(struct bytes text)
{
	const char *at = text.data;

	while (text.len && (at[0] == ' ' || at[0] == '\t')) {
		at++;
		text.len--;
	}
	while (text.len &&
	       (at[text.len - 1] == ' ' || at[text.len - 1] == '\t'))
		text.len--;
	return (struct bytes){ at, text.len };
}

/* What is before the separator; rest gets what is behind it. A quoted string,
 * which a parameter may be, is skipped. */
static struct bytes
cut(struct bytes *rest, char separator)
{
	const char *at = rest->data;
	struct bytes part = *rest;
	bool quoted = false;
	size_t i;

	for (i = 0; i < rest->len && (quoted || at[i] != separator); i++) {
		if (at[i] == '"')
			quoted = !quoted;
		else if (quoted && at[i] == '\\' && i + 1 < rest->len)
			i++;
	}
	part.len = i;
	*rest = i < rest->len ? (struct bytes){ at + i + 1, rest->len - i - 1 }
			      : (struct bytes){ at + i, 0 };
	return trim(part);
}

static bool
same(struct bytes text, const char *word)
{
	return text.len == strlen(word) &&
	       !strncasecmp(text.data, word, text.len);
}

/* qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] ) */
static bool
parse_q(struct bytes text, unsigned *q)
{
	const char *at = text.data;
	unsigned unit = 100;

	if (!text.len || text.len > 5 || (at[0] != '0' && at[0] != '1') ||
	    (text.len > 1 && at[1] != '.'))
		return false;
	*q = at[0] == '1' ? 1000 : 0;
	for (size_t i = 2; i < text.len; i++, unit /= 10) {
		if (at[i] < '0' || at[i] > '9')
			return false;
		*q += (unsigned)(at[i] - '0') * unit;
	}
	return *q <= 1000;
}

/* Parameters other than q narrow a range; none of ours has any, and to ignore
 * them is what servers do. */
static bool
parse_range(struct bytes text, struct range *range)
{
	struct bytes media = cut(&text, ';');

	range->type = cut(&media, '/');
	range->subtype = trim(media);
	range->q = 1000;
	while (text.len) {
		struct bytes value = cut(&text, ';');
		struct bytes name = cut(&value, '=');

		if (same(name, "q") && !parse_q(trim(value), &range->q))
			return false;
	}
	return range->type.len && range->subtype.len;
}

/* 0: does not match; 3: named as it is. */
static unsigned
exactness(const struct range *range, enum accept accept)
{
	bool any_type = same(range->type, "*");
	bool any_subtype = same(range->subtype, "*");

	if (any_type)
		return any_subtype ? 1 : 0;
	if (!same(range->type, known[accept].type))
		return 0;
	if (any_subtype)
		return 2;
	return same(range->subtype, known[accept].subtype) ? 3 : 0;
}

enum accept
accept_choose(struct bytes header)
{
	unsigned q[ACCEPT_COUNT] = { 0 }, exact[ACCEPT_COUNT] = { 0 };
	unsigned place[ACCEPT_COUNT] = { 0 }, n = 0;
	enum accept best = ACCEPT_JSON;

	while (header.len) {
		struct bytes text = cut(&header, ',');
		struct range range;

		if (!parse_range(text, &range))
			continue;
		n++;
		for (unsigned i = 0; i < ACCEPT_COUNT; i++) {
			unsigned here = exactness(&range, (enum accept)i);

			/* The most exact range of all decides. */
			if (here <= exact[i])
				continue;
			exact[i] = here;
			q[i] = range.q;
			place[i] = n;
		}
	}
	for (unsigned i = 1; i < ACCEPT_COUNT; i++) {
		if (q[i] < q[best] || !q[i])
			continue;
		if (q[i] > q[best] || exact[i] > exact[best] ||
		    (exact[i] == exact[best] && place[i] < place[best]))
			best = (enum accept)i;
	}
	return best;
}
