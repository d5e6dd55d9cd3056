/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "http/sql/sql_call.h"
#include "http/sql/sql_json.h"
#include "http/sql/sql_reply.h"

/* A parameter as its statement or the client calls it. */
struct place {
	unsigned number;  /* from 1 */
	const char *name; /* NULL: it has none */
};

static bool
wrong_value(struct sql_call *call, struct place place, const char *what)
{
	if (place.name)
		sql_error_set(&call->error, ERR_BAD, "parameter \"%.*s\" %s",
			      CALL_NAME_SHOWN, place.name, what);
	else
		sql_error_set(&call->error, ERR_BAD, "parameter number %u %s",
			      place.number, what);
	return false;
}

static bool
read_value(struct sql_call *call, const json_t *json, struct place place,
	   struct sql_value *value)
{
	if (sql_value_of_json(json, value))
		return true;
	if (json_is_array(json))
		return wrong_value(call, place,
				   "is an array: null, true, false, a number, "
				   "a string or {\"base64\":\"...\"} is "
				   "expected");
	value->kind = json_is_string(json) ? SQL_TEXT : SQL_BLOB;
	if (json_read_bytes(&call->body, (json_t *)(uintptr_t)json, "params",
			    &value->bytes))
		return true;
	return wrong_value(call, place,
			   "is an object, but not {\"base64\":\"...\"} with "
			   "padded base64");
}

/* ---- which member is whose ---------------------------------------------- */

/* `:id`, `@id`, `$id` and `id` are the same to a client. */
static const char *
bare(const char *name)
{
	return name + (*name == ':' || *name == '@' || *name == '$');
}

/* With or without a sign, or by its number where it has no name. */
static bool
is_name_of(const char *name, struct place place)
{
	char text[12];

	if (place.name)
		return !strcmp(name, place.name) ||
		       !strcmp(bare(name), place.name);
	snprintf(text, sizeof(text), "%u", place.number);
	return !strcmp(name, text);
}

static const json_t *
find_member(const json_t *params, struct place place)
{
	char text[12];
	const char *name;
	json_t *member;

	if (!place.name) {
		snprintf(text, sizeof(text), "%u", place.number);
		return json_object_get(params, text);
	}
	member = json_object_get(params, place.name);
	if (member)
		return member;
	json_object_foreach((json_t *)(uintptr_t)params, name, member)
	{
		if (!strcmp(bare(name), place.name))
			return member;
	}
	return NULL;
}

static struct place
place_of(const struct sql_stmt *stmt, unsigned index)
{
	return (struct place){ index + 1,
			       stmt ? sql_parameter_name(stmt, index) : NULL };
}

/* A parameter, and the member that has its value. */
struct named {
	struct place place;
	const json_t *member;
};

static bool
is_surplus(struct sql_call *call, const char *name)
{
	return wrong_value(call, (struct place){ 0, name },
			   "is not in the statement");
}

/* Where there are more members than parameters, before any is looked for among
 * them: this ends at the first that is no parameter's, so with four for each
 * (a, :a, @a, $a) at most, whatever their number. */
static bool
each_is_named(struct sql_call *call, const json_t *params,
	      const struct named *named, unsigned count)
{
	const char *name;
	json_t *member;

	json_object_foreach((json_t *)(uintptr_t)params, name, member)
	{
		unsigned i = 0;

		while (i < count && !is_name_of(name, named[i].place))
			i++;
		if (i == count)
			return is_surplus(call, name);
	}
	return true;
}

/* Each member must be a parameter, and the one that it was found for. */
static bool
none_is_surplus(struct sql_call *call, const json_t *params,
		const struct named *named, unsigned count)
{
	const char *name;
	json_t *member;

	json_object_foreach((json_t *)(uintptr_t)params, name, member)
	{
		unsigned i = 0;

		while (i < count && named[i].member != member)
			i++;
		if (i == count)
			return is_surplus(call, name);
	}
	return true;
}

static bool
read_named(struct sql_call *call, const struct named *named,
	   struct sql_value *values, unsigned index)
{
	const struct named *it = &named[index];

	if (!it->member)
		return wrong_value(call, it->place, "has no value");
	/* What is decoded where it stands can be read once: `:a` and `@a` are
	 * two parameters with one member. */
	for (unsigned i = 0; i < index; i++) {
		if (named[i].member != it->member)
			continue;
		values[index] = values[i];
		return true;
	}
	return read_value(call, it->member, it->place, &values[index]);
}

static bool
set_by_name(struct sql_call *call, const json_t *params,
	    const struct sql_stmt *stmt, struct sql_value *values,
	    unsigned count)
{
	struct named named[SQL_PARAMETERS_MAX];

	for (unsigned i = 0; i < count; i++)
		named[i].place = place_of(stmt, i);
	if (json_object_size(params) > count &&
	    !each_is_named(call, params, named, count))
		return false;
	for (unsigned i = 0; i < count; i++)
		named[i].member = find_member(params, named[i].place);
	for (unsigned i = 0; i < count; i++) {
		if (!read_named(call, named, values, i))
			return false;
	}
	return none_is_surplus(call, params, named, count);
}

static bool
set_by_number(struct sql_call *call, const json_t *params,
	      const struct sql_stmt *stmt, struct sql_value *values,
	      unsigned count)
{
	size_t given = json_array_size(params);

	if (given < count)
		return wrong_value(call, place_of(stmt, (unsigned)given),
				   "has no value");
	if (given > count) {
		sql_error_set(&call->error, ERR_BAD,
			      "params has %zu values, the statement has %u "
			      "parameters",
			      given, count);
		return false;
	}
	for (unsigned i = 0; i < count; i++) {
		if (!read_value(call, json_array_get(params, i),
				place_of(stmt, i), &values[i]))
			return false;
	}
	return true;
}

/* {"base64"} is decoded where it stands, so this is done once. */
bool
call_set_values(struct sql_call *call, unsigned index,
		const struct sql_stmt *stmt)
{
	const json_t *params = call->statements[index].params;
	struct sql_op *op = &call->ops[index];
	struct sql_value *values;
	size_t count =
		stmt ? sql_parameter_count(stmt) : json_array_size(params);

	call->index = call->several ? (int)index : -1;
	if (!stmt && json_is_object(params) && json_object_size(params)) {
		sql_error_set(&call->error, ERR_BAD,
			      "this statement needs what one before it makes, "
			      "so its parameters are not known by name yet: "
			      "give them as an array");
		return false;
	}
	if (count > SQL_PARAMETERS_MAX) {
		sql_error_set(&call->error, ERR_TOO_LARGE,
			      "the statement has %zu parameters, the limit is "
			      "%d",
			      count, SQL_PARAMETERS_MAX);
		return false;
	}
	values = calloc(count + 1, sizeof(*values));
	if (!values) {
		sql_error_set(&call->error, ERR_NOMEM, NULL);
		return false;
	}
	op->values = values;
	op->value_count = (unsigned)count;
	if (json_is_object(params))
		return set_by_name(call, params, stmt, values, op->value_count);
	return set_by_number(call, params, stmt, values, op->value_count);
}
