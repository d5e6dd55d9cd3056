/* SPDX-License-Identifier: MIT */
/*
 * Base64: the standard alphabet with padding (RFC 4648, section 4).
 */
#ifndef CORE_BASE64_H
#define CORE_BASE64_H

#include "core/base.h"

static inline size_t
base64_encoded_len(size_t len)
{
	return len / 3 * 4 + (len % 3 ? 4 : 0);
}

/* Writes base64_encoded_len(bytes.len) characters, no NUL. */
void base64_encode(struct bytes bytes, char *out);

static inline size_t
base64_decoded_max(size_t len)
{
	return len / 4 * 3 + 3;
}

/* Strict: no blanks, padding where it belongs, no stray bits in the last
 * character, so that each value has one text. out has room for
 * base64_decoded_max(text.len) and may be where text is. */
MUST_CHECK bool base64_decode(struct bytes text, void *out, size_t *len);

#endif
