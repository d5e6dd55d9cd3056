/* SPDX-License-Identifier: MIT */
/*
 * What one may ask of the prompt beside SQL: lines that begin with a dot.
 */
#ifndef TOOLS_SQL_DOT_H
#define TOOLS_SQL_DOT_H

#include "tools/sql/sql.h"

/* Runs the line. False: it asks to leave. */
MUST_CHECK bool dot_run(struct session *session, struct bytes line);

#endif
