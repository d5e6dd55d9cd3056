/* SPDX-License-Identifier: MIT */
#include "tools/path.h"

#include <ctype.h>

#include "tools/out.h"

/* More than any server takes; a longer one is the server's to refuse. */
enum { PATH_TEXT_MAX = 1 << 20 };

/* Unreserved characters as they are (RFC 3986), also those in keep. */
static void
add_encoded(struct buffer *path, const char *text, const char *keep)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;

		if (isalnum(byte) || strchr("-._~", byte) || strchr(keep, byte))
			buffer_add(path, text, 1);
		else
			buffer_add(
				path,
				(char[]){ '%', hex[byte >> 4], hex[byte & 15] },
				3);
	}
}

void
path_kv(struct buffer *path, const char *store, const char *key)
{
	buffer_init(path, PATH_TEXT_MAX);
	buffer_add_str(path, "/v1/kv/");
	add_encoded(path, store, "");
	buffer_add_str(path, "/");
	add_encoded(path, key, "/");
}

void
path_named(struct buffer *path, const char *base, const char *name)
{
	buffer_init(path, PATH_TEXT_MAX);
	buffer_add_str(path, base);
	buffer_add_str(path, "/");
	add_encoded(path, name, "");
}

void
path_query(struct buffer *path, const char *name, const char *value)
{
	if (!value)
		return;
	buffer_add_str(path, path->len && memchr(path->data, '?', path->len)
				     ? "&"
				     : "?");
	buffer_add_str(path, name);
	buffer_add_str(path, "=");
	add_encoded(path, value, "/");
}

const char *
path_text(struct buffer *path)
{
	buffer_add(path, "", 1);
	if (!path->err)
		return path->data;
	say("the name, the key or an argument: %s", err_text(path->err));
	return NULL;
}
