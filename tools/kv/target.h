/* SPDX-License-Identifier: MIT */
/*
 * A file that appears when it is complete: written under a temporary name in
 * the same folder, synced, and renamed. Until then a file of that name stays
 * as it was. A signal that ends the program removes the temporary file. One
 * target at a time.
 */
#ifndef TOOLS_TARGET_H
#define TOOLS_TARGET_H

#include <stdio.h>

#include "core/base.h"

struct target {
	FILE *file;
	/* NULL: written in place (standard output, a device, a pipe). */
	char *path, *temporary;
};

/* path NULL or "-": standard output. All three say what went wrong. */
MUST_CHECK bool target_open(struct target *target, const char *path);
/* Ends the target either way; false: nothing appeared. */
MUST_CHECK bool target_commit(struct target *target);
void target_abort(struct target *target);

#endif
