/* SPDX-License-Identifier: MIT */
/*
 * /metrics of services and databases. Series appear with their first request,
 * so that a thousand routes that nobody calls cost nothing.
 */
#include <stdio.h>

#include "http/metrics.h"
#include "http/service/service.h"

/* ---- routes -------------------------------------------------------------- */

/* The longest template, behind the service's name, and what is around them. */
enum {
	LABELS_MAX = 2 * (SERVICE_NAME_MAX + 1) +
		     TEMPLATE_SEGMENTS_MAX * (TEMPLATE_LITERAL_MAX + 1) + 64,
};

/* Templates hold no character that would need an escape. */
static void
labels_of(const struct route *route, char *out, size_t size)
{
	snprintf(out, size, "service=\"%s\",method=\"%s\",route=\"%s\"",
		 route->service->tenant->name, method_name(route->spec->method),
		 route->template);
}

/* A counter at this offset of each worker's route_counters. */
static uint64_t
sum_of(const struct server *server, const struct route *route, size_t offset)
{
	uint64_t sum = 0;

	for (unsigned w = 0; w < sched_workers(server->sched); w++)
		sum += metrics_load(
			(const uint64_t *)(const void *)((const char *)route
								 ->counters[w] +
							 offset));
	return sum;
}

typedef void (*route_fn)(struct buffer *out, const struct server *server,
			 const struct route *route);

static void
each_route(struct buffer *out, const struct server *server,
	   const struct catalog *catalog, route_fn put)
{
	for (unsigned i = 0; i < catalog->count; i++) {
		const struct service *service = catalog->services[i];

		for (unsigned j = 0; j < service->route_count; j++)
			put(out, server, &service->routes[j]);
	}
}

static void
put_requests(struct buffer *out, const struct server *server,
	     const struct route *route)
{
	char labels[LABELS_MAX];

	labels_of(route, labels, sizeof(labels));
	for (unsigned s = 0; s < STATUS_COUNT; s++) {
		uint64_t n = sum_of(server, route,
				    offsetof(struct route_counters, requests) +
					    s * sizeof(uint64_t));

		if (n)
			buffer_addf(out,
				    "jackdaw_route_requests_total{%s,"
				    "status=\"%u\"} %llu\n",
				    labels,
				    status_at((enum status_index)s)->number,
				    (unsigned long long)n);
	}
}

static void
put_duration(struct buffer *out, const struct server *server,
	     const struct route *route)
{
	struct histogram sum = { 0 };
	char labels[LABELS_MAX];

	for (unsigned w = 0; w < sched_workers(server->sched); w++)
		histogram_sum(&sum, &route->counters[w]->duration);
	if (!sum.count)
		return;
	labels_of(route, labels, sizeof(labels));
	metrics_histogram(out, "route_request_duration_seconds", labels, &sum);
}

static const struct {
	const char *name, *help;
	size_t offset;
	bool ns;
} route_families[] = {
#define COUNTER(member) offsetof(struct route_counters, member)
	{ "route_cache_hits_total", "Answered from a worker's cache.",
	  COUNTER(hits), false },
	{ "route_shared_total",
	  "Answered by the run of another request or from the shared layer.",
	  COUNTER(shared), false },
	{ "route_runs_total", "Runs of its statements.", COUNTER(runs), false },
	{ "route_run_seconds_total", "Time of these.", COUNTER(run_ns), true },
	{ "route_rows_total", "Rows of replies.", COUNTER(rows), false },
	{ "route_in_place_total", "Runs in place.", COUNTER(in_place), false },
	{ "route_on_fiber_total", "Runs that began on a fiber.",
	  COUNTER(on_fiber), false },
	{ "route_on_slow_total", "Runs that began on a slow thread.",
	  COUNTER(on_slow), false },
#undef COUNTER
};

static void
put_family(struct buffer *out, const struct server *server,
	   const struct catalog *catalog, unsigned family)
{
	const char *name = route_families[family].name;
	char labels[LABELS_MAX];

	metrics_head(out, name, "counter", route_families[family].help);
	for (unsigned i = 0; i < catalog->count; i++) {
		const struct service *service = catalog->services[i];

		for (unsigned j = 0; j < service->route_count; j++) {
			const struct route *route = &service->routes[j];
			uint64_t n = sum_of(server, route,
					    route_families[family].offset);

			if (!n)
				continue;
			labels_of(route, labels, sizeof(labels));
			if (route_families[family].ns)
				buffer_addf(out, "jackdaw_%s{%s} %.9f\n", name,
					    labels, metrics_seconds(n));
			else
				buffer_addf(out, "jackdaw_%s{%s} %llu\n", name,
					    labels, (unsigned long long)n);
		}
	}
}

/* ---- services ------------------------------------------------------------ */

static void
put_services(struct buffer *out, const struct catalog *catalog)
{
	metrics_head(out, "service_info", "gauge",
		     "The version of a service that is in force.");
	for (unsigned i = 0; i < catalog->count; i++)
		buffer_addf(out,
			    "jackdaw_service_info{service=\"%s\","
			    "version=\"%llu\"} 1\n",
			    catalog->services[i]->tenant->name,
			    (unsigned long long)catalog->services[i]->version);
	metrics_head(out, "service_statements", "gauge",
		     "Statements that run, beside those in place.");
	for (unsigned i = 0; i < catalog->count; i++)
		buffer_addf(out,
			    "jackdaw_service_statements{service=\"%s\"} "
			    "%u\n",
			    catalog->services[i]->tenant->name,
			    ck_pr_load_uint(
				    &catalog->services[i]->tenant->statements));
	metrics_head(out, "service_refused_total", "counter",
		     "Requests refused by a limit of the service.");
	for (unsigned i = 0; i < catalog->count; i++) {
		const struct tenant *tenant = catalog->services[i]->tenant;

		buffer_addf(
			out,
			"jackdaw_service_refused_total{service=\"%s\","
			"limit=\"requests_per_second\"} %llu\n"
			"jackdaw_service_refused_total{service=\"%s\","
			"limit=\"max_statements\"} %llu\n",
			tenant->name,
			(unsigned long long)metrics_load(&tenant->refused_rate),
			tenant->name,
			(unsigned long long)metrics_load(
				&tenant->refused_statements));
	}
}

/* ---- databases ----------------------------------------------------------- */

struct figures {
	struct sql_stats sql;
	struct lane_stats lane;
};

static const struct {
	const char *name, *type, *help;
	size_t offset;
	bool ns;
} database_families[] = {
#define SQL(member) offsetof(struct figures, sql.member)
#define LANE(member) offsetof(struct figures, lane.member)
	{ "database_bytes", "gauge", "Size of the file.", SQL(file_bytes),
	  false },
	{ "database_max_bytes", "gauge", "The database's max_size.",
	  SQL(max_size), false },
	{ "database_wal_bytes", "gauge", "Size of the write-ahead log.",
	  SQL(wal_bytes), false },
	{ "database_checkpoints_total", "counter", "Checkpoints.",
	  SQL(checkpoints), false },
	{ "database_checkpoint_seconds_total", "counter", "Time of these.",
	  SQL(checkpoint_ns), true },
	{ "database_statements_prepared_total", "counter",
	  "Statements prepared, those found ready not counted.",
	  SQL(statements_prepared), false },
	{ "database_commits_total", "counter", "Commits.", LANE(batches),
	  false },
	{ "database_writes_total", "counter", "Requests committed.",
	  LANE(items), false },
	{ "database_writes_refused_total", "counter",
	  "Requests refused because others waited too long.", LANE(refused),
	  false },
	{ "database_commit_seconds_total", "counter",
	  "Time spent running, committing and syncing.", LANE(commit_ns),
	  true },
	{ "database_sync_seconds_total", "counter",
	  "The part of it in commit and sync.", LANE(sync_ns), true },
	{ "database_waiting", "gauge", "Requests that wait for their commit.",
	  LANE(waiting), false },
#undef SQL
#undef LANE
};

/* Calls put for each database: those of the configuration, then services'. */
static void
each_database(struct buffer *out, struct server *server,
	      const struct catalog *catalog,
	      void (*put)(struct buffer *out, struct sql *sql, unsigned family),
	      unsigned family)
{
	for (unsigned i = 0; i < server->database_count; i++)
		put(out, server->databases[i], family);
	for (unsigned i = 0; catalog && i < catalog->count; i++)
		put(out, catalog->services[i]->tenant->sql, family);
}

static void
put_database(struct buffer *out, struct sql *sql, unsigned family)
{
	struct figures figures;
	uint64_t value;

	sql_stats(sql, &figures.sql);
	lane_stats(sql_lane(sql), &figures.lane);
	memcpy(&value,
	       (const char *)&figures + database_families[family].offset,
	       sizeof(value));
	if (database_families[family].ns)
		buffer_addf(out, "jackdaw_%s{database=\"%s\"} %.9f\n",
			    database_families[family].name, sql_name(sql),
			    metrics_seconds(value));
	else
		buffer_addf(out, "jackdaw_%s{database=\"%s\"} %llu\n",
			    database_families[family].name, sql_name(sql),
			    (unsigned long long)value);
}

enum { STATE_FULL, STATE_CHECKING, STATE_DAMAGED, STATE_READERS, STATE_BUSY };

static void
put_state(struct buffer *out, struct sql *sql, unsigned state)
{
	static const char *const names[] = { "full", "checking", "damaged",
					     "readers", "readers_busy" };
	struct sql_stats stats;
	unsigned value = 0;

	sql_stats(sql, &stats);
	switch (state) {
	case STATE_FULL:
		value = stats.full;
		break;
	case STATE_CHECKING:
		value = stats.checking;
		break;
	case STATE_DAMAGED:
		value = stats.damaged;
		break;
	case STATE_READERS:
		value = stats.readers;
		break;
	case STATE_BUSY:
		value = stats.readers_busy;
		break;
	}
	buffer_addf(out, "jackdaw_database_%s{database=\"%s\"} %u\n",
		    names[state], sql_name(sql), value);
}

static void
put_databases(struct buffer *out, struct server *server,
	      const struct catalog *catalog)
{
	for (unsigned i = 0; i < ARRAY_LEN(database_families); i++) {
		metrics_head(out, database_families[i].name,
			     database_families[i].type,
			     database_families[i].help);
		each_database(out, server, catalog, put_database, i);
	}
	metrics_head(out, "database_full", "gauge",
		     "1 while writes are answered 507.");
	each_database(out, server, catalog, put_state, STATE_FULL);
	metrics_head(out, "database_checking", "gauge",
		     "1 while it is checked after an unclean end.");
	each_database(out, server, catalog, put_state, STATE_CHECKING);
	metrics_head(out, "database_damaged", "gauge",
		     "1 when that check, or a write, has met damage.");
	each_database(out, server, catalog, put_state, STATE_DAMAGED);
	metrics_head(out, "database_readers", "gauge",
		     "Connections that read.");
	each_database(out, server, catalog, put_state, STATE_READERS);
	metrics_head(out, "database_readers_busy", "gauge",
		     "Those of them that run or hold a statement.");
	each_database(out, server, catalog, put_state, STATE_BUSY);
}

void
metrics_services(struct buffer *out, struct server *server,
		 const struct catalog *catalog)
{
	put_databases(out, server, catalog);
	if (!catalog)
		return;
	put_services(out, catalog);
	metrics_head(out, "route_requests_total", "counter",
		     "Requests ended, by route and status; status 0: the "
		     "client left.");
	each_route(out, server, catalog, put_requests);
	metrics_head(out, "route_request_duration_seconds", "histogram",
		     "From the request line to the end of the reply.");
	each_route(out, server, catalog, put_duration);
	for (unsigned i = 0; i < ARRAY_LEN(route_families); i++)
		put_family(out, server, catalog, i);
}
