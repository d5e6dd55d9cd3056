/* SPDX-License-Identifier: MIT */
/*
 * One pass over a configuration file before libconfuse 3.3 sees it, because
 * its scanner
 *
 * - counts a line with a comment two or three times, so its errors would name
 *   wrong lines: comments become blanks here;
 * - drops characters that it does not know without a word, so that "*2" is 2;
 * - ends a string at a NUL, and puts nothing where an environment variable is
 *   not set.
 *
 * and its parser takes an empty list, which calls no callback, and the end of
 * the file for the end of a section: a file that was cut off would pass.
 */
#ifndef CORE_CONFIG_SCAN_H
#define CORE_CONFIG_SCAN_H

#include "core/base.h"

/* Blanks the comments in text. False where there is something wrong with it:
 * *line and *reason say what. */
MUST_CHECK bool config_scan(char *text, size_t len, int *line,
			    const char **reason);

#endif
