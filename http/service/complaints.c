/* SPDX-License-Identifier: MIT */
#include "http/service/complaints.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/json.h"

/* More than a sentence with a long name in it. */
enum { TEXT_MAX = 1000 };

void
complaints_init(struct complaints *complaints)
{
	*complaints = (struct complaints){ 0 };
}

static void
complaint_fini(struct complaint *complaint)
{
	free(complaint->file);
	free(complaint->text);
}

void
complaints_fini(struct complaints *complaints)
{
	for (unsigned i = 0; i < complaints->count; i++)
		complaint_fini(&complaints->list[i]);
	complaints_init(complaints);
}

/* A piece of a file that was cut in the middle of a character is not UTF-8,
 * which JSON must be. */
static void
make_utf8(char *text)
{
	if (json_is_utf8(bytes_of(text)))
		return;
	for (; *text; text++)
		if ((unsigned char)*text >= 0x80)
			*text = '?';
}

/* The last hint goes, for a mistake. False: there is none. */
static bool
make_room(struct complaints *complaints)
{
	unsigned end = complaints->count;

	while (end > 0 && !complaints->list[end - 1].warning)
		end--;
	if (!end)
		return false;
	complaint_fini(&complaints->list[end - 1]);
	memmove(&complaints->list[end - 1], &complaints->list[end],
		(complaints->count - end) * sizeof(struct complaint));
	complaints->count--;
	return true;
}

static void PRINTF(5, 0)
	add(struct complaints *complaints, bool warning, const char *file,
	    unsigned line, const char *format, va_list args)
{
	struct complaint complaint = { .line = line, .warning = warning };
	char text[TEXT_MAX];

	complaints->errors += !warning;
	if (complaints->count == COMPLAINTS_MAX) {
		complaints->more = true;
		if (warning || !make_room(complaints))
			return;
	}
	vsnprintf(text, sizeof(text), format, args);
	make_utf8(text);
	complaint.text = strdup(text);
	complaint.file = file ? strdup(file) : NULL;
	if (!complaint.text || (file && !complaint.file)) {
		complaint_fini(&complaint);
		complaints->more = true;
		return;
	}
	complaints->list[complaints->count++] = complaint;
}

void
complain(struct complaints *complaints, const char *file, unsigned line,
	 const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(complaints, false, file, line, format, args);
	va_end(args);
}

void
complain_hint(struct complaints *complaints, const char *file, unsigned line,
	      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(complaints, true, file, line, format, args);
	va_end(args);
}

static bool
comes_before(const struct complaint *a, const struct complaint *b)
{
	int order = strcmp(a->file ? a->file : "", b->file ? b->file : "");

	return order ? order < 0 : a->line < b->line;
}

/* By insertion: there are few, and most are in order. */
void
complaints_sort(struct complaints *complaints)
{
	for (unsigned i = 1; i < complaints->count; i++) {
		struct complaint moved = complaints->list[i];
		unsigned at = i;

		for (;
		     at > 0 && comes_before(&moved, &complaints->list[at - 1]);
		     at--)
			complaints->list[at] = complaints->list[at - 1];
		complaints->list[at] = moved;
	}
}
