/* SPDX-License-Identifier: MIT */
/*
 * status: is the server ready, and a few figures out of /metrics.
 */
#include <inttypes.h>
#include <stdio.h>

#include "core/json.h"
#include "core/units.h"
#include "tools/answer.h"
#include "tools/command.h"
#include "tools/admin/metrics.h"
#include "tools/out.h"

enum { RESULT_MAX = 16 << 20 };

struct report {
	const char *url;
	bool ready;
	struct bytes checks;  /* /readyz?verbose: a line each */
	struct bytes metrics; /* /metrics; empty: not to be had */
};

/* ---- figures ----------------------------------------------------------- */

enum kind { KIND_COUNT, KIND_BYTES, KIND_TIME };

static const struct {
	const char *name, *label; /* in JSON, in text */
	enum kind kind;
	const char *metric;
	const char *status; /* NULL: all */
} figures[] = {
	{ "start_time_seconds", "started", KIND_TIME,
	  "jackdaw_start_time_seconds", NULL },
	{ "memory_bytes", "memory", KIND_BYTES, "jackdaw_resident_memory_bytes",
	  NULL },
	{ "workers", "workers", KIND_COUNT, "jackdaw_workers", NULL },
	{ "steals", "tasks stolen", KIND_COUNT, "jackdaw_sched_steals_total",
	  NULL },
	{ "connections", "connections", KIND_COUNT, "jackdaw_http_connections",
	  NULL },
	{ "requests", "requests", KIND_COUNT, "jackdaw_http_requests_total",
	  NULL },
	{ "status_500", "failed (500)", KIND_COUNT,
	  "jackdaw_http_requests_total", "500" },
	{ "status_503", "refused (503)", KIND_COUNT,
	  "jackdaw_http_requests_total", "503" },
	{ "status_507", "full (507)", KIND_COUNT, "jackdaw_http_requests_total",
	  "507" },
	{ "cache_hits", "cache hits", KIND_COUNT, "jackdaw_cache_hits_total",
	  NULL },
	{ "cache_misses", "cache misses", KIND_COUNT,
	  "jackdaw_cache_misses_total", NULL },
};

/* Things of which there are several, each with figures of its own. */
struct group {
	const char *name; /* in JSON */
	const char *label;
	struct {
		const char *name, *metric;
	} figures[3];
};

static const struct group stores = {
	"stores",
	"store",
	{ { "entries", "jackdaw_store_entries" },
	  { "live_bytes", "jackdaw_store_live_bytes" },
	  { "max_bytes", "jackdaw_store_max_bytes" } },
};
static const struct group databases = {
	"databases",
	"database",
	{ { "bytes", "jackdaw_database_bytes" },
	  { "max_bytes", "jackdaw_database_max_bytes" },
	  { "writes", "jackdaw_database_writes_total" } },
};
/* Their version is a label. */
static const char service_metric[] = "jackdaw_service_info";

static uint64_t
figure(const struct report *report, size_t i)
{
	const char *status = figures[i].status;

	return (uint64_t)metrics_sum(report->metrics, figures[i].metric,
				     status ? "status" : NULL,
				     bytes_of(status ? status : ""));
}

static uint64_t
group_figure(const struct report *report, const struct group *group,
	     struct bytes name, size_t i)
{
	return (uint64_t)metrics_sum(report->metrics, group->figures[i].metric,
				     group->label, name);
}

/* The server's, which need not be ours. */
static struct bytes
version(const struct report *report)
{
	struct bytes text = report->metrics;
	struct sample sample;

	while (metrics_next(&text, &sample))
		if (sample_is(&sample, "jackdaw_build_info"))
			return sample_label(&sample, "version");
	return bytes_of("unknown");
}

/* Takes the next sample of that name off the front of text. */
static bool
next_named(struct bytes *text, const char *metric, struct sample *sample)
{
	while (metrics_next(text, sample))
		if (sample_is(sample, metric))
			return true;
	return false;
}

/* Takes the next of a group off the front of text: each has one sample of its
 * first figure. */
static bool
next_of(struct bytes *text, const struct group *group, struct bytes *name)
{
	struct sample sample;

	if (!next_named(text, group->figures[0].metric, &sample))
		return false;
	*name = sample_label(&sample, group->label);
	return true;
}

/* ---- text -------------------------------------------------------------- */

static void
print_row(const char *name, struct bytes value)
{
	printf("%-18s ", name);
	out_field(value);
	putchar('\n');
}

static void
print_label(const char *label, struct bytes name)
{
	printf("%-18s ", label);
	out_field(name);
}

static void
print_stores(const struct report *report)
{
	struct bytes text = report->metrics, name;
	char live[HUMAN_SIZE], most[HUMAN_SIZE];

	while (next_of(&text, &stores, &name)) {
		print_label(stores.label, name);
		human_size(live,
			   (double)group_figure(report, &stores, name, 1));
		human_size(most,
			   (double)group_figure(report, &stores, name, 2));
		printf(": %" PRIu64 " keys, %s of %s\n",
		       group_figure(report, &stores, name, 0), live, most);
	}
}

static void
print_databases(const struct report *report)
{
	struct bytes text = report->metrics, name;
	char size[HUMAN_SIZE], most[HUMAN_SIZE];

	while (next_of(&text, &databases, &name)) {
		print_label(databases.label, name);
		human_size(size,
			   (double)group_figure(report, &databases, name, 0));
		human_size(most,
			   (double)group_figure(report, &databases, name, 1));
		printf(": %s of %s, %" PRIu64 " writes\n", size, most,
		       group_figure(report, &databases, name, 2));
	}
}

static void
print_services(const struct report *report)
{
	struct bytes text = report->metrics;
	struct sample sample;

	while (next_named(&text, service_metric, &sample)) {
		print_label("service", sample_label(&sample, "service"));
		fputs(": version ", stdout);
		out_field(sample_label(&sample, "version"));
		putchar('\n');
	}
}

static void
print_figure(const struct report *report, size_t i)
{
	int64_t number = (int64_t)figure(report, i);
	char text[HUMAN_TIME_SIZE];

	switch (figures[i].kind) {
	case KIND_COUNT:
		snprintf(text, sizeof(text), "%lld", (long long)number);
		break;
	case KIND_BYTES:
		human_size(text, (double)number);
		break;
	case KIND_TIME:
		human_time(text, number);
		break;
	}
	print_row(figures[i].label, bytes_of(text));
}

static void
print_text(const struct report *report)
{
	print_row("server", bytes_of(report->url));
	print_row("ready", bytes_of(report->ready ? "yes" : "no"));
	if (!report->ready)
		out_bytes(report->checks);
	if (report->metrics.len == 0)
		return;
	print_row("version", version(report));
	for (size_t i = 0; i < ARRAY_LEN(figures); i++)
		print_figure(report, i);
	print_stores(report);
	print_databases(report);
	print_services(report);
}

/* ---- JSON -------------------------------------------------------------- */

static void
add_group(struct json *json, const struct report *report,
	  const struct group *group)
{
	struct bytes text = report->metrics, name;

	json_name(json, group->name);
	json_array_begin(json);
	while (next_of(&text, group, &name)) {
		json_object_begin(json);
		json_name(json, "name");
		json_text(json, name);
		for (unsigned i = 0; i < ARRAY_LEN(group->figures); i++) {
			json_name(json, group->figures[i].name);
			json_u64(json, group_figure(report, group, name, i));
		}
		json_object_end(json);
	}
	json_array_end(json);
}

static void
add_services(struct json *json, const struct report *report)
{
	struct bytes text = report->metrics;
	struct sample sample;

	json_name(json, "services");
	json_array_begin(json);
	while (next_named(&text, service_metric, &sample)) {
		uint64_t version = 0;

		json_object_begin(json);
		json_name(json, "name");
		json_text(json, sample_label(&sample, "service"));
		if (units_u64(sample_label(&sample, "version"), &version)) {
			json_name(json, "version");
			json_u64(json, version);
		}
		json_object_end(json);
	}
	json_array_end(json);
}

static void
add_report(struct json *json, const struct report *report)
{
	json_object_begin(json);
	json_name(json, "server");
	json_text(json, bytes_of(report->url));
	json_name(json, "ready");
	json_bool(json, report->ready);
	if (report->metrics.len > 0) {
		json_name(json, "version");
		json_text(json, version(report));
		for (size_t i = 0; i < ARRAY_LEN(figures); i++) {
			json_name(json, figures[i].name);
			json_u64(json, figure(report, i));
		}
		add_group(json, report, &stores);
		add_group(json, report, &databases);
		add_services(json, report);
	}
	json_object_end(json);
}

static void
print_json(const struct report *report)
{
	struct buffer line;
	struct json json;

	buffer_init(&line, RESULT_MAX);
	json_begin(&json, &line);
	add_report(&json, report);
	buffer_add(&line, "\n", 1);
	if (line.err)
		say("the result: %s", err_text(line.err));
	else
		out_bytes((struct bytes){ line.data, line.len });
	buffer_fini(&line);
}

/* ---- the command ------------------------------------------------------- */

static struct bytes
body_of(const struct reply *reply)
{
	return (struct bytes){ reply->body.data, reply->body.len };
}

static enum outcome
fetch(const struct call *call, const char *target, struct reply *reply)
{
	struct request request = { .method = "GET", .target = target };

	return client_send(call->client, &request, reply);
}

/* Figures are extra: without them the rest is still told. */
static enum outcome
report_on(const struct call *call, const struct reply *readyz)
{
	struct report report = { .url = client_name(call->client),
				 .ready = readyz->status == 200,
				 .checks = body_of(readyz) };
	struct reply metrics;

	if (fetch(call, "/metrics", &metrics) == OUTCOME_OK &&
	    metrics.status == 200 && json_is_utf8(body_of(&metrics)))
		report.metrics = body_of(&metrics);
	if (call->options->json)
		print_json(&report);
	else
		print_text(&report);
	reply_fini(&metrics);
	return report.ready ? OUTCOME_OK : OUTCOME_OVERLOADED;
}

enum outcome
status_run(const struct call *call)
{
	struct reply readyz;
	enum outcome outcome = fetch(call, "/readyz?verbose", &readyz);

	if (outcome == OUTCOME_OK) {
		if (readyz.status == 200 || readyz.status == 503)
			outcome = report_on(call, &readyz);
		else
			outcome = answer_problem(readyz.status,
						 body_of(&readyz), NULL);
	}
	reply_fini(&readyz);
	return outcome;
}
