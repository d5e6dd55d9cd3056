/* SPDX-License-Identifier: MIT */
/*
 * Workers and tasks. SCHED_TASKS sets how many tasks the crowds run,
 * SCHED_ROUNDS how often a parked worker is woken.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>

#include "core/sched.h"
#include "tests/tap.h"
#include "tests/waiting.h"

static struct sched *
new_sched(unsigned workers, unsigned ring_size)
{
	struct sched_options options = { .workers = workers,
					 .ring_size = ring_size };
	struct sched *sched = NULL;
	enum err err = sched_create(&sched, &options);

	assert(!err);
	return sched;
}

static struct sched *
started_sched(unsigned workers, unsigned ring_size)
{
	struct sched *sched = new_sched(workers, ring_size);
	enum err err = sched_start(sched, NULL, NULL, NULL);

	assert(!err);
	return sched;
}

static void
stop_sched(struct sched *sched)
{
	sched_stop(sched);
	sched_destroy(sched);
}

static struct sched_stats
total(const struct sched *sched)
{
	struct sched_stats sum = { 0 }, one;

	for (unsigned i = 0; i < sched_workers(sched); i++) {
		sched_stats(sched, i, &one);
		sum.tasks += one.tasks;
		sum.stolen += one.stolen;
		sum.parks += one.parks;
		sum.overflows += one.overflows;
		sum.wakes += one.wakes;
	}
	return sum;
}

/* ---- building ----------------------------------------------------------- */

static void
wrong_options_are_refused(void)
{
	static const struct {
		unsigned workers, ring_size;
		bool good;
	} cases[] = {
		{ 0, 0, true },   { 1, 2, true },  { 64, 4, true },
		{ 65, 0, false }, { 1, 1, false }, { 1, 6, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sched_options options = {
			.workers = cases[i].workers,
			.ring_size = cases[i].ring_size,
		};
		struct sched *sched = NULL;
		enum err err = sched_create(&sched, &options);

		ok((err == ERR_OK) == cases[i].good, "%u workers, ring of %u",
		   cases[i].workers, cases[i].ring_size);
		if (!err) {
			ok(sched_workers(sched) > 0, "has workers");
			sched_destroy(sched);
		}
	}
}

static struct {
	uint64_t begun, ended;
	unsigned index_wrong, name_wrong, signals_wrong;
} ends;

static void
begin(void *arg, unsigned index)
{
	char name[16], expected[16];
	sigset_t blocked;

	if (arg != &ends || index != sched_worker_index())
		ck_pr_inc_uint(&ends.index_wrong);
	snprintf(expected, sizeof(expected), "worker-%u", index);
	pthread_getname_np(pthread_self(), name, sizeof(name));
	if (strcmp(name, expected))
		ck_pr_inc_uint(&ends.name_wrong);
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	if (!sigismember(&blocked, SIGTERM) || !sigismember(&blocked, SIGHUP))
		ck_pr_inc_uint(&ends.signals_wrong);
	ck_pr_inc_64(&ends.begun);
}

static void
end(void *arg, unsigned index)
{
	if (arg != &ends || !sched_on_worker())
		ck_pr_inc_uint(&ends.index_wrong);
	ck_pr_inc_64(&ends.ended);
}

static void
workers_begin_and_end(void)
{
	struct sched *sched = new_sched(4, 0);
	sigset_t blocked;

	is_u64(sched_start(sched, begin, end, &ends), ERR_OK, "it starts");
	ok(wait_for_count(&ends.begun, 4), "four begin");
	sched_stop(sched);
	is_u64(ends.ended, 4, "four end");
	ok(!ends.index_wrong, "each knows its number");
	ok(!ends.name_wrong, "each has its name");
	ok(!ends.signals_wrong, "signals are blocked in workers");
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	ok(!sigismember(&blocked, SIGTERM), "and not here");
	ok(!sched_on_worker(), "this thread is no worker");
	sched_destroy(sched);
}

/* ---- order on one worker ------------------------------------------------ */

struct noted {
	struct task task;
	struct sched *sched;
	struct noted *next;   /* submitted by this one, to run next */
	struct noted *queued; /* submitted by this one, to the queue */
	unsigned repeats;     /* submits itself so many times more */
	char name;
};

/* Written by the one worker, read when `count` says so. */
static struct {
	char text[4096];
	uint64_t count;
} notes;

static void
note(struct task *task)
{
	struct noted *noted = CONTAINER_OF(task, struct noted, task);

	if (noted->queued)
		sched_submit(noted->sched, &noted->queued->task);
	if (noted->repeats > 0 && noted->repeats--)
		sched_submit(noted->sched, &noted->task);
	notes.text[notes.count % (sizeof(notes.text) - 1)] = noted->name;
	ck_pr_fence_store();
	ck_pr_store_64(&notes.count, notes.count + 1);
}

static void
clear_notes(void)
{
	memset(&notes, 0, sizeof(notes));
}

static void
tasks_from_outside_run_in_order(void)
{
	struct sched *sched = new_sched(1, 4);
	struct noted tasks[26];
	enum err err;

	clear_notes();
	for (int i = 0; i < 26; i++) {
		tasks[i] = (struct noted){ .task.run = note,
					   .name = (char)('a' + i) };
		sched_submit(sched, &tasks[i].task);
	}
	err = sched_start(sched, NULL, NULL, NULL);
	ok(!err && wait_for_count(&notes.count, 26), "26 tasks run");
	is_str(notes.text, "abcdefghijklmnopqrstuvwxyz",
	       "in the order of their submits, through a ring of 4");
	stop_sched(sched);
}

struct ping {
	struct task task;
	uint64_t answered;
};

static void
answer(struct task *task)
{
	struct ping *ping = CONTAINER_OF(task, struct ping, task);

	ck_pr_fence_store();
	ck_pr_store_64(&ping->answered, ping->answered + 1);
}

static void
busy_queue_does_not_starve_the_injector(void)
{
	struct sched *sched = new_sched(1, 8);
	struct noted busy[12];
	struct ping outside = { .task.run = answer };
	uint64_t before;

	clear_notes();
	for (int i = 0; i < 12; i++) {
		busy[i] = (struct noted){ .task.run = note,
					  .sched = sched,
					  .repeats = UINT32_MAX,
					  .name = '.' };
		sched_submit(sched, &busy[i].task);
	}
	ok(sched_start(sched, NULL, NULL, NULL) == ERR_OK &&
		   wait_for_count(&notes.count, 1000),
	   "a queue that is never empty");
	before = ck_pr_load_64(&notes.count);
	sched_submit(sched, &outside.task);
	ok(wait_for_count(&notes.count, before + 2000), "goes on");
	is_u64(ck_pr_load_64(&outside.answered), 1,
	       "what came from outside has run meanwhile");
	stop_sched(sched);
}

/* ---- every task once ---------------------------------------------------- */

/* A pool of tasks that submit each other until a number of runs is reached. */
enum { POOL = 256 };

struct member {
	struct task task;
	alignas(CACHE_LINE) unsigned queued; /* 1: the scheduler has it */
	uint64_t runs;                       /* its runner's */
};

static struct {
	struct sched *sched;
	struct member pool[POOL];
	alignas(CACHE_LINE) uint64_t budget; /* submits still to be made */
	alignas(CACHE_LINE) uint64_t done;
	alignas(CACHE_LINE) unsigned wrong;
} mill;

static bool
take_budget(void)
{
	uint64_t budget = ck_pr_load_64(&mill.budget);

	while (budget > 0) {
		if (ck_pr_cas_64_value(&mill.budget, budget, budget - 1,
				       &budget))
			return true;
	}
	return false;
}

/* False: somebody else has it in the scheduler, or there is no budget. */
static bool
submit_member(struct member *member)
{
	if (!ck_pr_cas_uint(&member->queued, 0, 1))
		return false;
	if (!take_budget()) {
		ck_pr_store_uint(&member->queued, 0);
		return false;
	}
	sched_submit(mill.sched, &member->task);
	return true;
}

static void
turn_mill(struct task *task)
{
	struct member *member = CONTAINER_OF(task, struct member, task);
	size_t index = (size_t)(member - mill.pool);
	uint64_t runs = ++member->runs;

	if (!ck_pr_cas_uint(&member->queued, 1, 0))
		ck_pr_inc_uint(&mill.wrong);
	/* A wandering few, in bursts: full rings, then empty ones. */
	submit_member(&mill.pool[(index * 5 + 1) % POOL]);
	if (runs % 7 == 0) {
		for (size_t i = 1; i < 12; i++)
			submit_member(&mill.pool[(index + i) % POOL]);
	}
	/* On few processors thieves get nowhere without it. */
	if (runs % 32 == 0)
		sched_yield();
	ck_pr_inc_64(&mill.done);
}

static void
every_task_runs_once(unsigned workers, unsigned ring_size, uint64_t tasks)
{
	struct sched_stats sum;
	uint64_t deadline = clock_mono_ns() + 6 * DEADLINE_NS;
	unsigned queued = 0;

	memset(&mill, 0, sizeof(mill));
	mill.sched = started_sched(workers, ring_size);
	mill.budget = tasks;
	for (int i = 0; i < POOL; i++)
		mill.pool[i].task.run = turn_mill;
	/* This thread keeps it going where the workers have let it die out. */
	for (size_t i = 0;
	     ck_pr_load_64(&mill.done) < tasks && clock_mono_ns() < deadline;
	     i++) {
		submit_member(&mill.pool[i % POOL]);
		usleep(20);
	}
	sched_stop(mill.sched);
	for (int i = 0; i < POOL; i++)
		queued += mill.pool[i].queued;
	sum = total(mill.sched);
	ok(mill.wrong == 0, "%u workers, rings of %u: none runs twice", workers,
	   ring_size);
	ok(mill.done == tasks && queued == 0 && sum.tasks == tasks,
	   "none is lost: %llu run, %llu stolen, %llu overflows",
	   (unsigned long long)mill.done, (unsigned long long)sum.stolen,
	   (unsigned long long)sum.overflows);
	sched_destroy(mill.sched);
}

/* ---- waking ------------------------------------------------------------- */

/* This thread, and those that it starts, use the first or the last processor
 * of `all`. */
static void
stay_on(const cpu_set_t *all, bool last)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, all))
			continue;
		if (last)
			CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (!last)
			break;
	}
	sched_setaffinity(0, sizeof(one), &one);
}

/* Apart, or the worker would run in the middle of the submit that wakes it,
 * and have parked again before the next. */
static struct sched *
started_elsewhere(unsigned workers, const cpu_set_t *all)
{
	struct sched *sched;

	stay_on(all, true);
	sched = started_sched(workers, 0);
	stay_on(all, false);
	return sched;
}

/* Have they parked often enough for a wake-up to be lost? On a busy machine
 * they find the next task before they get there. */
static bool
have_parked(const struct sched *sched, unsigned rounds)
{
	return total(sched).parks > rounds / 10;
}

/* The first submit wakes a worker; the second comes at any moment of its way
 * through the task and back into the park, some 10 us later. */
static void
no_wake_up_is_lost(unsigned workers, unsigned rounds)
{
	cpu_set_t all;
	int rc = sched_getaffinity(0, sizeof(all), &all);
	struct sched *sched = started_elsewhere(workers, &all);
	struct ping first = { .task.run = answer };
	struct ping second = { .task.run = answer };
	uint64_t end_ns = clock_mono_ns() + DEADLINE_NS;
	unsigned round = 0;

	while (round < rounds ||
	       (!have_parked(sched, rounds) && clock_mono_ns() < end_ns)) {
		sched_submit(sched, &first.task);
		for (unsigned i = 0; i < round * 7 % 512; i++)
			ck_pr_stall();
		sched_submit(sched, &second.task);
		round++;
		if (!wait_for_count(&first.answered, round) ||
		    !wait_for_count(&second.answered, round))
			break;
	}
	ok(first.answered == round && second.answered == round,
	   "%u workers: 2 x %u submits, each answered", workers, round);
	ok(have_parked(sched, rounds),
	   "by workers that had parked (%llu times)",
	   (unsigned long long)total(sched).parks);
	stop_sched(sched);
	rc |= sched_setaffinity(0, sizeof(all), &all);
	assert(rc == 0);
}

/* ---- stealing ----------------------------------------------------------- */

struct blocker {
	struct task task;
	struct sched *sched;
	struct ping child;
	bool stolen;
	uint64_t done;
};

static void
block_until_child_has_run(struct task *task)
{
	struct blocker *blocker = CONTAINER_OF(task, struct blocker, task);
	uint64_t deadline = clock_mono_ns() + DEADLINE_NS;

	blocker->child.task.run = answer;
	sched_submit(blocker->sched, &blocker->child.task);
	while (!ck_pr_load_64(&blocker->child.answered) &&
	       clock_mono_ns() < deadline)
		ck_pr_stall();
	blocker->stolen = ck_pr_load_64(&blocker->child.answered);
	ck_pr_fence_store();
	ck_pr_store_64(&blocker->done, 1);
}

static void
idle_worker_takes_what_a_busy_one_has(void)
{
	struct blocker blocker = { .task.run = block_until_child_has_run,
				   .sched = started_sched(2, 0) };

	sched_submit(blocker.sched, &blocker.task);
	ok(wait_for_count(&blocker.done, 1) && blocker.stolen,
	   "what waits behind a long task is stolen");
	sched_stop(blocker.sched);
	is_u64(total(blocker.sched).stolen, 1, "once");
	sched_destroy(blocker.sched);
}

/* A burst that is over before the first worker that it wakes is awake: it
 * shares a processor with it. On two, it may have begun, and then the next is
 * woken. */
enum { BURST = 64, SLEEPERS = 7 };

struct burst {
	struct task task;
	struct sched *sched;
	struct ping pings[BURST];
	uint64_t wakes;
	uint64_t done;
};

static void
submit_many(struct task *task)
{
	struct burst *burst = CONTAINER_OF(task, struct burst, task);
	struct sched_stats before, after;

	sched_stats(burst->sched, sched_worker_index(), &before);
	for (int i = 0; i < BURST; i++)
		sched_submit(burst->sched, &burst->pings[i].task);
	sched_stats(burst->sched, sched_worker_index(), &after);
	burst->wakes = after.wakes - before.wakes;
	ck_pr_store_64(&burst->done, burst->done + 1);
}

static void
a_burst_wakes_one(void)
{
	struct burst burst = { .task.run = submit_many };
	uint64_t fewest = UINT64_MAX;
	cpu_set_t all, one;
	int first = 0;

	if (sched_getaffinity(0, sizeof(all), &all))
		abort();
	while (!CPU_ISSET(first, &all))
		first++;
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		abort();
	burst.sched = started_sched(1 + SLEEPERS, 0);
	if (sched_setaffinity(0, sizeof(all), &all))
		abort();
	for (int i = 0; i < BURST; i++)
		burst.pings[i].task.run = answer;
	for (unsigned round = 1; round <= 20; round++) {
		sleep_ms(2);
		sched_submit(burst.sched, &burst.task);
		if (!wait_for_count(&burst.done, round))
			break;
		for (int i = 0; i < BURST; i++)
			wait_for_count(&burst.pings[i].answered, round);
		if (burst.wakes < fewest)
			fewest = burst.wakes;
	}
	/* More where the kernel lets the woken one go first. */
	ok(fewest <= 2, "of %d sleepers, %llu", SLEEPERS,
	   (unsigned long long)fewest);
	stop_sched(burst.sched);
}

struct sliced {
	struct task task;
	struct sched *sched;
	uint64_t calls, parts, done;
};

/* A long task that shares: parts of a slice, until 20 were needed. */
static void
run_a_part(struct task *task)
{
	struct sliced *sliced = CONTAINER_OF(task, struct sliced, task);

	while (!sched_slice_over())
		sliced->calls++;
	if (++sliced->parts < 20)
		sched_submit(sliced->sched, &sliced->task);
	else
		ck_pr_store_64(&sliced->done, 1);
}

static void
slices_end_in_time(void)
{
	struct sched *sched = started_sched(1, 0);
	struct sliced sliced = { .task.run = run_a_part, .sched = sched };
	uint64_t begun = clock_mono_ns(), took;

	sched_submit(sched, &sliced.task);
	ok(wait_for_count(&sliced.done, 1), "20 slices come to an end");
	took = clock_mono_ns() - begun;
	ok(took >= 20 * 200 * NS_PER_US, "each is 200 us (%llu us in all)",
	   (unsigned long long)(took / NS_PER_US));
	ok(sliced.calls > 20 * 16, "and asks often (%llu times)",
	   (unsigned long long)sliced.calls);
	stop_sched(sched);
}

static void
idle_workers_sleep(void)
{
	struct sched *sched = started_sched(4, 0);
	struct sched_stats before, after;
	uint64_t busy = 0;

	sleep_ms(50);
	before = total(sched);
	sleep_ms(200);
	after = total(sched);
	is_u64(after.parks, before.parks, "nobody wakes for nothing");
	for (unsigned i = 0; i < 4; i++) {
		sched_stats(sched, i, &after);
		busy += after.busy_ns;
	}
	ok(busy < 4 * 100 * NS_PER_MS, "and that is not counted as busy");
	stop_sched(sched);
}

static void
tasks_that_wait_are_left_at_the_end(void)
{
	struct sched *sched = new_sched(2, 0);
	struct ping ping = { .task.run = answer };

	sched_submit(sched, &ping.task);
	sched_stop(sched);
	sched_destroy(sched);
	is_u64(ping.answered, 0, "a scheduler that never ran runs nothing");
}

int
main(void)
{
	uint64_t tasks = tap_rounds("SCHED_TASKS", 1000000 / SLOWER);
	unsigned rounds = (unsigned)tap_rounds("SCHED_ROUNDS", 10000 / SLOWER);

	wrong_options_are_refused();
	workers_begin_and_end();
	tasks_from_outside_run_in_order();
	busy_queue_does_not_starve_the_injector();
	every_task_runs_once(4, 2, tasks);
	every_task_runs_once(3, 4, tasks);
	every_task_runs_once(2, 256, tasks);
	no_wake_up_is_lost(1, rounds);
	no_wake_up_is_lost(2, rounds);
	no_wake_up_is_lost(4, rounds);
	idle_worker_takes_what_a_busy_one_has();
	a_burst_wakes_one();
	slices_end_in_time();
	idle_workers_sleep();
	tasks_that_wait_are_left_at_the_end();
	return tap_done();
}
