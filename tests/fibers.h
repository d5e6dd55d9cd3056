/* SPDX-License-Identifier: MIT */
/*
 * What the tests of fibers share: schedulers that start, and a fiber with a
 * few words of its test's.
 */
#ifndef TESTS_FIBERS_H
#define TESTS_FIBERS_H

#include "core/fiber.h"
#include "tests/tap.h"
#include "tests/waiting.h"

__attribute__((unused)) static struct sched *
new_sched(unsigned workers)
{
	struct sched_options options = { .workers = workers };
	struct sched *sched = NULL;
	enum err err = sched_create(&sched, &options);

	assert(!err);
	return sched;
}

__attribute__((unused)) static void
start(struct sched *sched)
{
	enum err err = sched_start(sched, NULL, NULL, NULL);

	assert(!err);
}

__attribute__((unused)) static struct sched *
started_sched(unsigned workers)
{
	struct sched *sched = new_sched(workers);

	start(sched);
	return sched;
}

__attribute__((unused)) static void
stop(struct sched *sched)
{
	sched_stop(sched);
	sched_destroy(sched);
}

__attribute__((unused)) static struct sched_stats
total(const struct sched *sched)
{
	struct sched_stats sum = { 0 }, one;

	for (unsigned i = 0; i < sched_workers(sched); i++) {
		sched_stats(sched, i, &one);
		sum.parks += one.parks;
		sum.stolen += one.stolen;
		sum.fibers += one.fibers;
		sum.fibers_ended += one.fibers_ended;
		sum.fiber_yields += one.fiber_yields;
		sum.fiber_waits += one.fiber_waits;
		sum.fiber_stacks += one.fiber_stacks;
	}
	return sum;
}

/* Published before. */
__attribute__((unused)) static void
bump(uint64_t *counter)
{
	ck_pr_fence_release();
	ck_pr_inc_64(counter);
}

/* A fiber with a few words of its test's. */
struct probe {
	struct fiber_task task;
	struct sched *sched;
	struct fiber *self; /* published by `begun` */
	struct probe *other;
	uint64_t begun, ended; /* atomic */
	uint64_t done;         /* atomic; what it is, its test says */
	uint64_t number;
	bool result, second;
	char name;
};

__attribute__((unused)) static struct probe *
probe_of(struct fiber_task *task)
{
	return CONTAINER_OF(task, struct probe, task);
}

__attribute__((unused)) static void
submit(struct sched *sched, struct probe *probe, fiber_fn run)
{
	probe->sched = sched;
	probe->task.run = run;
	probe->task.name = "a test's";
	fiber_submit(sched, &probe->task);
}

__attribute__((unused)) static void
announce(struct probe *probe)
{
	probe->self = fiber_self();
	bump(&probe->begun);
}

__attribute__((unused)) static void
wait_once(struct fiber_task *task)
{
	struct probe *probe = probe_of(task);

	announce(probe);
	probe->result = fiber_wait(UINT64_MAX);
	bump(&probe->ended);
}

#endif
