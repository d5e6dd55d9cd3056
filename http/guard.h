/* SPDX-License-Identifier: MIT */
/*
 * The guard: one pass over a request's headers, before anything else is done
 * with it. It refuses what libmicrohttpd 0.9.75 lets through and what would
 * make a proxy before us see other requests than we do (request smuggling,
 * RFC 9112 sections 2.2, 3.2, 5 and 6.3), and notes the headers that we use.
 * It does not see the framing of chunks, where libmicrohttpd 0.9.75 takes a
 * bare LF for the end of the line with a chunk's size.
 *
 * Knows nothing of libmicrohttpd, so that it can be tested alone.
 */
#ifndef HTTP_GUARD_H
#define HTTP_GUARD_H

#include "core/base.h"
#include "http/action.h"

enum {
	/* What is left of a connection's 8 KiB pool must hold the parsed
	 * headers and our reply's head: see POOL_SIZE in intake.h. */
	GUARD_TARGET_MAX = 4096,
	GUARD_HEADERS_MAX = 4096, /* names and values together */
	GUARD_FIELDS_MAX = 48,
};

/* Headers that we use. Borrowed from the connection, empty where absent;
 * `has_` where the empty value means something. */
struct headers {
	struct bytes accept, content_type, traceparent, request_id;
	struct bytes if_match, if_none_match, if_range, range;
	struct bytes if_modified_since, if_unmodified_since;
	bool has_if_match, has_if_none_match;
	bool has_length, chunked;
	uint64_t content_length;

	/* The guard's own. */
	bool has_host, has_authorization, has_content_range;
	unsigned fields;
	size_t size;
	/* The first thing that was wrong; NULL: nothing so far. */
	const char *refused;
	unsigned status; /* 400, 413 or 431, with refused */
};

void guard_begin(struct headers *headers);
/* Once for each header field, in order, without the blanks before its value. */
void guard_field(struct headers *headers, struct bytes name,
		 struct bytes value);
/* The first reason stands. */
void guard_refuse(struct headers *headers, unsigned status, const char *why);
/* After the last one. True: go on; false: see refused and status. */
MUST_CHECK bool guard_end(struct headers *headers, bool http10,
			  struct bytes target, enum method method);

/* Field values hold no control bytes but tabs (RFC 9110, section 5.5). */
MUST_CHECK bool guard_has_control(struct bytes value);

/* Takes the scheme and authority off an absolute-form target. False where what
 * remains does not begin with "/", or "*" for OPTIONS. Of the absolute form it
 * may be nothing, or begin with "?": its path is empty. */
MUST_CHECK bool guard_target_path(struct bytes *target, bool is_options);

#endif
