/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/units.h"
#include "http/sql/sql_call.h"
#include "http/sql/sql_reply.h"

/* Longer bodies take longer to parse than a worker should stay away from its
 * connections: about 10 MB a second in the worst case. */
enum { BODY_LONG = 16 << 10 };

static bool
bad(struct sql_call *call, const char *what)
{
	sql_error_set(&call->error, ERR_BAD, "%s", what);
	return false;
}

static bool
no_memory(struct sql_call *call)
{
	sql_error_set(&call->error, ERR_NOMEM, NULL);
	return false;
}

/* ---- the tree ----------------------------------------------------------- */

/* jansson's parser calls itself for each level: on a fiber's stack that must
 * have a bound, and no request of ours needs more. */
static bool
is_deep(struct bytes text)
{
	const char *at = text.data;
	unsigned depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < text.len; i++) {
		if (at[i] == '"')
			quoted = !quoted;
		else if (quoted && at[i] == '\\')
			i++;
		else if (quoted)
			continue;
		else if ((at[i] == '[' || at[i] == '{') &&
			 ++depth > CALL_DEPTH_MAX)
			return true;
		else if ((at[i] == ']' || at[i] == '}') && depth)
			depth--;
	}
	return false;
}

static const json_t *
find_overflow(const json_t *value, const char **name, size_t *index)
{
	const json_t *member;
	size_t i;

	*name = NULL;
	if (json_is_object(value)) {
		json_object_foreach((json_t *)(uintptr_t)value, *name, member)
		{
			if (json_is_real(member) &&
			    (json_real_value(member) >= 0x1p63 ||
			     json_real_value(member) <= -0x1p63))
				return member;
		}
	}
	json_array_foreach(value, i, member)
	{
		*index = i;
		if (json_is_real(member) &&
		    (json_real_value(member) >= 0x1p63 ||
		     json_real_value(member) <= -0x1p63))
			return member;
	}
	return NULL;
}

/* A number was too large for jansson, which says only where: find out which
 * parameter it was, by reading integers as reals. */
static bool
say_overflow(struct sql_call *call, struct bytes text,
	     const json_error_t *where)
{
	json_error_t error;
	json_t *root =
		json_loadb(text.data, text.len,
			   JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &error);
	const char *name;
	size_t index = 0;
	bool found =
		find_overflow(json_object_get(root, "params"), &name, &index);

	if (found && name)
		sql_error_set(&call->error, ERR_BAD,
			      "params: \"%.*s\" does not fit 64 bits: send it "
			      "as a string or as a real number",
			      CALL_NAME_SHOWN, name);
	else if (found)
		sql_error_set(
			&call->error, ERR_BAD,
			"params: number %zu does not fit 64 bits: send it "
			"as a string or as a real number",
			index + 1);
	else
		sql_error_set(
			&call->error, ERR_BAD,
			"a number does not fit 64 bits at line %d, column "
			"%d",
			where->line, where->column);
	json_decref(root);
	return false;
}

static bool
parse(struct sql_call *call, struct bytes text)
{
	json_error_t error;

	if (!text.len)
		return bad(call,
			   "a body is expected: {\"sql\":\"SELECT ...\"}");
	if (is_deep(text)) {
		sql_error_set(&call->error, ERR_BAD,
			      "the JSON is nested deeper than %d",
			      CALL_DEPTH_MAX);
		return false;
	}
	if (text.len > BODY_LONG && sched_on_worker())
		sched_expect_long();
	json_read_begin(&call->body, text);
	if (call->body.root)
		return true;
	/* Once more, for what json_read_begin() does not tell. */
	json_decref(json_loadb(text.data, text.len,
			       JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
			       &error));
	if (json_error_code(&error) == json_error_numeric_overflow)
		return say_overflow(call, text, &error);
	return bad(call, call->body.wrong);
}

/* ---- members ------------------------------------------------------------ */

static bool
read_timeout(struct sql_call *call, const json_t *root)
{
	struct bytes text = { NULL, 0 };
	uint64_t ms = call->max_timeout_ms;

	if (!json_read_text(&call->body, root, "timeout", &text))
		return bad(call, call->body.wrong);
	if (text.data && (!units_duration_ms(text, &ms) || !ms))
		return bad(call, "\"timeout\" is a whole number and a unit, "
				 "such as \"500ms\" or \"5s\"");
	if (ms > call->max_timeout_ms)
		ms = call->max_timeout_ms;
	call->timeout_ns = ms * NS_PER_MS;
	call->deadline_ns = clock_mono_ns() + call->timeout_ns;
	return true;
}

static bool
read_limit(struct sql_call *call, const json_t *root)
{
	bool whole = call->form == ACCEPT_JSON;
	int64_t limit = whole ? CALL_LIMIT_DEFAULT : INT64_MAX;

	if (!json_read_i64(&call->body, root, "limit", &limit))
		return bad(call, call->body.wrong);
	if (limit < 1)
		return bad(call, "\"limit\" must be 1 or more");
	if (whole && limit > CALL_LIMIT_MAX) {
		sql_error_set(&call->error, ERR_BAD,
			      "\"limit\" is %d at most in JSON; as "
			      "application/x-ndjson or text/csv there is no "
			      "bound",
			      CALL_LIMIT_MAX);
		return false;
	}
	call->limit = (uint64_t)limit;
	return true;
}

static bool
read_statement(struct sql_call *call, const json_t *object, const char *names)
{
	struct call_statement *statement = &call->statements[call->count];
	struct bytes text = { NULL, 0 };

	if (!json_read_names(&call->body, object, names) ||
	    !json_read_text(&call->body, object, "sql", &text))
		return bad(call, call->body.wrong);
	if (!text.data)
		return bad(call, "\"sql\" is missing");
	if (text.len > SQL_TEXT_MAX) {
		sql_error_set(&call->error, ERR_TOO_LARGE,
			      "the SQL has %zu bytes, the limit is %d",
			      text.len, SQL_TEXT_MAX);
		return false;
	}
	if (memchr(text.data, '\0', text.len))
		return bad(call, "the SQL has a NUL in it");
	statement->params = json_object_get(object, "params");
	if (json_is_null(statement->params))
		statement->params = NULL;
	if (statement->params && !json_is_array(statement->params) &&
	    !json_is_object(statement->params))
		return bad(call, "\"params\" must be an array or an object");
	sql_text_init(&statement->text, text, SQL_ADMIN);
	call->ops[call->count].text = &statement->text;
	call->count++;
	return true;
}

static bool
read_statements(struct sql_call *call, const json_t *list)
{
	const json_t *object;
	size_t i;

	call->several = true;
	json_array_foreach(list, i, object)
	{
		call->index = (int)i;
		if (!read_statement(call, object, "sql params"))
			return false;
	}
	call->index = -1;
	return true;
}

static bool
make_room(struct sql_call *call, const json_t *list)
{
	size_t count = list ? json_array_size(list) : 1;

	if (list && !count)
		return bad(call,
			   "\"statements\" must be an array of one or more");
	if (count > CALL_STATEMENTS_MAX) {
		sql_error_set(&call->error, ERR_TOO_LARGE,
			      "there are %zu statements, the limit is %d",
			      count, CALL_STATEMENTS_MAX);
		return false;
	}
	call->statements = calloc(count, sizeof(*call->statements));
	call->ops = calloc(count, sizeof(*call->ops));
	return (call->statements && call->ops) || no_memory(call);
}

bool
call_read_body(struct sql_call *call)
{
	struct request *request = call->request;
	const json_t *root, *list;

	if (!parse(call, (struct bytes){ request->body, request->body_len }))
		return false;
	root = call->body.root;
	if (!json_is_object(root))
		return bad(call, "an object is expected: "
				 "{\"sql\":\"SELECT ...\"}");
	list = json_object_get(root, "statements");
	if (list && call->explain)
		return bad(call, "one statement at a time is explained: "
				 "\"sql\"");
	if (list && json_object_get(root, "sql"))
		return bad(call, "one of \"sql\" and \"statements\" is "
				 "expected");
	if (list && call->form != ACCEPT_JSON)
		call_set_form(call, ACCEPT_JSON);
	if (!read_timeout(call, root) || !read_limit(call, root) ||
	    !make_room(call, list))
		return false;
	if (!list)
		return read_statement(call, root, "sql params timeout limit");
	if (!json_read_names(&call->body, root, "statements timeout limit"))
		return bad(call, call->body.wrong);
	return read_statements(call, list);
}
