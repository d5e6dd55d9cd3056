/* SPDX-License-Identifier: MIT */
/*
 * Replies: their head, their body, problems, and replies that are kept.
 *
 * A head is written as one block of text. libmicrohttpd takes it as the value
 * of the header X-Request-Id, which always comes first: one header costs
 * three allocations, so seven would cost twenty-one, and the copy into the
 * connection's buffer is one memcpy. It refuses line ends in values, so they
 * are put in afterwards, in the value that it keeps. Nothing of a client's
 * gets into a head unless the guard has refused control bytes in it.
 *
 * All of it: on the worker that holds the request's shard.
 */
#ifndef HTTP_REPLY_H
#define HTTP_REPLY_H

#include "http/request.h"

enum {
	/* What a connection's pool has left for us in the worst case. */
	HEAD_MAX = 1200,
	HEAD_LINES_MAX = 12,
	HTTP_DATE_SIZE = 30,
};

/* A head under construction; on the stack. */
struct reply {
	struct request *request;
	unsigned status;
	unsigned lines;
	size_t len;
	unsigned short ends[HEAD_LINES_MAX]; /* where line ends belong */
	char head[HEAD_MAX];
};

void reply_begin(struct reply *reply, struct request *request,
		 unsigned status) ON_WORKER;
/* A line that does not fit is left out: only Link can be that long. */
void reply_header(struct reply *reply, const char *name, struct bytes value);
void reply_headerf(struct reply *reply, const char *name, const char *format,
		   ...) PRINTF(3, 4);
void reply_etag(struct reply *reply, uint64_t seq);

/* Each ends the reply. The body is: none; copied; malloc'd and freed after
 * it is sent. */
void reply_send(struct reply *reply) ON_WORKER;
void reply_send_copy(struct reply *reply, struct bytes body) ON_WORKER;
void reply_send_malloced(struct reply *reply, char *body, size_t len) ON_WORKER;
/* Takes what the buffer holds; a failed buffer is answered as what failed. */
void reply_send_buffer(struct reply *reply, struct buffer *body) ON_WORKER;

/*
 * A stream of unknown length. more() writes up to size bytes to out and
 * returns how many, 0 at the end, -1 to cut the connection so that the client
 * knows. It must not block. end(arg) is called once, after the last.
 */
struct stream {
	ptrdiff_t (*more)(void *arg, char *out, size_t size);
	void (*end)(void *arg);
	void *arg;
};
void reply_send_stream(struct reply *reply,
		       const struct stream *stream) ON_WORKER;

/* RFC 9457. code NULL: the status's own. detail says what, where and which
 * limit, and nothing that the client may not know. */
void reply_problem(struct request *request, unsigned status, const char *code,
		   const char *detail, ...) PRINTF(4, 5) ON_WORKER;
/* The same with the index of the operation that it is about. */
void reply_problem_index(struct request *request, unsigned status,
			 const char *code, int index, const char *detail, ...)
	PRINTF(5, 6) ON_WORKER;
/* The same with one more header. */
void reply_problem_header(struct request *request, unsigned status,
			  const char *detail, const char *name,
			  const char *format, ...) PRINTF(5, 6) ON_WORKER;
/* A failed operation of the store, with a usual detail. */
void reply_error(struct request *request, enum err err) ON_WORKER;
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

/* ---- replies that are kept ---------------------------------------------- */

/*
 * A whole reply to a GET, ready to be queued again: head, body and the
 * libmicrohttpd response around them. In one block with its key and value.
 * Belongs to one worker's cache; what is being sent is counted by
 * libmicrohttpd and outlives an eviction.
 */
struct kept_reply {
	struct cache_entry entry;
	struct MHD_Response *response;
	/* In the response's head: set at each use. max_age: NULL without an
	 * expiry. */
	char *id, *cache_status, *max_age;
	uint64_t version; /* the word noted before it was read */
	uint64_t seq, modified_ms, expires_ms;
	struct bytes type, value;
	char data[]; /* key, type, value */
};

/* Builds from a record what kv_key_get() answers. NULL: no memory. */
struct kept_reply *reply_keep(struct request *request, uint64_t hash,
			      const struct kv_record *record) ON_WORKER;
/* now_ms is looked at only where there is an expiry. */
void reply_send_kept(struct request *request, struct kept_reply *kept, bool hit,
		     uint64_t now_ms) ON_WORKER;
/* The headers of a GET's whole reply, for a part of it. */
void reply_kept_headers(struct reply *reply, const struct kept_reply *kept,
			bool hit, uint64_t now_ms);
/* The cache's free function. */
void kept_reply_free(struct cache_entry *entry);

/* "Tue, 24 Nov 2026 05:31:14 GMT" (RFC 9110, section 5.6.7). */
void http_date(uint64_t wall_ms, char out[HTTP_DATE_SIZE]);
MUST_CHECK bool http_date_parse(struct bytes text, uint64_t *wall_s);

#endif
