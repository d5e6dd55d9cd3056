/* SPDX-License-Identifier: MIT */
/*
 * The line that shows how a run goes, once a second, on standard error and
 * only if that is a terminal:
 *
 *     3 s: 16667/s, p50 120 us, p99 310 us, max 1.20 ms, 0 errors
 */
#ifndef TOOLS_BENCH_LIVE_H
#define TOOLS_BENCH_LIVE_H

#include "tools/bench/sender.h"

struct live;

/* NULL: no memory. */
struct live *live_create(void);
void live_destroy(struct live *live);
/* For poll(): how long until the next second; -1 where nothing is shown. */
int live_wait_ms(const struct live *live);
/* If a second is over: what it brought. */
void live_draw(struct live *live, const struct run *run,
	       struct sender *const *senders);
void live_end(struct live *live);

/* "120 us", "1.20 ms", "3.10 s" into text; returns it. */
enum { LATENCY_SIZE = 24 };
const char *latency_text(char text[LATENCY_SIZE], double ns);

#endif
