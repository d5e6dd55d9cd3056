/* SPDX-License-Identifier: MIT */
/*
 * Where a route runs.
 *
 *	in the cache	the reply is current: nothing is run
 *	in place	reads that are known, or hoped, to be short: on the
 *			worker, with a limit of steps; what goes beyond it is
 *			run again elsewhere
 *	on a fiber	the other reads: sliced, beside the worker's requests
 *	slow thread	reads that do not slice: large sorts, large scalars
 *	committer	writes, many requests to one commit
 *
 * Which of them is not guessed from the text. A worker keeps a running mean of
 * what a route's runs cost; that one of them did not slice is kept for all.
 */
#include "http/service/run.h"

#include "core/clock.h"
#include "http/reply.h"
#include "http/service/flight.h"
#include "http/service/replies.h"
#include "http/sql/care.h"
#include "http/sql/sql_reply.h"

enum {
	/* 20 to 40 ns a step: what takes longer than IN_PLACE_NS is stopped
	 * soon after. */
	IN_PLACE_STEPS = 4000,
	/* Of rows that go into a sorter, on a fiber: some 5 ms; the sort
	 * itself, which is one step, takes less than half of that. */
	SORT_STEPS = 100000,
	/* The mean's weight of a new run is one in so many. */
	COST_WEIGHT = 8,
	/* Runs on slow threads until a fiber is tried again. */
	SLOW_RUNS = 200,
};
/* Half a turn: two short statements in a row do not make a worker late. */
#define IN_PLACE_NS (100 * NS_PER_US)
/* A piece of this length, between two looks of the progress handler, shows
 * that a statement does not slice. */
#define PIECE_MAX_NS (2 * NS_PER_MS)
/* Replies that cost more than this are shared between the workers. */
#define DEAR_NS NS_PER_MS

/* See struct route_counters. */
static unsigned *
slow_runs_of(const struct route *route) ON_WORKER
{
	unsigned workers = sched_workers(local_self()->server->sched);

	return &route->counters[workers]->slow_runs;
}

static struct sql *
sql_of(const struct run *run)
{
	return run->route->service->tenant->sql;
}

static uint64_t
timeout_ns(const struct route *route)
{
	uint64_t ms = route->spec->timeout_ms
			      ? route->spec->timeout_ms
			      : route->service->spec.settings.timeout_ms;

	return ms * NS_PER_MS;
}

/* ---- what was learnt ----------------------------------------------------- */

static void
learn(struct route_counters *counters, const struct run *run) ON_WORKER
{
	uint64_t cost = counters->cost_ns;
	unsigned *slow;

	counter_add(&counters->runs, 1);
	counter_add(&counters->rows, run->rows_seen);
	counter_add(&counters->run_ns, run->run_ns);
	if (run->run_ns > counters->run_max_ns)
		ck_pr_store_64(&counters->run_max_ns, run->run_ns);
	if (!cost)
		counters->cost_ns = run->run_ns;
	else
		counters->cost_ns =
			cost - cost / COST_WEIGHT + run->run_ns / COST_WEIGHT;
	slow = slow_runs_of(run->route);
	if (run->longest_ns > PIECE_MAX_NS || run->moved)
		ck_pr_store_uint(slow, SLOW_RUNS);
	else if (run->was_slow && ck_pr_load_uint(slow))
		/* Two at once may count one: it is an estimate. */
		ck_pr_store_uint(slow, ck_pr_load_uint(slow) - 1);
}

/* Statements that were run, whatever became of the request. */
static void
count_care(struct run *run) ON_WORKER
{
	const struct route *route = run->route;
	const struct tenant *tenant = route->service->tenant;

	for (unsigned i = 0; i < run->ops_run; i++) {
		const struct statement *statement = &route->statements[i];

		care_count(&(struct care_run){
			.id = statement->care,
			.database = tenant->name,
			.route = route->name,
			.text = &statement->text,
			.sql = tenant->sql,
			.catalog = run->request->catalog,
			.ns = run->op_ns[i],
			.rows = run->op_rows[i],
		});
	}
}

/* ---- keeping ------------------------------------------------------------- */

static struct kept_reply *
make_kept(struct run *run)
{
	const struct request *request = run->request;

	return kept_reply_create(&(struct reply_parts){
		.generation = request->catalog->generation,
		.route = run->route,
		.etag = run->tag,
		.run_ns = run->run_ns,
		.rows = run->rows_seen,
		.status = run->route->spec->status,
		.deps = &run->deps,
		.key = reply_key(request),
		.location = { run->location.data, run->location.len },
		.body = { run->body.data, run->body.len },
	});
}

static bool
is_keepable(const struct run *run)
{
	return !run->err && run->tag && !run->not_modified;
}

/* Into the cache of the worker that answers. */
static void
keep(struct run *run) ON_WORKER
{
	struct local *local = local_self();
	uint64_t hash;

	if (!is_keepable(run))
		return;
	hash = reply_key_hash(reply_key(run->request));
	reply_length_note(local->server->lengths, hash, run->tag,
			  run->body.len);
	if (!cache_wants(&local->cache, hash))
		return;
	if (!run->kept)
		run->kept = make_kept(run);
	if (run->kept)
		replies_keep(local, run->kept);
}

static void
finish_read(struct request *request) ON_WORKER
{
	struct run *run = request->work;

	run_uncount(run);
	if (!run->not_modified)
		learn(run_counters(run->route), run);
	count_care(run);
	keep(run);
	answer_send(run);
}

/* ---- in place ------------------------------------------------------------ */

/* False: it has to run elsewhere. */
static bool
try_in_place(struct run *run) ON_WORKER
{
	struct route_counters *counters = run_counters(run->route);
	struct sql_reader *reader;

	if (ck_pr_load_uint(slow_runs_of(run->route)) ||
	    counters->cost_ns > IN_PLACE_NS)
		return false;
	reader = sql_reader_try_take(sql_of(run), &run->err);
	if (!reader)
		return false;
	run->limits = (struct sql_limits){ .steps = IN_PLACE_STEPS };
	run_read_rows(run, reader);
	if (run->err == ERR_STEPS) {
		counters->cost_ns = 2 * IN_PLACE_NS;
		return false;
	}
	counter_add(&counters->in_place, 1);
	finish_read(run->request);
	return true;
}

/* ---- elsewhere ----------------------------------------------------------- */

/* Back to the shard, with what others wait for. The request is no longer ours
 * at the end. */
static void
post(struct run *run)
{
	struct server *server = run_server(run);
	bool dear = run->run_ns > DEAR_NS;

	if (is_keepable(run) && (run->leads || dear))
		run->kept = make_kept(run);
	if (run->leads)
		flight_land(server->flights, run->request, run->kept);
	run->leads = false;
	if (run->kept && dear)
		shared_replies_put(server, run->kept);
	request_post(run->request, finish_read);
}

static void
fail_busy(struct run *run, enum err err)
{
	run->err = err == ERR_DEADLINE ? ERR_OVERLOADED : err;
	run->error.err = ERR_OK;
	run->run_ns = 0;
	run->tag = 0;
	run->ops_run = 0;
}

static void
read_on_slow(struct request *request)
{
	struct run *run = request->work;
	struct sql_reader *reader;
	enum err err;

	run->was_slow = true;
	reader = sql_reader_take(sql_of(run), run->deadline_ns, &err);
	run->limits = (struct sql_limits){ .deadline_ns = run->deadline_ns,
					   .cancel = &request->cancelled };
	if (reader)
		run_read_rows(run, reader);
	else
		fail_busy(run, err);
	post(run);
}

static void
read_on_fiber(struct request *request)
{
	struct run *run = request->work;
	struct sql_reader *reader;
	enum err err;

	reader = sql_reader_take(sql_of(run), run->deadline_ns, &err);
	run->limits = (struct sql_limits){ .deadline_ns = run->deadline_ns,
					   .sort_steps = SORT_STEPS,
					   .cancel = &request->cancelled,
					   .slices = true };
	if (reader)
		run_read_rows(run, reader);
	else
		fail_busy(run, err);
	if (run->err == ERR_STEPS) {
		run->moved = true;
		if (!request_pass_slow(request, read_on_slow))
			return;
		fail_busy(run, ERR_OVERLOADED);
	}
	post(run);
}

static void
count_place(struct run *run) ON_WORKER
{
	struct route_counters *counters = run_counters(run->route);

	if (run->was_slow)
		counter_add(&counters->on_slow, 1);
	else
		counter_add(&counters->on_fiber, 1);
}

/* No statement more, or no thread for it: answered, and those who wait run
 * for themselves. */
static void
give_up(struct run *run) ON_WORKER
{
	struct request *request = run->request;

	if (run->leads)
		flight_land(local_self()->server->flights, request, NULL);
	run->leads = false;
	run_uncount(run);
}

static void
go_elsewhere(struct run *run) ON_WORKER
{
	struct request *request = run->request;

	run->was_slow = ck_pr_load_uint(slow_runs_of(run->route)) > 0;
	run->deadline_ns = clock_mono_ns() + timeout_ns(run->route);
	if (!limit_statement_begin(request->service)) {
		give_up(run);
		reply_problem(request, 503, NULL,
			      "the service runs as many statements as it may "
			      "at the same time");
		return;
	}
	run->counted = true;
	count_place(run);
	if (!run->was_slow)
		request_wait_fiber(request, read_on_fiber);
	else if (!request_wait_slow(request, read_on_slow))
		give_up(run);
}

/* ---- together ------------------------------------------------------------ */

/* What another request has made, if it still is current. */
static void
finish_shared(struct request *request) ON_WORKER
{
	struct local *local = local_self();
	struct kept_reply *kept = request->shared, *copy;
	struct run *run = request->work;

	if (!kept ||
	    !kept_reply_is_current(kept, request->catalog->generation)) {
		run->alone = true;
		run_read(run);
		return;
	}
	counter_add(&run_counters(run->route)->shared, 1);
	if (cache_wants(&local->cache, kept->entry.hash) &&
	    !cache_find(&local->cache, kept->entry.hash, kept->key)) {
		copy = kept_reply_copy(kept);
		if (copy) {
			replies_keep(local, copy);
			kept_reply_unref(copy);
		}
	}
	answer_send_kept(request, kept, false);
}

/* True: answered from the shared layer. */
static bool
find_shared(struct run *run) ON_WORKER
{
	struct request *request = run->request;
	struct kept_reply *kept;

	kept = shared_replies_find(local_self(), request, run->route);
	if (!kept)
		return false;
	request->shared = kept; /* let go of with the request */
	counter_add(&run_counters(run->route)->shared, 1);
	replies_keep(local_self(), kept);
	answer_send_kept(request, kept, false);
	return true;
}

/* True: somebody runs it already. */
static bool
join_flight(struct run *run) ON_WORKER
{
	struct server *server = local_self()->server;

	switch (flight_join(server->flights, run->request, finish_shared)) {
	case FLIGHT_FOLLOWS:
		return true;
	case FLIGHT_LEADS:
		run->leads = true;
		break;
	case FLIGHT_ALONE:
		break;
	}
	return false;
}

void
run_read(struct run *run)
{
	const struct route *route = run->route;
	bool shares = route->cacheable && !run->alone;

	if (shares && run_counters(route)->cost_ns > DEAR_NS &&
	    find_shared(run))
		return;
	if (try_in_place(run))
		return;
	if (shares && join_flight(run))
		return;
	go_elsewhere(run);
}

/* ---- writes -------------------------------------------------------------- */

static void
finish_write(struct request *request) ON_WORKER
{
	struct run *run = request->work;
	const struct sql_write *write = &run->write;

	run_uncount(run);
	run->err = write->item.err;
	run->run_ns = write->run_ns;
	/* What the sink has stopped is TOO_LARGE, whatever its own reason. Any
	 * other error came later, to the whole batch, and with it goes what
	 * the sink has seen. */
	if (run->err == ERR_TOO_LARGE && run->refused)
		run->err = run->error.err;
	else if (run->err)
		run->error = write->error;
	else
		sql_error_clear(&run->error);
	learn(run_counters(run->route), run);
	count_care(run);
	answer_send(run);
}

void
run_write(struct run *run)
{
	struct request *request = run->request;
	struct sql_write *write = &run->write;

	if (!limit_statement_begin(request->service)) {
		reply_problem(request, 503, NULL,
			      "the service runs as many statements as it may "
			      "at the same time");
		return;
	}
	run->counted = true;
	/* The rest is sql_submit()'s. */
	memset(write, 0, offsetof(struct sql_write, error));
	run->ops_run = 0;
	write->ops = run->ops;
	write->count = run->route->statement_count;
	write->sink = &answer_sink;
	write->arg = run;
	write->timeout_ns = timeout_ns(run->route);
	if (!request_wait_sql(request, sql_of(run), write, finish_write))
		run_uncount(run);
}
