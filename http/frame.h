/* SPDX-License-Identifier: MIT */
/*
 * Frames: libmicrohttpd responses that are used again.
 *
 * To make a response takes five allocations: itself, a header's record, name
 * and text, and the body. So a worker keeps those that it has used. A frame is
 * one response with one header and a body, both of fixed length; what is in
 * them is overwritten at each use. It belongs to one request from
 * frame_take() until that request has ended, so nobody reads it when it is
 * overwritten.
 *
 * The one header holds all of a reply's head. libmicrohttpd refuses line ends
 * in values, so it is given a value of that length without any, and the text
 * is put into the place where it keeps it.
 *
 * All of it: on the worker that owns the frames.
 */
#ifndef HTTP_FRAME_H
#define HTTP_FRAME_H

#include "core/base.h"

struct MHD_Response;

enum {
	/* What a connection's pool has left for a head in the worst case. */
	HEAD_MAX = 1200,
	/* Larger bodies are not copied: see reply.c. */
	FRAME_BODY_MAX = 16 << 10,
	FRAME_BUCKETS = 64,
	/* What a worker keeps for the next: bytes, all included. */
	FRAMES_KEEP = 256 << 10,
};

/* The header in whose value the head stands. */
#define FRAME_HEADER "X-Request-Id"

struct frame {
	struct MHD_Response *response;
	struct frame *next;
	char *head; /* in the response */
	unsigned head_len, body_len;
	char body[];
};

struct frames {
	struct frame *buckets[FRAME_BUCKETS];
	size_t kept; /* bytes */
};

/* For head and body of these lengths; NULL: no memory. */
struct frame *frame_take(struct frames *frames, size_t head_len,
			 size_t body_len);
void frame_give(struct frames *frames, struct frame *frame);
void frames_fini(struct frames *frames);

/* Adds the header and returns where its value is kept; NULL: no memory. */
char *frame_add_head(struct MHD_Response *response, size_t len);

#endif
