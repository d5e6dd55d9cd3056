/* SPDX-License-Identifier: MIT */
/*
 * Passes over SQL text, token by token: enough to know what is a comment and
 * what ends a statement, and on which line. SQLite's own rules: '..', "..",
 * `..` with the quote doubled inside, [..], -- to the end of the line, and
 * block comments, which do not nest.
 */
#ifndef HTTP_SERVICE_LEX_H
#define HTTP_SERVICE_LEX_H

#include "core/base.h"

enum lex_kind {
	LEX_END,
	LEX_LINE_COMMENT,  /* from "--", without the line's end */
	LEX_BLOCK_COMMENT, /* whole */
	LEX_SEMICOLON,
	LEX_TEXT, /* anything else: a word, a sign, a whole string */
	LEX_OPEN, /* a string, name or comment that does not end: the last */
};

struct lex_token {
	enum lex_kind kind;
	struct bytes text;
	unsigned line;    /* on which it begins, from 1 */
	bool begins_line; /* nothing stands before it on its line */
	bool indented;    /* blanks do, and nothing else */
	const char *what; /* LEX_OPEN: "a string" */
};

struct lex {
	const char *at, *end;
	const char *line_begin; /* of the current line */
	unsigned line;
	bool line_used; /* by a token */
};

/* The text lives as long as its tokens. A byte order mark is skipped. */
void lex_begin(struct lex *lex, struct bytes text);
void lex_next(struct lex *lex, struct lex_token *token);

#endif
