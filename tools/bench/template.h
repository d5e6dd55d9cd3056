/* SPDX-License-Identifier: MIT */
/*
 * A request that is ready to be sent: all of its bytes, in which only the
 * digits of a key change. {key} is a key in 8 digits, with leading zeros; {n}
 * in as many as it has. Where {n} stands there is a whole request for each
 * number of digits, so its length, and Content-Length with it, is a fact of
 * the key and nothing is moved when one is made.
 *
 * Each thread has its own.
 */
#ifndef TOOLS_BENCH_TEMPLATE_H
#define TOOLS_BENCH_TEMPLATE_H

#include "core/buffer.h"

enum {
	TEMPLATE_KEY_DIGITS = 8,
	TEMPLATE_MAX = 64 << 20, /* bytes of a request */
};
#define TEMPLATE_KEYS_MAX UINT64_C(100000000) /* 8 digits */

/* What a request is made of. Borrowed while the template is made. */
struct request_parts {
	const char *method, *path, *host;
	struct bytes headers; /* whole lines */
	struct bytes body;
	bool has_body;     /* also of no bytes */
	bool body_is_made; /* has no slots whatever its bytes are */
};

struct template
{
	struct template_shape {
		char *data;
		size_t len;
		/* Where digits go, in order. */
		struct template_slot {
			size_t at;
			unsigned digits;
		} * slots;
		unsigned slot_count;
	} shapes[TEMPLATE_KEY_DIGITS]; /* by the key's digits, less 1 */
	unsigned shape_count;          /* 1: it does not depend on them */
};

/* keys bounds the digits of {n}. TOO_LARGE where a request passes
 * TEMPLATE_MAX. */
MUST_CHECK enum err template_init(struct template *template,
				  const struct request_parts *parts,
				  uint64_t keys);
void template_fini(struct template *template);

/* The request for key, until the next one is made of this template. */
struct bytes template_make(struct template *template, uint64_t key);

/* Does text have a {key} or {n}? */
bool template_has_slot(struct bytes text);

#endif
