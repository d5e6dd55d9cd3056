/* SPDX-License-Identifier: MIT */
#include "http/sql/sql_reply.h"

#include <stdarg.h>
#include <stdio.h>

#include "http/reply.h"
#include "http/status.h"

static unsigned
chosen_status(unsigned status)
{
	if (status >= 400 && status_is_known(status))
		return status;
	return status >= 400 && status < 500 ? 400 : 500;
}

unsigned
sql_error_status(const struct sql_error *error, const char **code)
{
	unsigned status;

	assert(error->err != ERR_OK);
	if (error->err != ERR_CHOSEN)
		return http_status(error->err, code);
	status = chosen_status(error->status);
	*code = status_at(status_index(status))->code;
	return status;
}

const char *
sql_error_text(const struct sql_error *error)
{
	return error->message[0] ? error->message : err_text(error->err);
}

void
reply_sql_error_index(struct request *request, const struct sql_error *error,
		      int index)
{
	const char *code;
	unsigned status = sql_error_status(error, &code);

	reply_problem_index(request, status, code, index, "%s",
			    sql_error_text(error));
}

void
reply_sql_error(struct request *request, const struct sql_error *error)
{
	reply_sql_error_index(request, error, -1);
}

void
sql_error_set(struct sql_error *error, enum err err, const char *message, ...)
{
	va_list args;

	*error = (struct sql_error){ .err = err, .offset = -1 };
	if (!message)
		return;
	va_start(args, message);
	vsnprintf(error->message, sizeof(error->message), message, args);
	va_end(args);
}

void
sql_error_busy(struct sql_error *error, enum err err)
{
	/* Nothing was begun: to try again is safe, which a 504 would not
	 * say. */
	if (err == ERR_DEADLINE)
		sql_error_set(error, ERR_OVERLOADED,
			      "all connections to the database are in use, %d "
			      "on each worker",
			      SQL_READERS_MAX);
	else
		sql_error_set(error, err, NULL);
}

void
reply_sql_busy(struct request *request, enum err err)
{
	struct sql_error error;

	sql_error_busy(&error, err);
	reply_sql_error(request, &error);
}
