/* SPDX-License-Identifier: MIT */
/*
 * Helping a worker that is behind: it has been busy for a slice, or said that
 * it will be, and its sources wait.
 *
 * A worker with nothing to do runs those sources once each, whether they are
 * ready or not, since only their home worker hears of their edges; then it
 * parks with an eye on their descriptors. They are waited for with poll(2)
 * beside the worker's own epoll and not added to it: no registration is left
 * behind, two workers that help each other in turn make no loop of epolls,
 * and poll is level triggered, so that nothing is missed between the run and
 * the wait.
 */
#include "core/worker.h"

static bool
is_minded(const struct worker *worker, const struct source *source,
	  uint64_t behind)
{
	return !source->shared &&
	       (worker->minded & behind) & WORKER_BIT(source->home);
}

/* True: it has more. A little work is no reason to look again, the wait that
 * follows finds what came meanwhile. */
static bool
help(struct worker *worker, struct source *source) ON_WORKER
{
	struct source_run result;

	if (!source_try_hold(source))
		return false;
	worker_run_source(worker, source, &result);
	stat_add(&worker->stats.sources_helped, 1);
	if (source_return(source))
		stat_add(&worker->stats.wakes, 1);
	if (result.tick_ns < worker->minded_tick_ns)
		worker->minded_tick_ns = result.tick_ns;
	return result.again || result.work >= HOT_WORK;
}

bool
help_others(struct worker *worker)
{
	struct sched *sched = worker->sched;
	bool worked = false;

	worker->minded =
		parking_behind(&sched->parking) & ~WORKER_BIT(worker->index);
	worker->minded_tick_ns = UINT64_MAX;
	if (!worker->minded)
		return false;
	for (unsigned i = 0; i < sched->source_count; i++) {
		/* Asked again for each: its worker may be back. */
		uint64_t behind = parking_behind(&sched->parking);

		if (is_minded(worker, sched->sources[i], behind))
			worked |= help(worker, sched->sources[i]);
	}
	return worked;
}

bool
help_is_wanted(const struct worker *worker)
{
	const struct sched *sched = worker->sched;
	uint64_t behind =
		parking_behind(&sched->parking) & ~WORKER_BIT(worker->index);

	if (behind & ~worker->minded)
		return true;
	for (unsigned i = 0; behind && i < sched->source_count; i++) {
		const struct source *source = sched->sources[i];

		if (is_minded(worker, source, behind) &&
		    source_is_notified(source) && !source_is_held(source))
			return true;
	}
	return false;
}

void
help_watch(struct worker *worker, int timeout_ms)
{
	const struct sched *sched = worker->sched;
	uint64_t behind = parking_behind(&sched->parking);
	struct pollfd *watched = worker->watched;
	nfds_t count = 0;

	watched[count++] =
		(struct pollfd){ .fd = worker->epoll_fd, .events = POLLIN };
	if (worker->lead != NO_LEAD)
		watched[count++] = (struct pollfd){
			.fd = worker->seats[worker->lead].source->fd,
			.events = POLLIN
		};
	for (unsigned i = 0; i < sched->source_count; i++) {
		const struct source *source = sched->sources[i];

		/* One that is held stays readable until its holder is done. */
		if (is_minded(worker, source, behind) &&
		    !source_is_held(source))
			watched[count++] = (struct pollfd){ .fd = source->fd,
							    .events = POLLIN };
	}
	(void)poll(watched, count, timeout_ms);
}
