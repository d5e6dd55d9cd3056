/* SPDX-License-Identifier: MIT */
/*
 * /v1/admin/services: what is deployed, and deploying.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/profile.h"
#include "http/admin/admin.h"
#include "http/service/deploy.h"
#include "http/shard.h"

enum {
	LIST_MAX = 4 << 20,
	/* COMPLAINTS_MAX sentences. */
	COMPLAINTS_TEXT_MAX = 1 << 20,
};

/* A call on its way to its turn and back. */
struct call {
	struct deploys_turn turn;
	struct request *request;
	void (*run)(struct call *call);
	void (*finish)(struct request *request);
	struct complaints complaints;
	char name[SERVICE_NAME_MAX + 1];
	bool purge;
	enum err err;
	struct deploy_outcome outcome;
	unsigned pending;
};

static struct deploys *
deploys_of(const struct request *request)
{
	return shard_server(request->shard)->deploys;
}

/* ---- list ---------------------------------------------------------------- */

static void
put_service(struct json *json, const struct service *service)
{
	struct sql_stats stats;
	char checksum[17];

	sql_stats(service->tenant->sql, &stats);
	snprintf(checksum, sizeof(checksum), "%016llx",
		 (unsigned long long)service->checksum);
	json_object_begin(json);
	admin_put_text(json, "name", service->tenant->name);
	admin_put_number(json, "version", service->version);
	json_name(json, "previous");
	if (service->previous)
		json_u64(json, service->previous);
	else
		json_none(json);
	admin_put_number(json, "routes", service->route_count);
	admin_put_number(json, "deployed", service->deployed_ms);
	admin_put_text(json, "checksum", checksum);
	admin_put_number(json, "database_bytes", stats.file_bytes);
	json_object_end(json);
}

/* In place: nothing of it waits. */
void
admin_services(struct request *request)
{
	const struct catalog *catalog = local_self()->catalog;
	struct buffer body;
	struct json json;

	buffer_init(&body, LIST_MAX);
	json_begin(&json, &body);
	json_object_begin(&json);
	json_name(&json, "services");
	json_array_begin(&json);
	for (unsigned i = 0; catalog && i < catalog->count; i++)
		put_service(&json, catalog->services[i]);
	json_array_end(&json);
	json_object_end(&json);
	admin_send(request, &body);
}

/* ---- calls --------------------------------------------------------------- */

static void
free_call(void *work)
{
	struct call *call = work;

	complaints_fini(&call->complaints);
	free(call);
}

/* NULL: answered. */
static struct call *
make_call(struct request *request) ON_WORKER
{
	struct call *call = calloc(1, sizeof(*call));

	if (!call) {
		reply_error(request, ERR_NOMEM);
		return NULL;
	}
	complaints_init(&call->complaints);
	assert(request->name.len <= SERVICE_NAME_MAX);
	memcpy(call->name, request->name.data, request->name.len);
	call->request = request;
	request->work = call;
	request->free_work = free_call;
	return call;
}

/* Who has left while it waited gets nothing done, and is told so: it may have
 * ended its own side only. */
static void
run_call(struct deploys_turn *turn, enum err err)
{
	struct call *call = CONTAINER_OF(turn, struct call, turn);
	struct request *request = call->request;

	profile_mark_set(PROFILE_SLOW, request_label(request));
	if (!err && ck_pr_load_uint(&request->cancelled))
		err = ERR_CANCELLED;
	call->err = err;
	if (!err)
		call->run(call);
	request_post(request, call->finish);
}

static void
start(struct call *call, void (*run)(struct call *),
      void (*finish)(struct request *)) ON_WORKER
{
	struct request *request = call->request;

	call->run = run;
	call->finish = finish;
	call->turn.run = run_call;
	request_wait(request);
	deploys_submit(deploys_of(request), &call->turn);
}

/* From the body. False: complained. */
static bool
take_files(struct call *call, struct service_files *files)
{
	const struct request *request = call->request;
	struct bytes body = { request->body ? request->body : "",
			      request->body_len };
	char message[512];

	call->err = service_files_parse(files, body, call->name, message,
					sizeof(message));
	if (call->err)
		complain(&call->complaints, NULL, 0, "%s", message);
	return !call->err;
}

static void
put_complaints(struct json *json, const struct complaints *complaints,
	       bool hints)
{
	json_array_begin(json);
	for (unsigned i = 0; i < complaints->count; i++) {
		const struct complaint *complaint = &complaints->list[i];

		if (hints && !complaint->warning)
			continue;
		json_object_begin(json);
		admin_put_text(json, "file", complaint->file);
		admin_put_number(json, "line", complaint->line);
		admin_put_text(json, "text", complaint->text);
		if (!hints) {
			json_name(json, "hint");
			json_bool(json, complaint->warning);
		}
		json_object_end(json);
	}
	json_array_end(json);
}

static const char *
first_error(const struct complaints *complaints)
{
	for (unsigned i = 0; i < complaints->count; i++)
		if (!complaints->list[i].warning)
			return complaints->list[i].text;
	return NULL;
}

/* What is wrong with the service, each with its place. */
static void
refuse_service(struct request *request) ON_WORKER
{
	struct call *call = request->work;
	unsigned errors = call->complaints.errors;
	struct buffer members;
	struct json json;
	char detail[100];

	buffer_init(&members, COMPLAINTS_TEXT_MAX);
	buffer_add_str(&members, "\"complaints\":");
	json_begin(&json, &members);
	put_complaints(&json, &call->complaints, false);
	snprintf(detail, sizeof(detail),
		 "the service has %u mistake%s; nothing was changed", errors,
		 errors == 1 ? "" : "s");
	if (members.err)
		reply_error(request, members.err);
	else
		reply_problem_members(
			request, 422, "invalid_service",
			(struct bytes){ members.data, members.len }, detail);
	buffer_fini(&members);
}

/* True: it went well. Otherwise it is answered. */
static bool
is_good(struct request *request) ON_WORKER
{
	const struct call *call = request->work;
	const char *why = first_error(&call->complaints), *code;
	unsigned status;

	if (!call->err)
		return true;
	if (call->err == ERR_BAD && why) {
		refuse_service(request);
		return false;
	}
	status = http_status(call->err, &code);
	reply_problem(request, status, code, "%s",
		      why ? why : err_text(call->err));
	return false;
}

static void
begin_answer(struct json *json, struct buffer *body, const struct call *call)
{
	buffer_init(body, COMPLAINTS_TEXT_MAX);
	json_begin(json, body);
	json_object_begin(json);
	admin_put_text(json, "name", call->name);
}

static void
send_with_hints(struct request *request, struct json *json,
		struct buffer *body) ON_WORKER
{
	const struct call *call = request->work;

	json_name(json, "hints");
	put_complaints(json, &call->complaints, true);
	json_object_end(json);
	admin_send(request, body);
}

/* ---- deploy -------------------------------------------------------------- */

static void
finish_deploy(struct request *request) ON_WORKER
{
	const struct call *call = request->work;
	struct buffer body;
	struct json json;

	if (!is_good(request))
		return;
	begin_answer(&json, &body, call);
	admin_put_number(&json, "version", call->outcome.version);
	admin_put_number(&json, "migrations", call->outcome.migrations);
	json_name(&json, "unchanged");
	json_bool(&json, call->outcome.unchanged);
	send_with_hints(request, &json, &body);
}

static void
run_deploy(struct call *call)
{
	struct service_files files;

	if (take_files(call, &files))
		call->err = deploys_deploy(deploys_of(call->request), &files,
					   &call->outcome, &call->complaints);
}

void
admin_deploy(struct request *request)
{
	struct call *call = make_call(request);

	if (call)
		start(call, run_deploy, finish_deploy);
}

/* ---- check --------------------------------------------------------------- */

static void
finish_check(struct request *request) ON_WORKER
{
	const struct call *call = request->work;
	struct buffer body;
	struct json json;

	if (!is_good(request))
		return;
	begin_answer(&json, &body, call);
	admin_put_number(&json, "pending", call->pending);
	send_with_hints(request, &json, &body);
}

static void
run_check(struct call *call)
{
	struct service_files files;

	if (take_files(call, &files))
		call->err = deploys_check(deploys_of(call->request), &files,
					  &call->pending, &call->complaints);
}

void
admin_check(struct request *request)
{
	struct call *call = make_call(request);

	if (call)
		start(call, run_check, finish_check);
}

/* ---- roll back ----------------------------------------------------------- */

static void
finish_rollback(struct request *request) ON_WORKER
{
	const struct call *call = request->work;
	struct buffer body;
	struct json json;

	if (call->err == ERR_NOTFOUND) {
		reply_problem(request, 404, NULL,
			      "there is no such service, or no version of it "
			      "before this one");
		return;
	}
	if (!is_good(request))
		return;
	begin_answer(&json, &body, call);
	admin_put_number(&json, "version", call->outcome.version);
	json_object_end(&json);
	admin_send(request, &body);
}

static void
run_rollback(struct call *call)
{
	call->err = deploys_rollback(deploys_of(call->request), call->name,
				     &call->outcome.version, &call->complaints);
}

void
admin_rollback(struct request *request)
{
	struct call *call = make_call(request);

	if (call)
		start(call, run_rollback, finish_rollback);
}

/* ---- remove -------------------------------------------------------------- */

static void
finish_remove(struct request *request) ON_WORKER
{
	const struct call *call = request->work;
	struct reply reply;

	if (call->err == ERR_NOTFOUND) {
		reply_problem(request, 404, NULL, "there is no such service");
		return;
	}
	if (!is_good(request))
		return;
	reply_begin(&reply, request, 204);
	reply_send(&reply);
}

static void
run_remove(struct call *call)
{
	call->err = deploys_remove(deploys_of(call->request), call->name,
				   call->purge, &call->complaints);
}

void
admin_remove(struct request *request)
{
	struct bytes purge = request_parameter(request, "purge");
	struct call *call;

	if (purge.data && !bytes_equal(purge, bytes_of("1")) &&
	    !bytes_equal(purge, bytes_of("0"))) {
		reply_problem(request, 400, NULL, "purge must be 0 or 1");
		return;
	}
	call = make_call(request);
	if (!call)
		return;
	call->purge = bytes_equal(purge, bytes_of("1"));
	start(call, run_remove, finish_remove);
}
