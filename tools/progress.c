/* SPDX-License-Identifier: MIT */
#include "tools/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "core/clock.h"
#include "tools/out.h"

enum { REDRAW_MS = 200 };

void
progress_begin(struct progress *progress, const char *what, uint64_t total)
{
	*progress = (struct progress){
		.what = what,
		.total = total,
		.shown = isatty(STDERR_FILENO),
		.begun_ns = clock_mono_ns(),
	};
}

void
progress_add(struct progress *progress, const void *data, size_t len)
{
	const char *at = data, *end = at + len;

	if (len == 0)
		return;
	/* A line counts when it begins. */
	progress->items += !progress->line_is_open;
	progress->bytes += len;
	progress->line_is_open = end[-1] != '\n';
	while ((at = memchr(at, '\n', (size_t)(end - at))) && ++at < end)
		progress->items++;
}

static void
draw(const struct progress *progress, uint64_t now_ns, const char *end)
{
	double seconds = (double)(now_ns - progress->begun_ns) / NS_PER_S;
	char size[HUMAN_SIZE], rate[HUMAN_SIZE];

	fprintf(stderr, "\r\033[K%s: %" PRIu64 " items, %s, %s/s",
		progress->what, progress->items,
		human_size(size, (double)progress->bytes),
		human_size(rate, (double)progress->bytes /
					 (seconds > 0 ? seconds : 1)));
	if (progress->total)
		fprintf(stderr, ", %.0f%%",
			100.0 * (double)progress->bytes /
				(double)progress->total);
	fputs(end, stderr);
	fflush(stderr);
}

void
progress_draw(struct progress *progress)
{
	uint64_t now_ns = clock_mono_ns();

	if (!progress->shown ||
	    now_ns - progress->drawn_ns < REDRAW_MS * NS_PER_MS)
		return;
	progress->drawn_ns = now_ns;
	draw(progress, now_ns, "");
}

void
progress_end(struct progress *progress)
{
	if (progress->shown && progress->bytes)
		draw(progress, clock_mono_ns(), "\n");
}
