/* SPDX-License-Identifier: MIT */
/*
 * Requests to services: whose route it is, a run for it, and off it goes; and
 * the runs themselves, which a worker uses again.
 */
#include "http/service/run.h"

#include <stdlib.h>

#include "core/profile.h"
#include "http/reply.h"
#include "http/service/replies.h"

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

void
run_uncount(struct run *run)
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

	run_uncount(run);
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
	/* answer_begin()'s, but a write may fail before that. */
	run->refused = false;
	run->rows_seen = 0;
	run->err = ERR_OK;
	run->tag = 0;
	run->leads = run->alone = run->counted = run->not_modified = false;
	run->was_slow = run->moved = false;
	run->longest_ns = 0;
	return run;
}

/* ---- requests ------------------------------------------------------------ */

static void
answer_allow(struct request *request, unsigned methods) ON_WORKER
{
	char allow[METHODS_TEXT_MAX];
	struct reply reply;

	methods_text(methods, allow);
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
		run_read(run);
	else
		run_write(run);
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
	counter_add(&run_counters(kept->route)->hits, 1);
	answer_send_kept(request, kept, true);
}

void
service_count(const struct request *request, uint64_t ns)
{
	struct route_counters *counters = run_counters(request->route);
	enum status_index status =
		request->status ? status_index(request->status) : STATUS_GONE;

	counter_add(&counters->requests[status], 1);
	histogram_add(&counters->duration, ns);
}
