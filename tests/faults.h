/* SPDX-License-Identifier: MIT */
/*
 * A test program that runs under preload/fault.so: it starts itself again with
 * it, and tells it what to let fail.
 */
#ifndef TESTS_FAULTS_H
#define TESTS_FAULTS_H

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/store.h"

static char rules[64]; /* the file that fault.so reads */

/* Renamed into its place, so that no call sees half of it. */
static void
set_rules(const char *text)
{
	char fresh[80];
	FILE *file;

	snprintf(fresh, sizeof(fresh), "%s.new", rules);
	file = fopen(fresh, "w");
	need(file != NULL, "cannot write rules");
	fputs(text, file);
	fclose(file);
	need(rename(fresh, rules) == 0, "cannot rename");
}

static void
append_env(const char *name, const char *more)
{
	const char *before = getenv(name);
	char value[4096];

	snprintf(value, sizeof(value), "%s%s%s", before ? before : "",
		 before && *before ? ":" : "", more);
	setenv(name, value, 1);
}

/* Returns only where there is no fault.so. */
static void
start_again(char **argv)
{
	char exe[PATH_MAX - 64], preload[PATH_MAX], *slash;
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	need(len > 0, "no name of our own");
	exe[len] = '\0';
	slash = strrchr(exe, '/');
	snprintf(preload, sizeof(preload), "%.*s/preload/fault.so",
		 (int)(slash - exe), exe);
	if (access(preload, R_OK) != 0)
		return;
	setenv("LD_PRELOAD", preload, 1);
	setenv("JACKDAW_FAULT", rules, 1);
	append_env("ASAN_OPTIONS", "verify_asan_link_order=0");
	fflush(stdout);
	execv(exe, argv);
}

/* First in main(). False: there is no fault.so. */
static bool
faults_begin(char **argv)
{
	/* The same after an exec, which keeps the process. */
	snprintf(rules, sizeof(rules), "/tmp/jackdaw-rules-%d", (int)getpid());
	if (!getenv("JACKDAW_FAULT"))
		start_again(argv);
	return getenv("JACKDAW_FAULT") != NULL;
}

#endif
