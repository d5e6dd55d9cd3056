/* SPDX-License-Identifier: MIT */
/*
 * A growable byte buffer with a bound. Appends never fail one by one: the
 * first that would pass the bound, or has no memory, marks the buffer as
 * failed and the rest are ignored, so a caller checks once at the end.
 */
#ifndef CORE_BUFFER_H
#define CORE_BUFFER_H

#include <sys/types.h>

#include "core/base.h"
#include "core/err.h"

struct buffer {
	char *data; /* malloc'd; NULL while empty */
	size_t len, capacity;
	size_t max;   /* bound of len */
	enum err err; /* OK, NOMEM or TOO_LARGE */
};

void buffer_init(struct buffer *buffer, size_t max);
void buffer_fini(struct buffer *buffer);
/* Keeps the memory. */
void buffer_clear(struct buffer *buffer);
/* The caller frees; the buffer is empty afterwards. NULL where nothing was
 * ever added. Says nothing of err: look before. */
char *buffer_take(struct buffer *buffer, size_t *len);

/* Room for n more bytes, never NULL unless failed. Follow with
 * buffer_added(). */
char *buffer_reserve(struct buffer *buffer, size_t n);
void buffer_added(struct buffer *buffer, size_t n);
void buffer_add(struct buffer *buffer, const void *data, size_t n);
void buffer_add_str(struct buffer *buffer, const char *text);
void buffer_addf(struct buffer *buffer, const char *format, ...) PRINTF(2, 3);
void buffer_add_u64(struct buffer *buffer, uint64_t number);
void buffer_add_i64(struct buffer *buffer, int64_t number);
/* Bytes read, a piece at most; 0 at the end. Negative after an error, with
 * errno, which also says where the buffer has failed (EFBIG, ENOMEM). */
ssize_t buffer_read(struct buffer *buffer, int fd);
/* The same up to the end. */
MUST_CHECK bool buffer_read_all(struct buffer *buffer, int fd);
/* Takes the first n bytes away. */
void buffer_consume(struct buffer *buffer, size_t n);

#endif
