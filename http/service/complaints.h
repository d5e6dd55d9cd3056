/* SPDX-License-Identifier: MIT */
/*
 * What is wrong with a service: every mistake with its place, in the order of
 * the files, so that a deploy says all of it at once.
 */
#ifndef HTTP_SERVICE_COMPLAINTS_H
#define HTTP_SERVICE_COMPLAINTS_H

#include "core/base.h"

enum { COMPLAINTS_MAX = 100 };

struct complaint {
	char *file;    /* NULL: the service as a whole */
	unsigned line; /* from 1; 0: the file as a whole */
	bool warning;  /* a hint, such as a full scan: it does not stop */
	char *text;
};

struct complaints {
	struct complaint list[COMPLAINTS_MAX];
	unsigned count, errors;
	bool more; /* there were more, or no memory: mistakes are kept rather
		      than hints */
};

void complaints_init(struct complaints *complaints);
void complaints_fini(struct complaints *complaints);
void complain(struct complaints *complaints, const char *file, unsigned line,
	      const char *format, ...) PRINTF(4, 5);
void complain_hint(struct complaints *complaints, const char *file,
		   unsigned line, const char *format, ...) PRINTF(4, 5);
/* By file and line, the service as a whole first; what is equal keeps its
 * order. */
void complaints_sort(struct complaints *complaints);

#endif
