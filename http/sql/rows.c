/* SPDX-License-Identifier: MIT */
#include "http/sql/rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base64.h"
#include "core/json.h"

enum {
	/* All names of a result in objects: 5 KiB each if there are 200. */
	NAMES_MAX = 1 << 20,
};
/* The largest number below which every integer is a double of its own. */
#define EXACT_INTEGERS (INT64_C(1) << 53)

/* ---- numbers ------------------------------------------------------------ */

/*
 * Most REALs that people store have few decimals. n / 10^k with n below 2^53
 * is rounded once, and so is what a reader makes of the text: if the quotient
 * is the number, the text reads back to it. The smallest k that does is the
 * shortest text, as up to 15 digits name one number each (Clinger, "How to
 * Read Floating Point Numbers Accurately", 1990).
 */
static bool
add_short_real(struct buffer *out, double real)
{
	static const double powers[] = { 1, 10, 1e2, 1e3, 1e4, 1e5, 1e6 };
	double size = fabs(real), scaled;
	uint64_t digits, power;
	unsigned k = 0;
	char *text;

	for (;; k++) {
		if (k == ARRAY_LEN(powers))
			return false;
		scaled = size * powers[k] + 0.5;
		if (!(scaled < 1e15))
			return false;
		digits = (uint64_t)scaled;
		if ((double)digits / powers[k] == size)
			break;
	}
	power = (uint64_t)powers[k];
	if (signbit(real))
		buffer_add(out, "-", 1);
	buffer_add_u64(out, digits / power);
	if (k == 0) {
		buffer_add(out, ".0", 2);
		return true;
	}
	text = buffer_reserve(out, k + 1);
	if (!text)
		return true;
	digits %= power;
	for (unsigned i = k; i > 0; i--, digits /= 10)
		text[i] = (char)('0' + digits % 10);
	text[0] = '.';
	buffer_added(out, k + 1);
	return true;
}

/* Finite. The fewest digits that read back to the same number; with a point or
 * an exponent, so that it is a REAL to whoever reads it. */
static void
add_real(struct buffer *out, double real)
{
	char text[40];

	if (add_short_real(out, real))
		return;
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, real);
		if (strtod(text, NULL) == real)
			break;
	}
	buffer_add_str(out, text);
	if (!strpbrk(text, ".e"))
		buffer_add(out, ".0", 2);
}

/* ---- JSON --------------------------------------------------------------- */

/* A string; what is no UTF-8 gets U+FFFD in its place. Only names of a file
 * that was made elsewhere can be such. */
static void
add_name(struct buffer *out, const char *name)
{
	struct json json;

	json_begin(&json, out);
	if (json_is_utf8(bytes_of(name))) {
		json_text(&json, bytes_of(name));
		return;
	}
	buffer_add(out, "\"", 1);
	for (; *name; name++) {
		if ((unsigned char)*name >= 0x80)
			buffer_add_str(out, "\xef\xbf\xbd");
		else if (*name < ' ' || *name == '"' || *name == '\\')
			buffer_addf(out, "\\u%04x", (unsigned)*name);
		else
			buffer_add(out, name, 1);
	}
	buffer_add(out, "\"", 1);
}

static void
add_base64(struct buffer *out, struct bytes bytes)
{
	size_t len = base64_encoded_len(bytes.len);
	char *room = buffer_reserve(out, len);

	if (!room)
		return;
	base64_encode(bytes, room);
	buffer_added(out, len);
}

static void
add_json_blob(struct buffer *out, struct bytes bytes)
{
	buffer_add_str(out, "{\"base64\":\"");
	add_base64(out, bytes);
	buffer_add(out, "\"}", 2);
}

static void
add_json_text(struct buffer *out, struct bytes text)
{
	struct json json;

	/* SQLite keeps as TEXT whatever bytes it was given. */
	if (!json_is_utf8(text)) {
		add_json_blob(out, text);
		return;
	}
	json_begin(&json, out);
	json_text(&json, text);
}

static void
add_json_integer(struct buffer *out, int64_t integer, bool int64_text)
{
	bool quoted = int64_text &&
		      (integer > EXACT_INTEGERS || integer < -EXACT_INTEGERS);

	if (quoted)
		buffer_add(out, "\"", 1);
	buffer_add_i64(out, integer);
	if (quoted)
		buffer_add(out, "\"", 1);
}

void
rows_json_value(struct buffer *out, const struct sql_value *value,
		bool int64_text)
{
	switch (value->kind) {
	case SQL_NULL:
		buffer_add(out, "null", 4);
		break;
	case SQL_INTEGER:
		add_json_integer(out, value->integer, int64_text);
		break;
	case SQL_REAL:
		if (isfinite(value->real))
			add_real(out, value->real);
		else
			buffer_add(out, "null", 4);
		break;
	case SQL_TEXT:
		add_json_text(out, value->bytes);
		break;
	case SQL_BLOB:
		add_json_blob(out, value->bytes);
		break;
	}
}

void
rows_columns(struct buffer *out, const struct sql_stmt *stmt)
{
	unsigned count = sql_column_count(stmt);

	buffer_add_str(out, "\"columns\":[");
	for (unsigned i = 0; i < count; i++) {
		buffer_add_str(out, i ? ",{\"name\":" : "{\"name\":");
		add_name(out, sql_column_name(stmt, i));
		buffer_add_str(out, ",\"type\":");
		add_name(out, sql_column_type(stmt, i));
		buffer_add(out, "}", 1);
	}
	buffer_add(out, "]", 1);
}

/* ---- CSV ---------------------------------------------------------------- */

static void
add_csv_text(struct buffer *out, struct bytes text)
{
	const char *at = text.data, *end = at + text.len, *quote;
	bool plain = text.len > 0;

	for (size_t i = 0; i < text.len && plain; i++)
		plain = at[i] != '"' && at[i] != ',' && at[i] != '\r' &&
			at[i] != '\n';
	if (plain) {
		buffer_add(out, at, text.len);
		return;
	}
	/* Empty text has quotes: without them it would be NULL. */
	buffer_add(out, "\"", 1);
	while (at < end && (quote = memchr(at, '"', (size_t)(end - at)))) {
		buffer_add(out, at, (size_t)(quote - at) + 1);
		buffer_add(out, "\"", 1);
		at = quote + 1;
	}
	buffer_add(out, at, (size_t)(end - at));
	buffer_add(out, "\"", 1);
}

static void
add_csv_value(struct buffer *out, const struct sql_value *value)
{
	switch (value->kind) {
	case SQL_NULL:
		break;
	case SQL_INTEGER:
		buffer_add_i64(out, value->integer);
		break;
	case SQL_REAL:
		if (isfinite(value->real))
			add_real(out, value->real);
		else if (!isnan(value->real))
			buffer_add_str(out, value->real < 0 ? "-Inf" : "Inf");
		break;
	case SQL_TEXT:
		add_csv_text(out, value->bytes);
		break;
	case SQL_BLOB:
		add_base64(out, value->bytes);
		break;
	}
}

void
rows_header(struct rows *rows, const struct sql_stmt *stmt)
{
	unsigned count = sql_column_count(stmt);

	if (rows->shape != ROWS_CSV || !count)
		return;
	for (unsigned i = 0; i < count; i++) {
		if (i)
			buffer_add(rows->out, ",", 1);
		add_csv_text(rows->out, bytes_of(sql_column_name(stmt, i)));
	}
	buffer_add(rows->out, "\r\n", 2);
}

/* ---- rows --------------------------------------------------------------- */

void
rows_init(struct rows *rows, struct buffer *out, enum rows_shape shape,
	  bool int64_text)
{
	rows->out = out;
	rows->shape = shape;
	rows->int64_text = int64_text;
	rows->count = 0;
	buffer_init(&rows->names, NAMES_MAX);
}

void
rows_restart(struct rows *rows)
{
	rows->count = 0;
	buffer_clear(&rows->names);
}

void
rows_fini(struct rows *rows)
{
	buffer_fini(&rows->names);
}

/* Does a column before this one have the name already? */
static bool
is_taken(const struct rows *rows, unsigned count, const char *name, size_t len)
{
	uint32_t begin = 0;

	for (unsigned i = 0; i < count; begin = rows->name_end[i++]) {
		/* Behind the brace or comma, without the colon. */
		size_t its_len = rows->name_end[i] - begin - 2;

		if (its_len == len &&
		    !memcmp(rows->names.data + begin + 1, name, len))
			return true;
	}
	return false;
}

/* `{"id":` or `,"id":`; the second of a name is `,"id:1":`, as SQLite itself
 * calls it in a subquery. */
static void
put_name(struct rows *rows, unsigned index, const char *name)
{
	struct buffer *names = &rows->names;
	size_t begin = names->len;

	buffer_add(names, index ? "," : "{", 1);
	add_name(names, name);
	for (unsigned n = 1; !names->err; n++) {
		size_t len = names->len - begin - 1;

		if (!is_taken(rows, index, names->data + begin + 1, len))
			break;
		/* Its closing quote, or what was tried before. */
		names->len = begin + 1;
		add_name(names, name);
		names->len--;
		buffer_addf(names, ":%u\"", n);
	}
	buffer_add(names, ":", 1);
	rows->name_end[index] = (uint32_t)names->len;
}

static void
put_names(struct rows *rows, const struct sql_stmt *stmt, unsigned count)
{
	buffer_clear(&rows->names);
	for (unsigned i = 0; i < count && !rows->names.err; i++)
		put_name(rows, i, sql_column_name(stmt, i));
	if (rows->names.err && !rows->out->err)
		rows->out->err = rows->names.err;
}

static void
add_array(struct rows *rows, const struct sql_stmt *stmt, unsigned count)
{
	struct sql_value value;

	buffer_add(rows->out, rows->count ? ",[" : "[", rows->count ? 2 : 1);
	for (unsigned i = 0; i < count; i++) {
		if (i)
			buffer_add(rows->out, ",", 1);
		sql_column(stmt, i, &value);
		rows_json_value(rows->out, &value, rows->int64_text);
	}
	buffer_add(rows->out, "]", 1);
}

static void
add_object(struct rows *rows, const struct sql_stmt *stmt, unsigned count)
{
	struct sql_value value;
	uint32_t begin = 0;

	if (!rows->count)
		put_names(rows, stmt, count);
	if (rows->out->err)
		return;
	if (rows->count && rows->shape == ROWS_OBJECTS)
		buffer_add(rows->out, ",", 1);
	for (unsigned i = 0; i < count; begin = rows->name_end[i++]) {
		buffer_add(rows->out, rows->names.data + begin,
			   rows->name_end[i] - begin);
		sql_column(stmt, i, &value);
		rows_json_value(rows->out, &value, rows->int64_text);
	}
	if (rows->shape == ROWS_NDJSON)
		buffer_add(rows->out, "}\n", 2);
	else
		buffer_add(rows->out, "}", 1);
}

static void
add_csv(struct rows *rows, const struct sql_stmt *stmt, unsigned count)
{
	struct sql_value value;

	for (unsigned i = 0; i < count; i++) {
		if (i)
			buffer_add(rows->out, ",", 1);
		sql_column(stmt, i, &value);
		add_csv_value(rows->out, &value);
	}
	buffer_add(rows->out, "\r\n", 2);
}

void
rows_add(struct rows *rows, const struct sql_stmt *stmt)
{
	unsigned count = sql_column_count(stmt);

	assert(count > 0 && count <= SQL_COLUMNS_MAX);
	switch (rows->shape) {
	case ROWS_ARRAYS:
		add_array(rows, stmt, count);
		break;
	case ROWS_OBJECTS:
	case ROWS_NDJSON:
		add_object(rows, stmt, count);
		break;
	case ROWS_CSV:
		add_csv(rows, stmt, count);
		break;
	}
	rows->count++;
}
