/* SPDX-License-Identifier: MIT */
/*
 * One key: /v1/kv/{store}/{key}.
 *
 * Reads are answered in place. Writes go to the store's lane and are answered
 * when they are committed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/json.h"
#include "core/units.h"
#include "http/conditional.h"
#include "http/kv/kv_json.h"
#include "http/reply.h"
#include "http/request.h"

/* ---- reading ------------------------------------------------------------ */

/* What a GET is answered from: a record in the cache or in the snapshot. */
struct found {
	struct kv_record record;
	struct kept *kept; /* NULL: it is in the snapshot alone */
	bool hit;
	uint64_t now_ms; /* 0: not asked for yet */
};

static bool
find_kept(struct local *local, struct request *request, uint64_t word,
	  struct found *found)
{
	struct cache_entry *entry =
		cache_find(&local->cache, request->hash, request->key_tagged);
	struct kept *kept;

	if (!entry)
		return false;
	kept = kept_of(entry);
	if (kept->record.expires_ms)
		found->now_ms = clock_wall_ms();
	if (kept->version != word ||
	    (kept->record.expires_ms &&
	     found->now_ms >= kept->record.expires_ms)) {
		cache_remove(&local->cache, entry);
		return false;
	}
	cache_hit(&local->cache, entry);
	found->record = kept->record;
	found->kept = kept;
	found->hit = true;
	return true;
}

static enum err
read_key(struct local *local, struct request *request, bool fresh,
	 struct found *found)
{
	struct kv_read *read = local_read(local, request->store);
	enum err err;

	if (!read)
		return ERR_OVERLOADED;
	found->now_ms = clock_wall_ms();
	err = kv_read_renew(read, fresh);
	if (err)
		return err;
	local->reads_used |= 1u << request->store;
	return kv_get(read, request->key, found->now_ms, &found->record);
}

/* Kept for the next, where the cache wants it. Without memory it is not. */
static void
keep(struct local *local, struct request *request, uint64_t word,
     struct found *found)
{
	struct kept *kept;

	if (!cache_wants(&local->cache, request->hash))
		return;
	kept = kept_create(request->hash, request->key_tagged, &found->record);
	if (!kept)
		return;
	kept->version = word;
	if (!cache_insert(&local->cache, &kept->entry)) {
		kept_unref(kept);
		return;
	}
	found->kept = kept;
}

/*
 * The order matters: the word is noted before the snapshot is opened, and an
 * odd one means that a commit is going on: then nothing is taken from the
 * cache or put there, and the snapshot must be a new one (core/version.h).
 */
static enum err
look_up(struct local *local, struct request *request, struct found *found)
{
	uint64_t word = version_note(kv_versions(request->kv),
				     version_stripe(request->hash));
	bool odd = version_is_odd(word);
	enum err err;

	*found = (struct found){ 0 };
	kv_touch_used(request->kv, request->hash);
	if (!odd && find_kept(local, request, word, found))
		return ERR_OK;
	cache_miss(&local->cache);
	err = read_key(local, request, odd, found);
	if (!err && !odd)
		keep(local, request, word, found);
	return err;
}

static void
send_not_modified(struct request *request, const struct found *found) ON_WORKER
{
	struct reply reply;

	reply_begin(&reply, request, 304);
	reply_header(
		&reply, "Cache-Status",
		bytes_of(found->hit ? "jackdaw; hit" : "jackdaw; fwd=miss"));
	reply_max_age(&reply, found->record.expires_ms, found->now_ms);
	reply_etag(&reply, found->record.seq);
	reply_send_length(&reply, found->record.value.len);
}

/* A large value is sent from where it is kept; one that is not kept is copied
 * out of the snapshot, which must not wait for a slow client. */
static void
send_whole(struct request *request, const struct found *found) ON_WORKER
{
	struct reply reply;

	reply_begin(&reply, request, 200);
	reply_value_headers(&reply, &found->record, found->hit, found->now_ms);
	if (found->kept && found->record.value.len > FRAME_BODY_MAX)
		reply_send_kept(&reply, found->kept);
	else
		reply_send_copy(&reply, found->record.value);
}

static void
send_range(struct request *request, const struct found *found, size_t first,
	   size_t last) ON_WORKER
{
	struct bytes value = found->record.value;
	struct reply reply;

	reply_begin(&reply, request, 206);
	reply_headerf(&reply, "Content-Range", "bytes %zu-%zu/%zu", first, last,
		      value.len);
	reply_value_headers(&reply, &found->record, found->hit, found->now_ms);
	reply_send_copy(&reply,
			(struct bytes){ (const char *)value.data + first,
					last - first + 1 });
}

static void
send_outside(struct request *request, const struct found *found) ON_WORKER
{
	reply_problem_header(
		request, 416, "the range begins behind the value's end",
		"Content-Range", "bytes */%zu", found->record.value.len);
}

/* HEAD has no ranges (RFC 9110, section 14.2: only GET). */
static void
send_value(struct request *request, const struct found *found) ON_WORKER
{
	const struct kv_record *record = &found->record;
	size_t first, last;
	enum range range = RANGE_NONE;

	if (request->method == METHOD_GET && request->headers.range.data)
		range = range_parse(&request->headers, record->seq,
				    record->value.len, &first, &last);
	switch (range) {
	case RANGE_NONE:
		send_whole(request, found);
		break;
	case RANGE_SOME:
		send_range(request, found, first, last);
		break;
	case RANGE_OUTSIDE:
		send_outside(request, found);
		break;
	}
}

static void
send_found(struct request *request, const struct found *found) ON_WORKER
{
	const struct kv_record *record = &found->record;

	switch (conditions_judge(&request->headers, record->seq,
				 record->modified_ms)) {
	case VERDICT_MALFORMED:
		reply_problem(request, 400, NULL,
			      "an entity tag is malformed: \"123\" or *");
		break;
	case VERDICT_FAILED:
		reply_condition(request, record->seq);
		break;
	case VERDICT_NOT_MODIFIED:
		send_not_modified(request, found);
		break;
	case VERDICT_SEND:
		send_value(request, found);
		break;
	}
}

void
kv_key_get(struct request *request)
{
	struct found found;
	enum err err = look_up(local_self(), request, &found);

	if (err == ERR_NOTFOUND)
		reply_problem(request, 404, NULL, "there is no such key");
	else if (err)
		reply_error(request, err);
	else
		send_found(request, &found);
}

/* ---- writing ------------------------------------------------------------ */

/* The request's own op, with key and conditions. NULL: answered. */
static struct kv_op *
begin_op(struct request *request, enum kv_op_kind kind) ON_WORKER
{
	struct kv_op *op = &request->op;
	const char *wrong;

	memset(op, 0, sizeof(*op));
	op->kind = kind;
	op->key = request->key;
	wrong = conditions_parse(&request->headers, &op->if_match,
				 &op->if_none_match);
	if (wrong) {
		reply_problem(request, 400, NULL, "%s", wrong);
		return NULL;
	}
	return op;
}

static bool
take_ttl(struct request *request, struct kv_op *op) ON_WORKER
{
	struct bytes ttl = request_parameter(request, "ttl");

	if (!ttl.data)
		return true;
	op->has_ttl = true;
	if (units_duration_ms(ttl, &op->ttl_ms) && op->ttl_ms <= KV_TTL_MAX_MS)
		return true;
	reply_problem(request, 400, NULL,
		      "ttl is a whole number and a unit: 500ms, 30s, 10m, 2h "
		      "or 7d, up to 100 years");
	return false;
}

static bool
take_type(struct request *request, struct kv_op *op) ON_WORKER
{
	struct bytes type = request->headers.content_type;
	char *copy;

	if (type.len <= KV_TYPE_MAX) {
		/* The header goes with the connection, which a client may
		 * close while the committer reads this. */
		copy = request_alloc(request, type.len);
		if (!copy) {
			reply_error(request, ERR_NOMEM);
			return false;
		}
		memcpy(copy, type.data ? type.data : "", type.len);
		op->type = (struct bytes){ copy, type.len };
		return true;
	}
	reply_problem(request, 400, NULL,
		      "the Content-Type is longer than %d bytes", KV_TYPE_MAX);
	return false;
}

static void
take_value(struct request *request, struct kv_op *op) ON_WORKER
{
	op->value = (struct bytes){ request->body, request->body_len };
	op->value_max = local_self()->server->config->max_value;
}

static void
submit(struct request *request, void (*finish)(struct request *)) ON_WORKER
{
	request->write.ops = &request->op;
	request->write.count = 1;
	request->write.atomic = false;
	request->write.out_max = 0;
	/* Answered already where it was refused. */
	(void)!request_wait_write(request, finish);
}

/* Answers what did not work out; false: it did. */
static bool
answer_failure(struct request *request) ON_WORKER
{
	const struct kv_op *op = &request->op;
	enum err err =
		request->write.item.err ? request->write.item.err : op->err;

	if (!err)
		return false;
	if (err == ERR_CONDITION)
		reply_condition(request, op->seq);
	else if (err == ERR_NOTFOUND)
		reply_problem(request, 404, NULL, "there is no such key");
	else if (err == ERR_TOO_LARGE)
		reply_problem(request, 413, NULL,
			      "the value would be larger than %llu bytes",
			      (unsigned long long)op->value_max);
	else if (err == ERR_OVERFLOW || err == ERR_NOT_NUMBER)
		reply_problem(request, 422, "constraint", "%s", err_text(err));
	else
		reply_error(request, err);
	return true;
}

static void
finish_plain(struct request *request) ON_WORKER
{
	const struct kv_op *op = &request->op;
	struct reply reply;

	if (answer_failure(request))
		return;
	reply_begin(&reply, request, op->created ? 201 : 204);
	if (op->kind != KV_DELETE)
		reply_etag(&reply, op->seq);
	reply_send(&reply);
}

static void
finish_incr(struct request *request) ON_WORKER
{
	struct reply reply;
	char body[48];
	int len;

	if (answer_failure(request))
		return;
	len = snprintf(body, sizeof(body), "{\"value\":%lld}\n",
		       (long long)request->op.number);
	reply_begin(&reply, request, 200);
	reply_etag(&reply, request->op.seq);
	reply_header(&reply, "Content-Type", bytes_of("application/json"));
	reply_send_copy(&reply, (struct bytes){ body, (size_t)len });
}

/* The old value, as GET would have shown it. */
static void
finish_getdel(struct request *request) ON_WORKER
{
	struct kv_op *op = &request->op;
	struct reply reply;

	if (answer_failure(request))
		return;
	reply_begin(&reply, request, 200);
	reply_header(&reply, "Content-Type",
		     op->out.type.len ? op->out.type
				      : bytes_of("application/octet-stream"));
	reply_header(&reply, "X-Content-Type-Options", bytes_of("nosniff"));
	reply_send_copy(&reply, op->out.value);
}

void
kv_key_put(struct request *request)
{
	struct kv_op *op = begin_op(request, KV_PUT);

	if (!op || !take_ttl(request, op) || !take_type(request, op))
		return;
	take_value(request, op);
	submit(request, finish_plain);
}

void
kv_key_delete(struct request *request)
{
	if (begin_op(request, KV_DELETE))
		submit(request, finish_plain);
}

void
kv_key_append(struct request *request)
{
	struct kv_op *op = begin_op(request, KV_APPEND);

	if (!op || !take_ttl(request, op) || !take_type(request, op))
		return;
	take_value(request, op);
	submit(request, finish_plain);
}

void
kv_key_touch(struct request *request)
{
	struct kv_op *op = begin_op(request, KV_TOUCH);

	if (!op || !take_ttl(request, op))
		return;
	if (!op->has_ttl) {
		reply_problem(request, 400, NULL,
			      "touch needs &ttl=, such as 30s; 0s: never "
			      "expires");
		return;
	}
	submit(request, finish_plain);
}

static void
free_old_value(void *op)
{
	free(((struct kv_op *)op)->out_memory);
}

void
kv_key_getdel(struct request *request)
{
	if (!begin_op(request, KV_GETDEL))
		return;
	request->work = &request->op;
	request->free_work = free_old_value;
	submit(request, finish_getdel);
}

/* {"by":1,"initial":0}, both optional; an empty body is an empty object. */
static bool
take_incr(struct request *request, struct kv_op *op) ON_WORKER
{
	struct json_read read;
	bool good;

	op->by = 1;
	if (!request->body_len)
		return true;
	json_read_begin(&read,
			(struct bytes){ request->body, request->body_len });
	good = json_read_names(&read, read.root, "by initial") &&
	       json_read_i64(&read, read.root, "by", &op->by) &&
	       json_read_i64(&read, read.root, "initial", &op->initial);
	json_read_end(&read);
	if (!good)
		reply_problem(request, 400, NULL, "%s", read.wrong);
	return good;
}

void
kv_key_incr(struct request *request)
{
	struct kv_op *op = begin_op(request, KV_INCR);

	if (!op || !take_ttl(request, op) || !take_incr(request, op))
		return;
	submit(request, finish_incr);
}
