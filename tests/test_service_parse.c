/* SPDX-License-Identifier: MIT */
#include "http/service/parse.h"

#include "http/service/lex.h"
#include "tests/tap.h"

/* ---- files in memory ----------------------------------------------------- */

static struct service_file
file_of(const char *path, const char *text)
{
	return (struct service_file){ (char *)path, (char *)text,
				      strlen(text) };
}

/* "3: text", "hint 3: text" or "file:3: text", a line each. */
static const char *
said(const struct complaints *complaints, bool with_file)
{
	static char text[1 << 16];
	size_t len = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < complaints->count; i++) {
		const struct complaint *complaint = &complaints->list[i];

		len += (size_t)snprintf(
			text + len, sizeof(text) - len, "%s%s%s%u: %s\n",
			complaint->warning ? "hint " : "",
			with_file && complaint->file ? complaint->file : "",
			with_file ? ":" : "", complaint->line, complaint->text);
	}
	return text;
}

/* As many lines, each of which begins as that of expected does? */
static bool
lines_match(const char *got, const char *expected)
{
	while (*got && *expected) {
		size_t got_len = strcspn(got, "\n");
		size_t expected_len = strcspn(expected, "\n");

		if (expected_len > got_len ||
		    memcmp(got, expected, expected_len) != 0)
			return false;
		got += got_len + 1;
		expected += expected_len + (expected[expected_len] == '\n');
	}
	return !*got && !*expected;
}

static struct service_spec spec;
static struct complaints complaints;

static void
parse_routes(const char *text)
{
	static char path[] = "a.sql";
	static struct service_file file;

	file = file_of(path, text);
	complaints_init(&complaints);
	service_parse_routes(&spec, &file, &complaints);
}

static void
end(void)
{
	service_spec_fini(&spec);
	complaints_fini(&complaints);
}

/* A test's name is in one line. */
static const char *
one_line(const char *text)
{
	static char line[64];
	size_t len = 0;

	for (; *text && len + 1 < sizeof(line); text++)
		line[len++] = *text > 0x1F && *text < 0x7F && *text != '#'
				      ? *text
				      : '|';
	line[len] = '\0';
	return line;
}

static void
show_lines(const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		printf("#\t%.*s\n", (int)len, text);
		text += len + (text[len] == '\n');
	}
}

static void
check_said(const char *name, const char *got, const char *expected)
{
	if (ok(lines_match(got, expected), "%s", one_line(name)))
		return;
	printf("# expected\n");
	show_lines(expected);
	printf("# got\n");
	show_lines(got);
}

static void
check(const char *text, const char *expected)
{
	check_said(text, said(&complaints, false), expected);
}

/* ---- routes -------------------------------------------------------------- */

static const char shop[] =
	"-- The shop.\n"
	"\n"
	"-- GET /orders/{id}\n"
	"-- reply: one\n"
	"-- summary: One order\n"
	"-- Gives it with its total: a plain comment.\n"
	"SELECT id, total -- not; the end\n"
	"  FROM orders\n"
	" WHERE id = :id;\n"
	"\n"
	"/* several\n"
	"   lines; */\n"
	"-- POST /orders\n"
	"-- reply: one\n"
	"-- status: 201\n"
	"-- location: /shop/orders/{id}\n"
	"-- optional: note='a, it''s', total = 1.5\n"
	"-- optional: count=-10, flag=true, off=false, none=null, bare\n"
	"-- timeout: 2s\n"
	"INSERT INTO log VALUES ('a;b''; -- c', \"x;\", `y;`, [z;'], 1);;\n"
	"/* a; */ INSERT INTO orders(total) VALUES (:total) /* ; */\n"
	"  RETURNING id -- the end\n"
	"\n"
	"-- DELETE /orders/{id}\n"
	"-- reply: none\n"
	"DELETE FROM orders WHERE id = :id;\n"
	"-- GET /page\n"
	"-- reply: value\n"
	"-- type: text/html; charset=utf-8\n"
	"-- cache: off\n"
	"SELECT '<p>\n"
	"-- GET /not/a/route\n"
	"</p>';\n"
	"-- GET /all/{path...}\n"
	"-- max_rows: 5\n"
	"SELECT :path\n";

static void
check_optional(const struct route_spec *route, unsigned index, const char *name,
	       enum sql_kind kind)
{
	const struct route_optional *optional = &route->optionals[index];

	ok(!strcmp(optional->name, name) && optional->otherwise.kind == kind,
	   "optional %s", name);
}

static void
a_file_is_taken_apart(void)
{
	const struct route_spec *route;

	parse_routes(shop);
	check("a good file", "");
	is_u64(spec.route_count, 5, "five routes");
	route = &spec.routes[0];
	is_str(route->path, "/orders/{id}", "a path");
	is_u64(route->method, METHOD_GET, "a method");
	is_u64(route->line, 3, "its line");
	is_u64(route->reply, REPLY_ONE, "a reply");
	is_u64(route->status, 200, "its status");
	is_str(route->summary, "One order", "a summary");
	is_u64(route->statement_count, 1, "one statement");
	is_u64(route->statements[0].line, 7, "its line");
	is_str(route->statements[0].text,
	       "SELECT id, total -- not; the end\n  FROM orders\n"
	       " WHERE id = :id",
	       "its text");
	is_u64(route->statements[0].len, strlen(route->statements[0].text),
	       "its length");
	ok(!route->cache_off && !route->type && !route->location &&
		   !route->timeout_ms && !route->max_rows,
	   "and defaults");

	route = &spec.routes[1];
	is_u64(route->method, METHOD_POST, "another route");
	is_u64(route->status, 201, "status");
	is_str(route->location, "/shop/orders/{id}", "location");
	is_u64(route->timeout_ms, 2000, "timeout");
	is_u64(route->statement_count, 2, "two statements");
	is_u64(route->statements[0].line, 20, "the line of the first");
	is_str(route->statements[0].text,
	       "INSERT INTO log VALUES ('a;b''; -- c', \"x;\", `y;`, [z;'], 1)",
	       "strings keep their semicolons");
	is_u64(route->statements[1].line, 21, "the line of the second");
	is_str(route->statements[1].text,
	       "INSERT INTO orders(total) VALUES (:total) /* ; */\n"
	       "  RETURNING id",
	       "comments around it are left out");
	is_u64(route->optional_count, 7, "seven optionals");
	check_optional(route, 0, "note", SQL_TEXT);
	ok(bytes_equal(route->optionals[0].otherwise.bytes,
		       bytes_of("a, it's")),
	   "with a comma and a quote");
	check_optional(route, 1, "total", SQL_REAL);
	ok(route->optionals[1].otherwise.real == 1.5, "1.5");
	check_optional(route, 2, "count", SQL_INTEGER);
	ok(route->optionals[2].otherwise.integer == -10, "-10");
	check_optional(route, 3, "flag", SQL_INTEGER);
	ok(route->optionals[3].otherwise.integer == 1, "true is 1");
	check_optional(route, 4, "off", SQL_INTEGER);
	ok(route->optionals[4].otherwise.integer == 0, "false is 0");
	check_optional(route, 5, "none", SQL_NULL);
	check_optional(route, 6, "bare", SQL_NULL);

	is_u64(spec.routes[2].status, 204, "nothing is 204");
	route = &spec.routes[3];
	is_str(route->type, "text/html; charset=utf-8", "type");
	ok(route->cache_off, "cache: off");
	is_str(route->statements[0].text,
	       "SELECT '<p>\n-- GET /not/a/route\n</p>'",
	       "a route in a string is none");
	route = &spec.routes[4];
	is_u64(route->line, 34, "lines are right behind it");
	is_u64(route->max_rows, 5, "max_rows");
	is_str(route->statements[0].text, "SELECT :path",
	       "the last one needs no semicolon");
	end();
}

static void
line_ends_and_marks_do_not_matter(void)
{
	parse_routes("\xEF\xBB\xBF-- GET /a\r\n-- reply: value\r\n\r\n"
		     "SELECT\r\n1;\r\n-- POST /b\t \r\nSELECT 2;\r\n");
	check("CR LF", "");
	is_u64(spec.route_count, 2, "two routes");
	is_str(spec.routes[1].path, "/b", "without the blanks");
	is_str(spec.routes[0].type, "text/plain; charset=utf-8",
	       "the default of type");
	is_u64(spec.routes[1].statements[0].line, 7, "lines are counted");
	end();
	parse_routes("--GET  /a\n--reply:none\n--\tstatus :202\nSELECT 1");
	check("blanks", "");
	is_u64(spec.routes[0].status, 202, "blanks may be more or none");
	end();
}

/* A route with these lines below its first: what is said. */
static const struct {
	const char *options, *said;
} options[] = {
	{ "-- reply: rows\n", "" },
	{ "-- reply: many\n", "2: reply is \"many\", not rows, one, value" },
	{ "-- reply:\n", "2: reply has no value" },
	{ "-- reply: one\n-- reply: one\n",
	  "3: reply is given twice, first on line 2" },
	{ "-- replay: one\n",
	  "2: no option \"replay\", but reply is one: there "
	  "are reply, status, type, location, cache, "
	  "optional, timeout, max_rows, summary" },
	{ "-- max-rows: 1\n", "2: no option \"max-rows\", but max_rows is" },
	{ "-- Reply: one\n", "2: no option \"Reply\", but reply is one" },
	{ "-- typ: a/b\n", "2: no option \"typ\", but type is one" },
	{ "-- colour: red\n", "2: no option \"colour\": there are" },
	{ "-- a23456789012345678901234567890: 1\n", "2: no option \"a2345" },
	{ "-- cash: 1\n", "2: no option \"cash\": there are" },
	{ "-- abcdtype: 1\n", "2: no option \"abcdtype\": there are" },
	{ "-- see https://example.com\n", "" },
	{ "---reply: one\n", "" },
	{ "-- https://example.com\n", "" },
	{ "-- two words: 1\n", "" },
	{ "-------- reply: one\n", "" },
	{ "-- status: 201\n", "" },
	{ "-- status: 200x\n", "2: status is \"200x\", not 200, 201, 202, " },
	{ "-- status: 206\n", "2: status is \"206\"" },
	{ "-- status: 304\n", "2: status is \"304\"" },
	{ "-- status: 404\n", "2: status is \"404\"" },
	{ "-- status: 4294967496\n", "2: status is \"4294967496\"" },
	{ "-- status: 204\n", "2: status 204 has no body" },
	{ "-- reply: none\n-- status: 204\n", "" },
	{ "-- reply: none\n-- status: 200\n", "" },
	{ "-- status: 303\n", "2: status 303 needs a location" },
	{ "-- location: /a\n-- status: 303\n", "" },
	{ "-- location: {url}\n-- status: 302\n", "" },
	{ "-- status: 308\n-- location: https://a.b/{c}/{d}?e#f\n", "" },
	{ "-- location: /a\n", "2: location needs `-- status:` 201" },
	{ "-- status: 202\n-- location: /a\n", "3: location needs" },
	{ "-- status: 201\n-- location: a\n", "3: location is \"a\", not one "
					      "that begins with" },
	{ "-- status: 201\n-- location: ftp://a\n", "3: location is" },
	{ "-- status: 201\n-- location: /a b\n", "3: location is \"/a b\", not "
						 "one without blanks" },
	{ "-- status: 201\n-- location: /{a\n", "3: location is \"/{a\", not "
						"one whose braces" },
	{ "-- status: 201\n-- location: /{}\n", "3: location is" },
	{ "-- status: 201\n-- location: /a}\n", "3: location is" },
	{ "-- status: 201\n-- location: /{a{b}}\n", "3: location is" },
	{ "-- type: text/html\n", "2: type needs `-- reply: value`" },
	{ "-- reply: value\n-- type: text/html\n", "" },
	{ "-- type: application/vnd.a+json; b=c;d=\"e; \\\"f\"\n"
	  "-- reply: value\n",
	  "" },
	{ "-- reply: value\n-- type: html\n",
	  "3: type is \"html\", not a media type" },
	{ "-- reply: value\n-- type: text/\n", "3: type is" },
	{ "-- reply: value\n-- type: text/html;\n", "3: type is" },
	{ "-- reply: value\n-- type: text/html; a\n", "3: type is" },
	{ "-- reply: value\n-- type: text/html; a=\n", "3: type is" },
	{ "-- reply: value\n-- type: text/html; a=\"b\n", "3: type is" },
	{ "-- reply: value\n-- type: text/html x\n", "3: type is" },
	{ "-- reply: value\n-- type: text/h\xc3\xbc\n", "3: type is" },
	{ "-- cache: on\n", "" },
	{ "-- cache: no\n", "2: cache is \"no\", not on or off" },
	{ "-- timeout: 10m\n", "" },
	{ "-- timeout: 5\n", "2: timeout is \"5\", not a duration" },
	{ "-- timeout: 0s\n", "2: timeout is \"0s\", not from 1ms to 10m" },
	{ "-- timeout: 601s\n", "2: timeout is \"601s\", not from" },
	{ "-- max_rows: 0\n", "2: max_rows is \"0\", not a number from 1" },
	{ "-- max_rows: 10000001\n", "2: max_rows is" },
	{ "-- max_rows: -1\n", "2: max_rows is" },
	{ "-- reply: one\n-- max_rows: 1\n",
	  "3: max_rows needs `-- reply: ro" },
	{ "-- summary: a\x01z\n", "2: a control character in summary" },
	{ "-- optional: a=1\n-- optional: b=1\n", "" },
	{ "-- optional: a='it''s, it', b=''\n", "" },
	{ "-- optional: a=1e3, b=-0.5, c=-1.5E-2, d=0\n", "" },
	{ "-- optional: a,,b\n", "2: \"\" is no parameter's name" },
	{ "-- optional: a,\n", "2: \"\" is no parameter's name" },
	{ "-- optional: 1a\n", "2: \"1a\" is no parameter's name" },
	{ "-- optional: a b\n", "2: \"a b\" is no parameter's name" },
	{ "-- optional: :a\n", "2: \":a\" is no parameter's name" },
	{ "-- optional: a, a=1\n", "2: a is there twice" },
	{ "-- optional: body=1\n", "2: body is always there" },
	{ "-- optional: request_id\n", "2: request_id is always there" },
	{ "-- optional: a=b\n", "2: a=b: a default is 10, 1.5, 'text'" },
	{ "-- optional: a=\n", "2: a=: a default is" },
	{ "-- optional: a=01\n", "2: a=01: a default is" },
	{ "-- optional: a=1.\n", "2: a=1.: a default is" },
	{ "-- optional: a=.5\n", "2: a=.5: a default is" },
	{ "-- optional: a=+1\n", "2: a=+1: a default is" },
	{ "-- optional: a=01.5\n", "2: a=01.5: a default is" },
	{ "-- optional: a=1e999\n", "2: a=1e999: a default is" },
	{ "-- optional: a=0x10\n", "2: a=0x10: a default is" },
	{ "-- optional: a=inf\n", "2: a=inf: a default is" },
	{ "-- optional: a=9223372036854775808\n",
	  "2: a=9223372036854775808: a" },
	{ "-- optional: a='b\n", "2: a='b: a default is" },
	{ "-- optional: a='b'c\n", "2: a='b'c: a default is" },
	{ "-- optional: a=''', b=1\n", "2: a=''', b=1: a default is" },
	{ "-- optional: a=TRUE, b=x\n", "2: a=TRUE: a\n2: b=x: a" },
	/* All that is wrong, and nothing that follows from it. */
	{ "-- reply: valu\n-- type: html\n-- status: 1\n-- max_rows: x\n",
	  "2: reply is\n3: type is\n4: status is\n5: max_rows is" },
	{ "-- a comment\n-- reply: one\n",
	  "hint 3: this is a comment: options stand right below" },
	{ "\n-- reply: one\n", "hint 3: this is a comment: options" },
	{ "/* a */\n-- reply: one\n", "hint 3: this is a comment: options" },
	{ "  -- reply: one\n", "hint 2: this is a comment: options" },
};

static void
options_are_checked(void)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		char text[1024];

		snprintf(text, sizeof(text),
			 "-- GET /a\n%sSELECT 1;\n-- reply: one\n",
			 options[i].options);
		parse_routes(text);
		check(options[i].options, options[i].said);
		end();
	}
	parse_routes("-- POST /a\n-- cache: on\nSELECT 1;");
	check("cache: on", "2: only GET is cached");
	end();
	parse_routes("-- POST /a\n-- cache: off\nSELECT 1;");
	check("cache: off", "");
	end();
}

static const struct {
	const char *text, *said;
} routes[] = {
	{ "", "0: the file has no route" },
	{ "-- only a comment\n", "0: the file has no route" },
	{ "\n\nSELECT 1;\nSELECT 2;\n-- GET /a\nSELECT 3;",
	  "3: a statement before the first route" },
	{ ";\n-- GET /a\nSELECT 3;", "1: a statement before the first route" },
	{ "-- GET /a\n\n-- POST /a\nSELECT 1", "1: GET /a has no statement" },
	{ "-- GET /a\n;;\n", "1: GET /a has no statement" },
	{ "-- GET /a\nSELECT 1;\n-- FETCH /b\nSELECT 2;\n-- GET /c\nSELECT 3",
	  "3: FETCH: a route's method is GET, POST, PUT" },
	{ "-- get /a\nSELECT 1", "1: get: a route's method is" },
	{ "-- Delete /a\nSELECT 1", "1: Delete: a route's method is" },
	{ "-- HEAD /a\nSELECT 1", "1: HEAD: HEAD is answered wherever GET" },
	{ "-- OPTIONS /a\nSELECT 1", "1: OPTIONS: OPTIONS is answered by" },
	{ "-- GET /a b\nSELECT 1", "1: the line of a route is `-- GET /path`" },
	{ "-- GET /a\tb\nSELECT 1", "1: the line of a route is" },
	{ "-- GET /a/\nSELECT 1", "1: a path ends without \"/\"" },
	{ "-- GET /a/\n-- reply: x\n", "1: a path ends\n2: reply is \"x\"" },
	{ "-- GET /{body}\nSELECT :body", "1: {body}: the server sets this" },
	{ "-- see /a\n-- GET /a\nSELECT 1", "" },
	{ "-- GET /a\nSELECT 1 -- POST /b\n", "" },
	{ "-- GET /a\nSELECT 1;\n  -- POST /b\nSELECT 2;",
	  "hint 3: this is a comment: a route begins at the beginning" },
	{ "-- GET /a\nSELECT 1;\n-- POST b\nSELECT 2;",
	  "hint 3: this is a comment: the path of a route begins with" },
	{ "-- GET /a\n-- POST processing is for others\nSELECT 2;", "" },
	{ "-- GET /a\nSELECT 1\n-- POST /b\nSELECT 2", "" },
	{ "-- GET /a\nSELECT\n'a\nb", "3: a string without an end" },
	{ "-- GET /a\nSELECT 1;\nSELECT \"a;\n-- POST /b\nSELECT 2",
	  "3: a quoted name without an end" },
	{ "-- GET /a\nSELECT `a", "2: a quoted name without an end" },
	{ "-- GET /a\nSELECT [a", "2: a quoted name without an end" },
	{ "-- GET /a\n\n/* a\nSELECT 1;", "3: a comment without an end" },
	{ "/*", "1: a comment without an end" },
	{ "-- GET /a\n/*/ SELECT 1;", "2: a comment without an end" },
	{ "-- GET /a\n/* a\n b */\n-- reply: one\n/**/ SELECT 'a\nb',\nx y z';",
	  "hint 4: this is a comment\n7: a string without an end" },
};

static void
routes_are_checked(void)
{
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		parse_routes(routes[i].text);
		check(routes[i].text, routes[i].said);
		end();
	}
}

/* Text that repeats: the caller frees. */
static char *
repeat(const char *before, const char *text, unsigned count)
{
	size_t len = strlen(text);
	char *out = malloc(strlen(before) + len * count + 1);
	char *at = stpcpy(out, before);

	for (unsigned i = 0; i < count; i++)
		at = stpcpy(at, text);
	return out;
}

static void
limits_are_said(void)
{
	static const struct {
		const char *before, *text;
		unsigned good;
		const char *said;
	} cases[] = {
		{ "-- GET /a\n", "SELECT 1;\n", ROUTE_STATEMENTS_MAX,
		  "34: a route has more than 32 statements" },
		{ "", "-- GET /a\nSELECT 1;\n", SERVICE_ROUTES_MAX,
		  "4001: the service has more than 2000 routes" },
		{ "-- GET /a\nSELECT'", "a", SQL_TEXT_MAX - 8,
		  "2: a statement has more than 64 KiB" },
		{ "-- GET /a\n-- summary:", "a", 300,
		  "2: summary has more than 300 bytes" },
		{ "-- GET /a\n-- summary:", "a", 2001,
		  "2: summary has more than 2000 bytes" },
		{ "-- GET /a\n-- status: 201\n-- location:/", "a", 799,
		  "3: location has more than 800 bytes" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *tail =
			strstr(cases[i].before, "SELECT'") ? "'"
			: strstr(cases[i].before, "-- summary") ||
					strstr(cases[i].before, "-- location")
				? "\nSELECT 1"
				: "";
		char *text;

		for (unsigned more = 0; more < 2; more++) {
			char *all;

			text = repeat(cases[i].before, cases[i].text,
				      cases[i].good + more);
			all = repeat(text, tail, 1);
			parse_routes(all);
			if (more)
				check(cases[i].said, cases[i].said);
			else if (cases[i].good != 2001)
				check("as much as may be", "");
			end();
			free(all);
			free(text);
		}
	}
}

static void
a_list_of_complaints_has_an_end(void)
{
	char *text = repeat("", "-- FETCH /a\n", COMPLAINTS_MAX + 10);

	parse_routes(text);
	is_u64(complaints.count, COMPLAINTS_MAX, "so many are kept");
	is_u64(complaints.errors, COMPLAINTS_MAX + 10, "all are counted");
	ok(complaints.more, "and there were more");
	end();
	free(text);
	complaints_init(&complaints);
	for (unsigned i = 1; i <= COMPLAINTS_MAX; i++)
		complain_hint(&complaints, "a", i, "hint");
	complain(&complaints, "a", 1, "first");
	complain(&complaints, "b", 1, "second");
	complain_hint(&complaints, "c", 1, "hint");
	complaints_sort(&complaints);
	is_u64(complaints.count, COMPLAINTS_MAX, "hints count as well");
	ok(complaints.list[1].line == 1 && !complaints.list[1].warning &&
		   !complaints.list[COMPLAINTS_MAX - 1].warning,
	   "but make room for what is wrong");
	is_u64(complaints.list[COMPLAINTS_MAX - 2].line, COMPLAINTS_MAX - 2,
	       "the last ones");
	ok(complaints.more, "which is said");
	complaints_fini(&complaints);
	complain(&complaints, "b", 2, "x%s", "\xc3");
	complain(&complaints, "b", 1, "%s", "\xc3\xbc");
	complain_hint(&complaints, NULL, 7, "z");
	complain(&complaints, "a", 3, "first");
	complain(&complaints, "a", 3, "second");
	complaints_sort(&complaints);
	is_str(said(&complaints, true),
	       "hint :7: z\na:3: first\na:3: second\nb:1: \xc3\xbc\nb:2: x?\n",
	       "they are sorted, and UTF-8");
	is_u64(complaints.errors, 4, "a hint is no error");
	complaints_fini(&complaints);
}

/* ---- service.conf -------------------------------------------------------- */

static void
parse_settings(const char *text)
{
	struct service_file file = file_of("service.conf", text);

	complaints_init(&complaints);
	service_parse_settings(&spec.settings, text ? &file : NULL,
			       &complaints);
}

static void
settings_have_defaults(void)
{
	const struct service_settings *settings = &spec.settings;

	complaints_init(&complaints);
	service_parse_settings(&spec.settings, NULL, &complaints);
	check("no service.conf", "");
	is_u64(settings->requests_per_s, 0, "requests_per_second");
	is_u64(settings->max_statements, 64, "max_statements");
	is_u64(settings->timeout_ms, 5000, "timeout");
	is_u64(settings->max_body, 1 << 20, "max_body");
	is_u64(settings->max_rows, 10000, "max_rows");
	is_u64(settings->max_reply, 8 << 20, "max_reply");
	is_u64(settings->max_size, UINT64_C(8) << 30, "max_size");
	ok(settings->cache, "cache");
	is_u64(settings->store_count + settings->own_store_count, 0,
	       "no stores");
	end();
}

static void
settings_are_read(void)
{
	const struct service_settings *settings = &spec.settings;

	parse_settings("# all of it\n"
		       "requests_per_second = 100 max_statements = 8\n"
		       "timeout = 2s max_body = \"64K\" max_rows = 50\n"
		       "max_reply = 1M max_size = 1G cache = no\n"
		       "stores = {\"main\", \"cache\"}\nstores += {more}\n"
		       "store sessions { kind = volatile ttl = 30m }\n"
		       "store a_1 { kind = durable max_size = 64M }\n");
	check("every key", "");
	is_u64(settings->requests_per_s, 100, "requests_per_second");
	is_u64(settings->max_statements, 8, "max_statements");
	is_u64(settings->timeout_ms, 2000, "timeout");
	is_u64(settings->max_body, 65536, "max_body");
	is_u64(settings->max_rows, 50, "max_rows");
	is_u64(settings->max_reply, 1 << 20, "max_reply");
	is_u64(settings->max_size, 1 << 30, "max_size");
	ok(!settings->cache, "cache");
	is_u64(settings->store_count, 3, "three stores");
	is_str(settings->stores[2], "more", "the last");
	is_u64(settings->own_store_count, 2, "two of its own");
	is_str(settings->own_stores[0].name, "sessions", "a name");
	ok(settings->own_stores[0].is_volatile, "a kind");
	is_u64(settings->own_stores[0].max_size, 64 << 20, "its size");
	is_u64(settings->own_stores[0].ttl_ms, 1800000, "a TTL");
	is_u64(settings->own_stores[1].max_size, 64 << 20, "a size");
	end();
}

static const struct {
	const char *text, *said;
} settings[] = {
	{ "", "" },
	{ "# nothing\n", "" },
	{ "stores = main\n", "" },
	{ "\n\"\"", "2: a key without a name" },
	{ "max_row = 1\n", "1: no such option 'max_row'" },
	{ "\n\nstore a { kind = durable colour = red }",
	  "3: no such option 'colour'" },
	{ "timeout = 1\n\ncache = maybe\nmax_rows = 0\nmax_body = x\n",
	  "1: timeout is \"1\", not a duration\n3: cache is \"maybe\", not yes "
	  "or no\n4: max_rows is 0, not from 1 to\n5: max_body is \"x\", not a "
	  "size" },
	{ "timeout = 0s", "1: timeout is 0s, not from 1ms to 10m" },
	{ "timeout = 11m", "1: timeout is 11m, not from 1ms to 10m" },
	{ "max_statements = 0", "1: max_statements is 0, not from 1" },
	{ "max_size = 1K", "1: max_size is 1K, not from 64K to 16T" },
	{ "cache = yes\ncache = yes\n", "2: cache is given twice, first on" },
	{ "max_rows = \"1\n", "1: a string that does not end on its line" },
	{ "timeout = 9\nstore a {", "2: a brace that is not closed" },
	{ "max_rows = ${X}", "1: an unexpected character" },
	{ "stores = {}", "1: an empty list" },
	{ "stores = {\"a/b\", a, b,\n a}\nstores += {c}\n",
	  "1: a store's name is \"a/b\", not 1 to 64\n2: the store a is there" },
	{ "stores = {a}\nstore a { kind = durable }\n",
	  "1: the store a is there twice" },
	{ "stores = {a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,\na,\na,a,a}",
	  "3: more than 16 stores\n"
	  "1: the store a\n1: the store a\n1: the store a\n1: the store a\n"
	  "1: the store a\n1: the store a\n1: the store a\n1: the store a\n"
	  "1: the store a\n1: the store a\n1: the store a\n1: the store a\n"
	  "1: the store a\n1: the store a\n2: the store a" },
	{ "store a {\n}\n", "2: store a has no kind" },
	{ "store a { kind = durable }\nstore b { }", "2: store b has no kind" },
	{ "store a {\nkind = x\nmax_size = 1\nttl = 1\n}\n",
	  "2: kind is \"x\", not durable\n3: max_size is 1, not from 64K\n"
	  "4: ttl is \"1\"" },
	{ "store a-b { kind = durable }", "1: a store's name is \"a-b\", not "
					  "[a-z][a-z0-9_]*, at most 15 bytes" },
	{ "store A { kind = durable }", "1: a store's name is \"A\"" },
	{ "store 1 { kind = durable }", "1: a store's name is \"1\"" },
	{ "store \"\" { kind = durable }", "1: a store's name is \"\"" },
	{ "store a23456789012345 { kind = durable }", "" },
	{ "store a234567890123456 { kind = durable }", "1: a store's name" },
	{ "store a { kind = durable }\nstore a { kind = durable }", "2: " },
	{ "store { kind = durable }", "1: " },
	{ "}", "1: unexpected closing brace" },
};

static void
settings_are_checked(void)
{
	char text[1024] = "";

	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		parse_settings(settings[i].text);
		check(settings[i].text, settings[i].said);
		end();
	}
	for (unsigned i = 0; i <= CONFIG_STORES_MAX; i++)
		sprintf(text + strlen(text), "store s%u { kind=durable }\n", i);
	parse_settings(text);
	check("a store too many", "17: more than 16 stores");
	is_u64(spec.settings.own_store_count, CONFIG_STORES_MAX, "16 are kept");
	end();
}

/* ---- a service ----------------------------------------------------------- */

static int
compare(const void *left, const void *right)
{
	const struct service_file *a = left, *b = right;

	return strcmp(a->path, b->path);
}

/* Pairs of path and text, NULL at the end. */
static void
parse_service(const char *const *pairs)
{
	static struct service_file list[16];
	static struct service_files files;

	files = (struct service_files){ .name = "shop", .files = list };
	for (; *pairs; pairs += 2)
		list[files.count++] = file_of(pairs[0], pairs[1]);
	qsort(list, files.count, sizeof(*list), compare);
	complaints_init(&complaints);
	service_parse(&spec, &files, &complaints);
}

static void
check_service(const char *name, const char *expected)
{
	check_said(name, said(&complaints, true), expected);
}

static void
a_service_is_parsed(void)
{
	parse_service((const char *const[]){
		"b.sql", "-- GET /b\nSELECT 1", "service.conf", "max_rows = 7",
		"a.sql", "-- GET /a\nSELECT 1", "migrations/10000_last.sql",
		"CREATE TABLE c(d);", "migrations/0002_b-2.sql",
		"CREATE TABLE b(d);", "migrations/00001_a.sql",
		"-- first\nCREATE TABLE a(d);", NULL });
	check_service("a whole service", "");
	is_u64(spec.settings.max_rows, 7, "its settings");
	is_u64(spec.route_count, 2, "its routes");
	is_str(spec.routes[0].file, "a.sql", "in order");
	is_u64(spec.migration_count, 3, "its migrations");
	is_str(spec.migrations[0].name, "00001_a.sql", "by number");
	is_str(spec.migrations[1].name, "0002_b-2.sql", "not by name");
	is_str(spec.migrations[2].name, "10000_last.sql", "to the last");
	ok(bytes_equal(spec.migrations[2].text, bytes_of("CREATE TABLE c(d);")),
	   "with its text");
	end();
}

static void
all_mistakes_are_said(void)
{
	parse_service((const char *const[]){ "service.conf",
					     "max_rows = 0\ncache = x\n",
					     "b.sql",
					     "-- GET /b/\nSELECT 1",
					     "a.sql",
					     "SELECT 1;\n-- FETCH /a\n",
					     "migrations/1_a.sql",
					     "",
					     "migrations/0001_a.sql",
					     "-- no\n",
					     "migrations/0002_.sql",
					     "x",
					     "migrations/0003.sql",
					     "x",
					     "migrations/0004_a.b.sql",
					     "x",
					     "migrations/0005_a.sql",
					     "x",
					     "migrations/00005_b.sql",
					     "y\n'z",
					     NULL });
	check_service("every file's mistakes, in order",
		      "a.sql:1: a statement before the first route\n"
		      "a.sql:2: FETCH: a route's method\n"
		      "b.sql:1: a path ends\n"
		      "migrations/00005_b.sql:2: a string without an end\n"
		      "migrations/0001_a.sql:0: a migration without a\n"
		      "migrations/0002_.sql:0: a migration is called NNNN_\n"
		      "migrations/0003.sql:0: a migration is called\n"
		      "migrations/0004_a.b.sql:0: a migration is called\n"
		      "migrations/0005_a.sql:0: 00005_b.sql has the same numb\n"
		      "migrations/1_a.sql:0: a migration is called\n"
		      "service.conf:1: max_rows is 0\n"
		      "service.conf:2: cache is");
	end();
	parse_service(
		(const char *const[]){ "migrations/0001_a.sql", "x", NULL });
	check_service("a service without a route",
		      ":0: the service has no route");
	end();
}

static void
routes_are_there_once(void)
{
	parse_service((const char *const[]){
		"a.sql",
		"-- GET /a/{x}/{rest...}\nSELECT 1;\n-- POST /a/{x}\nSELECT 1\n"
		"-- GET /a/{x}\nSELECT 1;\n-- GET /a/x\nSELECT 1;\n"
		"-- GET /\nSELECT 1\n-- GET /\nSELECT 1\n",
		"b.sql",
		"-- GET /b\nSELECT 1;\n-- GET /a/{y}/{z...}\nSELECT 1\n"
		"-- GET /a/{y}/{z}\nSELECT 1;\n-- GET /b\nSELECT 1;\n"
		"-- GET /b\nSELECT 1;\n-- GET /b/\nSELECT 1;\n"
		"-- GET /b/\nSELECT 1;\n",
		NULL });
	check_service("the same shape twice",
		      "a.sql:11: GET / is GET /, which is in a.sql:9 already\n"
		      "b.sql:3: GET /a/{y}/{z...} is GET /a/{x}/{rest...}, "
		      "which is in a.sql:1 already\n"
		      "b.sql:7: GET /b is GET /b, which is in b.sql:1 already\n"
		      "b.sql:9: GET /b is GET /b, which is in b.sql:1 already\n"
		      "b.sql:11: a path ends\n"
		      "b.sql:13: a path ends");
	is_u64(spec.route_count, 7, "each is kept once");
	end();
	parse_service((const char *const[]){
		"a.sql", "-- GET /a\nSELECT 1;\n-- POST /a\nSELECT 1;\n",
		NULL });
	check_service("one path, two methods", "");
	end();
	parse_service((const char *const[]){
		"a.sql",
		"-- GET /shop/a\nSELECT 1;\n-- GET /shop\nSELECT 1;\n"
		"-- GET /shopping\nSELECT 1",
		NULL });
	check_service("the service's name in a path",
		      "hint a.sql:1: paths are below the service's name: this "
		      "is /shop/shop/a\n"
		      "hint a.sql:3: paths are below the service's name: this "
		      "is /shop/shop");
	end();
}

/* ---- tokens -------------------------------------------------------------- */

static void
tokens_cover_the_text(void)
{
	static const char text[] = " a--b\n\n/*c\n*/'d''e';[f]\"g\"\n  -- h";
	static const struct {
		enum lex_kind kind;
		const char *text;
		unsigned line;
		bool begins_line, indented;
	} expected[] = {
		/* A minus ends no word: a--b is a and a comment. */
		{ LEX_TEXT, "a", 1, false, true },
		{ LEX_LINE_COMMENT, "--b", 1, false, false },
		{ LEX_BLOCK_COMMENT, "/*c\n*/", 3, true, false },
		{ LEX_TEXT, "'d'", 4, false, false },
		{ LEX_TEXT, "'e'", 4, false, false },
		{ LEX_SEMICOLON, ";", 4, false, false },
		{ LEX_TEXT, "[f]", 4, false, false },
		{ LEX_TEXT, "\"g\"", 4, false, false },
		{ LEX_LINE_COMMENT, "-- h", 5, false, true },
		{ LEX_END, "", 5, false, false },
		{ LEX_END, "", 5, false, false },
	};
	struct lex lex;

	lex_begin(&lex, bytes_of(text));
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		struct lex_token token;

		lex_next(&lex, &token);
		if (!ok(token.kind == expected[i].kind &&
				bytes_equal(token.text,
					    bytes_of(expected[i].text)) &&
				token.line == expected[i].line &&
				token.begins_line == expected[i].begins_line &&
				token.indented == expected[i].indented,
			"token %zu", i))
			printf("# kind %d, line %u, %.*s\n", token.kind,
			       token.line, (int)token.text.len,
			       (const char *)token.text.data);
	}
}

int
main(void)
{
	a_file_is_taken_apart();
	line_ends_and_marks_do_not_matter();
	options_are_checked();
	routes_are_checked();
	limits_are_said();
	a_list_of_complaints_has_an_end();
	settings_have_defaults();
	settings_are_read();
	settings_are_checked();
	a_service_is_parsed();
	all_mistakes_are_said();
	routes_are_there_once();
	tokens_cover_the_text();
	return tap_done();
}
