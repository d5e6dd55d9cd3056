/* SPDX-License-Identifier: MIT */
/*
 * A table on standard output, its columns as wide as what stands in them:
 *
 *	id  name  total
 *	--  ----  -----
 *	 1  Ann   10.50
 *	20  NULL      7
 *
 * The first rows are kept until their widths are known; the rest are printed
 * as they come, with those widths, so memory does not depend on the number of
 * rows.
 */
#ifndef TOOLS_TABLE_H
#define TOOLS_TABLE_H

#include "core/buffer.h"

enum { TABLE_COLUMNS_MAX = 256 };

/* Right is for numbers; like the others of its column is for NULL. */
enum align { ALIGN_LEFT, ALIGN_RIGHT, ALIGN_COLUMN };

struct table {
	unsigned columns;
	unsigned filled; /* cells of the row that is being made */
	struct table_column {
		unsigned width;
		bool right, left; /* it has a cell that is */
	} column[TABLE_COLUMNS_MAX];
	unsigned line_max; /* of a line: the last column is cut; 0: no limit */
	bool open;         /* widths are decided */
	uint64_t rows;
	/* What is not printed yet: a struct cell each, and their text. */
	struct buffer cells, text;
};

void table_init(struct table *table, unsigned line_max);
void table_fini(struct table *table);
/* Its name is escaped as a field is. False: there are too many. */
MUST_CHECK bool table_column(struct table *table, struct bytes name);

/* The next cell, escaped as a field; the last of a row ends the row. */
void table_cell(struct table *table, struct bytes text, enum align align);
void table_number(struct table *table, int64_t number);
/* A line below the row, indented, outside of the columns. */
void table_note(struct table *table, struct bytes text);
/* Prints what is kept. False, after saying so: there was no memory for a row.
 */
MUST_CHECK bool table_end(struct table *table);

/* Columns of the terminal that standard output is; 0: it is none. */
unsigned terminal_width(void);

/* Before the next two: they then know the widths of all characters, also where
 * the user's locale does not. */
void text_begin(void);
/* Columns of UTF-8 without control characters. */
unsigned text_width(struct bytes text);
/* Bytes of the longest beginning that has at most width columns. */
size_t text_cut(struct bytes text, unsigned width);

#endif
