/* SPDX-License-Identifier: MIT */
/*
 * Import: PUT /v1/kv/{store}/?op=import, a JSON object a line.
 *
 * The body comes in chunks. Each chunk's whole lines are read by a task and
 * committed as one item of the store's lane; only then is more of the body
 * read. So memory is bounded by one chunk, or one line where that is longer,
 * a slow disk slows the client, and every line before a bad one is durable
 * when the answer names that line.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "core/json.h"
#include "http/kv/kv_json.h"
#include "http/reply.h"
#include "http/request.h"

enum {
	/* Lines of one commit. */
	CHUNK_LINES = 500,
};

struct import {
	json_t *roots[CHUNK_LINES]; /* the ops' strings are theirs */
	struct kv_op ops[CHUNK_LINES];
	uint64_t lines[CHUNK_LINES]; /* each op's line number */
	unsigned count;              /* of the chunk */
	size_t consumed;             /* bytes of the body that are read */
	uint64_t line;               /* lines read so far */
	uint64_t imported, expired;
	uint64_t value_max, line_max;

	unsigned status; /* of what is wrong; 0: nothing is */
	char wrong[256];
};

static void
free_chunk(struct import *import)
{
	for (unsigned i = 0; i < import->count; i++)
		json_decref(import->roots[i]);
	import->count = 0;
}

static void
free_import(void *work)
{
	free_chunk(work);
	free(work);
}

/* ---- lines -------------------------------------------------------------- */

static void
refuse(struct import *import, uint64_t line, unsigned status, const char *why)
{
	import->status = status;
	snprintf(import->wrong, sizeof(import->wrong), "line %llu: %s",
		 (unsigned long long)line, why);
}

/* The one that was just read. */
static bool
refuse_line(struct import *import, unsigned status, const char *why)
{
	refuse(import, import->line, status, why);
	return false;
}

static bool
refuse_size(struct import *import, const char *what, uint64_t limit)
{
	char why[80];

	snprintf(why, sizeof(why), "%s, the limit is %llu", what,
		 (unsigned long long)limit);
	return refuse_line(import, 413, why);
}

/* Scan's members may stand there, so that a scan can be imported. */
static bool
read_members(struct json_read *read, struct kv_op *op)
{
	int64_t expires = 0;

	if (!json_read_names(read, read->root,
			     "key value base64 type expires ttl etag size") ||
	    !json_read_key(read, json_object_get(read->root, "key"),
			   &op->key) ||
	    !json_read_value(read, read->root, &op->value) ||
	    !json_read_type(read, read->root, &op->type) ||
	    !json_read_ttl(read, read->root, op) ||
	    !json_read_i64(read, read->root, "expires", &expires))
		return false;
	if (expires < 0) {
		snprintf(read->wrong, sizeof(read->wrong),
			 "\"expires\" is in milliseconds since 1970");
		return false;
	}
	op->expires_ms = (uint64_t)expires;
	return true;
}

static bool
is_blank(struct bytes line)
{
	const char *c = line.data;

	for (size_t i = 0; i < line.len; i++)
		if (!strchr(" \t\r", c[i]) || !c[i])
			return false;
	return true;
}

static bool
read_line(struct import *import, struct bytes line, uint64_t now_ms)
{
	struct json_read read;
	struct kv_op *op = &import->ops[import->count];

	if (is_blank(line))
		return true;
	memset(op, 0, sizeof(*op));
	op->kind = KV_PUT;
	json_read_begin(&read, line);
	if (!read.root || !read_members(&read, op)) {
		json_read_end(&read);
		return refuse_line(import, 400, read.wrong);
	}
	if (op->value.len > import->value_max) {
		json_read_end(&read);
		return refuse_size(import, "the value is too large",
				   import->value_max);
	}
	if (op->expires_ms && op->expires_ms <= now_ms) {
		json_read_end(&read);
		import->expired++;
		return true;
	}
	import->roots[import->count] = read.root;
	import->lines[import->count++] = import->line;
	return true;
}

/* The next line of the body, without its end; false: none is whole. */
static bool
next_line(const struct request *request, struct import *import,
	  struct bytes *line)
{
	const char *start = request->body + import->consumed;
	size_t left = request->body_len - import->consumed;
	const char *end = left ? memchr(start, '\n', left) : NULL;

	if (!end && !(request->body_complete && left))
		return false;
	line->data = start;
	line->len = end ? (size_t)(end - start) : left;
	import->consumed += line->len + (end != NULL);
	import->line++;
	return true;
}

static void
read_chunk(struct request *request, struct import *import)
{
	uint64_t now_ms = clock_wall_ms();
	struct bytes line;

	import->consumed = 0;
	while (import->count < CHUNK_LINES &&
	       next_line(request, import, &line)) {
		if (!read_line(import, line, now_ms))
			return;
		/* Others look after what waits behind this. */
		sched_slice_over();
	}
	if (!import->consumed && request->body_len > import->line_max) {
		import->line++;
		refuse_size(import, "the line is too long", import->line_max);
	}
}

/* ---- answering ---------------------------------------------------------- */

static void
send_wrong(struct request *request) ON_WORKER
{
	const struct import *import = request->work;

	if (request->body_complete)
		reply_problem(request, import->status, NULL,
			      "%s; records imported: %llu", import->wrong,
			      (unsigned long long)import->imported);
	else
		reply_cut_problem(request, import->status, NULL,
				  "%s; records imported: %llu", import->wrong,
				  (unsigned long long)import->imported);
}

static void
send_counts(struct request *request) ON_WORKER
{
	const struct import *import = request->work;
	struct reply reply;
	char body[96];
	int len;

	len = snprintf(body, sizeof(body),
		       "{\"imported\":%llu,\"expired\":%llu}\n",
		       (unsigned long long)import->imported,
		       (unsigned long long)import->expired);
	reply_begin(&reply, request, 200);
	reply_header(&reply, "Content-Type", bytes_of("application/json"));
	reply_send_copy(&reply, (struct bytes){ body, (size_t)len });
}

/* The commit of a chunk failed, or some of its lines did: then the first of
 * them is named. One that could not be read stands behind all of these. */
static void
count_chunk(struct import *import, enum err err)
{
	unsigned first = import->count;
	const char *code;

	for (unsigned i = 0; i < import->count; i++) {
		if (!err && !import->ops[i].err)
			import->imported++;
		else if (first == import->count)
			first = i;
	}
	if (first == import->count)
		return;
	if (!err)
		err = import->ops[first].err;
	refuse(import, import->lines[first], http_status(err, &code),
	       err_text(err));
}

static void run_chunk(struct task *task);

/* On the shard: what comes next? */
static void
after_chunk(struct request *request) ON_WORKER
{
	struct import *import = request->work;
	bool progress = import->consumed > 0;

	count_chunk(import, request->write.item.err);
	free_chunk(import);
	request_body_consume(request, import->consumed);
	if (import->status) {
		send_wrong(request);
	} else if (progress && request->body_len &&
		   (request->body_complete ||
		    memchr(request->body, '\n', request->body_len))) {
		request_wait_task(request, run_chunk);
	} else if (request->body_complete) {
		send_counts(request);
	} else {
		/* A line that is longer than what came: room for more. */
		request->stream_chunk = progress ? 0 : request->body_len * 2;
		request->state = REQUEST_BODY;
	}
}

static void
run_chunk(struct task *task)
{
	struct request *request = request_of_task(task);
	struct import *import = request->work;
	enum err err;

	TAKES_OVER(request);
	request->write.item.err = ERR_OK;
	read_chunk(request, import);
	if (!import->count) {
		request_post(request, after_chunk);
		return;
	}
	request->write.ops = import->ops;
	request->write.count = import->count;
	request->write.atomic = false;
	request->write.out_max = 0;
	err = request_pass_write(request, after_chunk);
	if (err) {
		request->write.item.err = err;
		request_post(request, after_chunk);
	}
}

/* The body stands at a line for which there is no room. */
static void
send_stopped(struct request *request) ON_WORKER
{
	struct import *import = request->work;
	enum err err = request->stream_err;
	const char *code;

	refuse(import, import->line + 1, http_status(err, &code),
	       err_text(err));
	send_wrong(request);
}

void
kv_import(struct request *request)
{
	const struct config *config = local_self()->server->config;
	struct import *import = request->work;

	if (!import) {
		import = calloc(1, sizeof(*import));
		if (!import) {
			reply_cut(request, ERR_NOMEM);
			return;
		}
		import->value_max = config->max_value;
		/* A control byte takes six characters, and 16 KiB are enough
		 * for a key and a type written so. */
		import->line_max = config->max_value * 6 + (16 << 10);
		request->work = import;
		request->free_work = free_import;
	}
	if (request->stream_err) {
		send_stopped(request);
		return;
	}
	request_wait_task(request, run_chunk);
}
