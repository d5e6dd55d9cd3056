/* SPDX-License-Identifier: MIT */
/*
 * Reading databases in tests: a statement from its text to its rows, as one
 * string.
 */
#ifndef TESTS_READING_H
#define TESTS_READING_H

#include "tests/database.h"

/* What read_rows() leaves. */
static _Thread_local struct sql_error read_error;

static void
add_value(struct buffer *out, const struct sql_value *value)
{
	switch (value->kind) {
	case SQL_NULL:
		buffer_add_str(out, "NULL");
		break;
	case SQL_INTEGER:
		buffer_add_i64(out, value->integer);
		break;
	case SQL_REAL:
		buffer_addf(out, "%.17g", value->real);
		break;
	case SQL_TEXT:
		buffer_addf(out, "'%.*s'", (int)value->bytes.len,
			    (const char *)value->bytes.data);
		break;
	case SQL_BLOB:
		buffer_add_str(out, "x");
		for (size_t i = 0; i < value->bytes.len; i++)
			buffer_addf(out, "%02x",
				    ((const uint8_t *)value->bytes.data)[i]);
		break;
	}
}

static void
add_row(struct buffer *out, const struct sql_stmt *stmt)
{
	struct sql_value value;

	if (out->len)
		buffer_add_str(out, " ");
	for (unsigned i = 0; i < sql_column_count(stmt); i++) {
		sql_column(stmt, i, &value);
		if (i)
			buffer_add_str(out, "|");
		add_value(out, &value);
	}
}

/* Rows are "1|'a' 2|'b'". False: see read_error. */
__attribute__((unused)) static bool
read_rows(struct sql_reader *reader, const struct sql_text *text,
	  const struct sql_value *values, unsigned count,
	  const struct sql_limits *limits, struct buffer *out)
{
	static const struct sql_limits none;
	struct sql_stmt *stmt;
	enum sql_step step;

	read_error = (struct sql_error){ 0 };
	if (sql_prepare(reader, text, &stmt, &read_error) != ERR_OK)
		return false;
	for (unsigned i = 0; i < count; i++) {
		read_error.err = sql_bind(stmt, i, &values[i]);
		if (read_error.err != ERR_OK) {
			sql_release(stmt);
			return false;
		}
	}
	if (limits && limits->deps)
		sql_deps_note(limits->deps, stmt);
	sql_run(stmt, limits ? limits : &none);
	while ((step = sql_step(stmt, &read_error)) == SQL_ROW)
		if (out)
			add_row(out, stmt);
	sql_release(stmt);
	return step == SQL_DONE;
}

/* The rows, or "ERR_...: message"; lives until the next call. */
__attribute__((unused)) static const char *
rows_under(struct sql_reader *reader, enum sql_policy policy, const char *sql,
	   const struct sql_limits *limits)
{
	static _Thread_local char shown[4000];
	struct sql_text text;
	struct buffer out;

	sql_text_init(&text, bytes_of(sql), policy);
	buffer_init(&out, 1 << 20);
	if (read_rows(reader, &text, NULL, 0, limits, &out))
		snprintf(shown, sizeof(shown), "%.*s", (int)out.len,
			 out.data ? out.data : "");
	else
		snprintf(shown, sizeof(shown), "%s: %s",
			 err_text(read_error.err), read_error.message);
	buffer_fini(&out);
	return shown;
}

__attribute__((unused)) static const char *
rows_of(struct sql_reader *reader, const char *sql)
{
	return rows_under(reader, SQL_ADMIN, sql, NULL);
}

__attribute__((unused)) static enum err
err_of(struct sql_reader *reader, enum sql_policy policy, const char *sql)
{
	rows_under(reader, policy, sql, NULL);
	return read_error.err;
}

/* Of the pool that the calling thread has. */
__attribute__((unused)) static struct sql_reader *
take_reader(struct sql *sql)
{
	enum err err;
	struct sql_reader *reader = sql_reader_try_take(sql, &err);

	need(reader != NULL, "no reader");
	return reader;
}

__attribute__((unused)) static bool
is_err(enum err got, enum err expected, const char *what)
{
	bool same = ok(got == expected, "%s", what);

	if (!same)
		printf("# got %s, expected %s; %s\n", err_text(got),
		       err_text(expected), read_error.message);
	return same;
}

#endif
