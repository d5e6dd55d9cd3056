/* SPDX-License-Identifier: MIT */
/*
 * The values of a route's parameters: from the path, then the body (an object
 * of JSON, or a form), then the query string, then the route's own default. A
 * route that takes :body as it is has nothing else from the body.
 *
 * What comes as text (path, form, query) is an INTEGER where it is one in
 * canonical form, so that the text can be had back from it; JSON values keep
 * their type, true and false are 1 and 0, an array or object is its text, and
 * {"base64":"..."} is a BLOB. Everything lives as long as the request.
 */
#include <stdlib.h>
#include <strings.h>

#include "core/base64.h"
#include "core/json.h"
#include "core/percent.h"
#include "core/units.h"
#include "http/kv/kv_json.h"
#include "http/reply.h"
#include "http/service/run.h"
#include "http/sql/sql_json.h"

enum input { INPUT_FOUND, INPUT_ABSENT, INPUT_ANSWERED };

/* ---- text ---------------------------------------------------------------- */

static bool
take_text(struct run *run, const char *name, struct bytes text,
	  struct sql_value *value) ON_WORKER
{
	if (units_i64(text, &value->integer)) {
		value->kind = SQL_INTEGER;
		return true;
	}
	if (!json_is_utf8(text)) {
		reply_problem(run->request, 400, NULL,
			      "parameter \"%s\" is not UTF-8", name);
		return false;
	}
	value->kind = SQL_TEXT;
	value->bytes = text;
	return true;
}

static bool
decode_path(struct run *run, const struct tree_match *match) ON_WORKER
{
	struct request *request = run->request;

	for (unsigned i = 0; i < match->count; i++) {
		struct bytes raw = match->values[i];
		char *out = request_alloc(request, raw.len);
		size_t len;

		if (!out) {
			reply_error(request, ERR_NOMEM);
			return false;
		}
		if (!percent_decode(raw, PERCENT_PLUS, out, &len)) {
			reply_problem(request, 400, NULL,
				      "the path is not percent-encoded "
				      "correctly");
			return false;
		}
		run->path_values[i] = (struct bytes){ out, len };
	}
	return true;
}

static const struct parameter *
find_pair(const struct parameter *pairs, unsigned count, const char *name)
{
	struct bytes wanted = bytes_of(name);

	for (unsigned i = 0; i < count; i++)
		if (bytes_equal(pairs[i].name, wanted))
			return &pairs[i];
	return NULL;
}

/* ---- the body ------------------------------------------------------------ */

static bool
type_is(struct bytes type, const char *wanted)
{
	size_t len = strlen(wanted);
	const char *text = type.data;

	return type.len >= len && !strncasecmp(text, wanted, len) &&
	       (type.len == len || strchr("; \t", text[len]));
}

static bool
type_is_json(struct bytes type)
{
	const char *text = type.data;
	size_t len = 0;

	if (!type.len || type_is(type, "application/json"))
		return true;
	while (len < type.len && !strchr("; \t", text[len]))
		len++;
	return len > 5 && !strncasecmp(text + len - 5, "+json", 5);
}

static bool
read_json(struct run *run) ON_WORKER
{
	struct request *request = run->request;
	struct json_read read;

	json_read_begin(&read,
			(struct bytes){ request->body, request->body_len });
	run->json = read.root;
	if (run->json && json_is_object(run->json))
		return true;
	reply_problem(request, 400, NULL, "%s%s", "the body is ",
		      run->json ? "not a JSON object" : read.wrong);
	return false;
}

static bool
read_form(struct run *run) ON_WORKER
{
	struct request *request = run->request;

	run->form = request_alloc(request,
				  REQUEST_PARAMETERS_MAX * sizeof(*run->form));
	if (!run->form) {
		reply_error(request, ERR_NOMEM);
		return false;
	}
	if (request_decode_pairs(
		    request, (struct bytes){ request->body, request->body_len },
		    run->form, &run->form_count))
		return true;
	reply_problem(request, 400, NULL,
		      "the form is not encoded correctly, or has more than %d "
		      "fields",
		      REQUEST_PARAMETERS_MAX);
	return false;
}

/* Then it is not taken apart, whatever it is. */
static bool
takes_raw_body(const struct route *route)
{
	for (unsigned i = 0; i < route->statement_count; i++)
		for (unsigned j = 0; j < route->statements[i].binding_count;
		     j++)
			if (route->statements[i].bindings[j].source ==
			    BIND_BODY)
				return true;
	return false;
}

/* A form that begins with "{" is what curl -d sends for JSON. */
static bool
read_body(struct run *run) ON_WORKER
{
	struct request *request = run->request;
	struct bytes type = request->headers.content_type;
	const char *body = request->body;

	if (!request->body_len || !run->route->uses_body ||
	    takes_raw_body(run->route))
		return true;
	if (type_is(type, "application/x-www-form-urlencoded"))
		return *body == '{' ? read_json(run) : read_form(run);
	if (type_is_json(type))
		return read_json(run);
	reply_problem(request, 415, NULL,
		      "this takes application/json or "
		      "application/x-www-form-urlencoded");
	return false;
}

static bool
take_base64(struct run *run, const char *name, json_t *text,
	    struct sql_value *value) ON_WORKER
{
	struct bytes from = { json_string_value(text),
			      json_string_length(text) };
	/* Not where it stands: another statement may take the same text. */
	char *out = request_alloc(run->request, base64_decoded_max(from.len));
	size_t len;

	if (!out) {
		reply_error(run->request, ERR_NOMEM);
		return false;
	}
	if (json_is_string(text) && base64_decode(from, out, &len)) {
		value->kind = SQL_BLOB;
		value->bytes = (struct bytes){ out, len };
		return true;
	}
	reply_problem(run->request, 400, NULL,
		      "parameter \"%s\" is not base64 with padding", name);
	return false;
}

/* An array or an object, for SQLite's JSON functions. */
static bool
take_nested(struct run *run, const char *name, json_t *json,
	    struct sql_value *value) ON_WORKER
{
	json_t *base64 = json_object_get(json, "base64");
	char *text, *copy;
	size_t len;

	if (base64 && json_object_size(json) == 1)
		return take_base64(run, name, base64, value);
	text = json_dumps(json, JSON_COMPACT);
	len = text ? strlen(text) : 0;
	copy = text ? request_alloc(run->request, len) : NULL;
	if (copy)
		memcpy(copy, text, len);
	free(text);
	if (!copy) {
		reply_error(run->request, ERR_NOMEM);
		return false;
	}
	value->kind = SQL_TEXT;
	value->bytes = (struct bytes){ copy, len };
	return true;
}

static bool
take_json(struct run *run, const char *name, json_t *json,
	  struct sql_value *value) ON_WORKER
{
	if (sql_value_of_json(json, value))
		return true;
	if (!json_is_string(json))
		return take_nested(run, name, json, value);
	value->kind = SQL_TEXT;
	value->bytes = (struct bytes){ json_string_value(json),
				       json_string_length(json) };
	return true;
}

/* ---- one parameter ------------------------------------------------------- */

static enum input
find_input(struct run *run, const char *name, struct sql_value *value) ON_WORKER
{
	const struct request *request = run->request;
	const struct parameter *pair;
	json_t *json;

	json = run->json ? json_object_get(run->json, name) : NULL;
	if (json)
		return take_json(run, name, json, value) ? INPUT_FOUND
							 : INPUT_ANSWERED;
	pair = find_pair(run->form, run->form_count, name);
	if (!pair)
		pair = find_pair(request->parameters, request->parameter_count,
				 name);
	if (!pair)
		return INPUT_ABSENT;
	return take_text(run, name, pair->value, value) ? INPUT_FOUND
							: INPUT_ANSWERED;
}

static bool
bind_input(struct run *run, const struct binding *binding,
	   struct sql_value *value) ON_WORKER
{
	switch (find_input(run, binding->name, value)) {
	case INPUT_FOUND:
		return true;
	case INPUT_ANSWERED:
		return false;
	case INPUT_ABSENT:
		break;
	}
	if (binding->optional) {
		*value = binding->optional->otherwise;
		return true;
	}
	reply_problem(run->request, 400, NULL, "parameter \"%s\" is missing",
		      binding->name);
	return false;
}

static bool
bind_one(struct run *run, const struct binding *binding,
	 struct sql_value *value) ON_WORKER
{
	const struct request *request = run->request;

	switch (binding->source) {
	case BIND_PATH:
		return take_text(run, binding->name,
				 run->path_values[binding->index], value);
	case BIND_INPUT:
		return bind_input(run, binding, value);
	case BIND_AUTH: /* nobody, until there are tokens */
		value->kind = SQL_NULL;
		return true;
	case BIND_REQUEST_ID:
		value->kind = SQL_TEXT;
		value->bytes = (struct bytes){ request->id, request->id_len };
		return true;
	case BIND_BODY:
		value->bytes =
			(struct bytes){ request->body ? request->body : "",
					request->body_len };
		value->kind = json_is_utf8(value->bytes) ? SQL_TEXT : SQL_BLOB;
		return true;
	}
	return false;
}

static bool
bind_statement(struct run *run, const struct statement *statement,
	       struct sql_op *op) ON_WORKER
{
	struct sql_value *values = request_alloc(
		run->request, statement->binding_count * sizeof(*values));

	if (!values) {
		reply_error(run->request, ERR_NOMEM);
		return false;
	}
	for (unsigned i = 0; i < statement->binding_count; i++)
		if (!bind_one(run, &statement->bindings[i], &values[i]))
			return false;
	*op = (struct sql_op){ &statement->text, values,
			       statement->binding_count };
	return true;
}

bool
bind_values(struct run *run, const struct tree_match *match)
{
	struct request *request = run->request;
	const struct route *route = run->route;

	run->ops = request_alloc(request,
				 route->statement_count * sizeof(*run->ops));
	if (!run->ops) {
		reply_error(request, ERR_NOMEM);
		return false;
	}
	if (!decode_path(run, match) || !request_decode_query(request) ||
	    !read_body(run))
		return false;
	for (unsigned i = 0; i < route->statement_count; i++)
		if (!bind_statement(run, &route->statements[i], &run->ops[i]))
			return false;
	return true;
}

/* ---- for Location -------------------------------------------------------- */

static void
add_value(const struct sql_value *value, struct buffer *out)
{
	switch (value->kind) {
	case SQL_NULL:
		break;
	case SQL_INTEGER:
		buffer_add_i64(out, value->integer);
		break;
	case SQL_REAL:
		buffer_addf(out, "%.17g", value->real);
		break;
	case SQL_TEXT:
	case SQL_BLOB:
		buffer_add(out, value->bytes.data, value->bytes.len);
		break;
	}
}

bool
bind_text(const struct run *run, struct bytes name, struct buffer *out)
{
	const struct route *route = run->route;

	for (unsigned i = 0; i < route->statement_count; i++) {
		const struct statement *statement = &route->statements[i];

		for (unsigned j = 0; j < statement->binding_count; j++) {
			if (!bytes_equal(bytes_of(statement->bindings[j].name),
					 name))
				continue;
			add_value(&run->ops[i].values[j], out);
			return true;
		}
	}
	return false;
}
