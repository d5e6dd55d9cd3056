/* SPDX-License-Identifier: MIT */
#include "http/service/lex.h"

void
lex_begin(struct lex *lex, struct bytes text)
{
	if (bytes_begin(text, "\xEF\xBB\xBF"))
		text = (struct bytes){ (const char *)text.data + 3,
				       text.len - 3 };
	*lex = (struct lex){
		.at = text.data,
		.end = (const char *)text.data + text.len,
		.line_begin = text.data,
		.line = 1,
	};
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f';
}

static bool
starts(const struct lex *lex, const char *two)
{
	return lex->end - lex->at >= 2 && lex->at[0] == two[0] &&
	       lex->at[1] == two[1];
}

/* One byte on; counts lines. */
static void
step(struct lex *lex)
{
	if (*lex->at++ != '\n')
		return;
	lex->line++;
	lex->line_begin = lex->at;
	lex->line_used = false;
}

static void
skip_line(struct lex *lex)
{
	while (lex->at < lex->end && *lex->at != '\n')
		lex->at++;
}

/* False: it does not end. */
static bool
skip_block(struct lex *lex)
{
	lex->at += 2;
	while (lex->at < lex->end && !starts(lex, "*/"))
		step(lex);
	if (lex->at == lex->end)
		return false;
	lex->at += 2;
	return true;
}

/* A doubled quote inside is two strings that touch: the same for us. */
static bool
skip_quoted(struct lex *lex, char quote)
{
	lex->at++;
	while (lex->at < lex->end && *lex->at != quote)
		step(lex);
	if (lex->at == lex->end)
		return false;
	lex->at++;
	return true;
}

static void
skip_word(struct lex *lex)
{
	do
		lex->at++;
	while (lex->at < lex->end && !is_blank(*lex->at) &&
	       (*lex->at == '\0' || !strchr(";'\"`[-/", *lex->at)));
}

static void
open(struct lex_token *token, const char *what)
{
	token->kind = LEX_OPEN;
	token->what = what;
}

static void
take_token(struct lex *lex, struct lex_token *token)
{
	char first = *lex->at;

	if (starts(lex, "--")) {
		token->kind = LEX_LINE_COMMENT;
		skip_line(lex);
	} else if (starts(lex, "/*")) {
		token->kind = LEX_BLOCK_COMMENT;
		if (!skip_block(lex))
			open(token, "a comment");
	} else if (first == ';') {
		token->kind = LEX_SEMICOLON;
		lex->at++;
	} else if (first == '\'') {
		if (!skip_quoted(lex, '\''))
			open(token, "a string");
	} else if (first == '"' || first == '`' || first == '[') {
		if (!skip_quoted(lex, first == '[' ? ']' : first))
			open(token, "a quoted name");
	} else {
		skip_word(lex);
	}
}

void
lex_next(struct lex *lex, struct lex_token *token)
{
	const char *begin;

	while (lex->at < lex->end && is_blank(*lex->at))
		step(lex);
	begin = lex->at;
	*token = (struct lex_token){
		.kind = LEX_TEXT,
		.line = lex->line,
		.begins_line = begin == lex->line_begin,
		.indented = begin > lex->line_begin && !lex->line_used,
	};
	if (begin == lex->end)
		token->kind = LEX_END;
	else
		take_token(lex, token);
	/* It may have ended on another one. */
	lex->line_used = true;
	token->text = (struct bytes){ begin, (size_t)(lex->at - begin) };
}
