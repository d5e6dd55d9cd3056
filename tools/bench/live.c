/* SPDX-License-Identifier: MIT */
#include "tools/bench/live.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/clock.h"

struct live {
	bool shown, drawn;
	uint64_t begun_ns, drawn_ns;
	struct sender_so_far before;
	/* What had been measured a second ago, and now. */
	struct spread *last, *now;
};

struct live *
live_create(void)
{
	struct live *live = calloc(1, sizeof(*live));

	if (!live)
		return NULL;
	live->shown = isatty(STDERR_FILENO);
	live->begun_ns = live->drawn_ns = clock_mono_ns();
	live->last = calloc(1, sizeof(*live->last));
	live->now = calloc(1, sizeof(*live->now));
	if (live->last && live->now)
		return live;
	live_destroy(live);
	return NULL;
}

void
live_destroy(struct live *live)
{
	if (!live)
		return;
	free(live->last);
	free(live->now);
	free(live);
}

int
live_wait_ms(const struct live *live)
{
	uint64_t next_ns = live->drawn_ns + NS_PER_S, now_ns = clock_mono_ns();

	if (!live->shown)
		return -1;
	return next_ns > now_ns ? (int)((next_ns - now_ns) / NS_PER_MS) + 1 : 0;
}

const char *
latency_text(char text[LATENCY_SIZE], double ns)
{
	static const struct {
		double ns;
		const char *name;
	} units[] = { { 1e9, "s" }, { 1e6, "ms" }, { 1e3, "us" } };
	unsigned unit = 0;
	double number;

	while (unit < 2 && ns < units[unit].ns)
		unit++;
	number = ns / units[unit].ns;
	snprintf(text, LATENCY_SIZE, "%.*f %s",
		 number < 10    ? 2
		 : number < 100 ? 1
				: 0,
		 number, units[unit].name);
	return text;
}

/* The latency of the last second; now becomes last. */
static void
draw_latency(struct live *live)
{
	char p50[LATENCY_SIZE], p99[LATENCY_SIZE], max[LATENCY_SIZE];
	struct spread *swap = live->last;

	/* In last's place, which is needed no more. */
	spread_since(live->last, live->now);
	if (live->last->count == 0)
		fputs(", warm-up", stderr);
	else
		fprintf(stderr, ", p50 %s, p99 %s, max %s",
			latency_text(p50,
				     (double)spread_percentile(live->last, 50)),
			latency_text(p99,
				     (double)spread_percentile(live->last, 99)),
			latency_text(max, (double)live->last->max));
	live->last = live->now;
	live->now = swap;
}

void
live_draw(struct live *live, const struct run *run,
	  struct sender *const *senders)
{
	uint64_t now_ns = clock_mono_ns();
	struct sender_so_far sum = { 0 };

	if (!live->shown || now_ns < live->drawn_ns + NS_PER_S)
		return;
	memset(live->now, 0, sizeof(*live->now));
	for (unsigned i = 0; i < run->threads; i++)
		sender_so_far(senders[i], &sum, live->now);
	fprintf(stderr, "\r\033[K%.0f s: %.0f/s",
		(double)(now_ns - live->begun_ns) / NS_PER_S,
		(double)(sum.replies - live->before.replies) * NS_PER_S /
			(double)(now_ns - live->drawn_ns));
	draw_latency(live);
	fprintf(stderr, ", %" PRIu64 " errors", sum.errors);
	fflush(stderr);
	live->before = sum;
	live->drawn_ns = now_ns;
	live->drawn = true;
}

/* The line makes room for the result. */
void
live_end(struct live *live)
{
	if (!live->drawn)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
}
