/* SPDX-License-Identifier: MIT */
/* A service from its files: what is known of it, and what is wrong with it. */
#include "core/json.h"
#include "http/service/service.h"
#include "tests/database.h"
#include "tests/tap.h"

static struct database database;
static struct complaints complaints;

static void
set_up(void)
{
	make_root();
	database_init(&database, "build.db");
	database_open(&database);
	database_must(&database,
		      "CREATE TABLE orders(id INTEGER PRIMARY KEY, "
		      "customer TEXT NOT NULL, total INTEGER) STRICT");
	database_must(&database, "CREATE TABLE big(x INTEGER)");
	database_must(&database,
		      "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 "
		      "FROM c LIMIT 2000) INSERT INTO big SELECT x FROM c");
}

static void
add_file(struct json *json, const char *path, const char *text)
{
	json_name(json, path);
	json_text(json, bytes_of(text));
}

/* Of one file of routes, and of service.conf where conf is not NULL. */
static struct service *
build(const char *routes, const char *conf)
{
	struct service_files files;
	struct buffer text;
	struct json json;
	char message[200];

	buffer_init(&text, 1 << 20);
	json_begin(&json, &text);
	json_object_begin(&json);
	json_name(&json, "files");
	json_object_begin(&json);
	add_file(&json, "a.sql", routes);
	if (conf)
		add_file(&json, "service.conf", conf);
	json_object_end(&json);
	json_object_end(&json);
	need(!service_files_parse(&files, (struct bytes){ text.data, text.len },
				  "shop", message, sizeof(message)),
	     message);
	buffer_fini(&text);
	complaints_init(&complaints);
	return service_build(&files, database.sql, &complaints);
}

static void
end(struct service *service)
{
	service_destroy(service);
	complaints_fini(&complaints);
}

static void
show_complaints(void)
{
	for (unsigned i = 0; i < complaints.count; i++)
		printf("# %s:%u: %s\n",
		       complaints.list[i].file ? complaints.list[i].file : "-",
		       complaints.list[i].line, complaints.list[i].text);
}

/* ---- what is known ------------------------------------------------------- */

static const char good[] =
	"-- GET /orders/{id}\n"
	"-- reply: one\n"
	"SELECT id, total FROM orders WHERE id = :id;\n"
	"\n"
	"-- POST /orders/{id}/lines\n"
	"-- reply: one\n"
	"-- status: 201\n"
	"-- optional: total=7\n"
	"-- location: /shop/orders/{id}/{customer}/{key}\n"
	"SELECT fail(409, 'no') WHERE :auth_subject = :key;\n"
	"INSERT INTO orders(customer, total)\n"
	"VALUES (:id || :key || :request_id || :body, :total)\n"
	"RETURNING customer;\n";

static void
parameters_come_from_where_they_belong(void)
{
	struct service *service = build(good, NULL);
	static const struct {
		const char *name;
		enum binding_source source;
		bool optional;
	} expected[] = {
		{ "id", BIND_PATH, false },
		{ "key", BIND_INPUT, false },
		{ "request_id", BIND_REQUEST_ID, false },
		{ "body", BIND_BODY, false },
		{ "total", BIND_INPUT, true },
	};
	const struct statement *statement;

	show_complaints();
	need(service, "the service is not built");
	statement = &service->routes[1].statements[0];
	ok(statement->bindings[0].source == BIND_AUTH, "auth_subject");
	statement = &service->routes[1].statements[1];
	is_u64(statement->binding_count, ARRAY_LEN(expected), "their count");
	for (unsigned i = 0; i < ARRAY_LEN(expected); i++) {
		const struct binding *binding = &statement->bindings[i];

		ok(!strcmp(binding->name, expected[i].name) &&
			   binding->source == expected[i].source &&
			   !!binding->optional == expected[i].optional,
		   "%s", expected[i].name);
	}
	is_u64(statement->bindings[0].index, 0, "its place in the path");
	is_u64((uint64_t)statement->bindings[4].optional->otherwise.integer, 7,
	       "its default");
	end(service);
}

static void
routes_are_described(void)
{
	struct service *service = build(good, NULL);
	struct route *get, *post;
	struct tree_match match;

	need(service, "the service is not built");
	get = &service->routes[0];
	post = &service->routes[1];
	is_str(service->prefix, "/shop", "prefix");
	is_str(get->template, "/shop/orders/{id}", "template");
	is_str(get->name, "GET /shop/orders/{id}", "name");
	ok(get->readonly && get->cacheable && !get->uses_body, "a read");
	ok(!post->readonly && !post->cacheable && post->uses_body, "a write");
	ok(post->statements[0].readonly && !post->statements[1].readonly,
	   "each statement by itself");
	is_u64(post->statements[1].line, 11, "its line");
	ok(get->statements[0].care != post->statements[0].care &&
		   post->statements[0].care != post->statements[1].care,
	   "each has a number of its own");
	ok(tree_find(service->tree, METHOD_GET, bytes_of("/orders/5"),
		     &match) &&
		   match.route == get,
	   "it is found by its path");
	end(service);
}

static void
location_is_columns_then_parameters(void)
{
	static const struct {
		enum location_source source;
		const char *text;
	} expected[] = {
		{ LOCATION_TEXT, "/shop/orders/" },
		{ LOCATION_PATH, "id" },
		{ LOCATION_TEXT, "/" },
		{ LOCATION_COLUMN, "customer" },
		{ LOCATION_TEXT, "/" },
		{ LOCATION_INPUT, "key" },
	};
	struct service *service = build(good, NULL);
	const struct route *route;

	need(service, "the service is not built");
	route = &service->routes[1];
	is_u64(route->location_count, ARRAY_LEN(expected), "pieces");
	for (unsigned i = 0; i < ARRAY_LEN(expected); i++)
		ok(route->location[i].source == expected[i].source &&
			   !strcmp(route->location[i].text, expected[i].text),
		   "%s", expected[i].text);
	end(service);
}

static void
caching_is_for_stable_reads(void)
{
	static const struct {
		const char *routes, *conf;
		bool cacheable;
		const char *name;
	} cases[] = {
		{ "-- GET /a\nSELECT 1 AS x;\n", NULL, true, "a GET" },
		{ "-- GET /a\n-- cache: off\nSELECT 1 AS x;\n", NULL, false,
		  "switched off" },
		{ "-- GET /a\nSELECT 1 AS x;\n", "cache = no\n", false,
		  "switched off for all" },
		{ "-- GET /a\nSELECT random() AS x;\n", NULL, false,
		  "random()" },
		{ "-- GET /a\nSELECT :request_id AS x;\n", NULL, false,
		  "the request's id" },
		{ "-- GET /a\nSELECT :body AS x;\n", NULL, false, "the body" },
		{ "-- QUERY /a\nSELECT 1 AS x;\n", NULL, false, "a QUERY" },
		{ "-- POST /a\nSELECT 1 AS x;\n", NULL, false, "a POST" },
	};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct service *service = build(cases[i].routes, cases[i].conf);

		show_complaints();
		ok(service &&
			   service->routes[0].cacheable == cases[i].cacheable,
		   "%s", cases[i].name);
		end(service);
	}
}

/* ---- what is wrong ------------------------------------------------------- */

static const struct {
	const char *routes;
	unsigned line;
	const char *text; /* in what is said */
	bool hint;
} wrong[] = {
	{ "-- GET /a\nSELECT x\nFROM orders;\n", 2, "no such column", false },
	{ "-- GET /a\nSELECT id,\n\n  nothing FROM orders;\n", 4, "nothing",
	  false },
	{ "-- GET /a\nSELECT id FROM nowhere;\n", 2, "nowhere", false },
	{ "-- GET /a\nSELECT ?1;\n", 2, "has no name", false },
	{ "-- GET /a\nSELECT ?;\n", 2, "has no name", false },
	{ "-- GET /a/{x}\nSELECT 1;\n", 1, "{x}", false },
	{ "-- GET /a/{x...}\nSELECT 1;\n", 1, "{x}", false },
	{ "-- GET /a\n-- optional: y\nSELECT 1;\n", 1, ":y", false },
	{ "-- GET /a/{x}\n-- optional: x\nSELECT :x;\n", 1, "never missing",
	  false },
	{ "-- GET /a\nDELETE FROM orders RETURNING id;\n", 2, "only reads",
	  false },
	{ "-- QUERY /a\nSELECT 1;\nDELETE FROM orders RETURNING id;\n", 3,
	  "only reads", false },
	{ "-- POST /a\nDELETE FROM orders;\n", 2, "RETURNING", false },
	{ "-- POST /a\n-- reply: value\nDELETE FROM orders;\n", 3, "RETURNING",
	  false },
	{ "-- POST /a\n-- location: /{z}\nSELECT 1 AS y;\n", 1, "{z}", false },
	{ "-- GET /a\nSELECT 1;\n-- GET /a\nSELECT 2;\n", 3, "already", false },
	{ "-- GET /a/{x}\nSELECT :x;\n-- GET /a/{y}\nSELECT :y;\n", 3,
	  "already", false },
	{ "-- POST /a\n-- reply: none\nDROP TABLE orders;\n", 3, "", false },
	{ "-- POST /a\n-- reply: none\nVACUUM;\n", 3, "", false },
	{ "-- GET /a\nSELECT * FROM big WHERE x = 5;\n", 2,
	  "scans big (about 2000 rows)", true },
	{ "-- GET /a\nSELECT random();\n", 1, "never cached", true },
};

static bool
was_said(unsigned i)
{
	for (unsigned j = 0; j < complaints.count; j++) {
		const struct complaint *complaint = &complaints.list[j];

		if (complaint->file && !strcmp(complaint->file, "a.sql") &&
		    complaint->line == wrong[i].line &&
		    complaint->warning == wrong[i].hint &&
		    strstr(complaint->text, wrong[i].text))
			return true;
	}
	return false;
}

static void
mistakes_have_their_place(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
		struct service *service = build(wrong[i].routes, NULL);
		char shown[200];
		bool good_one = !service == !wrong[i].hint && was_said(i);

		snprintf(shown, sizeof(shown), "%s", wrong[i].routes);
		for (char *at = shown; *at; at++)
			if (*at == '\n')
				*at = '|';
		ok(good_one, "%s", shown);
		if (!good_one)
			show_complaints();
		end(service);
	}
}

static void
small_scans_and_what_is_switched_off_get_no_hint(void)
{
	struct service *service = build("-- GET /a\nSELECT * FROM orders;\n"
					"-- GET /b\n-- cache: off\n"
					"SELECT random();\n",
					NULL);

	ok(service && !complaints.count, "nothing is said");
	show_complaints();
	end(service);
}

static void
a_statement_is_judged_by_the_schema_of_now(void)
{
	static const char routes[] = "-- GET /t\nSELECT a FROM t;\n";
	struct service *service;

	database_must(&database, "CREATE TABLE t(a)");
	service = build(routes, NULL);
	ok(service, "it fits");
	end(service);
	database_must(&database, "ALTER TABLE t RENAME COLUMN a TO b");
	service = build(routes, NULL);
	ok(!service, "it does not any more");
	end(service);
	database_must(&database, "ALTER TABLE t RENAME COLUMN b TO a");
	service = build(routes, NULL);
	ok(service, "and again");
	end(service);
}

int
main(void)
{
	set_up();
	parameters_come_from_where_they_belong();
	routes_are_described();
	location_is_columns_then_parameters();
	caching_is_for_stable_reads();
	mistakes_have_their_place();
	small_scans_and_what_is_switched_off_get_no_hint();
	a_statement_is_judged_by_the_schema_of_now();
	database_close(&database);
	return tap_done();
}
