/* SPDX-License-Identifier: MIT */
/*
 * Replies: their head, their body, and problems.
 *
 * A head is written as one block of text, line ends and all, and put into a
 * frame (http/frame.h). Nothing of a client's gets into it unless the guard
 * has refused control bytes in it.
 *
 * All of it: on the worker that holds the request's shard.
 */
#ifndef HTTP_REPLY_H
#define HTTP_REPLY_H

#include "http/frame.h"
#include "http/kept.h"
#include "http/request.h"

/* A head under construction; on the stack. */
struct reply {
	struct request *request;
	unsigned status;
	size_t len;
	char head[HEAD_MAX];
};

void reply_begin(struct reply *reply, struct request *request,
		 unsigned status) ON_WORKER;
/* False: the line does not fit and is left out. Only Link can be that long.
 * Names are constants: their lengths are taken where they stand. */
bool reply_field(struct reply *reply, struct bytes name, struct bytes value);

static inline bool
reply_header(struct reply *reply, const char *name, struct bytes value)
{
	return reply_field(reply, bytes_of(name), value);
}

void reply_headerf(struct reply *reply, const char *name, const char *format,
		   ...) PRINTF(3, 4);
void reply_etag(struct reply *reply, uint64_t seq);

/* Ends a reply that has no body but says the length of one: a 304, whose
 * Content-Length is that of the 200 (RFC 9110, section 8.6). */
void reply_send_length(struct reply *reply, size_t len) ON_WORKER;
/* Each ends the reply. The body is: none; copied; malloc'd and freed after
 * it is sent. */
void reply_send(struct reply *reply) ON_WORKER;
void reply_send_copy(struct reply *reply, struct bytes body) ON_WORKER;
void reply_send_malloced(struct reply *reply, char *body, size_t len) ON_WORKER;
/* Not copied: let_go(arg) is called when it is sent. */
void reply_send_shared(struct reply *reply, struct bytes body,
		       void (*let_go)(void *arg), void *arg) ON_WORKER;
/* Takes what the buffer holds; a failed buffer is answered as what failed. */
void reply_send_buffer(struct reply *reply, struct buffer *body) ON_WORKER;

/*
 * A stream of unknown length. more() writes up to size bytes to out and
 * returns how many, 0 at the end, STREAM_CUT to cut the connection so that the
 * client knows. It must not block: with STREAM_LATER it is called again after
 * stream_wake(), of which exactly one must follow, however the stream ends.
 * end(arg) is called once, after the last call, also when the client left.
 * The request lives until then, and until each wake has come.
 */
enum { STREAM_CUT = -1, STREAM_LATER = -2 };
struct stream {
	ptrdiff_t (*more)(void *arg, char *out, size_t size);
	void (*end)(void *arg);
	void *arg;
};
void reply_send_stream(struct reply *reply,
		       const struct stream *stream) ON_WORKER;
/* Any thread, even before more() has returned. Uses request->parcel. */
void stream_wake(struct request *request);

/* ---- problem.c ----------------------------------------------------------- */

/* RFC 9457. code NULL: the status's own. detail says what, where and which
 * limit, and nothing that the client may not know. */
void reply_problem(struct request *request, unsigned status, const char *code,
		   const char *detail, ...) PRINTF(4, 5) ON_WORKER;
/* The same with the index of the operation that it is about. */
void reply_problem_index(struct request *request, unsigned status,
			 const char *code, int index, const char *detail, ...)
	PRINTF(5, 6) ON_WORKER;
/* The same with further members, as JSON: "name":value,... */
void reply_problem_members(struct request *request, unsigned status,
			   const char *code, struct bytes members,
			   const char *detail) ON_WORKER;
/* The same with one more header. */
void reply_problem_header(struct request *request, unsigned status,
			  const char *detail, const char *name,
			  const char *format, ...) PRINTF(5, 6) ON_WORKER;
/* A failed operation of the store, with a usual detail. */
void reply_error(struct request *request, enum err err) ON_WORKER;
/* None at all: the client left. Its connection is closed. */
void reply_gone(struct request *request) ON_WORKER;
/* 412 with the current ETag; seq 0: the key is absent. */
void reply_condition(struct request *request, uint64_t seq) ON_WORKER;
/*
 * An answer before the body has come whole, where libmicrohttpd takes none:
 * written to the socket beside it. What still comes is dropped, then the
 * connection is closed.
 */
void reply_cut_problem(struct request *request, unsigned status,
		       const char *code, const char *detail, ...)
	PRINTF(4, 5) ON_WORKER;
void reply_cut(struct request *request, enum err err) ON_WORKER;

/* ---- values ------------------------------------------------------------- */

/* Cache-Control with the seconds that are left; expires_ms 0: none. A 304 has
 * it as the 200 would (RFC 9110, section 15.4.5). */
void reply_max_age(struct reply *reply, uint64_t expires_ms, uint64_t now_ms);
/* The headers of a whole reply to a GET. X-Content-Type-Options: what a client
 * stored must not become a page of ours in somebody's browser. now_ms is
 * looked at only where there is an expiry. */
void reply_value_headers(struct reply *reply, const struct kv_record *record,
			 bool hit, uint64_t now_ms);
/* The body is the kept value, not copied; takes a reference of its own. */
void reply_send_kept(struct reply *reply, struct kept *kept) ON_WORKER;

#endif
