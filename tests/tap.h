/* SPDX-License-Identifier: MIT */
/*
 * TAP for C tests: a header, since a test is one program. ok() counts; main
 * ends with `return tap_done();`. Safe from one thread only.
 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned tap_count, tap_failed;

__attribute__((format(printf, 2, 3), unused)) static bool
ok(bool passed, const char *format, ...)
{
	va_list args;

	printf("%sok %u - ", passed ? "" : "not ", ++tap_count);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	tap_failed += !passed;
	return passed;
}

__attribute__((unused)) static bool
is_u64(unsigned long long got, unsigned long long expected, const char *name)
{
	bool same = ok(got == expected, "%s", name);

	if (!same)
		printf("# got %llu, expected %llu\n", got, expected);
	return same;
}

__attribute__((unused)) static bool
is_str(const char *got, const char *expected, const char *name)
{
	bool same = ok(got && !strcmp(got, expected), "%s", name);

	if (!same)
		printf("# got %s, expected %s\n", got ? got : "NULL", expected);
	return same;
}

/* A number from the environment: rounds of a stress test. */
__attribute__((unused)) static unsigned long
tap_rounds(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoul(text, NULL, 10) : otherwise;
}

__attribute__((unused)) static int
tap_done(void)
{
	printf("1..%u\n", tap_count);
	return tap_failed ? 1 : 0;
}

#endif
