/* SPDX-License-Identifier: MIT */
#include "core/buffer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Most replies fit without growing again. */
enum { FIRST_CAPACITY = 512 };

void
buffer_init(struct buffer *buffer, size_t max)
{
	/* One byte more than the bound must have a name: see buffer_addf(). */
	assert(max < SIZE_MAX);
	*buffer = (struct buffer){ .max = max };
}

void
buffer_fini(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){ .max = buffer->max };
}

void
buffer_clear(struct buffer *buffer)
{
	buffer->len = 0;
	buffer->err = ERR_OK;
}

char *
buffer_take(struct buffer *buffer, size_t *len)
{
	char *data = buffer->data;

	*len = buffer->len;
	buffer_init(buffer, buffer->max);
	return data;
}

/* Doubling, so that appending costs the same a byte however long it gets. */
static bool
grow(struct buffer *buffer, size_t needed)
{
	size_t capacity = buffer->capacity ? buffer->capacity : FIRST_CAPACITY;
	char *data;

	while (capacity < needed)
		if (__builtin_mul_overflow(capacity, 2, &capacity))
			capacity = needed;
	/* The bound, and the NUL that buffer_addf() writes behind it. */
	if (capacity > buffer->max + 1)
		capacity = buffer->max + 1;
	data = realloc(buffer->data, capacity);
	if (!data) {
		buffer->err = ERR_NOMEM;
		return false;
	}
	buffer->data = data;
	buffer->capacity = capacity;
	return true;
}

char *
buffer_reserve(struct buffer *buffer, size_t n)
{
	if (buffer->err)
		return NULL;
	if (n > buffer->max - buffer->len) {
		buffer->err = ERR_TOO_LARGE;
		return NULL;
	}
	/* One more than asked: room for a NUL, and never no memory at all. */
	if (n >= buffer->capacity - buffer->len &&
	    !grow(buffer, buffer->len + n + 1))
		return NULL;
	return buffer->data + buffer->len;
}

void
buffer_added(struct buffer *buffer, size_t n)
{
	assert(n <= buffer->capacity - buffer->len);
	buffer->len += n;
}

void
buffer_add(struct buffer *buffer, const void *data, size_t n)
{
	char *room = buffer_reserve(buffer, n);

	if (!room || n == 0)
		return;
	memcpy(room, data, n);
	buffer->len += n;
}

void
buffer_add_str(struct buffer *buffer, const char *text)
{
	buffer_add(buffer, text, strlen(text));
}

void
buffer_addf(struct buffer *buffer, const char *format, ...)
{
	char *room = buffer_reserve(buffer, 0);
	size_t left = buffer->capacity - buffer->len;
	va_list args;
	int n;

	if (!room)
		return;
	va_start(args, format);
	n = vsnprintf(room, left, format, args);
	va_end(args);
	assert(n >= 0);
	if ((size_t)n >= left) {
		room = buffer_reserve(buffer, (size_t)n);
		if (!room)
			return;
		va_start(args, format);
		vsnprintf(room, (size_t)n + 1, format, args);
		va_end(args);
	}
	buffer->len += (size_t)n;
}

void
buffer_add_u64(struct buffer *buffer, uint64_t number)
{
	char digits[20];
	char *at = digits + sizeof(digits);

	do {
		*--at = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	buffer_add(buffer, at, (size_t)(digits + sizeof(digits) - at));
}

void
buffer_add_i64(struct buffer *buffer, int64_t number)
{
	if (number < 0)
		buffer_add(buffer, "-", 1);
	/* Negated unsigned: -INT64_MIN does not exist. */
	buffer_add_u64(buffer,
		       number < 0 ? -(uint64_t)number : (uint64_t)number);
}

ssize_t
buffer_read(struct buffer *buffer, int fd)
{
	enum { PIECE = 64 << 10 };
	size_t left = buffer->max - buffer->len;
	char *room = buffer_reserve(buffer, left < PIECE ? left : PIECE);
	ssize_t n = -1;

	/* A byte behind the bound, for which there is the room of a NUL, tells
	 * that there is more. */
	if (room)
		do
			n = read(fd, room, left < PIECE ? left + 1 : PIECE);
		while (n < 0 && errno == EINTR);
	if (n > 0 && (size_t)n > left)
		buffer->err = ERR_TOO_LARGE;
	if (buffer->err) {
		errno = buffer->err == ERR_NOMEM ? ENOMEM : EFBIG;
		return -1;
	}
	if (n > 0)
		buffer_added(buffer, (size_t)n);
	return n;
}

bool
buffer_read_all(struct buffer *buffer, int fd)
{
	ssize_t n;

	do
		n = buffer_read(buffer, fd);
	while (n > 0);
	return n == 0;
}

void
buffer_consume(struct buffer *buffer, size_t n)
{
	assert(n <= buffer->len);
	if (n == 0)
		return;
	buffer->len -= n;
	memmove(buffer->data, buffer->data + n, buffer->len);
}
