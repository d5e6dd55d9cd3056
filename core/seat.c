/* SPDX-License-Identifier: MIT */
/*
 * A worker and its sources.
 *
 * A worker has one epoll: its home sources (edge triggered: one edge, one
 * run), the shared ones (level triggered and exclusive: what one worker leaves
 * another finds) and its eventfd. A system call costs as much as a tenth of a
 * request, so it is asked seldom: a source that did two or more units of work
 * is hot, and is run again without asking; its own look finds what came
 * meanwhile.
 *
 * A source with wait() is the worker's lead. The worker parks in it, so that
 * the wait is at the same time the source's own look: one epoll_wait a wake
 * where there would be two. It is not in the worker's epoll, whose other
 * members are in its descriptor as well, to end the wait. Which of them did,
 * only a look at the worker's own epoll tells; so that follows when the source
 * had nothing and no bell rang, and once a millisecond. While a helper has
 * the lead, the worker parks in its own epoll: the helper would take its bell.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "core/worker.h"

enum { EVENTS_MAX = 64 };

static enum err
add(int epoll_fd, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = { .events = events, .data.u64 = data };

	return fd >= 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)
		       ? err_from_errno(errno)
		       : ERR_OK;
}

static int
lead_fd(const struct worker *worker)
{
	return worker->lead == NO_LEAD ? -1
				       : worker->seats[worker->lead].source->fd;
}

static uint32_t
edges(const struct source *source)
{
	return EPOLLIN | (source->shared ? EPOLLEXCLUSIVE : EPOLLET);
}

static enum err
watch(struct worker *worker, unsigned index)
{
	const struct source *source = worker->seats[index].source;
	enum err err = add(worker->epoll_fd, source->fd, edges(source), index);

	if (!err && worker->lead != NO_LEAD)
		err = add(lead_fd(worker), source->fd, edges(source), 0);
	return err;
}

static void
unwatch(struct worker *worker, const struct source *source)
{
	if (source->fd < 0)
		return;
	(void)epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	if (worker->lead != NO_LEAD)
		(void)epoll_ctl(lead_fd(worker), EPOLL_CTL_DEL, source->fd,
				NULL);
}

/* Edge triggered and never read. data: no seat's number. */
static enum err
add_bell(const struct worker *worker, int epoll_fd, uint64_t data)
{
	int bell = worker->sched->parking.eventfds[worker->index];

	return add(epoll_fd, bell, EPOLLIN | EPOLLET, data);
}

enum err
seats_init(struct worker *worker)
{
	return add_bell(worker, worker->epoll_fd, UINT64_MAX);
}

/* The bell, and the sources that are there already; data.ptr is NULL. */
static enum err
make_lead(struct worker *worker, unsigned index)
{
	enum err err;

	worker->lead = index;
	err = add_bell(worker, lead_fd(worker), 0);
	for (unsigned i = 0; !err && i < index; i++) {
		const struct source *source = worker->seats[i].source;

		err = add(lead_fd(worker), source->fd, edges(source), 0);
	}
	return err;
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
	if (source->wait && worker->lead == NO_LEAD)
		err = make_lead(worker, count);
	else
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

/* At the worker's own epoll. */
static void
look(struct worker *worker, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int count =
		epoll_wait(worker->epoll_fd, events, EVENTS_MAX, timeout_ms);

	/* -1 is a debugger's stop: as if nothing had come. */
	for (int i = 0; i < count; i++) {
		/* The eventfd has no seat; it ended the wait, that is all. */
		if (events[i].data.u64 < worker->seat_count)
			worker->seats[events[i].data.u64].ready = true;
	}
	worker->looked_ns = clock_mono_ns();
}

static uint64_t
note_poll(struct worker *worker, uint64_t now)
{
	worker->turns = 0;
	worker->polled_ns = now;
	return now;
}

uint64_t
seats_poll(struct worker *worker, int timeout_ms)
{
	if (worker->lead != NO_LEAD)
		worker->seats[worker->lead].ready = true;
	look(worker, timeout_ms);
	return note_poll(worker, worker->looked_ns);
}

uint64_t
seats_glance(struct worker *worker, uint64_t now)
{
	if (worker->lead == NO_LEAD || now - worker->looked_ns >= LOOK_NS)
		return seats_poll(worker, 0);
	worker->seats[worker->lead].ready = true;
	return note_poll(worker, now);
}

/* Level triggered, and nothing can be taken: every wait would end at once.
 * Other workers keep it, until they find the same. */
static void
pause_seat(struct worker *worker, struct seat *seat)
{
	unwatch(worker, seat->source);
	seat->ready = false;
	seat->pause_ns = clock_mono_ns() + PAUSE_NS;
}

static void
unpause_seat(struct worker *worker, struct seat *seat, uint64_t now)
{
	enum err err = watch(worker, (unsigned)(seat - worker->seats));

	if (err) /* it may be in one of two */
		unwatch(worker, seat->source);
	seat->pause_ns = err ? now + PAUSE_NS : 0;
}

/* The lead is never hot: the wait that follows is a look as well. */
static void
note_result(const struct worker *worker, struct seat *seat,
	    const struct source_run *result)
{
	seat->ready = result->again;
	seat->hot = !seat->source->shared && result->work >= HOT_WORK &&
		    (worker->lead == NO_LEAD ||
		     seat != &worker->seats[worker->lead]);
	seat->tick_ns = result->tick_ns;
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
	note_result(worker, seat, &result);
	if (result.pause && source->shared)
		pause_seat(worker, seat);
}

bool
seats_wait(struct worker *worker, int timeout_ms)
{
	struct seat *seat;
	struct source_run result = { .tick_ns = UINT64_MAX };
	struct source *source;
	bool found_nothing = false;

	if (worker->lead == NO_LEAD)
		return false;
	seat = &worker->seats[worker->lead];
	source = seat->source;
	if (!source_try_hold(source))
		return false;
	/* A helper that let go after our idle bit was set may have taken the
	 * bell's edge (tests/models/lead.pml). Who rang had cleared the bit
	 * first, and the hold makes us see it; then it is a look and no wait.
	 * A bell that rings from now on ends the wait. */
	if (worker->parked &&
	    !parking_is_idle(&worker->sched->parking, worker->index))
		timeout_ms = 0;
	worker->at_home = true;
	source->wait(source, timeout_ms, &result);
	worker->at_home = false;
	if (worker->parked) {
		/* Nothing came: all of it was waiting. */
		worker->counted_ns = clock_mono_ns();
		found_nothing = !worker_unpark(worker);
	} else {
		stat_add(&worker->stats.source_runs, 1);
	}
	worker_catch_up(worker);
	source_release(source);
	note_result(worker, seat, &result);
	worker->lead_busy = result.work >= HOT_WORK;
	note_poll(worker, clock_mono_ns());
	if (found_nothing || worker->polled_ns - worker->looked_ns >= LOOK_NS)
		look(worker, 0);
	return true;
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
