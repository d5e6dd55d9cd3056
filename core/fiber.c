/* SPDX-License-Identifier: MIT */
/*
 * The life of a fiber, all of it on its worker:
 *
 *	                 take                     run() returned
 *	       SPARE -----------> RUNNING -------------------------> ENDED
 *	         ^                |  ^  |                              |
 *	         |          yield |  |  | wait: no token               |
 *	         |                v  |  v                              |
 *	         |             READY<---WAITING                        |
 *	         |                  wake, or time                      |
 *	         +-----------------------------------------------------+
 *
 * Other threads touch two things: they count a wake in the fiber, and who
 * counts the first pushes the fiber into its worker's inbox. The worker takes
 * the count when it has found the fiber there, and not before: by then who
 * pushed it, and all who have counted, are done with the fiber's memory. So a
 * fiber may end as soon as it has got the last wake that it was promised.
 * (tests/models/wake.pml)
 */
#include "core/oldest_first.h"
#include "core/profile.h"
#include "core/worker.h"

/* ---- ready and waiting -------------------------------------------------- */

static void
append(struct fibers *fibers, struct fiber *fiber)
{
	fiber->state = FIBER_READY;
	fiber->next = NULL;
	if (fibers->first)
		fibers->last->next = fiber;
	else
		fibers->first = fiber;
	fibers->last = fiber;
}

static struct fiber *
pop(struct fibers *fibers)
{
	struct fiber *fiber = fibers->first;

	fibers->first = fiber->next;
	return fiber;
}

static void
end_wait(struct fibers *fibers, struct fiber *fiber)
{
	if (fiber->timer != NO_TIMER)
		fiber_timer_remove(fibers, fiber);
	append(fibers, fiber);
}

static void
grant(struct fibers *fibers, struct fiber *fiber, unsigned wakes)
{
	fiber->tokens += wakes;
	if (fiber->state == FIBER_WAITING)
		end_wait(fibers, fiber);
}

static void
take_inbox(struct fibers *fibers) ON_WORKER
{
	ck_stack_entry_t *link;

	if (!ck_pr_load_ptr(&fibers->inbox.head))
		return;
	/* So who was woken first goes on first. */
	link = oldest_first(ck_stack_batch_pop_upmc(&fibers->inbox));
	while (link) {
		struct fiber *fiber = CONTAINER_OF(link, struct fiber, link);
		unsigned wakes;

		/* First: from the exchange on it may be pushed again. */
		link = link->next;
		/* Keeps the load above before the exchange. */
		ck_pr_fence_load_atomic();
		wakes = ck_pr_fas_uint(&fiber->wakes, 0);
		/* Pairs with the fence in fiber_wake(): what each of the
		 * wakers wrote is seen by the fiber. */
		ck_pr_fence_acquire();
		TAKES_OVER(fiber);
		grant(fibers, fiber, wakes);
	}
}

void
fiber_wake(struct fiber *fiber)
{
	struct worker *worker = fiber->worker;
	struct sched *sched = worker->sched;

	if (worker_of(sched) == worker) {
		grant(&worker->fibers, fiber, 1);
		return;
	}
	HANDS_OVER(fiber);
	/* Pairs with the fence in take_inbox(). */
	ck_pr_fence_release();
	if (ck_pr_faa_uint(&fiber->wakes, 1) > 0)
		return; /* who made it 1 pushes the fiber; it may be gone now */
	ck_stack_push_upmc(&worker->fibers.inbox, &fiber->link);
	if (parking_wake(&sched->parking, worker->index))
		worker_count_wake(sched);
}

/* ---- on a fiber --------------------------------------------------------- */

struct fiber *
fiber_self(void)
{
	return worker_is_self() ? worker_self()->fibers.current : NULL;
}

static struct fiber *
self(void) WORKER_BEGINS
{
	struct fiber *fiber = worker_self()->fibers.current;

	assert(fiber);
	return fiber;
}

bool
fiber_slice_over(void)
{
	struct fiber *fiber = self();
	struct worker *worker = fiber->worker;

	if (clock_mono_ns() - fiber->since_ns < worker->sched->slice_ns)
		return false;
	worker_fall_behind(worker);
	return true;
}

void
fiber_yield(void)
{
	struct fiber *fiber = self();
	struct worker *worker = fiber->worker;

	stat_add(&worker->stats.fiber_yields, 1);
	append(&worker->fibers, fiber);
	context_switch(&fiber->context, &worker->fibers.home);
}

static void
wait(struct fiber *fiber, uint64_t until_ns)
{
	struct worker *worker = fiber->worker;

	if (until_ns <= clock_mono_ns())
		return;
	stat_add(&worker->stats.fiber_waits, 1);
	fiber->state = FIBER_WAITING;
	fiber->until_ns = until_ns;
	if (until_ns != UINT64_MAX)
		fiber_timer_add(&worker->fibers, fiber);
	context_switch(&fiber->context, &worker->fibers.home);
}

bool
fiber_wait(uint64_t until_ns)
{
	struct fiber *fiber = self();

	if (!fiber->tokens)
		take_inbox(&fiber->worker->fibers);
	if (!fiber->tokens)
		wait(fiber, until_ns);
	if (!fiber->tokens)
		return false;
	fiber->tokens--;
	return true;
}

/* ---- beginning and ending ----------------------------------------------- */

NOT_CHECKED void
fiber_main(void *argument)
{
	struct fiber *fiber = argument;
	struct fibers *fibers = &fiber->worker->fibers;

	context_arrive(&fibers->home);
	for (;;) {
		fiber->task->run(fiber->task); /* which may free it */
		fiber->state = FIBER_ENDED;
		context_leave(&fiber->context, &fibers->home);
	}
}

static void
end(struct worker *worker, struct fiber *fiber) ON_WORKER
{
	/* A wake that nobody waited for: its link must be out of the inbox. */
	take_inbox(&worker->fibers);
	assert(ck_pr_load_uint(&fiber->wakes) == 0);
	fiber->tokens = 0;
	fiber->task = NULL;
	fiber->name = NULL;
	fiber->state = FIBER_SPARE;
	stat_add(&worker->stats.fibers_ended, 1);
	fiber_give(worker, fiber);
}

static void
resume(struct worker *worker, struct fiber *fiber) ON_WORKER
{
	struct fibers *fibers = &worker->fibers;

	assert(!fibers->current);
	fiber->state = FIBER_RUNNING;
	fiber->since_ns = worker->now_ns;
	fibers->current = fiber;
	profile_mark_set(PROFILE_FIBER, fiber->name);
	context_switch(&fibers->home, &fiber->context);
	profile_mark_set(PROFILE_SCHEDULER, NULL);
	fibers->current = NULL;
	if (fiber->state == FIBER_ENDED)
		end(worker, fiber);
}

static bool
begin(struct worker *worker, struct fiber_task *task) ON_WORKER
{
	struct fiber *fiber = fiber_take(worker);

	if (!fiber)
		return false;
	fiber->task = task;
	fiber->name = task->name;
	stat_add(&worker->stats.fibers, 1);
	resume(worker, fiber);
	return true;
}

/* ---- without memory ----------------------------------------------------- */

static void
starve(struct worker *worker, struct task *task) ON_WORKER
{
	struct fibers *fibers = &worker->fibers;

	task->link.next = NULL;
	if (fibers->starved) {
		fibers->starved_last->link.next = &task->link;
	} else {
		fibers->starved = task;
		fibers->starved_ns = worker->now_ns + STARVED_NS;
	}
	fibers->starved_last = task;
}

static bool
may_begin_starved(const struct fibers *fibers, uint64_t now)
{
	return fibers->starved && (fibers->spare || now >= fibers->starved_ns);
}

static void
begin_starved(struct worker *worker) ON_WORKER
{
	struct fibers *fibers = &worker->fibers;
	struct task *task = fibers->starved;
	ck_stack_entry_t *next = task->link.next;

	/* Before it runs: it may be freed, or submit others. */
	fibers->starved = next ? CONTAINER_OF(next, struct task, link) : NULL;
	if (begin(worker, CONTAINER_OF(task, struct fiber_task, task)))
		return;
	task->link.next = next;
	fibers->starved = task;
	fibers->starved_ns = worker->now_ns + STARVED_NS;
}

static void
run_task(struct task *task)
{
	struct worker *worker = worker_self();

	/* Those that wait for memory have come earlier. */
	if (worker->fibers.starved ||
	    !begin(worker, CONTAINER_OF(task, struct fiber_task, task)))
		starve(worker, task);
}

void
fiber_submit(struct sched *sched, struct fiber_task *task)
{
	task->task.run = run_task;
	sched_submit(sched, &task->task);
}

/* ---- a turn ------------------------------------------------------------- */

static void
expire(struct fibers *fibers, uint64_t now)
{
	while (fibers->timer_count > 0 && fibers->timers[0]->until_ns <= now)
		end_wait(fibers, fibers->timers[0]);
}

void
fibers_collect(struct worker *worker, uint64_t now)
{
	struct fibers *fibers = &worker->fibers;

	take_inbox(fibers);
	expire(fibers, now);
	if (fibers->trim_ns && now >= fibers->trim_ns)
		fiber_trim(worker, now);
}

bool
fibers_are_ready(const struct worker *worker)
{
	const struct fibers *fibers = &worker->fibers;

	return fibers->first || (fibers->starved && fibers->spare);
}

bool
fibers_are_wanted(const struct worker *worker)
{
	return fibers_are_ready(worker) ||
	       ck_pr_load_ptr(&worker->fibers.inbox.head);
}

uint64_t
fibers_deadline(const struct worker *worker)
{
	const struct fibers *fibers = &worker->fibers;
	uint64_t deadline = UINT64_MAX;

	if (fibers->timer_count > 0)
		deadline = fibers->timers[0]->until_ns;
	if (fibers->starved && fibers->starved_ns < deadline)
		deadline = fibers->starved_ns;
	if (fibers->trim_ns && fibers->trim_ns < deadline)
		deadline = fibers->trim_ns;
	return deadline;
}

void
fibers_run(struct worker *worker, uint64_t budget_ns)
{
	struct fibers *fibers = &worker->fibers;
	uint64_t begun = clock_mono_ns();

	worker->now_ns = begun;
	while (fibers->first || may_begin_starved(fibers, worker->now_ns)) {
		/* By turns: each kind waits for the other to end. */
		if (fibers->first) {
			resume(worker, pop(fibers));
			worker->now_ns = clock_mono_ns();
		}
		if (may_begin_starved(fibers, worker->now_ns)) {
			begin_starved(worker);
			worker->now_ns = clock_mono_ns();
		}
		if (worker->now_ns - begun >= budget_ns)
			break;
	}
}

/* ---- the thread --------------------------------------------------------- */

void
fibers_init(struct worker *worker)
{
	ck_stack_init(&worker->fibers.inbox);
}

void
fibers_begin(struct worker *worker)
{
	context_init_thread(&worker->fibers.home);
	fiber_fault_begin(&worker->fibers);
}

void
fibers_end(struct worker *worker)
{
	fiber_fault_end(&worker->fibers);
}
