/* SPDX-License-Identifier: MIT */
/*
 * Where a statement of SQL ends: at a `;` outside of quotes and comments; a
 * CREATE TRIGGER at the one behind its END. The rule is that of
 * sqlite3_complete(), as SQLite's documentation of it tells.
 */
#ifndef TOOLS_SQL_SPLIT_H
#define TOOLS_SQL_SPLIT_H

#include "core/base.h"

struct split {
	size_t at; /* so far */
	/* The words of the statement that tell a trigger. */
	enum { SPLIT_START, SPLIT_CREATE, SPLIT_OTHER, SPLIT_TRIGGER } kind;
	bool explains; /* EXPLAIN stands before */
	/* Inside a trigger: the last tokens were `;`, or `;` and END. */
	enum { SPLIT_BODY, SPLIT_SEMICOLON, SPLIT_END } tail;
	/* What the text ended within, for a prompt: 0, or one of ' " ` [ *. */
	char open;
	bool blank;   /* nothing but blanks and comments so far */
	size_t begin; /* where the first token stands, unless blank */
};

/* Before each statement. */
void split_init(struct split *split);
/* Goes on in text, which begins as it did before and may be longer. True: the
 * statement ends before text[split->at]. False: it needs more, unless final
 * says that this is all there is. */
MUST_CHECK bool split_next(struct split *split, struct bytes text, bool final);

#endif
