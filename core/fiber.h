/* SPDX-License-Identifier: MIT */
/*
 * Fibers: tasks that may wait in the middle.
 *
 * A fiber task is run by a worker on a stack of its own, from the worker's
 * pool. In straight-line code it may let others go first (fiber_yield), wait
 * for somebody (fiber_wait until fiber_wake), or sleep. A fiber task that has
 * not begun may be stolen like any task; once begun, it stays with its
 * worker, so that it may use what belongs to the worker.
 *
 * A stack has FIBER_STACK bytes and a guard below. A fiber that runs into it
 * ends the process with a report that names the task.
 *
 * A fiber that goes on does so on the same thread, so its thread-local
 * variables stay the same ones. But others ran in between: errno, and
 * everything else that belongs to the worker, is what they left.
 *
 * sched_stop() leaves fibers that have not ended where they are: they never
 * go on, and sched_destroy() unmaps their stacks. What they hold is lost, so
 * whoever stops waits before until they have ended.
 */
#ifndef CORE_FIBER_H
#define CORE_FIBER_H

#include "core/sched.h"

enum {
	/* SQLite's parser and code generator with our limits on depth need
	 * less than half of it: see tests/test_fiber.c and test_sql_depth.c. */
	FIBER_STACK = 256 << 10,
};

struct fiber;
struct fiber_task;

typedef void (*fiber_fn)(struct fiber_task *task);

/* Embedded in an object of its owner; the scheduler holds a pointer from
 * fiber_submit() until it calls run(), which may free it. */
struct fiber_task {
	/* The owner's, set before submit. */
	fiber_fn run;
	const char *name; /* for reports of crashes and profiles: a route's;
			     see struct profile_mark */
	/* The scheduler's. */
	struct task task;
};

/* Any thread. Never fails. Without memory for a stack it waits until another
 * fiber of the worker has ended. */
void fiber_submit(struct sched *sched, struct fiber_task *task);

/* The fiber that runs this; NULL on a worker's own stack and elsewhere. */
struct fiber *fiber_self(void);

/* ---- on a fiber ---------------------------------------------------------- */

/* True when this fiber has run for a slice since it last went on. Cheap: one
 * clock read. */
bool fiber_slice_over(void);
/* The worker's sources, tasks and other fibers first. */
void fiber_yield(void);
/*
 * Waits for fiber_wake() or for the monotonic time until_ns (UINT64_MAX:
 * never). True: woken; false: the time has come first.
 *
 * Wakes are counted, and each wait that returns true takes one. So a wake
 * before the call is not lost: the call returns at once. One that comes
 * together with the time is either taken by this wait (true, though it is
 * late) or left for the next wait, never both and never neither. So who is
 * told false and was promised a wake still has it to come: it must wait for
 * it, before it ends and before it waits for something else.
 */
bool fiber_wait(uint64_t until_ns);

/* ---- any thread ---------------------------------------------------------- */

/* Publishes what the caller wrote before. The fiber must not have ended:
 * whoever promised a wake is waited for. It may end, and its task be freed,
 * before this returns. Not after sched_destroy() has begun. */
void fiber_wake(struct fiber *fiber);

#endif
