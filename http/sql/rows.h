/* SPDX-License-Identifier: MIT */
/*
 * Rows as text: straight from a statement's columns into a buffer.
 *
 *	arrays   [1,"a"],[2,"b"]
 *	objects  {"id":1,"name":"a"},{"id":2,"name":"b"}
 *	ndjson   one object and a line end each
 *	csv      RFC 4180, lines end in CR LF; NULL is an empty field, a BLOB is
 *		 base64
 *
 * In JSON a BLOB is {"base64":"..."}, and so is TEXT that is not UTF-8; a REAL
 * is as short as it can be, reads back to the same number, and has a point or
 * an exponent; Inf and NaN are null; integers are exact. In objects no name
 * comes twice: the second `id` is `id:1`.
 */
#ifndef HTTP_SQL_ROWS_H
#define HTTP_SQL_ROWS_H

#include "core/buffer.h"
#include "storage/sql.h"

enum rows_shape { ROWS_ARRAYS, ROWS_OBJECTS, ROWS_NDJSON, ROWS_CSV };

struct rows {
	struct buffer *out;
	enum rows_shape shape;
	bool int64_text; /* integers beyond 2^53 are strings */
	uint64_t count;  /* rows written */
	/* Names as they stand in an object, `"id":` each, from the first row
	 * on. */
	struct buffer names;
	uint32_t name_end[SQL_COLUMNS_MAX];
};

void rows_init(struct rows *rows, struct buffer *out, enum rows_shape shape,
	       bool int64_text);
/* Another statement, or from the start: forgets the names and the count. */
void rows_restart(struct rows *rows);
void rows_fini(struct rows *rows);
/* CSV: the line of names. */
void rows_header(struct rows *rows, const struct sql_stmt *stmt);
/* The current row, with a comma before it where one belongs. What fails is in
 * out->err. */
void rows_add(struct rows *rows, const struct sql_stmt *stmt);
/* "columns":[{"name","type"}], for arrays. */
void rows_columns(struct buffer *out, const struct sql_stmt *stmt);
/* One value, as in JSON. */
void rows_json_value(struct buffer *out, const struct sql_value *value,
		     bool int64_text);

#endif
