/* SPDX-License-Identifier: MIT */
/*
 * What a worker does, over and over: its sources, then its tasks, then its
 * ready fibers, then (when none has more) the sources of a worker that is
 * behind, then somebody else's tasks, and at last it parks.
 */
#include <limits.h>
#include <sched.h>
#include <stdio.h>

#include "core/profile.h"
#include "core/thread_slice.h"
#include "core/worker.h"

static _Thread_local struct worker *self;

struct worker *
worker_self(void)
{
	assert(self);
	return self;
}

bool
worker_is_self(void)
{
	return self;
}

struct worker *
worker_of(const struct sched *sched)
{
	return self && self->sched == sched ? self : NULL;
}

/* ---- waking ------------------------------------------------------------- */

void
worker_count_wake(struct sched *sched)
{
	struct worker *worker = worker_of(sched);

	if (worker)
		stat_add(&worker->stats.wakes, 1);
}

void
worker_wake_one(struct sched *sched)
{
	if (parking_wake_one(&sched->parking))
		worker_count_wake(sched);
}

/* Loads only: an idle worker asks this before it writes a shared line. */
static bool
is_stealable(const struct sched *sched)
{
	for (unsigned i = 0; i < sched->worker_count; i++) {
		if (runq_stealable(&sched->workers[i].queue))
			return true;
	}
	return false;
}

void
worker_search_end(struct worker *worker)
{
	struct sched *sched = worker->sched;

	if (!worker->searching)
		return;
	worker->searching = false;
	if (!parking_search_end(&sched->parking, worker->index))
		return;
	/* Pushes woke nobody while we searched: what they left beyond what we
	 * are about to run needs one more. */
	if (is_stealable(sched) || injector_is_ready(&sched->injector) ||
	    parking_behind(&sched->parking))
		worker_wake_one(sched);
}

/* ---- submitting --------------------------------------------------------- */

/* Half of the queue goes along, so that the next pushes find room. */
static void
overflow(struct worker *worker, struct task *task) ON_WORKER
{
	struct injector *injector = &worker->sched->injector;

	for (unsigned n = worker->queue.ring.size / 2; n > 0; n--) {
		struct task *oldest = runq_take(&worker->queue);

		if (!oldest)
			break;
		injector_push(injector, oldest);
	}
	injector_push(injector, task);
	stat_add(&worker->stats.overflows, 1);
}

static void
queue_task(struct worker *worker, struct task *task) ON_WORKER
{
	if (!runq_push(&worker->queue, task))
		overflow(worker, task);
	worker_wake_one(worker->sched);
}

void
sched_submit(struct sched *sched, struct task *task)
{
	task->queued_ns = clock_mono_ns();
	if (worker_of(sched)) {
		queue_task(worker_self(), task);
		return;
	}
	injector_push(&sched->injector, task);
	worker_wake_one(sched);
}

/* ---- being behind ------------------------------------------------------- */

/* Only within a run: what waits is looked at when it ends. */
static void
fall_behind(struct worker *worker) ON_WORKER
{
	worker->behind = true;
	parking_set_behind(&worker->sched->parking, worker->index);
	worker_wake_one(worker->sched);
}

/* Not while fibers are ready: the sources would wait behind the next one as
 * well, and telling the others each time costs two system calls. */
void
worker_catch_up(struct worker *worker)
{
	if (!worker->behind || fibers_are_ready(worker))
		return;
	worker->behind = false;
	parking_clear_behind(&worker->sched->parking, worker->index);
}

static uint64_t
begin_turn(struct worker *worker)
{
	uint64_t now = clock_mono_ns();

	worker->turn_ns = now;
	worker->over = false;
	return now;
}

static bool
something_waits(const struct worker *worker) ON_WORKER
{
	return worker->home_seats > (worker->at_home ? 1 : 0) ||
	       !runq_is_empty(&worker->queue);
}

bool
sched_slice_over(void)
{
	struct worker *worker = worker_self();

	if (++worker->calls % CALLS_PER_LOOK)
		return worker->over;
	if (!worker->over)
		worker->over = clock_mono_ns() - worker->turn_ns >=
			       2 * worker->sched->slice_ns;
	if (worker->over)
		worker_fall_behind(worker);
	return worker->over;
}

void
worker_fall_behind(struct worker *worker)
{
	if (!worker->behind && something_waits(worker))
		fall_behind(worker);
}

void
sched_expect_long(void)
{
	struct worker *worker = worker_self();

	if (something_waits(worker))
		fall_behind(worker);
}

/* ---- sources and tasks -------------------------------------------------- */

void
worker_run_source(struct worker *worker, struct source *source,
		  struct source_run *result)
{
	worker_search_end(worker);
	profile_mark_set(PROFILE_SOURCE, NULL);
	source_run_once(source, result);
	profile_mark_set(PROFILE_SCHEDULER, NULL);
	worker_catch_up(worker);
	stat_add(&worker->stats.source_runs, 1);
}

/* A share of the injector goes to the end of our queue, so that all keep
 * their order. Only past a full ring, which must not keep the injector
 * waiting, one is returned to be run at once. */
static struct task *
take_injected(struct worker *worker) ON_WORKER
{
	struct sched *sched = worker->sched;
	struct task *tasks[BATCH_MAX];
	unsigned room = runq_room(&worker->queue);
	unsigned max = room < BATCH_MAX ? room : BATCH_MAX;
	unsigned count = injector_take(&sched->injector, tasks, max ? max : 1,
				       sched->worker_count);

	for (unsigned i = 0; room && i < count; i++) {
		bool fits = runq_push(&worker->queue, tasks[i]);

		assert(fits);
		(void)fits;
	}
	if (count > 1 || (count && !injector_is_empty(&sched->injector)))
		worker_wake_one(sched);
	return count && !room ? tasks[0] : NULL;
}

static uint64_t
run_task(struct worker *worker, struct task *task, uint64_t now) ON_WORKER
{
	struct sched_stats *stats = &worker->stats;
	uint64_t waited = now > task->queued_ns ? now - task->queued_ns : 0;

	worker_search_end(worker);
	worker->now_ns = now;
	stat_add(&stats->queue_wait_ns, waited);
	if (waited > stats->queue_wait_max_ns)
		ck_pr_store_64(&stats->queue_wait_max_ns, waited);
	stat_add(&stats->tasks, 1);
	profile_mark_set(PROFILE_TASK, NULL);
	task->run(task); /* which may free it */
	profile_mark_set(PROFILE_SCHEDULER, NULL);
	worker_catch_up(worker);
	return clock_mono_ns();
}

/* True: there are more. */
static bool
run_tasks(struct worker *worker) ON_WORKER
{
	const struct injector *injector = &worker->sched->injector;
	struct task *task;
	uint64_t now;

	if (runq_is_empty(&worker->queue) && !injector_is_ready(injector))
		return false;
	now = begin_turn(worker);
	task = take_injected(worker);
	for (unsigned n = 0; n < TASKS_PER_TURN; n++) {
		if (!task)
			task = runq_take(&worker->queue);
		if (!task)
			break;
		now = run_task(worker, task, now);
		task = NULL;
		if (now - worker->turn_ns >= TURN_NS)
			break;
	}
	return !runq_is_empty(&worker->queue) || injector_is_ready(injector);
}

/* ---- stealing ----------------------------------------------------------- */

/* Half of the victim's tasks, so that one steal evens out a burst; few enough
 * that taking them one by one stays short. */
static unsigned
steal_from(struct worker *worker, struct runq *victim) ON_WORKER
{
	unsigned room = runq_room(&worker->queue);
	unsigned want = (runq_stealable(victim) + 1) / 2;
	unsigned count = 0;

	if (want > BATCH_MAX)
		want = BATCH_MAX;
	while (count < want && count < room) {
		struct task *task = runq_take(victim);
		bool fits;

		if (!task)
			break;
		fits = runq_push(&worker->queue, task);
		assert(fits);
		(void)fits;
		count++;
	}
	return count;
}

/* xorshift: all it must do is spread. */
static unsigned
random_below(struct worker *worker, unsigned limit)
{
	worker->random ^= worker->random << 13;
	worker->random ^= worker->random >> 7;
	worker->random ^= worker->random << 17;
	return (unsigned)((worker->random >> 32) % limit);
}

/* True: our queue has something now. */
static bool
steal(struct worker *worker) ON_WORKER
{
	struct sched *sched = worker->sched;
	unsigned victim = random_below(worker, sched->worker_count);

	if (!is_stealable(sched))
		return false;
	if (!worker->searching)
		worker->searching =
			parking_search_begin(&sched->parking, worker->index);
	for (unsigned i = 0; worker->searching && i < sched->worker_count;
	     i++, victim = (victim + 1) % sched->worker_count) {
		unsigned count;

		if (victim == worker->index)
			continue;
		count = steal_from(worker, &sched->workers[victim].queue);
		if (count > 0) {
			stat_add(&worker->stats.stolen, count);
			return true;
		}
	}
	return false;
}

/* ---- parking ------------------------------------------------------------ */

/*
 * Anything that was published before our idle bit could be seen. Whoever
 * publishes after, sees the bit. While somebody searches, the queues of
 * others are that worker's business.
 */
static bool
work_waits(const struct worker *worker) ON_WORKER
{
	const struct sched *sched = worker->sched;

	return ck_pr_load_uint(&sched->stopping) ||
	       injector_is_ready(&sched->injector) ||
	       seats_are_wanted(worker) || fibers_are_wanted(worker) ||
	       help_is_wanted(worker) ||
	       (!parking_is_searched(&sched->parking) && is_stealable(sched));
}

static int
timeout_until(uint64_t deadline, uint64_t now)
{
	uint64_t ms;

	if (deadline == UINT64_MAX)
		return -1;
	if (deadline <= now)
		return 0;
	/* Up: a wait that ends before its time would be one for nothing. */
	ms = (deadline - now + NS_PER_MS - 1) / NS_PER_MS;
	return ms < INT_MAX ? (int)ms : INT_MAX;
}

static void
count_busy(struct worker *worker, uint64_t now)
{
	stat_add(&worker->stats.busy_ns, now - worker->counted_ns);
	worker->counted_ns = now;
}

static void
sleep_until_woken(struct worker *worker) ON_WORKER
{
	uint64_t now = clock_mono_ns();
	uint64_t deadline = seats_deadline(worker);
	uint64_t of_fibers = fibers_deadline(worker);
	int timeout_ms;

	if (of_fibers < deadline)
		deadline = of_fibers;
	if (worker->minded && worker->minded_tick_ns < deadline)
		deadline = worker->minded_tick_ns;
	timeout_ms = timeout_until(deadline, now);
	count_busy(worker, now);
	stat_add(&worker->stats.parks, 1);
	profile_mark_set(PROFILE_POLL, NULL);
	if (worker->minded) {
		help_watch(worker, timeout_ms);
		timeout_ms = 0;
	}
	if (worker->minded || !seats_wait(worker, timeout_ms))
		worker->counted_ns = seats_poll(worker, timeout_ms);
	profile_mark_set(PROFILE_SCHEDULER, NULL);
}

bool
worker_unpark(struct worker *worker)
{
	struct parking *parking = &worker->sched->parking;
	bool rung = parking_leave(parking, worker->index);

	worker->parked = false;
	worker->searching = parking_was_sent(parking, worker->index);
	return rung;
}

void
sched_awake(void)
{
	struct worker *worker = worker_self();

	if (!worker->parked)
		return;
	worker_unpark(worker);
	profile_mark_set(PROFILE_SOURCE, NULL);
	worker->counted_ns = begin_turn(worker);
	worker_search_end(worker);
}

static void
park(struct worker *worker) ON_WORKER
{
	struct parking *parking = &worker->sched->parking;

	/* Before the idle bit: work_waits() looks again for both. */
	if (worker->searching)
		parking_search_end(parking, worker->index);
	/* Clients and committers on this machine that wait for our processor
	 * run first: what they send is then answered in one wake, where each
	 * piece of it would wake us. Where nobody waits, it costs a third of a
	 * microsecond for a batch of requests. */
	if (worker->lead_busy)
		sched_yield();
	parking_enter(parking, worker->index);
	worker->parked = true;
	if (!work_waits(worker))
		sleep_until_woken(worker);
	if (worker->parked)
		worker_unpark(worker);
}

/* ---- fibers ------------------------------------------------------------- */

/*
 * Whether the ready fibers can wait for another look at the sources and
 * tasks. They have run for long before; tasks, and fibers that begin, are
 * mostly short. So those come first: when they had half a slice just now, or
 * when there are some to be stolen. But only in every other turn.
 */
static bool
defer_fibers(struct worker *worker, uint64_t now) ON_WORKER
{
	if (worker->deferred)
		worker->deferred = false;
	else if (now - worker->turn_ns >= worker->sched->slice_ns / 2)
		worker->deferred = true;
	else if (runq_is_empty(&worker->queue))
		worker->deferred = steal(worker);
	return worker->deferred;
}

/* True: there are more. A fiber that goes on has a slice; the last one begins
 * in the first half of the turn's, so a turn is one and a half at most. */
static bool
run_fibers(struct worker *worker, uint64_t now) ON_WORKER
{
	fibers_collect(worker, now);
	if (fibers_deadline(worker) > now && !fibers_are_ready(worker))
		return false;
	now = clock_mono_ns();
	if (defer_fibers(worker, now))
		return true;
	worker_search_end(worker);
	begin_turn(worker);
	fibers_run(worker, worker->sched->slice_ns / 2);
	worker_catch_up(worker);
	if (!fibers_are_ready(worker))
		return false;
	/* A worker with such fibers never sleeps. Where there are fewer
	 * processors than threads, committers and clients on this machine
	 * would wait until the kernel's own slice is over, some milliseconds;
	 * so they are let in after each of ours. Where nobody waits, it costs
	 * half a microsecond. */
	sched_yield();
	return true;
}

/* ---- the loop ----------------------------------------------------------- */

/* True: there is more to do without waiting. */
static bool
take_turn(struct worker *worker) ON_WORKER
{
	uint64_t now = begin_turn(worker);
	bool more;

	if (seats_poll_is_due(worker, now)) {
		now = seats_glance(worker, now);
		count_busy(worker, now);
		stat_add(&worker->stats.polls, 1);
	}
	worker->turns++;
	more = seats_run(worker, now);
	more |= run_tasks(worker);
	return run_fibers(worker, now) || more;
}

static void
work(struct worker *worker) ON_WORKER
{
	worker->polled_ns = worker->counted_ns = clock_mono_ns();
	worker->looked_ns = worker->polled_ns;
	while (!ck_pr_load_uint(&worker->sched->stopping)) {
		if (!take_turn(worker) && !help_others(worker) &&
		    !steal(worker))
			park(worker);
	}
	count_busy(worker, clock_mono_ns());
}

void *
worker_main(void *argument)
{
	struct sched *sched;
	char name[16]; /* what the kernel keeps */

	self = argument;
	sched = worker_self()->sched;
	snprintf(name, sizeof(name), "worker-%u", self->index);
	pthread_setname_np(pthread_self(), name);
	/* Where there are more threads than processors, a worker that runs long
	 * statements would hold its processor for the kernel's slice, and
	 * everybody else's requests with it. */
	thread_set_slice(sched->slice_ns);
	fibers_begin(self);
	profile_thread_begin(name);
	if (sched->begin)
		sched->begin(sched->arg, self->index);
	work(self);
	if (sched->end)
		sched->end(sched->arg, self->index);
	profile_thread_end();
	fibers_end(self);
	return NULL;
}
