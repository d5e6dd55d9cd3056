/* SPDX-License-Identifier: MIT */
/*
 * Statements sent to one database, and what comes back shown.
 */
#ifndef TOOLS_SQL_SQL_H
#define TOOLS_SQL_SQL_H

#include <jansson.h>
#include <signal.h>

#include "tools/command.h"

/* A jackdaw sql. */
struct session {
	const struct call *call;
	const char *database;
	enum form { FORM_TABLE, FORM_JSON, FORM_NDJSON, FORM_CSV } form;
	bool talks; /* to somebody at a prompt: counts rows, tells times */
	bool timer;
	/* Ends the statement that runs: see request. NULL: none. */
	const volatile sig_atomic_t *cancel;
};

/* The form of that name; false: there is none. */
MUST_CHECK bool form_find(struct bytes name, enum form *form);
const char *form_name(enum form form);

/* Runs one statement and prints what it gives. */
MUST_CHECK enum outcome session_run(const struct session *session,
				    struct bytes sql);
/* Its plan, printed. */
MUST_CHECK enum outcome session_explain(const struct session *session,
					struct bytes sql);
/* The rows of a statement of ours, an array of arrays. It takes params, an
 * array, and the caller decrefs the rows. */
MUST_CHECK enum outcome session_rows(const struct session *session,
				     const char *sql, json_t *params,
				     json_t **rows);

/* Reads and runs statements of the file, a line of which is named in what is
 * said; file NULL: standard input. The first that fails ends it. */
MUST_CHECK enum outcome script_run(const struct session *session,
				   const char *file);
/* Those of a text that was given as an argument. */
MUST_CHECK enum outcome script_text(const struct session *session,
				    struct bytes text);

/* Asks for statements on the terminal until it is told to leave. */
MUST_CHECK enum outcome prompt_run(struct session *session);

#endif
