/* SPDX-License-Identifier: MIT */
/*
 * Percent-encoding in URIs (RFC 3986, section 2.1).
 */
#ifndef CORE_PERCENT_H
#define CORE_PERCENT_H

#include "core/base.h"

/* What '+' means: itself in a path, a space in a query value as forms write
 * it. */
enum percent_plus { PERCENT_PLUS, PERCENT_PLUS_IS_SPACE };

/*
 * Decodes text into out, which has room for text.len bytes and may be where
 * text is. False: a '%' without two hexadecimal digits, or a NUL, encoded or
 * not.
 */
MUST_CHECK bool percent_decode(struct bytes text, enum percent_plus plus,
			       void *out, size_t *len);

#endif
