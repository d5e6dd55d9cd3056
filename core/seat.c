/* SPDX-License-Identifier: MIT */
/*
 * A worker and its sources.
 *
 * Every worker has one epoll: its home sources (edge triggered: one edge, one
 * run), the shared ones (level triggered and exclusive: what one worker leaves
 * another finds) and its eventfd. A system call costs as much as a tenth of a
 * request, so it is asked seldom: a source that did two or more units of work
 * is hot, and is run again without asking; its own look finds what came
 * meanwhile. So under load there is one epoll_wait a batch, that of the
 * source, and for a single client two, the one that waits and that of the
 * source.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "core/worker.h"

enum { EVENTS_MAX = 64 };

static enum err
watch(struct worker *worker, unsigned index)
{
	const struct source *source = worker->seats[index].source;
	struct epoll_event event = { .data.u32 = index };

	event.events = EPOLLIN | (source->shared ? EPOLLEXCLUSIVE : EPOLLET);
	if (source->fd >= 0 &&
	    epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, source->fd, &event))
		return err_from_errno(errno);
	return ERR_OK;
}

enum err
seats_add(struct worker *worker, struct source *source)
{
	unsigned count = worker->seat_count;
	struct seat *seats =
		realloc(worker->seats, (count + 1) * sizeof(*seats));
	enum err err;

	if (!seats)
		return ERR_NOMEM;
	worker->seats = seats;
	seats[count] = (struct seat){ .source = source, .tick_ns = UINT64_MAX };
	err = watch(worker, count);
	if (err)
		return err;
	worker->seat_count++;
	worker->home_seats += !source->shared;
	return ERR_OK;
}

void
seats_fini(struct worker *worker)
{
	free(worker->seats);
}

bool
seats_poll_is_due(const struct worker *worker, uint64_t now)
{
	/* Never straight after a wait, however long ago that seems to be. */
	return worker->turns >= TURNS_PER_POLL ||
	       (worker->turns > 0 && now - worker->polled_ns >= TURN_NS);
}

uint64_t
seats_poll(struct worker *worker, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int count =
		epoll_wait(worker->epoll_fd, events, EVENTS_MAX, timeout_ms);

	/* -1 is a debugger's stop: as if nothing had come. */
	for (int i = 0; i < count; i++) {
		/* The eventfd has no seat; it ended the wait, that is all. */
		if (events[i].data.u32 < worker->seat_count)
			worker->seats[events[i].data.u32].ready = true;
	}
	worker->turns = 0;
	worker->polled_ns = clock_mono_ns();
	return worker->polled_ns;
}

/* Level triggered, and nothing can be taken: every wait would end at once.
 * Other workers keep it, until they find the same. */
static void
pause_seat(struct worker *worker, struct seat *seat)
{
	if (seat->source->fd >= 0)
		(void)epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL,
				seat->source->fd, NULL);
	seat->ready = false;
	seat->pause_ns = clock_mono_ns() + PAUSE_NS;
}

static void
unpause_seat(struct worker *worker, struct seat *seat, uint64_t now)
{
	enum err err = watch(worker, (unsigned)(seat - worker->seats));

	seat->pause_ns = err ? now + PAUSE_NS : 0;
}

static void
run_seat(struct worker *worker, struct seat *seat) ON_WORKER
{
	struct source *source = seat->source;
	struct source_run result;

	seat->ready = seat->hot = false;
	seat->tick_ns = UINT64_MAX;
	if (!source_try_hold(source)) {
		/* A helper will return it. A shared one is still readable, so
		 * let the holder finish instead of asking over and over. */
		if (source->shared)
			sched_yield();
		return;
	}
	worker->at_home = !source->shared;
	worker_run_source(worker, source, &result);
	worker->at_home = false;
	source_release(source);
	seat->ready = result.again;
	seat->hot = !source->shared && result.work >= HOT_WORK;
	seat->tick_ns = result.tick_ns;
	if (result.pause && source->shared)
		pause_seat(worker, seat);
}

static bool
is_due(const struct seat *seat, uint64_t now)
{
	return seat->ready || seat->hot || now >= seat->tick_ns ||
	       source_is_wanted(seat->source);
}

bool
seats_run(struct worker *worker, uint64_t now)
{
	bool more = false;

	for (unsigned i = 0; i < worker->seat_count; i++) {
		struct seat *seat = &worker->seats[i];

		if (seat->pause_ns && now >= seat->pause_ns)
			unpause_seat(worker, seat, now);
		if (!is_due(seat, now))
			continue;
		run_seat(worker, seat);
		more |= seat->ready || seat->hot;
	}
	return more;
}

bool
seats_are_wanted(const struct worker *worker)
{
	for (unsigned i = 0; i < worker->seat_count; i++) {
		if (source_is_wanted(worker->seats[i].source))
			return true;
	}
	return false;
}

uint64_t
seats_deadline(const struct worker *worker)
{
	uint64_t deadline = UINT64_MAX;

	for (unsigned i = 0; i < worker->seat_count; i++) {
		const struct seat *seat = &worker->seats[i];

		if (seat->tick_ns < deadline)
			deadline = seat->tick_ns;
		if (seat->pause_ns && seat->pause_ns < deadline)
			deadline = seat->pause_ns;
	}
	return deadline;
}
