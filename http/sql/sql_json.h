/* SPDX-License-Identifier: MIT */
/*
 * A parameter's value out of JSON.
 */
#ifndef HTTP_SQL_SQL_JSON_H
#define HTTP_SQL_SQL_JSON_H

#include <jansson.h>

#include "storage/sql.h"

/* null, true, false and numbers, which mean the same wherever parameters
 * come from. False: another kind, and value is not set. */
MUST_CHECK static inline bool
sql_value_of_json(const json_t *json, struct sql_value *value)
{
	switch (json_typeof(json)) {
	case JSON_NULL:
		value->kind = SQL_NULL;
		return true;
	case JSON_TRUE:
	case JSON_FALSE:
		value->kind = SQL_INTEGER;
		value->integer = json_is_true(json);
		return true;
	case JSON_INTEGER:
		value->kind = SQL_INTEGER;
		value->integer = json_integer_value(json);
		return true;
	case JSON_REAL:
		value->kind = SQL_REAL;
		value->real = json_real_value(json);
		return true;
	case JSON_STRING:
	case JSON_ARRAY:
	case JSON_OBJECT:
		break;
	}
	return false;
}

#endif
