/* SPDX-License-Identifier: MIT */
/*
 * What a statement gives, printed as it comes in.
 */
#ifndef TOOLS_SQL_RESULT_H
#define TOOLS_SQL_RESULT_H

#include "tools/sql/sql.h"
#include "tools/table.h"

struct result {
	const struct session *session;
	bool tells_changes; /* also where there are none */
	/* The last line that has come, which tells how a result of lines
	 * ended. */
	struct buffer line;
	bool complete;      /* it has its end */
	struct table table; /* of FORM_TABLE */
};

/* sql: the statement, for what is told about it. */
void result_init(struct result *result, const struct session *session,
		 struct bytes sql);
void result_fini(struct result *result);
/* Of a struct result: see request.on_data. */
bool result_data(void *result, struct bytes data);
/* When all has come. */
MUST_CHECK enum outcome result_end(struct result *result);
/* When it broke: prints the rows that had come. */
void result_break(struct result *result);

#endif
