/* SPDX-License-Identifier: MIT */
/*
 * Several operations as one atomic commit: POST /v1/kv/{store}/?op=batch.
 *
 * Read, committed and answered by tasks where the body or the results are
 * large, so that a batch holds up nobody's shard.
 */
#include <stdlib.h>

#include "core/json.h"
#include "http/kv/kv_json.h"
#include "http/reply.h"
#include "http/request.h"

enum {
	/* Read in place below this: about 20 us of parsing. */
	IN_PLACE_BYTES = 4096,
	/* Of the values that it reads: as much as /v1/sql answers with. */
	OUT_MAX = 16 << 20,
	/* A control byte takes six characters, and all that stands beside a
	 * value, its type above all, has room in the rest. */
	ESCAPED = 6,
	RESULT_MAX = 2048,
};

struct batch {
	struct json_read read; /* the strings of the ops live in its tree */
	struct kv_op *ops;
	unsigned count;
	int index;       /* of the op that is wrong; -1: all of it */
	unsigned status; /* for it */
	struct buffer results;
};

static void
free_batch(void *work)
{
	struct batch *batch = work;

	json_read_end(&batch->read);
	for (unsigned i = 0; i < batch->count; i++)
		free(batch->ops[i].out_memory);
	free(batch->ops);
	buffer_fini(&batch->results);
	free(batch);
}

/* ---- reading ------------------------------------------------------------ */

static const struct {
	const char *name;
	enum kv_op_kind kind;
	const char *members;
} verbs[] = {
	{ "put", KV_PUT, "put value base64 type ttl if_match if_none_match" },
	{ "get", KV_GET, "get if_match if_none_match" },
	{ "delete", KV_DELETE, "delete if_match if_none_match" },
	{ "incr", KV_INCR, "incr by initial ttl if_match if_none_match" },
	{ "append", KV_APPEND,
	  "append value base64 type ttl if_match if_none_match" },
	{ "touch", KV_TOUCH, "touch ttl if_match if_none_match" },
	{ "getdel", KV_GETDEL, "getdel if_match if_none_match" },
};

static bool
read_verb(struct json_read *read, json_t *object, struct kv_op *op)
{
	for (unsigned i = 0; i < ARRAY_LEN(verbs); i++) {
		json_t *key = json_object_get(object, verbs[i].name);

		if (!key)
			continue;
		op->kind = verbs[i].kind;
		return json_read_names(read, object, verbs[i].members) &&
		       json_read_key(read, key, &op->key);
	}
	snprintf(read->wrong, sizeof(read->wrong),
		 "an object with one of put, get, delete, incr, append, "
		 "touch, getdel is expected");
	return false;
}

static bool
read_op(struct json_read *read, json_t *object, struct kv_op *op)
{
	op->by = 1;
	if (!read_verb(read, object, op) ||
	    !json_read_type(read, object, &op->type) ||
	    !json_read_ttl(read, object, op) ||
	    !json_read_i64(read, object, "by", &op->by) ||
	    !json_read_i64(read, object, "initial", &op->initial) ||
	    !json_read_condition(read, object, "if_match", &op->if_match) ||
	    !json_read_condition(read, object, "if_none_match",
				 &op->if_none_match))
		return false;
	if ((op->kind == KV_PUT || op->kind == KV_APPEND) &&
	    !json_read_value(read, object, &op->value))
		return false;
	if (op->kind == KV_TOUCH && !op->has_ttl) {
		snprintf(read->wrong, sizeof(read->wrong),
			 "touch needs a \"ttl\"");
		return false;
	}
	return true;
}

static bool
too_large(struct batch *batch, const char *what, uint64_t limit)
{
	batch->status = 413;
	snprintf(batch->read.wrong, sizeof(batch->read.wrong),
		 "%s, the limit is %llu", what, (unsigned long long)limit);
	return false;
}

static bool
read_ops(struct batch *batch, uint64_t value_max)
{
	json_t *root = batch->read.root, *object;
	size_t i;

	batch->index = -1;
	batch->status = 400;
	if (!root)
		return false;
	if (!json_is_array(root)) {
		snprintf(batch->read.wrong, sizeof(batch->read.wrong),
			 "an array of operations is expected");
		return false;
	}
	if (json_array_size(root) > LANE_BATCH_OPS)
		return too_large(batch, "too many operations", LANE_BATCH_OPS);
	batch->ops = calloc(json_array_size(root) + 1, sizeof(*batch->ops));
	if (!batch->ops) {
		batch->status = 503;
		snprintf(batch->read.wrong, sizeof(batch->read.wrong), "%s",
			 err_text(ERR_NOMEM));
		return false;
	}
	json_array_foreach(root, i, object)
	{
		struct kv_op *op = &batch->ops[i];

		batch->index = (int)i;
		if (!read_op(&batch->read, object, op))
			return false;
		if (op->value.len > value_max)
			return too_large(batch, "the value is too large",
					 value_max);
		op->value_max = value_max;
		batch->count++;
	}
	batch->index = -1;
	return true;
}

/* ---- answering ---------------------------------------------------------- */

static void
put_etag(struct json *json, const struct kv_op *op)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)op->seq);
	json_name(json, "etag");
	json_text(json, bytes_of(text));
}

static void
put_record(struct json *json, const struct kv_op *op)
{
	json_put_value(json, op->out.value);
	if (op->kind == KV_GET)
		put_etag(json, op);
	json_text_or_base64(json, "type",
			    op->out.type.len
				    ? op->out.type
				    : bytes_of("application/octet-stream"));
	if (op->out.expires_ms) {
		json_name(json, "expires");
		json_u64(json, op->out.expires_ms);
	}
}

static void
put_result(struct json *json, const struct kv_op *op)
{
	if (op->kind == KV_GET && op->err == ERR_NOTFOUND) {
		json_none(json);
		return;
	}
	json_object_begin(json);
	switch (op->kind) {
	case KV_PUT:
	case KV_APPEND:
		put_etag(json, op);
		json_name(json, "created");
		json_bool(json, op->created);
		break;
	case KV_INCR:
		json_name(json, "value");
		json_i64(json, op->number);
		put_etag(json, op);
		break;
	case KV_TOUCH:
		put_etag(json, op);
		break;
	case KV_DELETE:
		json_name(json, "deleted");
		json_bool(json, true);
		break;
	case KV_GET:
	case KV_GETDEL:
		put_record(json, op);
		break;
	}
	json_object_end(json);
}

/* How many bytes all values have together: OUT_MAX, or one value. */
static size_t
value_bytes(const struct batch *batch)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < batch->count; i++)
		bytes += batch->ops[i].out.value.len;
	return bytes;
}

/* What fits was found out before the commit: this is only a bound. */
static void
put_results(struct batch *batch)
{
	struct json json;

	buffer_init(&batch->results, ESCAPED * value_bytes(batch) +
					     RESULT_MAX * (batch->count + 1));
	json_begin(&json, &batch->results);
	json_object_begin(&json);
	json_name(&json, "results");
	json_array_begin(&json);
	for (unsigned i = 0; i < batch->count; i++)
		put_result(&json, &batch->ops[i]);
	json_array_end(&json);
	json_object_end(&json);
	buffer_add(&batch->results, "\n", 1);
}

static void
send_results(struct request *request) ON_WORKER
{
	struct batch *batch = request->work;
	struct reply reply;

	/* No memory, but it is done: no status says that. */
	if (batch->results.err) {
		reply_gone(request);
		return;
	}
	reply_begin(&reply, request, 200);
	reply_header(&reply, "Content-Type", bytes_of("application/json"));
	reply_send_buffer(&reply, &batch->results);
}

static void
run_results(struct task *task)
{
	struct request *request = request_of_task(task);

	TAKES_OVER(request);
	put_results(request->work);
	request_post(request, send_results);
}

/* Why the operation failed, in out. */
static void
put_reason(const struct kv_op *op, enum err err, char out[80])
{
	if (err != ERR_TOO_LARGE)
		snprintf(out, 80, "%s", err_text(err));
	else if (op->kind == KV_GET || op->kind == KV_GETDEL)
		snprintf(out, 80, "the values are larger than %d bytes in all",
			 OUT_MAX);
	else
		snprintf(out, 80, "the value would be larger than %llu bytes",
			 (unsigned long long)op->value_max);
}

static void
send_failure(struct request *request) ON_WORKER
{
	const struct batch *batch = request->work;
	enum err err = request->write.item.err;
	unsigned failed = request->write.failed;
	const char *code;
	unsigned status = http_status(err, &code);
	char reason[80];

	put_reason(&batch->ops[failed], err, reason);

	if (err == ERR_FAULT || err == ERR_FULL || err == ERR_NOMEM)
		reply_error(request, err);
	else
		reply_problem_index(request, status, code, (int)failed,
				    "operation %u of %u: %s; nothing was done",
				    failed, batch->count, reason);
}

static void
answer(struct request *request) ON_WORKER
{
	struct batch *batch = request->work;

	if (value_bytes(batch) + 64 * (size_t)batch->count >
	    IN_PLACE_BYTES * 4) {
		request_wait_task(request, run_results);
		return;
	}
	put_results(batch);
	send_results(request);
}

static void
after_commit(struct request *request) ON_WORKER
{
	if (request->write.item.err)
		send_failure(request);
	else
		answer(request);
}

/* ---- the request -------------------------------------------------------- */

static void
send_wrong(struct request *request) ON_WORKER
{
	const struct batch *batch = request->work;

	if (batch->index < 0)
		reply_problem(request, batch->status, NULL, "%s",
			      batch->read.wrong);
	else
		reply_problem_index(request, batch->status, NULL, batch->index,
				    "operation %d: %s", batch->index,
				    batch->read.wrong);
}

static bool
read_body(struct request *request) ON_WORKER
{
	struct batch *batch = request->work;

	json_read_begin(&batch->read,
			(struct bytes){ request->body, request->body_len });
	if (!read_ops(batch, local_self()->server->config->max_value))
		return false;
	request->write.ops = batch->ops;
	request->write.count = batch->count;
	request->write.atomic = true;
	request->write.out_max = OUT_MAX;
	return true;
}

static void
send_refused(struct request *request) ON_WORKER
{
	reply_error(request, request->write.item.err);
}

static void
run_read(struct task *task) ON_WORKER
{
	struct request *request = request_of_task(task);
	enum err err;

	TAKES_OVER(request);
	sched_expect_long();
	if (!read_body(request)) {
		request_post(request, send_wrong);
		return;
	}
	if (!request->write.count) {
		request_post(request, answer);
		return;
	}
	err = request_pass_write(request, after_commit);
	if (err) {
		request->write.item.err = err;
		request_post(request, send_refused);
	}
}

void
kv_batch(struct request *request)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	if (!batch) {
		reply_error(request, ERR_NOMEM);
		return;
	}
	request->work = batch;
	request->free_work = free_batch;
	if (request->body_len > IN_PLACE_BYTES)
		request_wait_task(request, run_read);
	else if (!read_body(request))
		send_wrong(request);
	else if (!batch->count)
		answer(request);
	else
		(void)!request_wait_write(request, after_commit);
}
