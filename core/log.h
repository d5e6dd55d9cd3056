/* SPDX-License-Identifier: MIT */
/*
 * The log: one line an event on standard error, as systemd and every log
 * collector take it: `level message key=value ...` with a timestamp unless
 * JOURNAL_STREAM says that the journal adds one. A line is one write(2); any
 * thread.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include "core/base.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
MUST_CHECK bool log_level_parse(const char *name, enum log_level *level);

void log_error(const char *format, ...) PRINTF(1, 2);
void log_warn(const char *format, ...) PRINTF(1, 2);
void log_info(const char *format, ...) PRINTF(1, 2);
void log_debug(const char *format, ...) PRINTF(1, 2);

/* Writes text to out as a quoted logfmt value, control bytes as \xNN; always
 * terminated, cut with "..." where it does not fit. Returns out. */
const char *log_quote(char *out, size_t size, struct bytes text);

#endif
