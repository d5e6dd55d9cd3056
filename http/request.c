/* SPDX-License-Identifier: MIT */
#include "http/request.h"

#include <stdlib.h>

#include "core/clock.h"
#include "core/profile.h"
#include "http/reply.h"
#include "http/service/replies.h"
#include "http/service/service.h"
#include "http/shard.h"

/* A worker keeps this many for the next requests: more than are usually in
 * flight on it, and half a megabyte. */
enum { POOL_KEEP = 128 };

struct overflow {
	struct overflow *next;
	alignas(16) char data[];
};

/* ---- life --------------------------------------------------------------- */

static struct request *
take_from_pool(struct local *local)
{
	struct request *request = local->free_requests;

	if (!request)
		return malloc(sizeof(*request));
	local->free_requests = request->next_free;
	local->free_count--;
	return request;
}

static void
give_to_pool(struct local *local, struct request *request)
{
	if (local->free_count >= POOL_KEEP) {
		free(request);
		return;
	}
	request->next_free = local->free_requests;
	local->free_requests = request;
	local->free_count++;
}

/* splitmix64 (Steele, Lea and Flood 2014): every id differs in about half of
 * its bits from the one before, so logs can be searched by its first digits. */
static uint64_t
mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static void
make_id(struct local *local, struct request *request)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t id = mix(local->id_next += UINT64_C(0x9e3779b97f4a7c15));

	for (unsigned i = 0; i < REQUEST_ID_OURS; i++, id >>= 4)
		request->id[i] = digits[id & 15];
	request->id_len = REQUEST_ID_OURS;
}

static bool
keep_target(struct request *request, struct bytes target)
{
	char *copy = request_alloc(request, 1 + target.len + 1);

	if (!copy)
		return false;
	*copy++ = (char)TARGET_TAG;
	memcpy(copy, target.data, target.len);
	copy[target.len] = '\0';
	request->target = (struct bytes){ copy, target.len };
	return true;
}

struct request *
request_begin(struct local *local, struct bytes target)
{
	struct request *request = take_from_pool(local);

	if (!request)
		return NULL;
	memset(request, 0, offsetof(struct request, next_free));
	request->action = action_at(ACTION_NONE);
	request->refs = 1;
	request->started_ns = clock_mono_ns();
	make_id(local, request);
	/* One more than the limit shows that it is too long. */
	if (target.len > GUARD_TARGET_MAX)
		target.len = GUARD_TARGET_MAX + 1;
	if (!keep_target(request, target)) {
		give_to_pool(local, request);
		return NULL;
	}
	counter_add(&local->begun, 1);
	return request;
}

static void
count_body_memory(struct request *request, size_t before,
		  size_t after) ON_WORKER
{
	struct server *server = local_self()->server;
	uint64_t add = after > BODY_SMALL ? after : 0;
	uint64_t sub = before > BODY_SMALL ? before : 0;

	if (add != sub)
		ck_pr_add_64(&server->body_memory, add - sub);
}

void
request_release(struct request *request)
{
	struct local *local = local_self();
	struct overflow *block, *next;

	assert(request->refs > 0);
	if (--request->refs > 0)
		return;
	if (request->work)
		request->free_work(request->work);
	if (request->shared)
		kept_reply_unref(request->shared);
	if (request->catalog)
		catalog_release(local, request->catalog);
	if (request->body && !request->body_inline) {
		count_body_memory(request, request->body_capacity, 0);
		free(request->body);
	}
	for (block = request->overflow; block; block = next) {
		next = block->next;
		free(block);
	}
	counter_add(&local->ended, 1);
	give_to_pool(local, request);
}

void *
request_alloc(struct request *request, size_t n)
{
	enum { ALIGN = 16 };
	size_t start = (request->arena_used + ALIGN - 1) & -(size_t)ALIGN;
	struct overflow *block;

	if (start <= REQUEST_ARENA && n <= REQUEST_ARENA - start) {
		request->arena_used = start + n;
		return request->arena + start;
	}
	block = malloc(sizeof(*block) + n);
	if (!block)
		return NULL;
	block->next = request->overflow;
	request->overflow = block;
	return block->data;
}

/* ---- body --------------------------------------------------------------- */

uint64_t
request_body_max(const struct request *request) ON_WORKER
{
	const struct config *config = local_self()->server->config;

	switch (request->action->body) {
	case BODY_NONE:
		return 0;
	case BODY_VALUE:
		return config->max_value;
	case BODY_JSON:
		return config->max_body;
	case BODY_ROUTE:
		return request->service->spec.settings.max_body;
	case BODY_FOLDER:
		return SERVICE_BODY_MAX;
	case BODY_STREAM:
		return UINT64_MAX;
	}
	return 0;
}

/* Doubles, so that a slow client holds at most twice what it sent. */
static enum err
grow_body(struct request *request, size_t need, uint64_t max) ON_WORKER
{
	struct server *server = local_self()->server;
	size_t before = request->body_capacity, after = before ? before : 1024;
	char *body;

	/* An inline body has room for all that its length announced. */
	assert(!request->body_inline);
	while (after < need)
		after *= 2;
	if (after > max)
		after = (size_t)max;
	if (after > BODY_SMALL &&
	    ck_pr_load_64(&server->body_memory) + (after - before) >
		    server->config->body_memory)
		return ERR_OVERLOADED;
	body = realloc(request->body, after);
	if (!body)
		return ERR_NOMEM;
	count_body_memory(request, before, after);
	request->body = body;
	request->body_capacity = after;
	return ERR_OK;
}

/* The first piece of a small body: all of it will fit. */
static void
begin_inline(struct request *request)
{
	size_t len = (size_t)request->headers.content_length;

	if (!request->headers.has_length || len > BODY_INLINE)
		return;
	request->body = request_alloc(request, len);
	request->body_inline = request->body != NULL;
	request->body_capacity = request->body ? len : 0;
}

enum err
request_body_add(struct request *request, const void *data, size_t len,
		 uint64_t max)
{
	size_t need = request->body_len + len;
	enum err err;

	if (need > max)
		return ERR_TOO_LARGE;
	if (!len)
		return ERR_OK;
	if (!request->body)
		begin_inline(request);
	if (need > request->body_capacity) {
		err = grow_body(request, need, max);
		if (err)
			return err;
	}
	assert(request->body);
	memcpy(request->body + request->body_len, data, len);
	request->body_len = need;
	return ERR_OK;
}

void
request_body_consume(struct request *request, size_t n)
{
	assert(n <= request->body_len);
	if (!n || !request->body)
		return;
	request->body_len -= n;
	memmove(request->body, request->body + n, request->body_len);
}

/* ---- waiting ------------------------------------------------------------ */

/* On the shard's holder: the work lets go, and the action goes on. */
static void
open_parcel(struct request *request) ON_WORKER
{
	TAKES_OVER(request);
	if (request->conn)
		shard_go_on(request);
	request_release(request);
}

static void
open_posted(struct parcel *parcel) ON_WORKER
{
	open_parcel(CONTAINER_OF(parcel, struct request, parcel));
}

static void
open_written(struct parcel *parcel) ON_WORKER
{
	open_parcel(CONTAINER_OF(parcel, struct request, write.item.parcel));
}

const char *
request_label(const struct request *request)
{
	return request->route ? request->route->label : request->action->label;
}

static void
run_as_task(struct task *task)
{
	struct request *request = request_of_task(task);

	profile_mark_set(PROFILE_TASK, request_label(request));
	request->go_task(task);
}

void
request_wait_task(struct request *request, task_fn run)
{
	request_wait(request);
	request->go_task = run;
	request->task.run = run_as_task;
	HANDS_OVER(request);
	sched_submit(local_self()->server->sched, &request->task);
}

static void
run_on_fiber(struct fiber_task *task)
{
	struct request *request = CONTAINER_OF(task, struct request, fiber);

	TAKES_OVER(request);
	request->go(request);
}

static void
run_on_slow(struct slow_job *job)
{
	struct request *request = CONTAINER_OF(job, struct request, slow);

	TAKES_OVER(request);
	profile_mark_set(PROFILE_SLOW, request_label(request));
	request->go(request);
}

void
request_wait(struct request *request)
{
	request->state = REQUEST_WAITING;
	request->refs++;
}

void
request_pass_fiber(struct request *request, void (*run)(struct request *))
{
	struct sched *sched = shard_server(request->shard)->sched;

	request->go = run;
	request->fiber.run = run_on_fiber;
	request->fiber.name = request_label(request);
	HANDS_OVER(request);
	fiber_submit(sched, &request->fiber);
}

void
request_wait_fiber(struct request *request, void (*run)(struct request *))
{
	request_wait(request);
	request_pass_fiber(request, run);
}

enum err
request_pass_slow(struct request *request, void (*run)(struct request *))
{
	struct server *server = shard_server(request->shard);

	request->go = run;
	request->slow.run = run_on_slow;
	HANDS_OVER(request);
	return slow_submit(server->slow, &request->slow);
}

bool
request_wait_slow(struct request *request, void (*run)(struct request *))
{
	enum err err = request_pass_slow(request, run);

	if (err) {
		reply_error(request, err);
		return false;
	}
	/* As with a write: its parcel is opened by this thread, later. */
	request_wait(request);
	return true;
}

void
request_again(struct request *request) ON_WORKER
{
	HANDS_OVER(request);
	sched_submit(local_self()->server->sched, &request->task);
}

void
request_post(struct request *request, void (*finish)(struct request *))
{
	struct source *source = shard_source(request->shard);

	request->finish = finish;
	request->parcel.open = open_posted;
	HANDS_OVER(request);
	source_post(source, &request->parcel);
	/* request is the shard's now. */
	source_wake(source);
}

enum err
request_pass_write(struct request *request, void (*finish)(struct request *))
{
	struct lane_item *item = &request->write.item;

	request->finish = finish;
	item->source = shard_source(request->shard);
	item->done = NULL;
	item->parcel.open = open_written;
	item->err = ERR_OK;
	/* A stream has one item in the lane at a time, so it cannot flood it:
	 * it is slowed, where another request would be refused. */
	item->patient = request->action->body == BODY_STREAM;
	HANDS_OVER(request);
	return kv_submit(request->kv, &request->write);
}

static void
open_sql_written(struct parcel *parcel) ON_WORKER
{
	struct sql_write *write =
		CONTAINER_OF(parcel, struct sql_write, item.parcel);

	open_parcel(write->request);
}

enum err
request_pass_sql(struct request *request, struct sql *sql,
		 struct sql_write *write, void (*finish)(struct request *))
{
	struct lane_item *item = &write->item;

	request->finish = finish;
	write->request = request;
	item->source = shard_source(request->shard);
	item->done = NULL;
	item->parcel.open = open_sql_written;
	item->err = ERR_OK;
	item->patient = false;
	HANDS_OVER(request);
	return sql_submit(sql, write);
}

bool
request_wait_sql(struct request *request, struct sql *sql,
		 struct sql_write *write, void (*finish)(struct request *))
{
	enum err err = request_pass_sql(request, sql, write, finish);

	if (err) {
		reply_error(request, err);
		return false;
	}
	request_wait(request);
	return true;
}

bool
request_wait_write(struct request *request, void (*finish)(struct request *))
{
	enum err err = request_pass_write(request, finish);

	if (err) {
		reply_error(request, err);
		return false;
	}
	/* The parcel is opened by this thread, later: it holds the shard. */
	request_wait(request);
	return true;
}
