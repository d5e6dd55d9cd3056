/* SPDX-License-Identifier: MIT */
#include "http/reply.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/profile.h"
#include "http/conn.h"
#include "http/date.h"
#include "http/shard.h"

/* ---- the head ----------------------------------------------------------- */

/*
 * Ours, since libmicrohttpd's goes through gmtime_r() each time, which takes a
 * lock of the C library's that all workers share. Kept a second by a worker.
 */
static void
put_date(struct reply *reply)
{
	static _Thread_local char text[HTTP_DATE_SIZE];
	static _Thread_local uint64_t known = UINT64_MAX;
	uint64_t now = clock_coarse_wall_s();

	if (now != known) {
		http_date(now * 1000, text);
		known = now;
	}
	reply_header(reply, "Date", (struct bytes){ text, HTTP_DATE_SIZE - 1 });
}

void
reply_begin(struct reply *reply, struct request *request, unsigned status)
{
	reply->request = request;
	reply->status = status;
	reply->len = request->id_len;
	memcpy(reply->head, request->id, request->id_len);
	put_date(reply);
}

bool
reply_field(struct reply *reply, struct bytes name, struct bytes value)
{
	char *out = reply->head + reply->len;

	if (value.len == 0)
		return true;
	if (reply->len + 2 + name.len + 2 + value.len > HEAD_MAX)
		return false;
	out = mempcpy(out, "\r\n", 2);
	out = mempcpy(out, name.data, name.len);
	out = mempcpy(out, ": ", 2);
	out = mempcpy(out, value.data, value.len);
	reply->len = (size_t)(out - reply->head);
	return true;
}

void
reply_headerf(struct reply *reply, const char *name, const char *format, ...)
{
	char value[HEAD_MAX];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(value, sizeof(value), format, args);
	va_end(args);
	if (len > 0 && (size_t)len < sizeof(value))
		reply_header(reply, name, (struct bytes){ value, (size_t)len });
}

void
reply_etag(struct reply *reply, uint64_t seq)
{
	char text[24];
	char *end = text + sizeof(text), *at = end;

	/* By hand, since every reply to a GET has one. */
	*--at = '"';
	do
		*--at = (char)('0' + seq % 10);
	while (seq /= 10);
	*--at = '"';
	reply_header(reply, "ETag", (struct bytes){ at, (size_t)(end - at) });
}

/* ---- sending ------------------------------------------------------------ */

static void
queue(struct request *request, unsigned status,
      struct MHD_Response *response) ON_WORKER
{
	request->status = (unsigned short)status;
	request->state = REQUEST_ANSWERED;
	shard_queue(request, status, response);
}

/* No memory for even this: the connection is closed. */
static void
give_up(struct request *request)
{
	request->state = REQUEST_CUT;
	request->status = 503;
}

/* A response of its own, for what no frame can do. Takes response, which may
 * be NULL. */
static void
send_response(struct reply *reply, struct MHD_Response *response) ON_WORKER
{
	struct request *request = reply->request;
	char *head = response ? frame_add_head(response, reply->len) : NULL;

	if (!head) {
		give_up(request);
	} else {
		memcpy(head, reply->head, reply->len);
		if (server_draining(local_self()->server) &&
		    !MHD_add_response_header(response, "Connection", "close"))
			log_warn("no memory for a header");
		queue(request, reply->status, response);
	}
	if (response)
		MHD_destroy_response(response);
}

/* The frame is the request's until that ends. body NULL: the place of one
 * that is not sent. */
static void
send_frame(struct reply *reply, const void *body, size_t len) ON_WORKER
{
	struct request *request = reply->request;
	struct frame *frame =
		frame_take(&local_self()->frames, reply->len, len);

	if (!frame) {
		give_up(request);
		return;
	}
	memcpy(frame->head, reply->head, reply->len);
	if (body)
		memcpy(frame->body, body, len);
	request->frame = frame;
	queue(request, reply->status, frame->response);
}

static bool
fits_frame(size_t len) ON_WORKER
{
	return len <= FRAME_BODY_MAX && !server_draining(local_self()->server);
}

void
reply_send_copy(struct reply *reply, struct bytes body)
{
	if (fits_frame(body.len))
		send_frame(reply, body.data, body.len);
	else
		send_response(reply,
			      MHD_create_response_from_buffer(
				      body.len, (void *)(uintptr_t)body.data,
				      MHD_RESPMEM_MUST_COPY));
}

static ssize_t
no_body(void *arg, uint64_t position, char *out, size_t size)
{
	return MHD_CONTENT_READER_END_WITH_ERROR;
}

void
reply_send_length(struct reply *reply, size_t len)
{
	if (fits_frame(len))
		send_frame(reply, NULL, len);
	else
		send_response(reply, MHD_create_response_from_callback(
					     len, 1, no_body, NULL, NULL));
}

void
reply_send(struct reply *reply)
{
	reply_send_copy(reply, bytes_of(""));
}

void
reply_send_malloced(struct reply *reply, char *body, size_t len)
{
	struct MHD_Response *response;

	response = MHD_create_response_from_buffer_with_free_callback(len, body,
								      free);
	if (!response)
		free(body);
	send_response(reply, response);
}

void
reply_send_shared(struct reply *reply, struct bytes body,
		  void (*let_go)(void *arg), void *arg)
{
	struct MHD_Response *response;

	response = MHD_create_response_from_buffer_with_free_callback_cls(
		body.len, (void *)(uintptr_t)body.data, let_go, arg);
	if (!response)
		let_go(arg);
	send_response(reply, response);
}

void
reply_send_buffer(struct reply *reply, struct buffer *body)
{
	size_t len;
	char *data;

	if (body->err) {
		reply_error(reply->request, body->err);
		buffer_fini(body);
		return;
	}
	data = buffer_take(body, &len);
	if (data)
		reply_send_malloced(reply, data, len);
	else
		reply_send(reply);
}

/* ---- streams ------------------------------------------------------------ */

struct running {
	struct stream stream;
	struct request *request; /* counted: end() comes after the request's
				    end on its connection */
};

static ssize_t
stream_more(void *arg, uint64_t position, char *out, size_t size) ON_WORKER
{
	struct running *running = arg;
	struct request *request = running->request;
	ptrdiff_t n;

	(void)position;
	shard_begin_work(request->shard);
	if (ck_pr_load_uint(&request->cancelled))
		return MHD_CONTENT_READER_END_WITH_ERROR;
	/* It asks for more: the client has taken what was before. */
	conn_phase(request->conn, CONN_REPLYING, clock_coarse_ns());
	profile_mark_set(PROFILE_REQUEST, request_label(request));
	n = running->stream.more(running->stream.arg, out, size);
	profile_mark_set(PROFILE_SOURCE, NULL);
	if (n > 0)
		return n;
	switch (n) {
	case 0:
		return MHD_CONTENT_READER_END_OF_STREAM;
	case STREAM_LATER:
		request->refs++; /* the wake's */
		shard_rest(request);
		return 0;
	}
	return MHD_CONTENT_READER_END_WITH_ERROR;
}

static void
stream_end(void *arg) ON_WORKER
{
	struct running *running = arg;

	running->stream.end(running->stream.arg);
	request_release(running->request);
	free(running);
}

static void
open_woken(struct parcel *parcel) ON_WORKER
{
	struct request *request = CONTAINER_OF(parcel, struct request, parcel);

	TAKES_OVER(request);
	shard_end_rest(request);
	request_release(request);
}

void
stream_wake(struct request *request)
{
	struct source *source = shard_source(request->shard);

	request->parcel.open = open_woken;
	HANDS_OVER(request);
	source_post(source, &request->parcel);
	/* request is the shard's now. */
	source_wake(source);
}

void
reply_send_stream(struct reply *reply, const struct stream *stream)
{
	/* 16 KiB a piece: a quarter of a socket's usual send buffer. */
	enum { BLOCK = 16 << 10 };
	struct running *running = malloc(sizeof(*running));
	struct MHD_Response *response = NULL;

	if (running) {
		*running = (struct running){ *stream, reply->request };
		response = MHD_create_response_from_callback(
			MHD_SIZE_UNKNOWN, BLOCK, stream_more, running,
			stream_end);
	}
	if (response) {
		reply->request->refs++;
	} else {
		stream->end(stream->arg);
		free(running);
	}
	/* libmicrohttpd 0.9.75 ends a chunked reply to HEAD with the last
	 * chunk of a body, which is none's; as to HTTP/1.0, it does without
	 * chunks, and closes. */
	if (response && reply->request->method == METHOD_HEAD)
		MHD_set_response_options(response,
					 MHD_RF_HTTP_1_0_COMPATIBLE_STRICT,
					 MHD_RO_END);
	send_response(reply, response);
}

/* ---- values ------------------------------------------------------------- */

void
reply_max_age(struct reply *reply, uint64_t expires_ms, uint64_t now_ms)
{
	uint64_t left_ms = expires_ms > now_ms ? expires_ms - now_ms : 0;

	if (!expires_ms)
		return;
	reply_headerf(reply, "Cache-Control", "max-age=%llu",
		      (unsigned long long)(left_ms / 1000));
}

void
reply_value_headers(struct reply *reply, const struct kv_record *record,
		    bool hit, uint64_t now_ms)
{
	char date[HTTP_DATE_SIZE];

	reply_header(reply, "Cache-Status",
		     bytes_of(hit ? "jackdaw; hit" : "jackdaw; fwd=miss"));
	reply_max_age(reply, record->expires_ms, now_ms);
	reply_etag(reply, record->seq);
	http_date(record->modified_ms, date);
	reply_header(reply, "Last-Modified",
		     (struct bytes){ date, HTTP_DATE_SIZE - 1 });
	reply_header(reply, "Content-Type",
		     record->type.len ? record->type
				      : bytes_of("application/octet-stream"));
	reply_header(reply, "X-Content-Type-Options", bytes_of("nosniff"));
	reply_header(reply, "Accept-Ranges", bytes_of("bytes"));
}

static void
let_go(void *kept)
{
	kept_unref(kept);
}

void
reply_send_kept(struct reply *reply, struct kept *kept)
{
	kept_ref(kept);
	reply_send_shared(reply, kept->record.value, let_go, kept);
}
