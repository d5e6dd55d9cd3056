/* SPDX-License-Identifier: MIT */
/*
 * printf() and format(), in the place of SQLite's own.
 *
 * Those of 3.40 repeat the character of %c as often as its precision says,
 * one by one, long after the result is too large: '%.*c' with 900,000,000
 * takes ten seconds within one opcode, where no deadline is looked at. Here
 * what is longer than a value may be is refused before, and whatever becomes
 * too long is an error, where SQLite's own is NULL. Everything else is
 * SQLite's: each conversion is passed on to its sqlite3_str_appendf(), with
 * width and precision filled in.
 */
#include <stdio.h>
#include <stdlib.h>

#include "storage/sql/sql_internal.h"

struct format {
	sqlite3_str *out;
	const char *at; /* what is left of the format */
	sqlite3_value **values;
	int count;   /* values left */
	int longest; /* bytes of a value */
	bool too_big;
};

/* One conversion, as it stands between "%" and its letter. */
struct conversion {
	char flags[8];
	bool left, has_precision;
	int width, precision;
};

/* NULL where there are no more. */
static sqlite3_value *
next_value(struct format *format)
{
	if (!format->count)
		return NULL;
	format->count--;
	return *format->values++;
}

static sqlite3_int64
next_integer(struct format *format)
{
	sqlite3_value *value = next_value(format);

	return value ? sqlite3_value_int64(value) : 0;
}

static double
next_real(struct format *format)
{
	sqlite3_value *value = next_value(format);

	return value ? sqlite3_value_double(value) : 0;
}

static const char *
next_text(struct format *format)
{
	sqlite3_value *value = next_value(format);

	return value ? (const char *)sqlite3_value_text(value) : NULL;
}

/* Digits, or "*": the next value. Beyond any length it makes no difference how
 * far. */
static int
take_number(struct format *format)
{
	sqlite3_int64 number = 0;

	if (*format->at == '*') {
		format->at++;
		number = next_integer(format);
	} else {
		for (; *format->at >= '0' && *format->at <= '9'; format->at++)
			if (number < INT32_MAX / 10)
				number = number * 10 + (*format->at - '0');
	}
	if (number > INT32_MAX / 2)
		return INT32_MAX / 2;
	return number < -INT32_MAX / 2 ? -INT32_MAX / 2 : (int)number;
}

static void
take_conversion(struct format *format, struct conversion *conversion)
{
	size_t flags = 0;

	*conversion = (struct conversion){ 0 };
	for (; *format->at && strchr("-+ #!0,", *format->at); format->at++) {
		if (!strchr(conversion->flags, *format->at))
			conversion->flags[flags++] = *format->at;
	}
	conversion->width = take_number(format);
	if (conversion->width < 0)
		conversion->width = -conversion->width, conversion->left = true;
	conversion->left |= strchr(conversion->flags, '-') != NULL;
	if (*format->at == '.') {
		format->at++;
		conversion->has_precision = true;
		conversion->precision = abs(take_number(format));
	}
	while (*format->at == 'l')
		format->at++;
}

/* "%-+10.3lld" */
static void
spell(const struct conversion *conversion, const char *letter, char *out,
      size_t size)
{
	int len = snprintf(out, size, "%%%s%s", conversion->flags,
			   conversion->left ? "-" : "");

	if (conversion->width)
		len += snprintf(out + len, size - (size_t)len, "%d",
				conversion->width);
	if (conversion->has_precision)
		len += snprintf(out + len, size - (size_t)len, ".%d",
				conversion->precision);
	snprintf(out + len, size - (size_t)len, "%s", letter);
}

/* Bytes of the character at the front of a text. */
static int
character_len(const char *text)
{
	int len = 1;

	if ((unsigned char)*text >= 0xC0)
		while (len < 4 && (text[len] & 0xC0) == 0x80)
			len++;
	return len;
}

static void
put_character(struct format *format, const struct conversion *conversion)
{
	const char *text = next_text(format);
	/* Of no text: the end of it. */
	int len = text ? character_len(text) : 1;
	int times = conversion->precision > 1 ? conversion->precision : 1;
	int pad = conversion->width > times ? conversion->width - times : 0;

	if (times > format->longest / len || pad > format->longest) {
		format->too_big = true;
		return;
	}
	if (!conversion->left)
		sqlite3_str_appendchar(format->out, pad, ' ');
	if (len == 1)
		sqlite3_str_appendchar(format->out, times, text ? *text : '\0');
	else
		for (int i = 0; i < times; i++)
			sqlite3_str_append(format->out, text, len);
	if (conversion->left)
		sqlite3_str_appendchar(format->out, pad, ' ');
}

/* False: there is no such letter, and nothing is written any more. */
static bool
put(struct format *format, const struct conversion *conversion, char letter)
{
	char spec[64], name[] = { 'l', 'l', letter, '\0' };

	switch (letter) {
	case '%':
		sqlite3_str_appendchar(format->out, 1, '%');
		return true;
	case 'n':
		return true;
	case 'c':
		put_character(format, conversion);
		return true;
	case 'p':
		spell(conversion, name + 2, spec, sizeof(spec));
		sqlite3_str_appendf(format->out, spec,
				    (void *)(intptr_t)next_integer(format));
		return true;
	case 'd':
	case 'i':
	case 'u':
	case 'x':
	case 'X':
	case 'o':
		spell(conversion, name, spec, sizeof(spec));
		sqlite3_str_appendf(format->out, spec, next_integer(format));
		return true;
	case 'f':
	case 'e':
	case 'E':
	case 'g':
	case 'G':
		spell(conversion, name + 2, spec, sizeof(spec));
		sqlite3_str_appendf(format->out, spec, next_real(format));
		return true;
	case 'z': /* would free the text */
		name[2] = 's';
		/* fall through */
	case 's':
	case 'q':
	case 'Q':
	case 'w':
		spell(conversion, name + 2, spec, sizeof(spec));
		sqlite3_str_appendf(format->out, spec, next_text(format));
		return true;
	}
	return false;
}

static void
put_all(struct format *format)
{
	struct conversion conversion;

	while (*format->at && !format->too_big) {
		size_t plain = strcspn(format->at, "%");

		if (plain)
			sqlite3_str_append(format->out, format->at, (int)plain);
		format->at += plain;
		if (!*format->at)
			return;
		if (!*++format->at) {
			sqlite3_str_appendchar(format->out, 1, '%');
			return;
		}
		take_conversion(format, &conversion);
		if (!*format->at || !put(format, &conversion, *format->at++))
			return;
	}
}

static void
answer(sqlite3_context *context, struct format *format)
{
	int rc = sqlite3_str_errcode(format->out);
	int len = sqlite3_str_length(format->out);
	char *text = sqlite3_str_finish(format->out);

	if (format->too_big || rc == SQLITE_TOOBIG) {
		sqlite3_free(text);
		sqlite3_result_error_toobig(context);
	} else if (rc) {
		sqlite3_free(text);
		sqlite3_result_error_nomem(context);
	} else {
		/* None, where nothing was written: NULL, as SQLite's. */
		sqlite3_result_text(context, text, len, sqlite3_free);
	}
}

void
sql_run_printf(sqlite3_context *context, int count, sqlite3_value **values)
{
	sqlite3 *db = sqlite3_context_db_handle(context);
	struct format format = { 0 };

	if (count < 1)
		return;
	format.at = (const char *)sqlite3_value_text(values[0]);
	if (!format.at)
		return;
	format.values = values + 1;
	format.count = count - 1;
	format.longest = sqlite3_limit(db, SQLITE_LIMIT_LENGTH, -1);
	format.out = sqlite3_str_new(db);
	put_all(&format);
	answer(context, &format);
}
