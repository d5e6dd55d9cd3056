/* SPDX-License-Identifier: MIT */
/*
 * /v1/admin/statements and /v1/admin/slow: what statements cost.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "http/admin/admin.h"
#include "http/service/service.h"
#include "http/shard.h"
#include "http/sql/care.h"

enum {
	STATEMENTS_MAX = 500,
	/* Of one: a table's name, which stands in a text of CARE_TEXT_MAX
	 * unless it is behind a view. */
	HINT_MAX = 2 * CARE_TEXT_MAX,
	/* 500 texts of 4 KiB and their hints, escaped. */
	BODY_MAX = 32 << 20,
	READER_WAIT_S = 1,
};
/* To plan one statement, and all of a report: some take a planner minutes. */
#define HINTS_NS (NS_PER_S / 2)
#define REPORT_NS (5 * NS_PER_S)

struct report {
	struct buffer body;
};

static void
free_report(void *work)
{
	struct report *report = work;

	buffer_fini(&report->body);
	free(report);
}

static void
finish_report(struct request *request) ON_WORKER
{
	struct report *report = request->work;

	admin_send(request, &report->body);
}

static void
start(struct request *request, void (*run)(struct request *)) ON_WORKER
{
	struct local *local = local_self();
	struct report *report = calloc(1, sizeof(*report));

	if (!report) {
		reply_error(request, ERR_NOMEM);
		return;
	}
	buffer_init(&report->body, BODY_MAX);
	request->work = report;
	request->free_work = free_report;
	if (!request->catalog) {
		request->catalog = local->catalog;
		catalog_hold(local, request->catalog);
	}
	/* Otherwise it is answered. */
	if (request_wait_slow(request, run))
		return;
}

/* ---- statements ---------------------------------------------------------- */

static struct sql *
find_database(const struct server *server, const struct service *service,
	      const char *name)
{
	for (unsigned i = 0; i < server->database_count; i++)
		if (!strcmp(sql_name(server->databases[i]), name))
			return server->databases[i];
	return service ? service->tenant->sql : NULL;
}

static const struct route *
find_route(const struct service *service, const char *name)
{
	for (unsigned i = 0; service && name && i < service->route_count; i++)
		if (!strcmp(service->routes[i].name, name))
			return &service->routes[i];
	return NULL;
}

static uint64_t
count_hits(const struct server *server, const struct route *route)
{
	uint64_t hits = 0;

	if (!route)
		return 0;
	for (unsigned i = 0; i <= sched_workers(server->sched); i++)
		hits += ck_pr_load_64(&route->counters[i]->hits);
	return hits;
}

static void
put_scan(void *arg, const char *table, int64_t rows)
{
	struct json *json = arg;
	struct buffer buffer;
	struct bytes text;

	if (rows < CARE_SCAN_ROWS)
		return;
	buffer_init(&buffer, HINT_MAX);
	buffer_addf(&buffer, "scans %s (about %lld rows)", table,
		    (long long)rows);
	text = (struct bytes){ buffer.data, buffer.len };
	/* A database that was made elsewhere may have any name. */
	if (!buffer.err && json_is_utf8(text))
		json_text(json, text);
	buffer_fini(&buffer);
}

static void
put_hints(struct json *json, struct sql *sql,
	  const struct care_statement *statement, uint64_t end_ns)
{
	struct sql_reader *reader = NULL;
	uint64_t now = clock_mono_ns();
	enum err err;

	if (sql && !statement->cut && statement->text.text.len && now < end_ns)
		reader = sql_reader_take(sql, now + READER_WAIT_S * NS_PER_S,
					 &err);
	if (!reader)
		return;
	now = clock_mono_ns();
	sql_prepare_until(reader,
			  now + HINTS_NS < end_ns ? now + HINTS_NS : end_ns);
	/* A statement that does not fit the schema any more has none. */
	err = sql_full_scans(reader, &statement->text, put_scan, json);
	(void)err;
	sql_reader_give(reader);
}

static void
put_statement(struct json *json, const struct request *request,
	      const struct care_statement *statement, uint64_t end_ns)
{
	const struct server *server = shard_server(request->shard);
	const struct service *service =
		catalog_find(request->catalog, bytes_of(statement->database));
	struct sql *sql = find_database(server, service, statement->database);

	json_object_begin(json);
	admin_put_text(json, "database", statement->database);
	admin_put_text(json, "route", statement->route);
	json_name(json, "sql");
	json_text(json, statement->text.text);
	admin_put_number(json, "calls", statement->calls);
	admin_put_number(json, "rows", statement->rows);
	admin_put_number(json, "total_us", statement->total_ns / NS_PER_US);
	admin_put_number(json, "max_us", statement->max_ns / NS_PER_US);
	admin_put_number(
		json, "hits",
		count_hits(server, find_route(service, statement->route)));
	json_name(json, "hints");
	json_array_begin(json);
	put_hints(json, sql, statement, end_ns);
	json_array_end(json);
	json_object_end(json);
}

static void
run_statements(struct request *request)
{
	struct report *report = request->work;
	uint64_t end_ns = clock_mono_ns() + REPORT_NS;
	struct care_statement *list;
	struct json json;
	unsigned count;

	report->body.err = care_statements(shard_server(request->shard)->care,
					   STATEMENTS_MAX, &list, &count);
	if (!report->body.err) {
		json_begin(&json, &report->body);
		json_object_begin(&json);
		json_name(&json, "statements");
		json_array_begin(&json);
		for (unsigned i = 0; i < count; i++)
			put_statement(&json, request, &list[i], end_ns);
		json_array_end(&json);
		json_object_end(&json);
		free(list);
	}
	request_post(request, finish_report);
}

void
admin_statements(struct request *request)
{
	start(request, run_statements);
}

/* ---- slow ---------------------------------------------------------------- */

static void
put_slow(void *arg, const struct care_slow *slow)
{
	struct json *json = arg;

	json_object_begin(json);
	admin_put_number(json, "time", slow->time_ms);
	admin_put_text(json, "database", slow->database);
	admin_put_text(json, "route", slow->route);
	json_name(json, "sql");
	json_text(json, (struct bytes){ slow->text, slow->text_len });
	admin_put_number(json, "us", slow->ns / NS_PER_US);
	admin_put_number(json, "rows", slow->rows);
	admin_put_text(json, "plan", slow->plan ? slow->plan : "");
	json_object_end(json);
}

static void
run_slow(struct request *request)
{
	struct report *report = request->work;
	struct json json;

	json_begin(&json, &report->body);
	json_object_begin(&json);
	json_name(&json, "slow");
	json_array_begin(&json);
	care_slow_list(shard_server(request->shard)->care, put_slow, &json);
	json_array_end(&json);
	json_object_end(&json);
	request_post(request, finish_report);
}

void
admin_slow(struct request *request)
{
	start(request, run_slow);
}
