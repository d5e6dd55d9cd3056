/* SPDX-License-Identifier: MIT */
/*
 * What a run has measured, on standard output.
 */
#ifndef TOOLS_BENCH_REPORT_H
#define TOOLS_BENCH_REPORT_H

#include "tools/bench/load.h"

/* found_rate: of --find-rate; 0: none. False, after saying so: no memory. */
MUST_CHECK bool report_json(const struct plan *plan, const struct load *load,
			    uint64_t found_rate);
MUST_CHECK bool report_text(const struct plan *plan, const struct load *load);

/* Requests a second, and the generator's CPU time for each in ns. */
double report_rate(const struct load *load);
double report_cpu_ns(const struct load *load);

#endif
