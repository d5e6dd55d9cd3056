/* SPDX-License-Identifier: MIT */
#include "tools/sql/split.h"

#include <ctype.h>
#include <strings.h>

void
split_init(struct split *split)
{
	*split = (struct split){ .blank = true };
}

static bool
is_word_byte(unsigned char byte)
{
	return isalnum(byte) || byte == '_' || byte == '$' || byte >= 0x80;
}

static bool
word_is(struct bytes word, const char *text)
{
	return word.len == strlen(text) &&
	       !strncasecmp(word.data, text, word.len);
}

/* ---- what a token means ----------------------------------------------------
 */

/* word is empty for a token that is none. */
static void
see_start(struct split *split, struct bytes word)
{
	if (word_is(word, "CREATE"))
		split->kind = SPLIT_CREATE;
	else if (word_is(word, "EXPLAIN"))
		split->explains = true;
	else if (!split->explains)
		split->kind = SPLIT_OTHER;
}

static void
see_create(struct split *split, struct bytes word)
{
	if (word_is(word, "TRIGGER"))
		split->kind = SPLIT_TRIGGER;
	else if (!word_is(word, "TEMP") && !word_is(word, "TEMPORARY"))
		split->kind = SPLIT_OTHER;
}

static void
see(struct split *split, struct bytes word)
{
	if (split->blank)
		split->begin = split->at;
	split->blank = false;
	switch (split->kind) {
	case SPLIT_START:
		see_start(split, word);
		return;
	case SPLIT_CREATE:
		see_create(split, word);
		return;
	case SPLIT_OTHER:
		return;
	case SPLIT_TRIGGER:
		split->tail =
			split->tail == SPLIT_SEMICOLON && word_is(word, "END")
				? SPLIT_END
				: SPLIT_BODY;
		return;
	}
}

/* True: the statement ends here. */
static bool
see_semicolon(struct split *split)
{
	if (split->kind != SPLIT_TRIGGER || split->tail == SPLIT_END)
		return true;
	split->tail = SPLIT_SEMICOLON;
	return false;
}

/* ---- tokens ----------------------------------------------------------------
 */

/* Bytes of the token that begins the text, 0: it may go on behind it. */
static size_t
up_to(struct bytes text, size_t from, const char *end)
{
	const char *data = text.data;
	const char *found =
		text.len > from
			? memmem(data + from, text.len - from, end, strlen(end))
			: NULL;

	return found ? (size_t)(found - data) + strlen(end) : 0;
}

static size_t
word_len(struct bytes text)
{
	const unsigned char *data = text.data;
	size_t len = 0;

	while (len < text.len && is_word_byte(data[len]))
		len++;
	return len < text.len ? len : 0;
}

struct token {
	size_t len; /* 0: it may go on behind the text */
	bool comment;
	char open; /* that it is within, if len is 0 */
};

static struct token
quoted(struct bytes text, char quote)
{
	char end[2] = { quote == '[' ? ']' : quote, '\0' };

	return (struct token){ up_to(text, 1, end), false, quote };
}

static struct token
token_of(struct bytes text)
{
	const char *data = text.data;

	switch (*data) {
	case '\'':
	case '"':
	case '`':
	case '[':
		return quoted(text, *data);
	case '-':
		if (text.len > 1 && data[1] == '-')
			return (struct token){ up_to(text, 2, "\n"), true, 0 };
		return (struct token){ text.len > 1, false, 0 };
	case '/':
		if (text.len > 1 && data[1] == '*')
			return (struct token){ up_to(text, 2, "*/"), true,
					       '*' };
		return (struct token){ text.len > 1, false, 0 };
	}
	if (is_word_byte((unsigned char)*data))
		return (struct token){ word_len(text), false, 0 };
	return (struct token){ 1, false, 0 };
}

/* Bytes of the blank that begins the text; 0: none does. A byte order mark,
 * with which some editors begin a file, is one for SQLite too. One that is not
 * all there yet looks like a word that may go on. */
static size_t
blank_len(struct bytes text)
{
	static const char mark[] = "\xef\xbb\xbf";
	char c = *(const char *)text.data;

	if (c == ' ' || (c >= '\t' && c <= '\r'))
		return 1;
	return bytes_begin(text, mark) ? sizeof(mark) - 1 : 0;
}

bool
split_next(struct split *split, struct bytes text, bool final)
{
	split->open = 0;
	while (split->at < text.len) {
		struct bytes rest = { (const char *)text.data + split->at,
				      text.len - split->at };
		char c = *(const char *)rest.data;
		size_t blank = blank_len(rest);
		struct token token;

		if (blank > 0) {
			split->at += blank;
			continue;
		}
		if (c == ';') {
			bool ends = see_semicolon(split);

			split->at++;
			if (ends)
				return true;
			continue;
		}
		token = token_of(rest);
		if (token.len == 0 && !final) {
			split->open = token.open;
			return false;
		}
		if (token.len == 0)
			token.len = rest.len;
		if (!token.comment) {
			bool word = is_word_byte((unsigned char)c);

			see(split,
			    (struct bytes){ rest.data, word ? token.len : 0 });
		}
		split->at += token.len;
	}
	return false;
}
