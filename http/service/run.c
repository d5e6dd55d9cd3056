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

#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/profile.h"
#include "http/conditional.h"
#include "http/reply.h"
#include "http/service/flight.h"
#include "http/service/replies.h"
#include "http/shard.h"
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

/* ---- runs ---------------------------------------------------------------- */

static void
run_forget(struct run *run)
{
	if (run->json)
		json_decref(run->json);
	run->json = NULL;
	if (run->kept)
		kept_reply_unref(run->kept);
	run->kept = NULL;
}

static void
run_free(struct run *run)
{
	buffer_fini(&run->body);
	buffer_fini(&run->location);
	rows_fini(&run->rows);
	free(run);
}

/* The statement is over; also where its client has left, and nobody finishes
 * the request. */
static void
end_counted(struct run *run)
{
	if (run->counted)
		limit_statement_end(run->route->service);
	run->counted = false;
}

/* request->free_work: on the worker that the request ends on. */
static void
run_give(void *work) ON_WORKER
{
	struct local *local = local_self();
	struct run *run = work;

	end_counted(run);
	run_forget(run);
	if (local->free_run_count >= RUNS_KEEP ||
	    run->body.capacity > RUN_BUFFER_KEEP) {
		run_free(run);
		return;
	}
	run->next_free = local->free_runs;
	local->free_runs = run;
	local->free_run_count++;
}

void
runs_fini(struct local *local)
{
	struct run *run;

	while ((run = local->free_runs)) {
		local->free_runs = run->next_free;
		run_free(run);
	}
}

static struct run *
run_create(void)
{
	struct run *run = calloc(1, sizeof(*run));

	if (!run)
		return NULL;
	buffer_init(&run->body, 0);
	buffer_init(&run->location, LOCATION_BUFFER);
	rows_init(&run->rows, &run->body, ROWS_OBJECTS, false);
	return run;
}

/* NULL: no memory. It is the request's from now on. */
static struct run *
run_take(struct request *request) ON_WORKER
{
	struct local *local = local_self();
	const struct route *route = request->route;
	struct run *run = local->free_runs;

	if (run) {
		local->free_runs = run->next_free;
		local->free_run_count--;
	} else {
		run = run_create();
		if (!run)
			return NULL;
	}
	request->work = run;
	request->free_work = run_give;
	run->request = request;
	run->route = route;
	run->body.max = (size_t)route->service->spec.settings.max_reply;
	run->form = NULL;
	run->form_count = 0;
	run->err = ERR_OK;
	run->tag = 0;
	run->leads = run->alone = run->counted = run->not_modified = false;
	run->was_slow = run->moved = false;
	run->longest_ns = 0;
	return run;
}

static struct route_counters *
counters_of(const struct route *route) ON_WORKER
{
	return route->counters[local_self()->index];
}

/* See struct route_counters. */
static unsigned *
slow_runs_of(const struct route *route) ON_WORKER
{
	unsigned workers = sched_workers(local_self()->server->sched);

	return &route->counters[workers]->slow_runs;
}

static uint64_t
timeout_ns(const struct route *route)
{
	uint64_t ms = route->spec->timeout_ms
			      ? route->spec->timeout_ms
			      : route->service->spec.settings.timeout_ms;

	return ms * NS_PER_MS;
}

static struct sql *
sql_of(const struct run *run)
{
	return run->route->service->tenant->sql;
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

/* ---- running reads ------------------------------------------------------- */

struct reading {
	struct run *run;
	struct sql_reader *reader;
	struct sql_stmt *stmts[ROUTE_STATEMENTS_MAX];
	unsigned prepared;
};

/* All are prepared, and what they read is noted, before the first is run. */
static enum err
prepare_all(struct reading *reading)
{
	struct run *run = reading->run;

	sql_deps_init(&run->deps);
	for (unsigned i = 0; i < run->route->statement_count; i++) {
		struct sql_stmt **stmt = &reading->stmts[i];
		enum err err = sql_prepare(reading->reader, run->ops[i].text,
					   stmt, &run->error);

		if (err)
			return err;
		reading->prepared++;
		sql_deps_note(&run->deps, *stmt);
	}
	return ERR_OK;
}

static struct server *
server_of(const struct run *run)
{
	return shard_server(run->request->shard);
}

/*
 * Is the client's tag that of what would be read now? Then nothing is run. It
 * is sound also where a statement reads keys of stores: a reply that was
 * made from more than the tables has another tag.
 */
static bool
is_not_modified(struct run *run)
{
	const struct request *request = run->request;
	const struct server *server = server_of(run);
	uint64_t tag;

	if (!run->route->cacheable || !request->headers.has_if_none_match ||
	    !sql_deps_complete(&run->deps))
		return false;
	tag = reply_tag(server, run->route, &run->deps);
	run->not_modified =
		conditions_judge_tag(&request->headers, tag) ==
			VERDICT_NOT_MODIFIED &&
		reply_length_find(server->lengths,
				  reply_key_hash(reply_key(request)), tag,
				  &run->length);
	/* A run that is needed may find more to depend on, or that it cannot
	 * be kept: this is not yet its tag. */
	if (run->not_modified)
		run->tag = tag;
	return run->not_modified;
}

static bool
takes_one_row(const struct route *route)
{
	return route->spec->reply == REPLY_ONE ||
	       route->spec->reply == REPLY_VALUE;
}

static enum err
run_one(struct reading *reading, unsigned index)
{
	struct run *run = reading->run;
	struct sql_stmt *stmt = reading->stmts[index];
	const struct sql_op *op = &run->ops[index];
	bool last = index + 1 == run->route->statement_count;
	enum sql_step step;

	for (unsigned i = 0; i < op->value_count; i++) {
		enum err err = sql_bind(stmt, i, &op->values[i]);

		if (err)
			return err;
	}
	run_op_begin(run);
	sql_run(stmt, &run->limits);
	while ((step = sql_step(stmt, &run->error)) == SQL_ROW) {
		run->op_rows[index]++;
		if (!last)
			continue;
		if (!answer_row(run, stmt))
			break;
		/* Nobody sees the others, and a read has no effects. */
		if (takes_one_row(run->route)) {
			step = SQL_DONE;
			break;
		}
	}
	run_op_end(run, index);
	if (sql_longest_ns(stmt) > run->longest_ns)
		run->longest_ns = sql_longest_ns(stmt);
	if (step != SQL_DONE)
		return run->error.err;
	return last && !answer_end(run) ? run->error.err : ERR_OK;
}

static enum err
run_all(struct reading *reading)
{
	unsigned count = reading->run->route->statement_count;
	enum err err = ERR_OK;

	if (is_not_modified(reading->run))
		return ERR_OK;
	answer_begin(reading->run);
	if (count > 1)
		err = sql_begin(reading->reader);
	for (unsigned i = 0; !err && i < count; i++)
		err = run_one(reading, i);
	return err;
}

/* What was read may be newer than the words that were noted: then another
 * reply has their tag. */
static bool
deps_stand(const struct sql_deps *deps)
{
	/* Pairs with the stores of the words, before and after a commit: they
	 * are looked at after all that was read. */
	ck_pr_fence_load();
	for (unsigned i = 0; i < deps->count; i++)
		if (ck_pr_load_64(deps->list[i].word) != deps->list[i].value)
			return false;
	return true;
}

/* Whoever has the request. run->limits are set. */
static void
read_rows(struct run *run, struct sql_reader *reader)
{
	struct reading reading = { .run = run, .reader = reader };
	uint64_t start = clock_mono_ns();

	run->error.err = ERR_OK;
	run->longest_ns = 0;
	run->tag = 0;
	run->ops_run = 0;
	run->limits.deps = &run->deps;
	run->err = prepare_all(&reading);
	if (!run->err)
		run->err = run_all(&reading);
	while (reading.prepared)
		sql_release(reading.stmts[--reading.prepared]);
	sql_reader_give(reader);
	run->run_ns = clock_mono_ns() - start;
	if (!run->err && run->route->cacheable &&
	    sql_deps_complete(&run->deps) && deps_stand(&run->deps))
		run->tag = reply_tag(server_of(run), run->route, &run->deps);
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

	end_counted(run);
	if (!run->not_modified)
		learn(counters_of(run->route), run);
	count_care(run);
	keep(run);
	answer_send(run);
}

/* ---- in place ------------------------------------------------------------ */

/* False: it has to run elsewhere. */
static bool
try_in_place(struct run *run) ON_WORKER
{
	struct route_counters *counters = counters_of(run->route);
	struct sql_reader *reader;

	if (ck_pr_load_uint(slow_runs_of(run->route)) ||
	    counters->cost_ns > IN_PLACE_NS)
		return false;
	reader = sql_reader_try_take(sql_of(run), &run->err);
	if (!reader)
		return false;
	run->limits = (struct sql_limits){ .steps = IN_PLACE_STEPS };
	read_rows(run, reader);
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
	struct server *server = server_of(run);
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
		read_rows(run, reader);
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
		read_rows(run, reader);
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
	struct route_counters *counters = counters_of(run->route);

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
	end_counted(run);
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

static void start_read(struct run *run) ON_WORKER;

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
		start_read(run);
		return;
	}
	counter_add(&counters_of(run->route)->shared, 1);
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
	counter_add(&counters_of(run->route)->shared, 1);
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

static void
start_read(struct run *run)
{
	const struct route *route = run->route;
	bool shares = route->cacheable && !run->alone;

	if (shares && counters_of(route)->cost_ns > DEAR_NS && find_shared(run))
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

	end_counted(run);
	run->err = write->item.err;
	run->run_ns = write->run_ns;
	if (run->err && run->refused)
		run->err = run->error.err;
	else if (run->err)
		run->error = write->error;
	else
		sql_error_clear(&run->error);
	learn(counters_of(run->route), run);
	count_care(run);
	answer_send(run);
}

static void
start_write(struct run *run) ON_WORKER
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
		end_counted(run);
}

/* ---- requests ------------------------------------------------------------ */

static void
allowed(unsigned methods, char *out, size_t size)
{
	size_t len = 0;

	if (methods & (1u << METHOD_GET))
		methods |= 1u << METHOD_HEAD;
	methods |= 1u << METHOD_OPTIONS;
	for (unsigned i = 0; i < METHOD_OTHER && len < size; i++)
		if (methods & (1u << i))
			len += (size_t)snprintf(out + len, size - len, "%s%s",
						len ? ", " : "",
						method_name((enum method)i));
}

static void
answer_allow(struct request *request, unsigned methods) ON_WORKER
{
	char allow[128];
	struct reply reply;

	allowed(methods, allow, sizeof(allow));
	if (request->method != METHOD_OPTIONS) {
		reply_problem_header(request, 405,
				     "the method is not allowed here", "Allow",
				     "%s", allow);
		return;
	}
	reply_begin(&reply, request, 204);
	reply_header(&reply, "Allow", bytes_of(allow));
	reply_send(&reply);
}

/* Behind the service's name; "/shop" is "/shop/". */
static struct bytes
path_in_service(const struct request *request)
{
	size_t prefix = strlen(request->service->prefix);
	struct bytes path = request->path;

	if (path.len == prefix)
		return bytes_of("/");
	return (struct bytes){ (const char *)path.data + prefix,
			       path.len - prefix };
}

static void
start(struct request *request) ON_WORKER
{
	const struct headers *headers = &request->headers;
	struct tree_match match;
	struct run *run;

	if (!tree_find(request->service->tree, request->method,
		       path_in_service(request), &match)) {
		reply_problem(request, 404, NULL,
			      "the service has nothing at this path");
		return;
	}
	if (!match.route) {
		answer_allow(request, match.methods);
		return;
	}
	request->route = match.route;
	profile_mark_set(PROFILE_REQUEST, match.route->label);
	if (!match.route->readonly &&
	    (headers->has_if_match || headers->has_if_none_match)) {
		reply_problem(request, 400, NULL,
			      "a route that writes has no entity tags: it "
			      "takes no If-Match and no If-None-Match");
		return;
	}
	run = run_take(request);
	if (!run) {
		reply_error(request, ERR_NOMEM);
		return;
	}
	if (!bind_values(run, &match))
		return;
	if (match.route->readonly)
		start_read(run);
	else
		start_write(run);
}

/* The route of the table for /{service}/... */
void
service_run(struct request *request)
{
	struct local *local = local_self();
	struct kept_reply *kept = NULL;
	bool get =
		request->method == METHOD_GET || request->method == METHOD_HEAD;

	if (!limit_admit(request))
		return;
	if (get && !request->body_len)
		kept = replies_find(local, request);
	if (!kept) {
		cache_miss(&local->cache);
		start(request);
		return;
	}
	request->route = kept->route;
	profile_mark_set(PROFILE_REQUEST, kept->route->label);
	counter_add(&counters_of(kept->route)->hits, 1);
	answer_send_kept(request, kept, true);
}

void
service_count(const struct request *request, uint64_t ns)
{
	struct route_counters *counters = counters_of(request->route);
	enum status_index status =
		request->status ? status_index(request->status) : STATUS_GONE;

	counter_add(&counters->requests[status], 1);
	histogram_add(&counters->duration, ns);
}
