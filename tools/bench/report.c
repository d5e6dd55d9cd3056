/* SPDX-License-Identifier: MIT */
#include "tools/bench/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/json.h"
#include "tools/bench/live.h"
#include "tools/out.h"
#include "tools/table.h"

static const struct {
	double percent;
	const char *name, *json;
} percentiles[] = {
	{ 50, "p50", "p50" },          { 75, "p75", "p75" },
	{ 90, "p90", "p90" },          { 95, "p95", "p95" },
	{ 99, "p99", "p99" },          { 99.9, "p99.9", "p99_9" },
	{ 99.99, "p99.99", "p99_99" },
};

double
report_rate(const struct load *load)
{
	const struct tally *tally = load->tally;

	return tally->window_ns ? (double)tally->replies * NS_PER_S /
					  (double)tally->window_ns
				: 0;
}

double
report_cpu_ns(const struct load *load)
{
	const struct tally *tally = load->tally;

	return tally->replies ? (double)tally->cpu_ns / (double)tally->replies
			      : 0;
}

/* ---- JSON ---------------------------------------------------------------- */

static void
add_us(struct json *json, const char *name, double ns)
{
	json_name(json, name);
	json_fixed(json, ns / NS_PER_US, 1);
}

static void
add_count(struct json *json, const char *name, uint64_t count)
{
	json_name(json, name);
	json_u64(json, count);
}

static void
add_count_or_null(struct json *json, const char *name, uint64_t count)
{
	json_name(json, name);
	if (count)
		json_u64(json, count);
	else
		json_none(json);
}

static void
add_latency(struct json *json, const struct spread *latency)
{
	json_name(json, "latency_us");
	if (latency->count == 0) {
		json_none(json);
		return;
	}
	json_object_begin(json);
	add_us(json, "min", (double)latency->min);
	add_us(json, "mean", spread_mean(latency));
	for (size_t i = 0; i < ARRAY_LEN(percentiles); i++)
		add_us(json, percentiles[i].json,
		       (double)spread_percentile(latency,
						 percentiles[i].percent));
	add_us(json, "max", (double)latency->max);
	json_object_end(json);
}

static void
add_late(struct json *json, const struct load *load)
{
	const struct spread *late = &load->tally->late;

	json_name(json, "late_us");
	if (!load->rate) {
		json_none(json);
		return;
	}
	json_object_begin(json);
	add_us(json, "p99", (double)spread_percentile(late, 99));
	add_us(json, "max", (double)late->max);
	json_object_end(json);
}

static void
add_counts(struct json *json, const struct tally *tally)
{
	char status[4];

	add_count(json, "requests", tally->requests);
	add_count(json, "errors", tally->errors);
	add_count(json, "unsent", tally->unsent);
	json_name(json, "statuses");
	json_object_begin(json);
	for (unsigned i = 100; i < STATUS_END; i++) {
		if (!tally->statuses[i])
			continue;
		snprintf(status, sizeof(status), "%u", i);
		add_count(json, status, tally->statuses[i]);
	}
	json_object_end(json);
	json_name(json, "transport_errors");
	json_object_begin(json);
	for (unsigned i = 0; i < TROUBLE_COUNT; i++)
		add_count(json, trouble_text(i), tally->troubles[i]);
	json_object_end(json);
	add_count(json, "reconnects", tally->reconnects);
	add_count(json, "bytes_in", tally->bytes_in);
	add_count(json, "bytes_out", tally->bytes_out);
}

static void
kind_name(struct buffer *name, const struct kind *kind)
{
	buffer_clear(name);
	buffer_addf(name, "%s %s", kind->method, kind->path);
}

static void
add_text(struct json *json, struct bytes text)
{
	static const struct bytes unknown = { "?", 1 };

	/* The command line need not be UTF-8. */
	json_text(json, json_is_utf8(text) ? text : unknown);
}

static void
add_kind(struct json *json, const struct kind *kind,
	 const struct tally_kind *tally, struct buffer *name)
{
	kind_name(name, kind);
	json_object_begin(json);
	json_name(json, "request");
	add_text(json, (struct bytes){ name->data, name->len });
	add_count(json, "weight", kind->weight);
	add_count(json, "requests", tally->requests);
	add_count(json, "errors", tally->errors);
	add_latency(json, &tally->latency);
	json_object_end(json);
}

static void
add_kinds(struct json *json, const struct plan *plan, const struct tally *tally)
{
	struct buffer name;

	buffer_init(&name, TEMPLATE_MAX);
	json_name(json, "kinds");
	json_array_begin(json);
	for (unsigned i = 0; i < plan->kind_count; i++)
		add_kind(json, &plan->kinds[i], &tally->kinds[i], &name);
	json_array_end(json);
	buffer_fini(&name);
}

static void
add_load(struct json *json, const struct plan *plan, const struct load *load)
{
	const struct tally *tally = load->tally;

	json_name(json, "url");
	add_text(json, bytes_of(plan->name));
	json_name(json, "mode");
	json_text(json, bytes_of(load->rate ? "open" : "closed"));
	add_count_or_null(json, "rate", load->rate);
	add_count(json, "connections", plan->connections);
	add_count(json, "threads", load->threads);
	json_name(json, "duration_s");
	json_fixed(json, (double)tally->window_ns / NS_PER_S, 3);
	add_counts(json, tally);
	json_name(json, "requests_per_s");
	json_fixed(json, report_rate(load), 1);
	json_name(json, "client_cpu_us_per_request");
	json_fixed(json, report_cpu_ns(load) / NS_PER_US, 3);
	add_latency(json, load->latency);
	add_late(json, load);
	add_kinds(json, plan, tally);
}

bool
report_json(const struct plan *plan, const struct load *load,
	    uint64_t found_rate)
{
	enum { REPORT_MAX = 64 << 20 };
	struct buffer out;
	struct json json;
	bool good;

	buffer_init(&out, REPORT_MAX);
	json_begin(&json, &out);
	json_object_begin(&json);
	add_load(&json, plan, load);
	add_count_or_null(&json, "found_rate", found_rate);
	json_object_end(&json);
	buffer_add(&out, "\n", 1);
	good = !out.err;
	if (good)
		out_bytes((struct bytes){ out.data, out.len });
	else
		say("%s", err_text(out.err));
	buffer_fini(&out);
	return good;
}

/* ---- text ---------------------------------------------------------------- */

static void
print_head(const struct plan *plan, const struct load *load)
{
	char duration[LATENCY_SIZE];

	printf("%s, ", plan->name);
	if (load->rate)
		printf("open loop at %" PRIu64 "/s", load->rate);
	else
		printf("closed loop");
	printf(", %u connection%s, %u thread%s, %s\n\n", plan->connections,
	       plan->connections == 1 ? "" : "s", load->threads,
	       load->threads == 1 ? "" : "s",
	       latency_text(duration, (double)load->tally->window_ns));
}

static void
print_statuses(const struct tally *tally)
{
	const char *before = "statuses    ";

	for (unsigned i = 100; i < STATUS_END; i++) {
		if (!tally->statuses[i])
			continue;
		printf("%s%u: %" PRIu64, before, i, tally->statuses[i]);
		before = ", ";
	}
	if (*before == ',')
		putchar('\n');
}

static void
print_errors(const struct tally *tally)
{
	const char *before = " (";

	printf("errors      %" PRIu64, tally->errors);
	for (unsigned i = 0; i < TROUBLE_COUNT; i++) {
		if (!tally->troubles[i])
			continue;
		printf("%s%s: %" PRIu64, before, trouble_text(i),
		       tally->troubles[i]);
		before = ", ";
	}
	puts(*before == ',' ? ")" : "");
}

static void
print_late(const struct load *load)
{
	const struct spread *late = &load->tally->late;
	uint64_t p99 = spread_percentile(late, 99);
	char first[LATENCY_SIZE], second[LATENCY_SIZE];

	printf("late        p99 %s, max %s: how much later than it could the "
	       "generator sent\n",
	       latency_text(first, (double)p99),
	       latency_text(second, (double)late->max));
	/* Half of what was measured is the generator's own. */
	if (p99 > NS_PER_MS && p99 > spread_percentile(load->latency, 99) / 2)
		puts("            The generator could not keep up: this says "
		     "more of it than of the server.");
}

static void
print_counts(const struct load *load)
{
	const struct tally *tally = load->tally;
	char in[HUMAN_SIZE], out[HUMAN_SIZE];

	printf("requests    %" PRIu64 ", %.1f/s\n", tally->requests,
	       report_rate(load));
	print_errors(tally);
	print_statuses(tally);
	if (tally->unsent)
		printf("unsent      %" PRIu64 ": were due, and no connection "
		       "was free: the server, or their number, did not "
		       "keep up\n",
		       tally->unsent);
	if (tally->reconnects)
		printf("reconnects  %" PRIu64 "\n", tally->reconnects);
	printf("bytes       %s received, %s sent\n",
	       human_size(in, (double)tally->bytes_in),
	       human_size(out, (double)tally->bytes_out));
	printf("client CPU  %.2f us a request\n",
	       report_cpu_ns(load) / NS_PER_US);
	if (load->rate)
		print_late(load);
	putchar('\n');
}

/* "-" where nothing was measured. */
static void
add_cell(struct table *table, const struct spread *latency, double ns)
{
	char text[LATENCY_SIZE];

	table_cell(table,
		   bytes_of(latency->count ? latency_text(text, ns) : "-"),
		   ALIGN_RIGHT);
}

static void
add_row(struct table *table, const char *name, const struct tally_kind *kind)
{
	const struct spread *latency = &kind->latency;

	table_cell(table, bytes_of(name), ALIGN_LEFT);
	table_number(table, (int64_t)kind->requests);
	table_number(table, (int64_t)kind->errors);
	add_cell(table, latency, spread_mean(latency));
	for (size_t i = 0; i < ARRAY_LEN(percentiles); i++)
		add_cell(table, latency,
			 (double)spread_percentile(latency,
						   percentiles[i].percent));
	add_cell(table, latency, (double)latency->max);
}

static bool
name_columns(struct table *table)
{
	bool good = table_column(table, bytes_of("request")) &&
		    table_column(table, bytes_of("requests")) &&
		    table_column(table, bytes_of("errors")) &&
		    table_column(table, bytes_of("mean"));

	for (size_t i = 0; i < ARRAY_LEN(percentiles); i++)
		good = good &&
		       table_column(table, bytes_of(percentiles[i].name));
	return good && table_column(table, bytes_of("max"));
}

/* All kinds together, in the form of one. */
static void
add_sum(struct table *table, const struct load *load)
{
	struct tally_kind *sum = calloc(1, sizeof(*sum));

	if (!sum)
		return;
	sum->requests = load->tally->requests;
	sum->errors = load->tally->errors;
	spread_merge(&sum->latency, load->latency);
	add_row(table, "all", sum);
	free(sum);
}

static bool
print_kinds(const struct plan *plan, const struct load *load)
{
	struct table table;
	struct buffer name;
	bool good;

	table_init(&table, 0);
	buffer_init(&name, TEMPLATE_MAX);
	good = name_columns(&table);
	for (unsigned i = 0; good && i < plan->kind_count; i++) {
		kind_name(&name, &plan->kinds[i]);
		buffer_add(&name, "", 1);
		add_row(&table, name.err ? "?" : name.data,
			&load->tally->kinds[i]);
	}
	if (good && plan->kind_count > 1)
		add_sum(&table, load);
	good = good && table_end(&table);
	buffer_fini(&name);
	table_fini(&table);
	return good;
}

/* ---- the histogram ------------------------------------------------------- */

/* From 0: 1, 2, 5, 10, 20... us, in ns. */
static uint64_t
next_edge(uint64_t edge)
{
	uint64_t power = 1;

	if (edge == 0)
		return NS_PER_US;
	while (power <= edge / 10)
		power *= 10;
	return edge / power == 2 ? edge / 2 * 5 : edge * 2;
}

static void
print_bar(const struct spread *latency, uint64_t low, uint64_t high,
	  uint64_t most)
{
	enum { WIDTH = 50 };
	uint64_t count = spread_between(latency, low, high);
	char edge[LATENCY_SIZE];
	/* What is there is seen. */
	int width = (int)((count * WIDTH + most - 1) / most);

	printf("%10s  %9.4f%%  ", latency_text(edge, (double)high),
	       100.0 * (double)count / (double)latency->count);
	while (width-- > 0)
		putchar('#');
	putchar('\n');
}

/* How many, up to each edge. */
static void
print_histogram(const struct spread *latency)
{
	uint64_t first = 0, low, high, most = 1;

	if (latency->count == 0)
		return;
	for (high = NS_PER_US; high < latency->min; high = next_edge(high))
		first = high;
	for (low = first, high = next_edge(low); low < latency->max;
	     low = high, high = next_edge(high)) {
		uint64_t count = spread_between(latency, low, high);

		most = count > most ? count : most;
	}
	printf("\nlatency up to   requests\n");
	for (low = first, high = next_edge(low); low < latency->max;
	     low = high, high = next_edge(high))
		print_bar(latency, low, high, most);
}

bool
report_text(const struct plan *plan, const struct load *load)
{
	text_begin();
	print_head(plan, load);
	print_counts(load);
	if (!print_kinds(plan, load))
		return false;
	print_histogram(load->latency);
	return true;
}
