/* SPDX-License-Identifier: MIT */
/*
 * What a server answers: a status, small JSON such as a problem (RFC 9457) or
 * a number, and members of it.
 */
#ifndef TOOLS_ANSWER_H
#define TOOLS_ANSWER_H

#include "core/base.h"
#include "tools/outcome.h"

struct json_t;

/* 2xx */
static inline bool
answer_is_success(long status)
{
	return status >= 200 && status < 300;
}

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

/* Of jansson's trees. A string's bytes, which live as long as it. */
struct bytes answer_text(const struct json_t *string);
/* 0 where there is none; as wide as a json_int_t. */
long long answer_integer(const struct json_t *object, const char *name);

#endif
