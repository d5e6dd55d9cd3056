/* SPDX-License-Identifier: MIT */
#include "tools/table.h"

#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "tools/out.h"

enum {
	/* Kept until the widths are decided. */
	HEAD_ROWS = 1000,
	HEAD_BYTES = 1 << 20,
	/* Of what is kept: a row may be as large as a reply. */
	KEPT_MAX = 512 << 20,
	/* A wider cell stands out of its column. */
	COLUMN_WIDTH_MAX = 100,
	/* The last column is never cut to less. */
	LAST_MIN = 20,
	GAP = 2,
	NOTE_INDENT = 4,
};

enum kind { KIND_CELL, KIND_NAME, KIND_NOTE };

struct cell {
	size_t len;
	unsigned width;
	enum align align;
	enum kind kind;
};

void
table_init(struct table *table, unsigned line_max)
{
	*table = (struct table){ .line_max = line_max };
	buffer_init(&table->cells, KEPT_MAX);
	buffer_init(&table->text, KEPT_MAX);
}

void
table_fini(struct table *table)
{
	buffer_fini(&table->cells);
	buffer_fini(&table->text);
}

/* ---- printing ----------------------------------------------------------- */

static void
spaces(unsigned count)
{
	printf("%*s", (int)count, "");
}

static unsigned
limit(const struct table *table, unsigned i)
{
	unsigned before = 0;

	if (!table->line_max || i + 1 < table->columns)
		return UINT32_MAX;
	for (unsigned j = 0; j < i; j++)
		before += table->column[j].width + GAP;
	return before + LAST_MIN < table->line_max ? table->line_max - before
						   : LAST_MIN;
}

static bool
is_right(const struct table_column *column, enum align align)
{
	if (align == ALIGN_COLUMN)
		return column->right && !column->left;
	return align == ALIGN_RIGHT;
}

/* text, or as much of it as width allows. */
static void
print_cut(struct bytes text, unsigned text_columns, unsigned width)
{
	static const char dots[] = "...";

	if (text_columns <= width) {
		out_bytes(text);
		return;
	}
	text.len = text_cut(text, width - (unsigned)sizeof(dots) + 1);
	out_bytes(text);
	fputs(dots, stdout);
}

static void
print_cell(const struct table *table, unsigned i, const struct cell *cell,
	   const char *text)
{
	const struct table_column *column = &table->column[i];
	unsigned most = limit(table, i);
	unsigned width = cell->width < most ? cell->width : most;
	unsigned pad = column->width > width ? column->width - width : 0;
	bool right = is_right(column, cell->align);

	if (i > 0)
		spaces(GAP);
	if (right)
		spaces(pad);
	print_cut((struct bytes){ text, cell->len }, cell->width, most);
	/* Only in the last column, behind which nothing stands, it is cut. */
	if (i + 1 == table->columns)
		putchar('\n');
	else if (!right)
		spaces(pad);
}

static void
print_note(const struct table *table, const struct cell *cell, const char *text)
{
	unsigned most = UINT32_MAX;

	if (table->line_max)
		most = table->line_max > LAST_MIN + NOTE_INDENT
			       ? table->line_max - NOTE_INDENT
			       : LAST_MIN;
	spaces(NOTE_INDENT);
	print_cut((struct bytes){ text, cell->len }, cell->width, most);
	putchar('\n');
}

static void
print_rule(const struct table *table)
{
	for (unsigned i = 0; i < table->columns; i++) {
		unsigned width = table->column[i].width;
		unsigned most = limit(table, i);

		if (i > 0)
			spaces(GAP);
		for (unsigned j = 0; j < width && j < most; j++)
			putchar('-');
	}
	putchar('\n');
}

static void
print_kept(struct table *table)
{
	const struct cell *cell = (const void *)table->cells.data;
	size_t count = table->cells.len / sizeof(*cell);
	const char *text = table->text.data ? table->text.data : "";
	unsigned i = 0;

	for (; count > 0; count--, text += cell->len, cell++) {
		if (cell->kind == KIND_NOTE) {
			print_note(table, cell, text);
			continue;
		}
		print_cell(table, i, cell, text);
		if (++i < table->columns)
			continue;
		i = 0;
		if (cell->kind == KIND_NAME)
			print_rule(table);
	}
	/* The last row broke off. */
	if (i > 0)
		putchar('\n');
	buffer_clear(&table->cells);
	buffer_clear(&table->text);
}

/* ---- filling ------------------------------------------------------------ */

static void
keep(struct table *table, struct bytes text, enum align align, enum kind kind)
{
	size_t before = table->text.len;
	struct cell cell = { .align = align, .kind = kind };
	struct bytes escaped;

	field_add(&table->text, text);
	if (table->text.err)
		return;
	cell.len = table->text.len - before;
	escaped = (struct bytes){ table->text.data + before, cell.len };
	if (cell.len == 0)
		escaped.data = "";
	cell.width = text_width(escaped);
	buffer_add(&table->cells, &cell, sizeof(cell));
	if (kind != KIND_NOTE && !table->open) {
		struct table_column *column = &table->column[table->filled];
		unsigned width = cell.width < COLUMN_WIDTH_MAX
					 ? cell.width
					 : COLUMN_WIDTH_MAX;

		if (width > column->width)
			column->width = width;
		column->right |= align == ALIGN_RIGHT;
		column->left |= align == ALIGN_LEFT;
	}
}

bool
table_column(struct table *table, struct bytes name)
{
	if (table->columns == TABLE_COLUMNS_MAX)
		return false;
	table->filled = table->columns++;
	keep(table, name, ALIGN_COLUMN, KIND_NAME);
	table->filled = 0;
	return true;
}

void
table_cell(struct table *table, struct bytes text, enum align align)
{
	keep(table, text, align, KIND_CELL);
	if (++table->filled < table->columns)
		return;
	table->filled = 0;
	table->rows++;
	if (table->rows == HEAD_ROWS || table->text.len >= HEAD_BYTES)
		table->open = true;
	if (table->open && !table->text.err && !table->cells.err)
		print_kept(table);
}

void
table_number(struct table *table, int64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, number);
	table_cell(table, bytes_of(text), ALIGN_RIGHT);
}

void
table_note(struct table *table, struct bytes text)
{
	keep(table, text, ALIGN_LEFT, KIND_NOTE);
}

bool
table_end(struct table *table)
{
	enum err err = table->text.err ? table->text.err : table->cells.err;

	table->open = true;
	if (err)
		say("a row of the result: %s", err_text(err));
	else if (table->columns > 0)
		print_kept(table);
	return !err;
}

/* ---- widths ------------------------------------------------------------- */

unsigned
terminal_width(void)
{
	enum { USUAL = 80 };
	struct winsize size;

	if (!isatty(STDOUT_FILENO))
		return 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
		return USUAL;
	return size.ws_col;
}

void
text_begin(void)
{
	if (setlocale(LC_CTYPE, "") && !strcmp(nl_langinfo(CODESET), "UTF-8"))
		return;
	/* What we print is UTF-8 in any case. */
	setlocale(LC_CTYPE, "C.UTF-8");
}

/* The next character's width; takes it off the front. Bytes that the locale
 * cannot read are one column each. */
static unsigned
take_character(struct bytes *text)
{
	mbstate_t state = { 0 };
	wchar_t wide;
	size_t len = mbrtowc(&wide, text->data, text->len, &state);
	int width = 1;

	if (len == 0 || len > text->len)
		len = 1;
	else
		width = wcwidth(wide);
	text->data = (const char *)text->data + len;
	text->len -= len;
	return width < 0 ? 1 : (unsigned)width;
}

/* Bytes at the front that are ASCII: escaped, they are one column each. */
static size_t
ascii(struct bytes text)
{
	const unsigned char *data = text.data;
	size_t len = 0;

	while (len < text.len && data[len] < 0x80)
		len++;
	return len;
}

unsigned
text_width(struct bytes text)
{
	size_t width = 0;

	while (text.len > 0) {
		size_t plain = ascii(text);

		width += plain;
		text.data = (const char *)text.data + plain;
		text.len -= plain;
		if (text.len > 0)
			width += take_character(&text);
	}
	return width < UINT32_MAX ? (unsigned)width : UINT32_MAX;
}

size_t
text_cut(struct bytes text, unsigned width)
{
	const char *begin = text.data;

	while (text.len > 0) {
		struct bytes rest = text;
		unsigned taken = take_character(&rest);

		if (taken > width)
			break;
		width -= taken;
		text = rest;
	}
	return (size_t)((const char *)text.data - begin);
}
