/* SPDX-License-Identifier: MIT */
/*
 * Any text is taken apart or complained of. What comes out stands in it, on the
 * line that is said, and written down again it comes out the same.
 */
#include "core/buffer.h"
#include "core/json.h"
#include "http/service/parse.h"
#include "tests/fuzz/fuzz_main.h"

enum { OUT_MAX = 1 << 20 };

static unsigned
count_lines(struct bytes text)
{
	const char *at = text.data;
	unsigned lines = 1;

	for (size_t i = 0; i < text.len; i++)
		lines += at[i] == '\n';
	return lines;
}

/* The line number line, without its end. */
static struct bytes
line_at(struct bytes text, unsigned line)
{
	const char *at = text.data, *end = at + text.len, *newline;

	while (line-- > 1) {
		at = memchr(at, '\n', (size_t)(end - at));
		FUZZ_CHECK(at);
		at++;
	}
	newline = memchr(at, '\n', (size_t)(end - at));
	return (struct bytes){ at, (size_t)((newline ? newline : end) - at) };
}

static void
check_complaints(const struct complaints *complaints, unsigned lines)
{
	unsigned errors = 0;

	for (unsigned i = 0; i < complaints->count; i++) {
		const struct complaint *complaint = &complaints->list[i];

		errors += !complaint->warning;
		FUZZ_CHECK(complaint->line <= lines);
		FUZZ_CHECK(complaint->text[0]);
		FUZZ_CHECK(json_is_utf8(bytes_of(complaint->text)));
	}
	FUZZ_CHECK(complaints->more ? errors <= complaints->errors
				    : errors == complaints->errors);
}

static void
check_statement(const struct route_statement *statement, struct bytes text)
{
	struct bytes line = line_at(text, statement->line);
	const char *end = (const char *)text.data + text.len;
	const char *found =
		memmem(line.data, (size_t)(end - (const char *)line.data),
		       statement->text, statement->len);

	FUZZ_CHECK(statement->len > 0);
	FUZZ_CHECK(found && found <= (const char *)line.data + line.len);
	FUZZ_CHECK(statement->text[statement->len] == '\0');
	FUZZ_CHECK(statement->text[0] != ';');
}

static void
check_route(const struct route_spec *route, struct bytes text, bool good)
{
	struct template template;
	struct bytes line = line_at(text, route->line);
	char reason[256];

	FUZZ_CHECK(template_parse(&template, bytes_of(route->path), reason,
				  sizeof(reason)));
	FUZZ_CHECK(
		memmem(line.data, line.len, route->path, strlen(route->path)));
	FUZZ_CHECK(!good || route->statement_count > 0);
	FUZZ_CHECK(route->status >= 200 && route->status < 400);
	FUZZ_CHECK(!good || route->status != 204 || route->reply == REPLY_NONE);
	FUZZ_CHECK((route->type != NULL) >= (route->reply == REPLY_VALUE));
	for (unsigned i = 0; i < route->statement_count; i++)
		check_statement(&route->statements[i], text);
}

static void
write_down(const struct service_spec *spec, struct buffer *out)
{
	for (unsigned i = 0; i < spec->route_count; i++) {
		const struct route_spec *route = &spec->routes[i];

		buffer_addf(out, "-- %s %s\n", method_name(route->method),
			    route->path);
		for (unsigned s = 0; s < route->statement_count; s++) {
			buffer_add(out, route->statements[s].text,
				   route->statements[s].len);
			buffer_add_str(out, ";\n");
		}
	}
	FUZZ_CHECK(!out->err);
}

static void
check_same(const struct service_spec *a, const struct service_spec *b)
{
	FUZZ_CHECK(a->route_count == b->route_count);
	for (unsigned i = 0; i < a->route_count; i++) {
		const struct route_spec *one = &a->routes[i];
		const struct route_spec *other = &b->routes[i];

		FUZZ_CHECK(one->method == other->method);
		FUZZ_CHECK(!strcmp(one->path, other->path));
		FUZZ_CHECK(one->statement_count == other->statement_count);
		for (unsigned s = 0; s < one->statement_count; s++)
			FUZZ_CHECK(bytes_equal(
				(struct bytes){ one->statements[s].text,
						one->statements[s].len },
				(struct bytes){ other->statements[s].text,
						other->statements[s].len }));
	}
}

static void
check_again(const struct service_spec *spec)
{
	static struct complaints complaints;
	struct service_spec again = { .route_count = 0 };
	struct service_file file = { .path = (char *)"again.sql" };
	struct buffer out;

	if (spec->route_count == 0)
		return;
	buffer_init(&out, OUT_MAX);
	write_down(spec, &out);
	file.data = out.data;
	file.len = out.len;
	complaints_init(&complaints);
	service_parse_routes(&again, &file, &complaints);
	FUZZ_CHECK(!complaints.errors);
	check_same(spec, &again);
	service_spec_fini(&again);
	complaints_fini(&complaints);
	buffer_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct complaints complaints;
	struct service_spec spec = { .route_count = 0 };
	struct bytes text = { data, size };
	struct service_file file = { .path = (char *)"a.sql",
				     .data = (char *)data,
				     .len = size };

	complaints_init(&complaints);
	service_parse_routes(&spec, &file, &complaints);
	check_complaints(&complaints, count_lines(text));
	FUZZ_CHECK(spec.route_count > 0 || complaints.errors > 0);
	for (unsigned i = 0; i < spec.route_count; i++)
		check_route(&spec.routes[i], text, !complaints.errors);
	if (!complaints.errors)
		check_again(&spec);
	service_spec_fini(&spec);
	complaints_fini(&complaints);
	return 0;
}

FUZZ_SEEDS(20000, SEED(""),
	   SEED("-- GET /orders/{id}\n-- reply: one\n"
		"SELECT id, total FROM orders WHERE id = :id;\n"
		"-- POST /orders\n-- status: 201\n-- location: /s/orders/{id}\n"
		"-- optional: a=1, b='x,y', c\nINSERT INTO a VALUES (1);\n"
		"INSERT INTO orders(t) VALUES (:t) RETURNING id;\n"),
	   SEED("-- a comment\n/* and\n * another */\n"
		"-- GET /page\r\n-- reply: value\r\n-- type: text/html\r\n"
		"-- cache: off\r\n-- timeout: 2s\r\nSELECT '<p>\r\n"
		"-- GET /none\r\n'';</p>';\r\n"),
	   SEED("-- DELETE /{a}/{b...}\n-- reply: none\n-- summary: x\n"
		"DELETE FROM [a;b] WHERE \"c;\" = `d;` /* ; */ -- ;\n;;\n"
		"-- QUERY /a\n-- max_rows: 3\nSELECT 1"),
	   SEED("-- FETCH /a\n-- get /b\n-- GET c\n  -- GET /d\n"),
	   SEED("-- PATCH /a\n-- replay: x\n-- optional: a=-1.5e3, b=null, "
		"c=true\n-- status: 303\n-- location: {url}\n;SELECT[1];"),
	   SEED("\xEF\xBB\xBF-- PUT /\nSELECT 'gr\xc3\xbc\xc3\x9f';"));
