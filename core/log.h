/* SPDX-License-Identifier: MIT */
/*
 * The log: one line an event on standard error, as systemd and every log
 * collector take it: `level message key=value ...` with a timestamp unless
 * JOURNAL_STREAM says that the journal adds one. A line is one write(2); any
 * thread. Nothing is allocated, no lock is taken, errno is kept.
 *
 * A line is cut, with "...", at 4096 bytes: up to there a pipe takes it whole
 * (PIPE_BUF). Control bytes in it become '?', so that one event is one line;
 * values from outside go through log_quote().
 *
 * After log_begin() a line never waits for its reader: where there is no room,
 * it is dropped, and the next one that finds room is behind a warning
 * that tells how many were. Where there is room for a part of it, the next one
 * ends it first, and it counts with those.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include "core/base.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

/* Once, before there are other threads. */
void log_begin(void);

/* LOG_LEVEL_INFO until set. */
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
MUST_CHECK bool log_level_parse(const char *name, enum log_level *level);
const char *log_level_name(enum log_level level);

void log_error(const char *format, ...) PRINTF(1, 2);
void log_warn(const char *format, ...) PRINTF(1, 2);
void log_info(const char *format, ...) PRINTF(1, 2);
void log_debug(const char *format, ...) PRINTF(1, 2);

/* Writes text to out as a quoted logfmt value, control bytes as \xNN; always
 * terminated, cut with "..." where it does not fit. Returns out. */
const char *log_quote(char *out, size_t size, struct bytes text);

/* "2026-08-08T12:34:56.789Z". Returns out. */
enum { LOG_TIME_MAX = 25 };
const char *log_time(char out[LOG_TIME_MAX], uint64_t wall_ms);

#endif
