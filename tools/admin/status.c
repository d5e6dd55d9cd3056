/* SPDX-License-Identifier: MIT */
/*
 * status: is the server ready, and a few figures out of /metrics.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "core/json.h"
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

static const struct {
	const char *name, *metric;
} store_figures[] = {
	{ "entries", "jackdaw_store_entries" },
	{ "live_bytes", "jackdaw_store_live_bytes" },
	{ "max_bytes", "jackdaw_store_max_bytes" },
};

static uint64_t
figure(const struct report *report, size_t i)
{
	const char *status = figures[i].status;

	return (uint64_t)metrics_sum(report->metrics, figures[i].metric,
				     status ? "status" : NULL,
				     bytes_of(status ? status : ""));
}

static uint64_t
store_figure(const struct report *report, struct bytes store, size_t i)
{
	return (uint64_t)metrics_sum(report->metrics, store_figures[i].metric,
				     "store", store);
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

/* Takes the next store off the front of text: each has one sample of its
 * first figure. */
static bool
next_store(struct bytes *text, struct bytes *store)
{
	struct sample sample;

	while (metrics_next(text, &sample)) {
		if (!sample_is(&sample, store_figures[0].metric))
			continue;
		*store = sample_label(&sample, "store");
		return true;
	}
	return false;
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
print_stores(const struct report *report)
{
	struct bytes text = report->metrics, store;
	char live[HUMAN_SIZE], most[HUMAN_SIZE];

	while (next_store(&text, &store)) {
		printf("%-18s ", "store");
		out_field(store);
		printf(": %" PRIu64 " keys, %s of %s\n",
		       store_figure(report, store, 0),
		       human_size(live, (double)store_figure(report, store, 1)),
		       human_size(most,
				  (double)store_figure(report, store, 2)));
	}
}

static void
print_figure(const struct report *report, size_t i)
{
	time_t number = (time_t)figure(report, i);
	char text[64] = "unknown";
	struct tm tm;

	switch (figures[i].kind) {
	case KIND_COUNT:
		snprintf(text, sizeof(text), "%lld", (long long)number);
		break;
	case KIND_BYTES:
		human_size(text, (double)number);
		break;
	case KIND_TIME:
		if (localtime_r(&number, &tm))
			strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
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
}

/* ---- JSON -------------------------------------------------------------- */

static void
add_stores(struct json *json, const struct report *report)
{
	struct bytes text = report->metrics, store;

	json_name(json, "stores");
	json_array_begin(json);
	while (next_store(&text, &store)) {
		json_object_begin(json);
		json_name(json, "name");
		json_text(json, store);
		for (size_t i = 0; i < ARRAY_LEN(store_figures); i++) {
			json_name(json, store_figures[i].name);
			json_u64(json, store_figure(report, store, i));
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
		add_stores(json, report);
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
