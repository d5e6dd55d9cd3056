/* SPDX-License-Identifier: MIT */
/*
 * Small JSON that a server answers: a problem (RFC 9457), a number.
 */
#ifndef TOOLS_ANSWER_H
#define TOOLS_ANSWER_H

#include "core/base.h"
#include "tools/outcome.h"

/* Says "detail (code, request id ...)", or as much of it as there is; body may
 * be anything, request_id NULL. Returns what the status means. */
enum outcome answer_problem(long status, struct bytes body,
			    const char *request_id);

/* The same for an error that stands in a result that had begun: a problem, or
 * a text. */
enum outcome answer_error(struct bytes error);

/* The integer member of an object; false if body is not that. */
MUST_CHECK bool answer_number(struct bytes body, const char *name,
			      int64_t *number);

#endif
