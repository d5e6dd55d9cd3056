/* SPDX-License-Identifier: MIT */
/*
 * /metrics: Prometheus text exposition format, version 0.0.4.
 *
 * Workers count on their own, without a locked instruction; what is shown is
 * summed up here, when it is asked for. Labels are route templates, stores
 * and workers, never paths, keys or clients.
 */
#include <stdio.h>
#include <unistd.h>

#include "core/clock.h"
#include "http/metrics.h"
#include "http/reply.h"
#include "http/request.h"
#include "http/shard.h"

/* Two thousand routes with their histograms have 6 MiB. */
enum { METRICS_MAX = 16 << 20 };

/* ---- writing ------------------------------------------------------------ */

void
metrics_head(struct buffer *out, const char *name, const char *type,
	     const char *help)
{
	buffer_addf(out, "# HELP jackdaw_%s %s\n# TYPE jackdaw_%s %s\n", name,
		    help, name, type);
}

static void
single(struct buffer *out, const char *name, const char *type, const char *help,
       uint64_t value)
{
	metrics_head(out, name, type, help);
	buffer_addf(out, "jackdaw_%s %llu\n", name, (unsigned long long)value);
}

/* ---- requests ----------------------------------------------------------- */

static void
labels_of(const struct action *action, char *out, size_t size)
{
	snprintf(out, size, "route=\"%s\",method=\"%s\",op=\"%s\"",
		 action->index == ACTION_NONE
			 ? "none"
			 : resource_template(action->resource),
		 action->index == ACTION_NONE ? "other"
					      : method_name(action->method),
		 action->op);
}

static uint64_t
sum_requests(struct server *server, unsigned action, unsigned status)
{
	uint64_t sum = 0;

	for (unsigned w = 0; w < sched_workers(server->sched); w++)
		sum += metrics_load(
			&server->locals[w].requests[action][status]);
	return sum;
}

/* Series appear with their first request: thirty routes by thirty
 * statuses would be mostly zeros. */
static void
put_requests(struct buffer *out, struct server *server)
{
	char labels[128];

	metrics_head(
		out, "http_requests_total", "counter",
		"Requests ended, by route and status; status 0: the client left.");
	for (unsigned a = 0; a < ACTION_COUNT; a++) {
		labels_of(action_at((enum action_index)a), labels,
			  sizeof(labels));
		for (unsigned s = 0; s < STATUS_COUNT; s++) {
			uint64_t n = sum_requests(server, a, s);

			if (n)
				buffer_addf(
					out,
					"jackdaw_http_requests_total{%s,"
					"status=\"%u\"} %llu\n",
					labels,
					status_at((enum status_index)s)->number,
					(unsigned long long)n);
		}
	}
}

void
metrics_histogram(struct buffer *out, const char *name, const char *labels,
		  const struct histogram *histogram)
{
	const char *comma = labels[0] ? "," : "";
	uint64_t below = 0;

	for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
		below += histogram->buckets[i];
		buffer_addf(out, "jackdaw_%s_bucket{%s%sle=\"%.9g\"} %llu\n",
			    name, labels, comma, histogram_bucket_le(i),
			    (unsigned long long)below);
	}
	buffer_addf(out,
		    "jackdaw_%s_bucket{%s%sle=\"+Inf\"} %llu\n"
		    "jackdaw_%s_sum{%s} %.9f\njackdaw_%s_count{%s} %llu\n",
		    name, labels, comma, (unsigned long long)histogram->count,
		    name, labels, metrics_seconds(histogram->sum_ns), name,
		    labels, (unsigned long long)histogram->count);
}

static void
put_durations(struct buffer *out, struct server *server)
{
	char labels[128];

	metrics_head(out, "http_request_duration_seconds", "histogram",
		     "From the request line to the end of the reply.");
	for (unsigned a = 0; a < ACTION_COUNT; a++) {
		struct histogram sum = { 0 };

		for (unsigned w = 0; w < sched_workers(server->sched); w++)
			histogram_sum(&sum, &server->locals[w].duration[a]);
		if (!sum.count)
			continue;
		labels_of(action_at((enum action_index)a), labels,
			  sizeof(labels));
		metrics_histogram(out, "http_request_duration_seconds", labels,
				  &sum);
	}
}

static void
put_connections(struct buffer *out, struct server *server)
{
	uint64_t begun = 0, ended = 0, body = 0;

	for (unsigned w = 0; w < sched_workers(server->sched); w++) {
		/* Ended first: what is in flight never looks negative. */
		ended += metrics_load(&server->locals[w].ended);
		ck_pr_fence_load();
		begun += metrics_load(&server->locals[w].begun);
		body += metrics_load(&server->locals[w].body_bytes);
	}
	metrics_head(out, "http_connections", "gauge",
		     "Open connections, by shard.");
	for (unsigned i = 0; i < server->shard_count; i++)
		buffer_addf(out, "jackdaw_http_connections{shard=\"%u\"} %u\n",
			    i, shard_connections(server->shards[i]));
	single(out, "http_requests_in_flight", "gauge",
	       "Requests begun and not yet ended.",
	       begun > ended ? begun - ended : 0);
	single(out, "http_request_body_bytes_total", "counter",
	       "Bytes of request bodies.", body);
	single(out, "http_body_memory_bytes", "gauge",
	       "Memory that holds request bodies above 4 KiB.",
	       metrics_load(&server->body_memory));
}

/* ---- scheduler ---------------------------------------------------------- */

static const struct {
	const char *name, *help;
	size_t offset;
} sched_counters[] = {
	{ "sched_tasks_total", "Tasks run.",
	  offsetof(struct sched_stats, tasks) },
	{ "sched_steals_total", "Tasks taken from another worker's queue.",
	  offsetof(struct sched_stats, stolen) },
	{ "sched_source_runs_total", "Runs of shards and listeners.",
	  offsetof(struct sched_stats, source_runs) },
	{ "sched_sources_helped_total", "Runs of another worker's shard.",
	  offsetof(struct sched_stats, sources_helped) },
	{ "sched_parks_total", "Times that a worker went to sleep.",
	  offsetof(struct sched_stats, parks) },
	{ "sched_wakes_total", "Wake-ups sent to other workers.",
	  offsetof(struct sched_stats, wakes) },
	{ "sched_overflows_total", "Tasks that went to the injector.",
	  offsetof(struct sched_stats, overflows) },
};

static void
put_sched(struct buffer *out, struct server *server)
{
	unsigned workers = sched_workers(server->sched);
	struct sched_stats stats[64] = { 0 };

	assert(workers <= ARRAY_LEN(stats));
	for (unsigned w = 0; w < workers; w++)
		sched_stats(server->sched, w, &stats[w]);
	for (unsigned i = 0; i < ARRAY_LEN(sched_counters); i++) {
		metrics_head(out, sched_counters[i].name, "counter",
			     sched_counters[i].help);
		for (unsigned w = 0; w < workers; w++) {
			const char *at = (const char *)&stats[w] +
					 sched_counters[i].offset;
			uint64_t value;

			memcpy(&value, at, sizeof(value));
			buffer_addf(out, "jackdaw_%s{worker=\"%u\"} %llu\n",
				    sched_counters[i].name, w,
				    (unsigned long long)value);
		}
	}
	metrics_head(out, "sched_queue_wait_seconds_total", "counter",
		     "Time that tasks waited to be run.");
	for (unsigned w = 0; w < workers; w++)
		buffer_addf(out,
			    "jackdaw_sched_queue_wait_seconds_total{"
			    "worker=\"%u\"} %.9f\n",
			    w, metrics_seconds(stats[w].queue_wait_ns));
	metrics_head(out, "sched_queue_wait_max_seconds", "gauge",
		     "The longest that a task waited since the start.");
	for (unsigned w = 0; w < workers; w++)
		buffer_addf(out,
			    "jackdaw_sched_queue_wait_max_seconds{"
			    "worker=\"%u\"} %.9f\n",
			    w, metrics_seconds(stats[w].queue_wait_max_ns));
	metrics_head(out, "sched_busy_seconds_total", "counter",
		     "Time that a worker was not parked.");
	for (unsigned w = 0; w < workers; w++)
		buffer_addf(out,
			    "jackdaw_sched_busy_seconds_total{worker=\"%u\"} "
			    "%.9f\n",
			    w, metrics_seconds(stats[w].busy_ns));
}

/* ---- caches ------------------------------------------------------------- */

static void
put_caches(struct buffer *out, struct server *server)
{
	uint64_t hits = 0, misses = 0, evictions = 0, bytes = 0, entries = 0;

	for (unsigned w = 0; w < sched_workers(server->sched); w++) {
		const struct cache *cache = &server->locals[w].cache;

		hits += metrics_load(&cache->hits);
		misses += metrics_load(&cache->misses);
		evictions += metrics_load(&cache->evictions);
		bytes += metrics_load((const uint64_t *)&cache->used);
		entries += metrics_load((const uint64_t *)&cache->count);
	}
	single(out, "cache_hits_total", "counter",
	       "Reads answered from a worker's cache.", hits);
	single(out, "cache_misses_total", "counter",
	       "Reads that went to the store.", misses);
	single(out, "cache_evictions_total", "counter",
	       "Replies dropped to make room.", evictions);
	single(out, "cache_bytes", "gauge", "Memory of kept replies.", bytes);
	single(out, "cache_entries", "gauge", "Kept replies.", entries);
}

/* ---- stores ------------------------------------------------------------- */

struct store_figures {
	const char *name;
	struct lane_stats lane;
	struct kv_stats kv;
};

/* One family: a line for each store, the value at offset. */
static void
family(struct buffer *out, const struct store_figures *stores, unsigned count,
       const char *name, const char *type, const char *help, size_t offset,
       bool ns)
{
	metrics_head(out, name, type, help);
	for (unsigned i = 0; i < count; i++) {
		uint64_t value;

		memcpy(&value, (const char *)&stores[i] + offset,
		       sizeof(value));
		if (ns)
			buffer_addf(out, "jackdaw_%s{store=\"%s\"} %.9f\n",
				    name, stores[i].name,
				    metrics_seconds(value));
		else
			buffer_addf(out, "jackdaw_%s{store=\"%s\"} %llu\n",
				    name, stores[i].name,
				    (unsigned long long)value);
	}
}

#define LANE(member) offsetof(struct store_figures, lane.member)
#define KV(member) offsetof(struct store_figures, kv.member)

static const struct {
	const char *name, *type, *help;
	size_t offset;
	bool ns;
} store_families[] = {
	{ "lane_batches_total", "counter", "Commits.", LANE(batches), false },
	{ "lane_items_total", "counter", "Requests committed.", LANE(items),
	  false },
	{ "lane_operations_total", "counter", "Operations committed.",
	  LANE(ops), false },
	{ "lane_bytes_total", "counter", "Bytes of keys and values written.",
	  LANE(bytes), false },
	{ "lane_refused_total", "counter",
	  "Requests refused because others waited too long.", LANE(refused),
	  false },
	{ "lane_failed_total", "counter", "Requests whose commit failed.",
	  LANE(failed), false },
	{ "lane_commit_seconds_total", "counter",
	  "Time spent applying, committing and syncing.", LANE(commit_ns),
	  true },
	{ "lane_sync_seconds_total", "counter",
	  "The part of it in commit and sync.", LANE(sync_ns), true },
	{ "lane_waiting", "gauge", "Requests that wait for their commit.",
	  LANE(waiting), false },
	{ "lane_queue_age_seconds", "gauge",
	  "How long the oldest of the last batch had waited.", LANE(age_ns),
	  true },
	{ "store_entries", "gauge",
	  "Keys, those expired and not yet swept "
	  "included.",
	  KV(entries), false },
	{ "store_live_bytes", "gauge", "Pages in use by keys and values.",
	  KV(live_bytes), false },
	{ "store_max_bytes", "gauge", "The store's max_size.", KV(max_size),
	  false },
	{ "store_map_used_bytes", "gauge", "Pages of the file in use.",
	  KV(map_used), false },
	{ "store_map_bytes", "gauge", "Size of the map.", KV(map_size), false },
	{ "store_evicted_total", "counter", "Keys evicted to make room.",
	  KV(evicted), false },
	{ "store_expired_total", "counter", "Expired keys swept.", KV(expired),
	  false },
	{ "store_oldest_reader_commits", "gauge",
	  "Commits since the oldest snapshot in use.", KV(oldest_reader),
	  false },
};

/* Bucket i of a lane's histogram holds what is below its bound, above the
 * one before. */
static void
put_lane_histogram(struct buffer *out, const struct store_figures *store,
		   const char *name, const uint64_t buckets[LANE_BUCKETS],
		   double first, double sum)
{
	uint64_t below = 0;
	double bound = first;

	for (unsigned i = 0; i < LANE_BUCKETS - 1; i++, bound *= 2) {
		below += buckets[i];
		buffer_addf(out,
			    "jackdaw_%s_bucket{store=\"%s\",le=\"%.9g\"} "
			    "%llu\n",
			    name, store->name, bound,
			    (unsigned long long)below);
	}
	below += buckets[LANE_BUCKETS - 1];
	buffer_addf(out,
		    "jackdaw_%s_bucket{store=\"%s\",le=\"+Inf\"} %llu\n"
		    "jackdaw_%s_sum{store=\"%s\"} %.9f\n"
		    "jackdaw_%s_count{store=\"%s\"} %llu\n",
		    name, store->name, (unsigned long long)below, name,
		    store->name, sum, name, store->name,
		    (unsigned long long)below);
}

static void
put_stores(struct buffer *out, struct server *server)
{
	struct store_figures stores[CONFIG_STORES_MAX];
	unsigned count = server_store_count(server);

	for (unsigned i = 0; i < count; i++) {
		stores[i].name = kv_name(server->stores[i]);
		lane_stats(kv_lane(server->stores[i]), &stores[i].lane);
		kv_stats(server->stores[i], &stores[i].kv);
	}
	for (unsigned i = 0; i < ARRAY_LEN(store_families); i++)
		family(out, stores, count, store_families[i].name,
		       store_families[i].type, store_families[i].help,
		       store_families[i].offset, store_families[i].ns);
	metrics_head(out, "store_readers", "gauge",
		     "Snapshots that may be open.");
	for (unsigned i = 0; i < count; i++)
		buffer_addf(out, "jackdaw_store_readers{store=\"%s\"} %u\n",
			    stores[i].name, stores[i].kv.readers);
	metrics_head(out, "store_full", "gauge",
		     "1 while writes are answered 507.");
	for (unsigned i = 0; i < count; i++)
		buffer_addf(out, "jackdaw_store_full{store=\"%s\"} %u\n",
			    stores[i].name, (unsigned)stores[i].kv.full);
	metrics_head(out, "lane_batch_size", "histogram",
		     "Requests of one commit.");
	for (unsigned i = 0; i < count; i++)
		put_lane_histogram(out, &stores[i], "lane_batch_size",
				   stores[i].lane.batch_items, 1,
				   (double)stores[i].lane.items);
	metrics_head(out, "lane_commit_duration_seconds", "histogram",
		     "Applying, committing and syncing one batch.");
	for (unsigned i = 0; i < count; i++)
		put_lane_histogram(out, &stores[i],
				   "lane_commit_duration_seconds",
				   stores[i].lane.commit_time, 50e-6,
				   metrics_seconds(stores[i].lane.commit_ns));
}

/* ---- process ------------------------------------------------------------ */

static uint64_t
resident_bytes(void)
{
	unsigned long long size, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (!file)
		return 0;
	if (fscanf(file, "%llu %llu", &size, &resident) != 2)
		resident = 0;
	fclose(file);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void
put_process(struct buffer *out, struct server *server)
{
	struct timespec cpu;

	metrics_head(out, "build_info", "gauge", "The version that runs.");
	buffer_addf(out, "jackdaw_build_info{version=\"%s\"} 1\n", VERSION);
	single(out, "start_time_seconds", "gauge", "When it started.",
	       server->started_ms / 1000);
	single(out, "workers", "gauge", "Worker threads.",
	       sched_workers(server->sched));
	single(out, "resident_memory_bytes", "gauge", "Memory in use.",
	       resident_bytes());
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	metrics_head(out, "cpu_seconds_total", "counter",
		     "Processor time used.");
	buffer_addf(out, "jackdaw_cpu_seconds_total %.9f\n",
		    (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
}

void
ops_metrics(struct request *request)
{
	struct server *server = local_self()->server;
	struct reply reply;
	struct buffer out;

	buffer_init(&out, METRICS_MAX);
	put_process(&out, server);
	put_connections(&out, server);
	put_requests(&out, server);
	put_durations(&out, server);
	put_sched(&out, server);
	put_caches(&out, server);
	put_stores(&out, server);
	metrics_services(&out, server, local_self()->catalog);
	reply_begin(&reply, request, 200);
	reply_header(&reply, "Content-Type",
		     bytes_of("text/plain; version=0.0.4; charset=utf-8"));
	reply_header(&reply, "Cache-Control", bytes_of("no-store"));
	reply_send_buffer(&reply, &out);
}
