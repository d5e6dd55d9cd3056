/* SPDX-License-Identifier: MIT */
/*
 * A worker parks in its lead just after a helper has let go of it, with the
 * bell that was meant for the worker: it must not sleep on that.
 *
 * The moment is some hundred nanoseconds wide, so the worker is made to stand
 * still in it: where it asks for the time, between its last look for work and
 * its hold of the lead.
 */
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>

#include "core/worker.h"
#include "tests/tap.h"
#include "tests/waiting.h"

struct lead {
	struct source source;
	uint64_t opened; /* parcels; by the holder */
};

/* 0 or 1 each; by any thread. */
static uint64_t is_armed, at_gate, gate_is_open;
static uint64_t blocks_helper, helper_is_in, helper_may_go;
static uint64_t may_end, task_runs, tasks_done;

static struct sched *sched;
static struct lead leads[2];

/* Of all of the program. */
int
clock_gettime(clockid_t id, struct timespec *time)
{
	if (ck_pr_load_64(&is_armed) && worker_is_self() &&
	    worker_self()->index == 0 && worker_self()->parked) {
		ck_pr_store_64(&is_armed, 0);
		ck_pr_store_64(&at_gate, 1);
		while (!ck_pr_load_64(&gate_is_open))
			usleep(100);
	}
	return (int)syscall(SYS_clock_gettime, id, time);
}

static void
look(const struct lead *lead, int timeout_ms)
{
	struct epoll_event events[8];

	(void)epoll_wait(lead->source.fd, events, ARRAY_LEN(events),
			 timeout_ms);
}

static void
run_lead(struct source *source, struct source_run *result)
{
	struct lead *lead = CONTAINER_OF(source, struct lead, source);

	ck_pr_add_64(&lead->opened, source_open_parcels(source));
	if (sched_worker_index() != source->home &&
	    ck_pr_load_64(&blocks_helper)) {
		ck_pr_store_64(&blocks_helper, 0);
		ck_pr_store_64(&helper_is_in, 1);
		(void)wait_for_count(&helper_may_go, 1);
	}
	look(lead, 0);
	result->tick_ns = UINT64_MAX;
}

static void
wait_in_lead(struct source *source, int timeout_ms, struct source_run *result)
{
	(void)result;
	look(CONTAINER_OF(source, struct lead, source), timeout_ms);
}

static void
open_parcel(struct parcel *parcel)
{
	(void)parcel;
}

/* At worker 0: is behind until it may end, and the other one helps. */
static void
be_long(struct task *task)
{
	if (sched_worker_index() != 0) {
		usleep(100);
		sched_submit(sched, task);
		return;
	}
	ck_pr_store_64(&blocks_helper, 1);
	sched_expect_long();
	ck_pr_store_64(&task_runs, 1);
	(void)wait_for_count(&may_end, 1);
}

static void
be_short(struct task *task)
{
	(void)task;
	ck_pr_inc_64(&tasks_done);
}

static void
start(void)
{
	struct sched_options options = { .workers = 2 };
	enum err err = sched_create(&sched, &options);

	for (unsigned i = 0; i < ARRAY_LEN(leads) && !err; i++) {
		leads[i] = (struct lead){
			.source = { .run = run_lead,
				    .wait = wait_in_lead,
				    .fd = epoll_create1(EPOLL_CLOEXEC) },
		};
		err = sched_add_source(sched, &leads[i].source);
	}
	if (err || sched_start(sched, NULL, NULL, NULL))
		abort();
}

/* Worker 0 has set its idle bit, saw no work, and stands still; worker 1 holds
 * its lead. */
static void
stop_before_the_hold(struct task *task)
{
	uint64_t *flags[] = { &at_gate,       &gate_is_open, &helper_is_in,
			      &helper_may_go, &may_end,      &task_runs };

	for (unsigned i = 0; i < ARRAY_LEN(flags); i++)
		ck_pr_store_64(flags[i], 0);
	sched_submit(sched, task);
	ok(wait_for_count(&task_runs, 1) && wait_for_count(&helper_is_in, 1),
	   "the other worker holds the lead of one that is behind");
	ck_pr_store_64(&is_armed, 1);
	ck_pr_store_64(&may_end, 1);
	ok(wait_for_count(&at_gate, 1), "... which is about to park in it");
}

/* The helper looks, and takes the bell that rang; then the worker goes on. */
static void
let_both_go(void)
{
	ck_pr_store_64(&helper_may_go, 1);
	while (source_is_held(&leads[0].source))
		usleep(100);
	sleep_ms(20);
	ck_pr_store_64(&gate_is_open, 1);
}

int
main(void)
{
	struct task long_task = { .run = be_long };
	struct task tasks[2] = { { .run = be_short }, { .run = be_short } };
	struct parcel parcel = { .open = open_parcel };

	start();
	stop_before_the_hold(&long_task);
	source_post(&leads[0].source, &parcel);
	source_wake(&leads[0].source);
	let_both_go();
	ok(wait_for_count(&leads[0].opened, 1), "a parcel that came is opened");

	stop_before_the_hold(&long_task);
	sched_submit(sched, &tasks[0]);
	let_both_go();
	ok(wait_for_count(&tasks_done, 1), "a task that came is run");
	sched_submit(sched, &tasks[1]);
	ok(wait_for_count(&tasks_done, 2), "and one that comes later");
	sched_stop(sched);
	sched_destroy(sched);
	for (unsigned i = 0; i < ARRAY_LEN(leads); i++)
		close(leads[i].source.fd);
	return tap_done();
}
