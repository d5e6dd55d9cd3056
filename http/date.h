/* SPDX-License-Identifier: MIT */
/*
 * Dates as HTTP writes them. Any thread.
 */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include "core/base.h"

enum { HTTP_DATE_SIZE = 30 };

/* "Tue, 24 Nov 2026 05:31:14 GMT" (RFC 9110, section 5.6.7). */
void http_date(uint64_t wall_ms, char out[HTTP_DATE_SIZE]);
MUST_CHECK bool http_date_parse(struct bytes text, uint64_t *wall_s);

#endif
