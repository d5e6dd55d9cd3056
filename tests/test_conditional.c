/* SPDX-License-Identifier: MIT */
#include "http/conditional.h"
#include "http/date.h"
#include "tests/tap.h"

enum { SEQ = 7, MODIFIED_S = 1700000000 };

static struct headers
with(struct bytes *(*slot)(struct headers *), const char *value)
{
	struct headers headers;

	memset(&headers, 0, sizeof(headers));
	*slot(&headers) = bytes_of(value);
	headers.has_if_match = headers.if_match.data;
	headers.has_if_none_match = headers.if_none_match.data;
	return headers;
}

#define SLOT(name) \
	static struct bytes *name(struct headers *headers) \
	{ \
		return &headers->name; \
	}
SLOT(if_match)
SLOT(if_none_match)
SLOT(if_modified_since)
SLOT(if_unmodified_since)

static void
reads_are_judged(void)
{
	static const struct {
		struct bytes *(*slot)(struct headers *);
		const char *value;
		enum verdict verdict;
	} cases[] = {
		{ if_match, "\"7\"", VERDICT_SEND },
		{ if_match, "\"1\", \"7\"", VERDICT_SEND },
		{ if_match, "*", VERDICT_SEND },
		{ if_match, "\"8\"", VERDICT_FAILED },
		{ if_match, "W/\"7\"", VERDICT_FAILED },
		{ if_match, "7", VERDICT_MALFORMED },
		{ if_match, "\"7", VERDICT_MALFORMED },
		{ if_match, "", VERDICT_MALFORMED },
		{ if_match, "\"7\",", VERDICT_SEND },
		{ if_match, "\"7\"\"8\"", VERDICT_MALFORMED },
		{ if_match, "\"7\",x", VERDICT_MALFORMED },
		{ if_match, ",", VERDICT_MALFORMED },
		{ if_match, ",*", VERDICT_MALFORMED },
		{ if_none_match, "\"1\",,\"7\"", VERDICT_NOT_MODIFIED },
		{ if_none_match, ", \"7\" ,\t, \"1\", ", VERDICT_NOT_MODIFIED },
		{ if_none_match, "\"1\",,\"3\"", VERDICT_SEND },
		{ if_none_match, " , ,", VERDICT_MALFORMED },
		{ if_none_match, "\"7\"", VERDICT_NOT_MODIFIED },
		{ if_none_match, "W/\"7\"", VERDICT_NOT_MODIFIED },
		{ if_none_match, " \"x\" ,\t\"7\" ", VERDICT_NOT_MODIFIED },
		{ if_none_match, "*", VERDICT_NOT_MODIFIED },
		{ if_none_match, "\"70\"", VERDICT_SEND },
		{ if_none_match, "\"07\"", VERDICT_SEND },
		{ if_none_match, "\"\"", VERDICT_SEND },
		{ if_none_match, "*, \"7\"", VERDICT_MALFORMED },
		{ if_modified_since, "Tue, 14 Nov 2023 22:13:20 GMT",
		  VERDICT_NOT_MODIFIED },
		{ if_modified_since, "Tue, 14 Nov 2023 22:13:19 GMT",
		  VERDICT_SEND },
		{ if_modified_since, "yesterday", VERDICT_SEND },
		{ if_unmodified_since, "Tue, 14 Nov 2023 22:13:20 GMT",
		  VERDICT_SEND },
		{ if_unmodified_since, "Tue, 14 Nov 2023 22:13:19 GMT",
		  VERDICT_FAILED },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct headers headers = with(cases[i].slot, cases[i].value);

		ok(conditions_judge(&headers, SEQ, MODIFIED_S * 1000ull) ==
			   cases[i].verdict,
		   "case %zu: %s", i, cases[i].value);
	}
}

static void
write_conditions_hold_sixteen_tags(void)
{
	struct kv_condition condition;
	char text[17 * 6 + 1] = "\"1\"";

	ok(!condition_parse(bytes_of("\"5\", W/\"6\""), true, &condition) &&
		   condition.count == 1 && condition.tags[0] == 5,
	   "a weak tag matches nothing in If-Match");
	ok(!condition_parse(bytes_of("\"abc\""), true, &condition) &&
		   condition.present && !condition.any && !condition.count,
	   "a tag of somebody else's matches nothing");
	ok(!condition_parse(bytes_of(",\"5\", ,\"6\","), true, &condition) &&
		   condition.count == 2 && condition.tags[1] == 6,
	   "empty elements are passed over");
	ok(!condition_parse(bytes_of("*"), false, &condition) && condition.any,
	   "*");
	for (int i = 0; i < 15; i++)
		strcat(text, ", \"2\"");
	ok(!condition_parse(bytes_of(text), true, &condition) &&
		   condition.count == 16,
	   "sixteen");
	strcat(text, ", \"3\"");
	ok(condition_parse(bytes_of(text), true, &condition) != NULL,
	   "seventeen are refused");
}

static void
ranges_are_cut(void)
{
	static const struct {
		const char *range, *if_range;
		size_t size;
		enum range kind;
		size_t first, last;
	} cases[] = {
		{ "bytes=0-3", NULL, 10, RANGE_SOME, 0, 3 },
		{ "bytes=3-", NULL, 10, RANGE_SOME, 3, 9 },
		{ "bytes=-3", NULL, 10, RANGE_SOME, 7, 9 },
		{ "bytes=-30", NULL, 10, RANGE_SOME, 0, 9 },
		{ "bytes=9-99", NULL, 10, RANGE_SOME, 9, 9 },
		{ "bytes=10-", NULL, 10, RANGE_OUTSIDE, 0, 0 },
		{ "bytes=-0", NULL, 10, RANGE_OUTSIDE, 0, 0 },
		{ "bytes=0-", NULL, 0, RANGE_OUTSIDE, 0, 0 },
		{ "bytes=5-3", NULL, 10, RANGE_NONE, 0, 0 },
		{ "bytes=0-1,3-4", NULL, 10, RANGE_NONE, 0, 0 },
		{ "bytes=", NULL, 10, RANGE_NONE, 0, 0 },
		{ "bytes=-", NULL, 10, RANGE_NONE, 0, 0 },
		{ "bytes=a-b", NULL, 10, RANGE_NONE, 0, 0 },
		{ "items=0-1", NULL, 10, RANGE_NONE, 0, 0 },
		{ "bytes=0-99999999999999999999", NULL, 10, RANGE_SOME, 0, 9 },
		{ "bytes=99999999999999999999-", NULL, 10, RANGE_OUTSIDE, 0,
		  0 },
		{ "bytes=0-3", "\"7\"", 10, RANGE_SOME, 0, 3 },
		{ "bytes=0-3", "\"8\"", 10, RANGE_NONE, 0, 0 },
		{ "bytes=0-3", "W/\"7\"", 10, RANGE_NONE, 0, 0 },
		{ "bytes=0-3", "Tue, 14 Nov 2023 22:13:20 GMT", 10, RANGE_NONE,
		  0, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct headers headers;
		size_t first = 0, last = 0;
		enum range kind;

		memset(&headers, 0, sizeof(headers));
		headers.range = bytes_of(cases[i].range);
		if (cases[i].if_range)
			headers.if_range = bytes_of(cases[i].if_range);
		kind = range_parse(&headers, SEQ, cases[i].size, &first, &last);
		ok(kind == cases[i].kind &&
			   (kind != RANGE_SOME ||
			    (first == cases[i].first && last == cases[i].last)),
		   "%s of %zu", cases[i].range, cases[i].size);
	}
}

static void
dates_go_both_ways(void)
{
	char text[HTTP_DATE_SIZE];
	uint64_t seconds;

	http_date(MODIFIED_S * 1000ull + 999, text);
	is_str(text, "Tue, 14 Nov 2023 22:13:20 GMT", "a date");
	ok(http_date_parse(bytes_of(text), &seconds) && seconds == MODIFIED_S,
	   "and back");
	ok(!http_date_parse(bytes_of("Tuesday, 14-Nov-23 22:13:20 GMT"),
			    &seconds),
	   "an obsolete form is none");
}

int
main(void)
{
	reads_are_judged();
	write_conditions_hold_sixteen_tags();
	ranges_are_cut();
	dates_go_both_ways();
	return tap_done();
}
