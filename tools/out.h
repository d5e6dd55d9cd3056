/* SPDX-License-Identifier: MIT */
/*
 * What the client prints: results on standard output, complaints on standard
 * error.
 */
#ifndef TOOLS_OUT_H
#define TOOLS_OUT_H

#include "core/buffer.h"
#include "tools/outcome.h"

/* First of all: a write to a closed pipe fails instead of ending the program,
 * also one to a connection, which libcurl then reports. */
void out_begin(void);

/* "jackdaw: ..." and a line end on standard error. Control characters, which
 * may come from a server, are shown as '?'. */
void say(const char *format, ...) PRINTF(1, 2);
/* From now on it is "jackdaw: where: ...", such as where in a file it went
 * wrong. Borrowed; NULL ends it. */
void say_from(const char *where);

/* A '?' for each control character of the text, in place; returns it. */
char *blot(char *text);

void out_bytes(struct bytes bytes);

/* One field of a line: as it is where it is printable UTF-8; otherwise with
 * \\, \t, \n, \r and \xNN, so that a line and a tab always mean what they
 * seem. */
void out_field(struct bytes bytes);
/* The same into a buffer. */
void field_add(struct buffer *to, struct bytes bytes);
/* A text of several lines: line ends, tabs and backslashes are as they are. */
void out_lines(struct bytes bytes);
/* out_field() for bytes that come as base64; false when that is malformed. */
MUST_CHECK bool out_field_base64(struct bytes text);

enum { HUMAN_SIZE = 16 };
/* "4.2 MiB" into text; returns it. */
const char *human_size(char text[HUMAN_SIZE], double bytes);

enum { HUMAN_TIME_SIZE = 32 };
/* "2023-11-14 22:13:20", local time of seconds since 1970; "unknown" where the
 * calendar does not have it. Into text; returns it. */
const char *human_time(char text[HUMAN_TIME_SIZE], int64_t seconds);

/* False once standard output has failed: stop early. */
bool out_works(void);
/* Last of all. Writes what is buffered; where that fails after a success, says
 * so and returns OUTCOME_ERROR instead. */
enum outcome out_finish(enum outcome outcome);

/* A write to standard output failed with this errno. A reader that has gone
 * away ends the program quietly, as any filter. */
enum outcome out_failed(int error);

#endif
