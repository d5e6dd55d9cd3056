/* SPDX-License-Identifier: MIT */
/*
 * The few words every file uses.
 */
#ifndef CORE_BASE_H
#define CORE_BASE_H

#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF(text, args) __attribute__((format(printf, text, args)))
#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(pointer, type, member) \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* The unit in which processors share memory; 64 on everything we run on. */
enum { CACHE_LINE = 64 };

/* Borrowed memory: never freed through this, ends where its source says. */
struct bytes {
	const void *data;
	size_t len;
};

static inline struct bytes
bytes_of(const char *text)
{
	return (struct bytes){ text, strlen(text) };
}

static inline bool
bytes_equal(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || !memcmp(a.data, b.data, a.len));
}

/* A copy at *out, which then is behind it. */
static inline struct bytes
bytes_put(char **out, struct bytes bytes)
{
	char *start = *out;

	if (bytes.len)
		memcpy(start, bytes.data, bytes.len);
	*out = start + bytes.len;
	return (struct bytes){ start, bytes.len };
}

/* Byte by byte, a prefix first: less than, equal to or more than 0. */
static inline int
bytes_compare(struct bytes a, struct bytes b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len ? memcmp(a.data, b.data, len) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static inline bool
bytes_begin(struct bytes text, const char *prefix)
{
	size_t len = strlen(prefix);

	return text.len >= len && !memcmp(text.data, prefix, len);
}

/* Is word one of the words of list, which a space separates? */
static inline bool
bytes_listed(const char *list, struct bytes word)
{
	while (*list) {
		size_t len = strcspn(list, " ");

		if (bytes_equal((struct bytes){ list, len }, word))
			return true;
		list += len + (list[len] == ' ');
	}
	return false;
}

#endif
