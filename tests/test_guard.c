/* SPDX-License-Identifier: MIT */
#include "http/guard.h"
#include "tests/tap.h"

struct field {
	const char *name, *value;
};

static unsigned
judge(const struct field *fields, size_t count, bool http10, const char *target,
      enum method method)
{
	struct headers headers;

	guard_begin(&headers);
	for (size_t i = 0; i < count && fields[i].name; i++)
		guard_field(&headers, bytes_of(fields[i].name),
			    bytes_of(fields[i].value));
	return guard_end(&headers, http10, bytes_of(target), method)
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
		/* libmicrohttpd would not read its chunks. */
		{ "chunked and a blank",
		  false,
		  { { "Host", "a" }, { "Transfer-Encoding", "chunked " } },
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
		is_u64(judge(cases[i].fields, 4, cases[i].http10, "/",
			     METHOD_GET),
		       cases[i].status, cases[i].name);
}

static void
targets_are_checked(void)
{
	static const struct {
		const char *target;
		enum method method;
		unsigned status;
	} cases[] = {
		{ "/", METHOD_GET, 200 },
		{ "/a?b=c%20d", METHOD_GET, 200 },
		{ "", METHOD_GET, 400 },
		{ "a", METHOD_GET, 400 },
		{ "*", METHOD_GET, 400 },
		{ "*", METHOD_OPTIONS, 200 },
		{ "http://host/a", METHOD_GET, 200 },
		{ "HTTP://host/a", METHOD_GET, 200 },
		{ "http://host", METHOD_GET, 200 },
		{ "http://host?a=/b", METHOD_GET, 200 },
		{ "http://host", METHOD_OPTIONS, 200 },
		{ "http://host#a", METHOD_GET, 400 },
		{ "http://", METHOD_GET, 400 },
		{ "http:///a", METHOD_GET, 400 },
		{ "https://host/a", METHOD_GET, 400 },
		{ "/a%00", METHOD_GET, 400 },
		{ "/a%0", METHOD_GET, 200 }, /* bad, but not ours to say */
		{ "/a b", METHOD_GET, 400 },
		{ "/a\x7f", METHOD_GET, 400 },
		{ "/a\x01", METHOD_GET, 400 },
	};
	static const struct field host[1] = { { "Host", "a" } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		is_u64(judge(host, 1, false, cases[i].target, cases[i].method),
		       cases[i].status, cases[i].target);
}

static void
a_part_is_not_written(void)
{
	static const struct {
		enum method method;
		unsigned status;
	} cases[] = {
		{ METHOD_PUT, 400 },  { METHOD_POST, 400 },
		{ METHOD_GET, 200 },  { METHOD_DELETE, 200 },
		{ METHOD_HEAD, 200 },
	};
	static const struct field fields[2] = {
		{ "Host", "a" },
		{ "Content-Range", "bytes 0-4/10" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		is_u64(judge(fields, 2, false, "/", cases[i].method),
		       cases[i].status, method_name(cases[i].method));
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
	ok(guard_end(&headers, false, bytes_of("/"), METHOD_GET),
	   "headers at the limit");
	guard_field(&headers, bytes_of("Y"), bytes_of(""));
	ok(!guard_end(&headers, false, bytes_of("/"), METHOD_GET) &&
		   headers.status == 431,
	   "one byte more is 431");

	guard_begin(&headers);
	guard_field(&headers, bytes_of("Host"), bytes_of("a"));
	for (unsigned i = 1; i < GUARD_FIELDS_MAX; i++)
		guard_field(&headers, bytes_of("X"), bytes_of("y"));
	ok(guard_end(&headers, false, bytes_of("/"), METHOD_GET),
	   "as many fields as the limit");
	guard_field(&headers, bytes_of("X"), bytes_of("y"));
	ok(!guard_end(&headers, false, bytes_of("/"), METHOD_GET) &&
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
	ok(guard_end(&headers, false, bytes_of("/"), METHOD_GET), "passes");
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

static void
blanks_behind_a_value_are_not_of_it(void)
{
	struct headers headers;

	guard_begin(&headers);
	guard_field(&headers, bytes_of("Host"), bytes_of("a "));
	guard_field(&headers, bytes_of("X-Request-Id"), bytes_of("mine \t "));
	guard_field(&headers, bytes_of("If-Match"), bytes_of("\"7\"\t"));
	guard_field(&headers, bytes_of("If-None-Match"), bytes_of(" "));
	ok(guard_end(&headers, false, bytes_of("/"), METHOD_GET), "passes");
	ok(bytes_equal(headers.request_id, bytes_of("mine")), "X-Request-Id");
	ok(bytes_equal(headers.if_match, bytes_of("\"7\"")), "If-Match");
	ok(headers.has_if_none_match && headers.if_none_match.data &&
		   !headers.if_none_match.len,
	   "one of blanks alone is empty");
}

int
main(void)
{
	fields_that_smuggle_are_refused();
	targets_are_checked();
	a_part_is_not_written();
	sizes_are_bounded();
	what_we_use_is_noted();
	blanks_behind_a_value_are_not_of_it();
	return tap_done();
}
