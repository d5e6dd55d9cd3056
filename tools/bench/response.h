/* SPDX-License-Identifier: MIT */
/*
 * Reads the replies of HTTP/1.1 (RFC 9112) from bytes as they come, in pieces
 * of any size, and keeps nothing of them but the status and where a reply
 * ends. What no server should send (a head without an end, two lengths that
 * differ, a length beside chunks, a chunk size that is none) is malformed;
 * the connection is then of no more use.
 *
 * A head is read line by line, of each line the first RESPONSE_LINE_MAX bytes:
 * no field that matters is longer. They are kept where a piece cuts a line.
 */
#ifndef TOOLS_BENCH_RESPONSE_H
#define TOOLS_BENCH_RESPONSE_H

#include "core/base.h"

enum {
	RESPONSE_LINE_MAX = 120,      /* of a line that is looked at */
	RESPONSE_HEAD_MAX = 64 << 10, /* of a head, and of a trailer */
};

enum response_state { RESPONSE_MORE, RESPONSE_DONE, RESPONSE_MALFORMED };

struct response {
	/* To be read once it is done. */
	unsigned status;
	bool closes; /* the server closes the connection after it */

	enum response_step {
		STEP_STATUS_LINE,
		STEP_FIELDS,
		STEP_BODY, /* left bytes of it */
		STEP_UNTIL_CLOSE,
		STEP_CHUNK_SIZE,
		STEP_CHUNK,     /* left bytes of it */
		STEP_CHUNK_END, /* the line end behind one */
		STEP_TRAILER,
	} step;
	bool to_head; /* of a HEAD request: it has no body */
	bool chunked, has_length, has_coding;
	uint64_t left;
	unsigned head_len; /* so far */
	unsigned line_len; /* of the cut line, also of what is not kept */
	char line[RESPONSE_LINE_MAX];
};

/* Before the first byte of each reply. */
void response_begin(struct response *response, bool to_head);
/* Reads from data and sets used; that is less than len only when it is not
 * RESPONSE_MORE any longer. */
enum response_state response_read(struct response *response, const char *data,
				  size_t len, size_t *used);
/* The server has closed the connection. RESPONSE_DONE where that ends a body.
 */
enum response_state response_closed(const struct response *response);

#endif
