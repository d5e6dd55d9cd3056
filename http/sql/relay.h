/* SPDX-License-Identifier: MIT */
/*
 * A relay: bytes on their way from whoever makes them, a fiber or a slow
 * thread, to a reply's stream. A ring of RELAY_SIZE between two threads:
 * when it is full its writer waits, when it is empty the connection rests.
 *
 * Belongs to the request's work, and so lives as long as the request. The
 * writer holds the request until it has called relay_end().
 */
#ifndef HTTP_SQL_RELAY_H
#define HTTP_SQL_RELAY_H

#include <semaphore.h>

#include "core/base.h"
#include "core/buffer.h"
#include "core/fiber.h"

struct request;

enum { RELAY_SIZE = 64 << 10 };

struct relay {
	/* Set by relay_init(). */
	struct request *request;
	char *ring;          /* RELAY_SIZE bytes */
	struct fiber *fiber; /* the writer's; NULL: a slow thread */
	sem_t wakes;         /* of a slow thread */

	/* The writer's until `ended`, then the reader's. */
	struct buffer last; /* behind what is in the ring */
	size_t last_sent;
	bool cut;

	/* Atomic: bytes written since the start; that there are no more; that
	 * the writer waits for room, taken back by who wakes it. */
	alignas(CACHE_LINE) uint64_t written;
	unsigned ended, writer_waits;

	/* Atomic: the same for the reader. */
	alignas(CACHE_LINE) uint64_t taken;
	unsigned closed, reader_waits;
};

/* On the thread that will write. */
MUST_CHECK enum err relay_init(struct relay *relay, struct request *request);
/* When neither side uses it any more. */
void relay_fini(struct relay *relay);

/* ---- the writer ---------------------------------------------------------- */

/* Takes all that text holds, as the reader makes room. On an error text keeps
 * what was not taken. ERR_CANCELLED: the client left. ERR_DEADLINE: it took
 * too long. */
MUST_CHECK enum err relay_write(struct relay *relay, struct buffer *text,
				uint64_t until_ns);
/* Once, always. What is in last, which it takes over, comes behind the rest;
 * then the stream ends, or the connection is cut. */
void relay_end(struct relay *relay, struct buffer *last, bool cut);

/* ---- the reader: a reply's stream ---------------------------------------- */

ptrdiff_t relay_more(void *relay, char *out, size_t size);
void relay_close(void *relay);

#endif
