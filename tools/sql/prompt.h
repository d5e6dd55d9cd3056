/* SPDX-License-Identifier: MIT */
/*
 * Lines from a terminal, with editing and history: the home of libedit.
 */
#ifndef TOOLS_SQL_PROMPT_H
#define TOOLS_SQL_PROMPT_H

#include "core/base.h"

struct prompt;

/* What was typed. */
enum typed { TYPED_LINE, TYPED_INTERRUPT, TYPED_END };

/* NULL, after saying why. The history is in $JACKDAW_HISTORY, else in
 * ~/.jackdaw_history; keys are bound in ~/.editrc. */
struct prompt *prompt_create(void);
void prompt_destroy(struct prompt *prompt);

/* Shows text and reads a line, which lives until the next is read and has no
 * line end. TYPED_INTERRUPT: ^C. TYPED_END: ^D on an empty line, or the
 * terminal has gone. */
MUST_CHECK enum typed prompt_line(struct prompt *prompt, const char *text,
				  struct bytes *line);
/* Adds to the history, and to its file. */
void prompt_remember(struct prompt *prompt, const char *text);

#endif
