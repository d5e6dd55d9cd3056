/* SPDX-License-Identifier: MIT */
/*
 * Sizes ("64M", "8G", "4096"; powers of 1024), durations ("30s", "500ms",
 * "2h"; ms s m h d) and whole numbers as people write them. All return false
 * on anything else, on signs, blanks, fractions, and on overflow.
 */
#ifndef CORE_UNITS_H
#define CORE_UNITS_H

#include "core/base.h"

MUST_CHECK bool units_size(struct bytes text, uint64_t *bytes);
/* A duration needs its unit. */
MUST_CHECK bool units_duration_ms(struct bytes text, uint64_t *ms);
MUST_CHECK bool units_u64(struct bytes text, uint64_t *number);
/* Canonical: optional '-', no leading zeros, no "-0". */
MUST_CHECK bool units_i64(struct bytes text, int64_t *number);

/* The other way, exact, in the largest unit that divides the number: "64M",
 * "90s". Return out. */
enum { UNITS_TEXT_MAX = 24 };
char *units_size_text(char out[UNITS_TEXT_MAX], uint64_t bytes);
char *units_duration_text(char out[UNITS_TEXT_MAX], uint64_t ms);

#endif
