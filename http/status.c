/* SPDX-License-Identifier: MIT */
#include "http/status.h"

#include <assert.h>
#include <stddef.h>

static const struct status statuses[STATUS_COUNT] = {
#define STATUS_ROW(number, title, code) { number, title, code },
	STATUS_LIST(STATUS_ROW)
#undef STATUS_ROW
		{ 0, "client left", "" },
};

bool
status_is_known(unsigned number)
{
	for (unsigned i = 0; i < STATUS_GONE; i++) {
		if (statuses[i].number == number)
			return true;
	}
	return false;
}

enum status_index
status_index(unsigned number)
{
	switch (number) {
#define STATUS_CASE(number, title, code) \
	case number: \
		return STATUS_##number;
		STATUS_LIST(STATUS_CASE)
#undef STATUS_CASE
	}
	assert(!"a status that is not in STATUS_LIST");
	return STATUS_500;
}

const struct status *
status_at(enum status_index index)
{
	return &statuses[index];
}

unsigned
http_status(enum err err, const char **code)
{
	unsigned number = 500;

	*code = NULL;
	switch (err) {
	case ERR_OK:
		number = 200;
		break;
	case ERR_BAD:
		number = 400;
		break;
	case ERR_NOTFOUND:
		number = 404;
		break;
	case ERR_CONDITION:
		number = 412;
		break;
	case ERR_TOO_LARGE:
		number = 413;
		break;
	case ERR_NOT_NUMBER:
	case ERR_OVERFLOW:
		number = 422;
		break;
	case ERR_FULL:
		number = 507;
		break;
	case ERR_NOMEM:
	case ERR_OVERLOADED:
	case ERR_LOCKED:
		number = 503;
		break;
	case ERR_DRAINING:
		number = 503;
		*code = "draining";
		break;
	case ERR_SYNTAX:
		number = 400;
		*code = "sql_syntax";
		break;
	case ERR_CONFLICT:
		number = 409;
		break;
	case ERR_CONSTRAINT:
		number = 422;
		break;
	case ERR_NOT_READONLY:
		number = 422;
		*code = "not_read_only";
		break;
	case ERR_FORBIDDEN:
		number = 403;
		break;
	case ERR_RATE:
		number = 429;
		break;
	case ERR_DEADLINE:
		number = 504;
		break;
	case ERR_CANCELLED: /* read by who has ended its own side only */
	case ERR_STEPS:     /* never leaves the server: it is run again */
		number = 503;
		break;
	case ERR_CHOSEN: /* with a status of its own, see struct sql_error */
	case ERR_FAULT:
	case ERR_IO:
		break;
	}
	if (!*code)
		*code = status_at(status_index(number))->code;
	return number;
}
