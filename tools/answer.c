/* SPDX-License-Identifier: MIT */
#include "tools/answer.h"

#include <jansson.h>
#include <stdio.h>

#include "tools/out.h"

static enum outcome
outcome_of(long status)
{
	switch (status) {
	case 404:
		return OUTCOME_NOTFOUND;
	case 409:
	case 412:
		return OUTCOME_CONFLICT;
	case 401:
	case 403:
		return OUTCOME_FORBIDDEN;
	case 408:
	case 504:
		return OUTCOME_DEADLINE;
	case 429:
	case 503:
		return OUTCOME_OVERLOADED;
	default:
		return OUTCOME_ERROR;
	}
}

/* NULL when it is no JSON. */
static json_t *
parse(struct bytes body)
{
	return json_loadb(body.data ? body.data : "", body.len, 0, NULL);
}

static const char *
member(const json_t *problem, const char *name)
{
	return json_string_value(json_object_get(problem, name));
}

enum outcome
answer_problem(long status, struct bytes body, const char *request_id)
{
	json_t *problem = parse(body);
	const char *detail = member(problem, "detail");
	const char *code = member(problem, "code");
	char answer[64];

	snprintf(answer, sizeof(answer), "the server answered %ld", status);
	if (!detail)
		detail = member(problem, "title");
	if (code)
		say("%s (%s%s%s)", detail ? detail : answer, code,
		    request_id ? ", request id " : "",
		    request_id ? request_id : "");
	else
		say("%s", detail ? detail : answer);
	json_decref(problem);
	return outcome_of(status);
}

/* A result that fails on its way has no status of its own. */
static long
status_of(const char *code)
{
	static const struct {
		const char *code;
		long status;
	} known[] = {
		{ "not_found", 404 },    { "conflict", 409 },
		{ "forbidden", 403 },    { "deadline", 504 },
		{ "overloaded", 503 },   { "draining", 503 },
		{ "rate_limited", 429 },
	};

	for (size_t i = 0; code && i < ARRAY_LEN(known); i++)
		if (!strcmp(code, known[i].code))
			return known[i].status;
	return 500;
}

enum outcome
answer_error(struct bytes error)
{
	json_t *object =
		json_loadb(error.data, error.len, JSON_DECODE_ANY, NULL);
	json_t *number = json_object_get(object, "status");
	const char *text = json_string_value(object);
	long status = json_is_integer(number)
			      ? (long)json_integer_value(number)
			      : status_of(member(object, "code"));
	enum outcome outcome;

	if (text) {
		say("%s", text);
		outcome = OUTCOME_ERROR;
	} else {
		outcome = answer_problem(status, error,
					 member(object, "request_id"));
	}
	json_decref(object);
	return outcome;
}

bool
answer_number(struct bytes body, const char *name, int64_t *number)
{
	json_t *object = parse(body);
	json_t *value = json_object_get(object, name);
	bool found = json_is_integer(value);

	if (found)
		*number = json_integer_value(value);
	json_decref(object);
	return found;
}

struct bytes
answer_text(const json_t *string)
{
	return (struct bytes){ json_string_value(string),
			       json_string_length(string) };
}

long long
answer_integer(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}
