/* SPDX-License-Identifier: MIT */
#include "http/guard.h"
#include "tests/tap.h"

struct field {
	const char *name, *value;
};

static unsigned
judge(const struct field *fields, size_t count, bool http10, const char *target,
      bool is_options)
{
	struct headers headers;

	guard_begin(&headers);
	for (size_t i = 0; i < count && fields[i].name; i++)
		guard_field(&headers, bytes_of(fields[i].name),
			    bytes_of(fields[i].value));
	return guard_end(&headers, http10, bytes_of(target), is_options)
		       ? 200
		       : headers.status;
}

static void
fields_that_smuggle_are_refused(void)
{
	static const struct {
		const char *name;
		bool http10;
		struct field fields[4];
		unsigned status;
	} cases[] = {
		{ "plain", false, { { "Host", "a" } }, 200 },
		{ "HTTP/1.0 without Host", true, { { "X", "y" } }, 200 },
		{ "no Host", false, { { "X", "y" } }, 400 },
		{ "two Hosts",
		  false,
		  { { "Host", "a" }, { "host", "a" } },
		  400 },
		{ "two Authorizations",
		  false,
		  { { "Host", "a" },
		    { "Authorization", "x" },
		    { "AUTHORIZATION", "y" } },
		  400 },
		{ "two lengths",
		  false,
		  { { "Host", "a" },
		    { "Content-Length", "1" },
		    { "Content-Length", "1" } },
		  400 },
		{ "length not a number",
		  false,
		  { { "Host", "a" }, { "Content-Length", "+1" } },
		  400 },
		{ "length and chunked",
		  false,
		  { { "Host", "a" },
		    { "Content-Length", "1" },
		    { "Transfer-Encoding", "chunked" } },
		  400 },
		{ "chunked",
		  false,
		  { { "Host", "a" }, { "Transfer-Encoding", "Chunked" } },
		  200 },
		{ "chunked twice",
		  false,
		  { { "Host", "a" },
		    { "Transfer-Encoding", "chunked" },
		    { "Transfer-Encoding", "chunked" } },
		  400 },
		{ "not quite chunked",
		  false,
		  { { "Host", "a" }, { "Transfer-Encoding", "xchunked" } },
		  400 },
		{ "gzip, chunked",
		  false,
		  { { "Host", "a" }, { "Transfer-Encoding", "gzip, chunked" } },
		  400 },
		{ "chunked on HTTP/1.0",
		  true,
		  { { "Host", "a" }, { "Transfer-Encoding", "chunked" } },
		  400 },
		{ "blank in a name",
		  false,
		  { { "Host", "a" }, { "Transfer-Encoding ", "chunked" } },
		  400 },
		{ "tab in a name",
		  false,
		  { { "Host", "a" }, { "X\t", "y" } },
		  400 },
		{ "empty name", false, { { "Host", "a" }, { "", "y" } }, 400 },
		{ "control in a value",
		  false,
		  { { "Host", "a" }, { "X", "y\x01" } },
		  400 },
		{ "tab in a value",
		  false,
		  { { "Host", "a" }, { "X", "y\tz" } },
		  200 },
		{ "two If-Match",
		  false,
		  { { "Host", "a" },
		    { "If-Match", "\"1\"" },
		    { "If-Match", "*" } },
		  400 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		is_u64(judge(cases[i].fields, 4, cases[i].http10, "/", false),
		       cases[i].status, cases[i].name);
}

static void
targets_are_checked(void)
{
	static const struct {
		const char *target;
		bool is_options;
		unsigned status;
	} cases[] = {
		{ "/", false, 200 },
		{ "/a?b=c%20d", false, 200 },
		{ "", false, 400 },
		{ "a", false, 400 },
		{ "*", false, 400 },
		{ "*", true, 200 },
		{ "http://host/a", false, 200 },
		{ "HTTP://host/a", false, 200 },
		{ "http://host", false, 400 },
		{ "https://host/a", false, 400 },
		{ "/a%00", false, 400 },
		{ "/a%0", false, 200 }, /* bad, but not ours to say */
		{ "/a b", false, 400 },
		{ "/a\x7f", false, 400 },
		{ "/a\x01", false, 400 },
	};
	static const struct field host[1] = { { "Host", "a" } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		is_u64(judge(host, 1, false, cases[i].target,
			     cases[i].is_options),
		       cases[i].status, cases[i].target);
}

static void
sizes_are_bounded(void)
{
	struct headers headers;
	char value[GUARD_HEADERS_MAX];

	memset(value, 'a', sizeof(value));
	guard_begin(&headers);
	guard_field(&headers, bytes_of("Host"), bytes_of("a"));
	guard_field(&headers, bytes_of("X"),
		    (struct bytes){ value, GUARD_HEADERS_MAX - 6 });
	ok(guard_end(&headers, false, bytes_of("/"), false),
	   "headers at the limit");
	guard_field(&headers, bytes_of("Y"), bytes_of(""));
	ok(!guard_end(&headers, false, bytes_of("/"), false) &&
		   headers.status == 431,
	   "one byte more is 431");

	guard_begin(&headers);
	guard_field(&headers, bytes_of("Host"), bytes_of("a"));
	for (unsigned i = 1; i < GUARD_FIELDS_MAX; i++)
		guard_field(&headers, bytes_of("X"), bytes_of("y"));
	ok(guard_end(&headers, false, bytes_of("/"), false),
	   "as many fields as the limit");
	guard_field(&headers, bytes_of("X"), bytes_of("y"));
	ok(!guard_end(&headers, false, bytes_of("/"), false) &&
		   headers.status == 431,
	   "one field more is 431");
}

static void
what_we_use_is_noted(void)
{
	struct headers headers;

	guard_begin(&headers);
	guard_field(&headers, bytes_of("HOST"), bytes_of("a"));
	guard_field(&headers, bytes_of("if-none-match"), bytes_of("\"7\""));
	guard_field(&headers, bytes_of("Content-Length"), bytes_of("12"));
	guard_field(&headers, bytes_of("Content-Type"), bytes_of("text/x"));
	guard_field(&headers, bytes_of("Range"), bytes_of("bytes=0-"));
	ok(guard_end(&headers, false, bytes_of("/"), false), "passes");
	ok(headers.has_if_none_match &&
		   bytes_equal(headers.if_none_match, bytes_of("\"7\"")),
	   "If-None-Match");
	ok(headers.has_length && headers.content_length == 12,
	   "Content-Length");
	ok(bytes_equal(headers.content_type, bytes_of("text/x")),
	   "Content-Type");
	ok(bytes_equal(headers.range, bytes_of("bytes=0-")), "Range");
	ok(!headers.has_if_match && !headers.chunked, "and nothing else");
}

int
main(void)
{
	fields_that_smuggle_are_refused();
	targets_are_checked();
	sizes_are_bounded();
	what_we_use_is_noted();
	return tap_done();
}
