/* SPDX-License-Identifier: MIT */
/*
 * The daemon's command line.
 */
#ifndef HTTP_OPTIONS_H
#define HTTP_OPTIONS_H

#include "core/base.h"

enum { SETS_MAX = 64, EXIT_USAGE = 2 };

/* Borrowed from the command line. */
struct options {
	const char *config_path; /* NULL: none */
	const char *sets[SETS_MAX];
	unsigned set_count;
	bool check, dump;
};

/* An exit status, or -1 to go on. */
int options_parse(int argc, char **argv, struct options *options);

#endif
