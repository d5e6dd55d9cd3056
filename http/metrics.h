/* SPDX-License-Identifier: MIT */
/*
 * Writing /metrics: what its files share.
 */
#ifndef HTTP_METRICS_H
#define HTTP_METRICS_H

#include <ck_pr.h>

#include "core/buffer.h"
#include "http/server.h"

/* A counter that its worker may be adding to. */
static inline uint64_t
metrics_load(const uint64_t *counter)
{
	return ck_pr_load_64(counter);
}

static inline double
metrics_seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

/* The lines before a family. */
void metrics_head(struct buffer *out, const char *name, const char *type,
		  const char *help);
/* labels without braces, "" for none. */
void metrics_histogram(struct buffer *out, const char *name, const char *labels,
		       const struct histogram *histogram);

/* metrics_services.c; catalog may be NULL. */
void metrics_services(struct buffer *out, struct server *server,
		      const struct catalog *catalog);

#endif
