/* SPDX-License-Identifier: MIT */
/*
 * Counts what a transfer moves, and shows it as a line on a terminal:
 *
 *     import: 12000 items, 4.2 MiB, 1.1 MiB/s, 37%
 *
 * on standard error, only if that is a terminal.
 */
#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

#include "core/base.h"

struct progress {
	const char *what;
	uint64_t total; /* bytes to come in all; 0: not known */
	uint64_t items, bytes;
	bool shown;        /* standard error is a terminal */
	bool line_is_open; /* the last byte was no line end */
	uint64_t begun_ns, drawn_ns;
};

void progress_begin(struct progress *progress, const char *what,
		    uint64_t total);
/* Items are lines; a last one without an end counts. */
void progress_add(struct progress *progress, const void *data, size_t len);
/* Redraws, at most five times a second. */
void progress_draw(struct progress *progress);
/* The last state of it, and an end of the line; nothing if nothing moved. */
void progress_end(struct progress *progress);

#endif
