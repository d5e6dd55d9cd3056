/* SPDX-License-Identifier: MIT */
/*
 * A profile as a flame graph in SVG. What was called stands on what called it;
 * a box is as wide as its share of the samples. The boxes of one row are in
 * the order of their names, so width means something and place does not.
 *
 * The file needs nothing else: no script, no font, no style from elsewhere.
 * A box tells what it is when the pointer rests on it (its title).
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/json.h"
#include "tools/out.h"
#include "tools/profile/stacks.h"

enum {
	WIDTH = 1200,
	MARGIN = 10,
	ROW = 17,
	HEAD = 64, /* title and legend */
	FONT = 12,
	NO_NODE = 0,
};
/* Of a monospaced letter of FONT; a little more than most have. */
#define LETTER 7.3
/* Narrower boxes are not drawn: nobody could see or point at them. */
#define NARROWEST 0.1

struct node {
	struct bytes name;
	uint64_t total;
	unsigned first, next; /* child, sibling: places in the list */
	unsigned row;         /* 0: the root */
	double x;             /* of its left side, when it is drawn */
};

struct tree {
	struct node *list; /* the root is the first */
	unsigned count;
	unsigned rows;
};

/* ---- the tree ------------------------------------------------------------ */

/* Among the children, which are in order; made where it is not there. */
static unsigned
find_child(struct tree *tree, unsigned parent, struct bytes name)
{
	unsigned *link = &tree->list[parent].first;
	struct node *node;

	for (; *link != NO_NODE; link = &tree->list[*link].next) {
		int order = name_compare(tree->list[*link].name, name);

		if (order == 0)
			return *link;
		if (order > 0)
			break;
	}
	node = &tree->list[tree->count];
	*node = (struct node){ .name = name,
			       .next = *link,
			       .row = tree->list[parent].row + 1 };
	if (node->row >= tree->rows)
		tree->rows = node->row + 1;
	*link = tree->count;
	return tree->count++;
}

static bool
grow(struct tree *tree, const struct stacks *stacks)
{
	size_t most = 1;

	for (size_t i = 0; i < stacks->count; i++)
		most += stacks->list[i].depth;
	*tree = (struct tree){ .count = 1, .rows = 1 };
	tree->list = calloc(most, sizeof(*tree->list));
	if (!tree->list)
		return false;
	tree->list[0].name = bytes_of("all");
	for (size_t i = 0; i < stacks->count; i++) {
		const struct stack *stack = &stacks->list[i];
		unsigned at = 0;

		tree->list[at].total += stack->samples;
		for (unsigned j = 0; j < stack->depth; j++) {
			at = find_child(tree, at, stack->frames[j]);
			tree->list[at].total += stack->samples;
		}
	}
	return true;
}

/* ---- text ---------------------------------------------------------------- */

/* Letters, not bytes; the name is UTF-8. */
static size_t
letters(struct bytes text)
{
	const char *at = text.data;
	size_t count = 0;

	for (size_t i = 0; i < text.len; i++)
		count += (at[i] & 0xc0) != 0x80;
	return count;
}

static struct bytes
readable(struct bytes name)
{
	return json_is_utf8(name) ? name : bytes_of("?");
}

/* At most so many letters of it, escaped. XML has no control characters. */
static void
put_text(struct bytes text, size_t most)
{
	const char *at = text.data;
	size_t count = 0;

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)at[i];

		count += (c & 0xc0) != 0x80;
		if (count > most)
			break;
		switch (c) {
		case '&':
			fputs("&amp;", stdout);
			break;
		case '<':
			fputs("&lt;", stdout);
			break;
		case '>':
			fputs("&gt;", stdout);
			break;
		default:
			putchar(c < ' ' || c == 0x7f ? '?' : c);
		}
	}
}

/* ---- colours ------------------------------------------------------------- */

/* Whose code it is. */
static const struct {
	const char *what, *prefixes; /* of functions' names */
	unsigned hue, saturation;
} groups[] = {
	{ "labels", "", 0, 0 },
	{ "Jackdaw, libc", "", 28, 75 },
	{ "SQLite", "sqlite3 libsqlite3", 212, 60 },
	{ "libmicrohttpd", "MHD_ libmicrohttpd", 275, 40 },
	{ "LMDB", "mdb_ liblmdb", 130, 40 },
	{ "other libraries", "lib vdso linux-vdso", 350, 45 },
};
enum { GROUP_LABELS, GROUP_OWN };

static unsigned
group_of(const struct node *node, const struct stacks *stacks)
{
	if (node->row <= stacks->labels)
		return GROUP_LABELS;
	for (unsigned i = GROUP_OWN + 1; i < ARRAY_LEN(groups); i++) {
		const char *list = groups[i].prefixes;

		while (*list) {
			size_t len = strcspn(list, " ");

			if (node->name.len >= len &&
			    !memcmp(node->name.data, list, len))
				return i;
			list += len + (list[len] == ' ');
		}
	}
	return GROUP_OWN;
}

/* The same name has the same shade wherever it stands. */
static unsigned
shade_of(struct bytes name)
{
	const unsigned char *at = name.data;
	unsigned hash = 0;

	for (size_t i = 0; i < name.len; i++)
		hash = hash * 31 + at[i];
	return 68 + hash % 14;
}

/* ---- drawing ------------------------------------------------------------- */

struct drawing {
	const struct stacks *stacks;
	const struct tree *tree;
	double scale; /* width of a sample */
	unsigned height;
};

static void
draw_box(const struct drawing *drawing, const struct node *node)
{
	unsigned group = group_of(node, drawing->stacks);
	double width = (double)node->total * drawing->scale;
	unsigned y = drawing->height - MARGIN - (node->row + 1) * ROW;
	struct bytes name = readable(node->name);
	size_t room = width > LETTER + 4 ? (size_t)((width - 4) / LETTER) : 0;

	fputs("<g><title>", stdout);
	put_text(name, SIZE_MAX);
	printf(" (%llu samples, %.2f%%)</title>",
	       (unsigned long long)node->total,
	       100.0 * (double)node->total / (double)drawing->stacks->samples);
	printf("<rect x=\"%.2f\" y=\"%u\" width=\"%.2f\" height=\"%u\" "
	       "fill=\"hsl(%u,%u%%,%u%%)\"/>",
	       node->x, y, width, ROW - 1, groups[group].hue,
	       groups[group].saturation, shade_of(name));
	/* Of a name that is cut off two letters say so. */
	if (room >= 3 || room >= letters(name)) {
		bool whole = letters(name) <= room;

		printf("<text x=\"%.2f\" y=\"%u\">", node->x + 2, y + ROW - 5);
		put_text(name, whole ? room : room - 2);
		printf("%s</text>", whole ? "" : "..");
	}
	fputs("</g>\n", stdout);
}

/* Not by recursion, since stacks may be of any depth: in the list a node stands
 * behind its parent, which has given it its place. */
static void
draw_boxes(const struct drawing *drawing)
{
	struct node *list = drawing->tree->list;

	list[0].x = MARGIN;
	for (unsigned i = 0; i < drawing->tree->count; i++) {
		double x = list[i].x;

		if ((double)list[i].total * drawing->scale < NARROWEST)
			continue;
		draw_box(drawing, &list[i]);
		for (unsigned child = list[i].first; child != NO_NODE;
		     child = list[child].next) {
			list[child].x = x;
			x += (double)list[child].total * drawing->scale;
		}
	}
}

static void
draw_head(const struct drawing *drawing)
{
	const struct stacks *stacks = drawing->stacks;
	unsigned x = MARGIN;

	printf("<text x=\"%u\" y=\"22\" class=\"title\">jackdaw: %llu samples",
	       MARGIN, (unsigned long long)stacks->samples);
	if (stacks->hz)
		printf(" at %llu Hz in %.1f s, %.2f s of processor time",
		       (unsigned long long)stacks->hz,
		       (double)stacks->ms / 1000,
		       (double)stacks->samples / (double)stacks->hz);
	if (stacks->dropped)
		printf(", %llu samples dropped",
		       (unsigned long long)stacks->dropped);
	fputs("</text>\n", stdout);
	for (unsigned i = 0; i < ARRAY_LEN(groups); i++) {
		printf("<rect x=\"%u\" y=\"36\" width=\"12\" height=\"12\" "
		       "fill=\"hsl(%u,%u%%,75%%)\"/>"
		       "<text x=\"%u\" y=\"46\">%s</text>\n",
		       x, groups[i].hue, groups[i].saturation, x + 16,
		       groups[i].what);
		x += 40 + (unsigned)(LETTER * (double)strlen(groups[i].what));
	}
}

bool
flame_write(const struct stacks *stacks)
{
	struct tree tree;
	struct drawing drawing = { .stacks = stacks, .tree = &tree };

	if (!grow(&tree, stacks)) {
		say("%s", err_text(ERR_NOMEM));
		return false;
	}
	drawing.height = HEAD + tree.rows * ROW + MARGIN;
	if (tree.list[0].total)
		drawing.scale = (double)(WIDTH - 2 * MARGIN) /
				(double)tree.list[0].total;
	printf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	       "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" "
	       "width=\"%d\" height=\"%u\" viewBox=\"0 0 %d %u\">\n"
	       "<style>text{font:%dpx monospace;fill:#000}"
	       ".title{font-size:15px}g:hover rect{stroke:#000}</style>\n"
	       "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
	       WIDTH, drawing.height, WIDTH, drawing.height, FONT);
	draw_head(&drawing);
	draw_boxes(&drawing);
	fputs("</svg>\n", stdout);
	free(tree.list);
	return true;
}
