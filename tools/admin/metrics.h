/* SPDX-License-Identifier: MIT */
/*
 * Reading the text that Prometheus reads: `name{label="value",...} number`,
 * a line each.
 */
#ifndef TOOLS_METRICS_H
#define TOOLS_METRICS_H

#include "core/base.h"

/* One line, borrowed from the text. */
struct sample {
	struct bytes name, labels; /* labels: between the braces */
	double number;
};

/* Takes the next sample off the front of text; false at its end. Comments and
 * lines that are no sample are passed over. */
MUST_CHECK bool metrics_next(struct bytes *text, struct sample *sample);
bool sample_is(const struct sample *sample, const char *name);
/* The value of a label as it is written; empty if absent. */
struct bytes sample_label(const struct sample *sample, const char *label);

/* The sum over all samples of that name; label NULL, or only those whose
 * label has that value. 0 where there is none. */
double metrics_sum(struct bytes text, const char *name, const char *label,
		   struct bytes value);

#endif
