/* SPDX-License-Identifier: MIT */
/*
 * Fibers: order, fairness, waiting, where they run. FIBER_WAKES sets how many
 * wakes each fiber of the crowd gets.
 */
#include <stdlib.h>
#include <sys/eventfd.h>

#include "core/fiber_internal.h"
#include "tests/fibers.h"

/* ---- order -------------------------------------------------------------- */

/* Written by the one worker, read when `count` says so. */
static struct {
	char text[256];
	uint64_t count;
	uint64_t begun, go; /* atomic */
} notes;

static void
note(char name)
{
	notes.text[notes.count % (sizeof(notes.text) - 1)] = name;
	bump(&notes.count);
}

static void
note_once(struct fiber_task *task)
{
	note(probe_of(task)->name);
}

/* Not before all have begun, which takes longer than a turn. */
static void
note_thrice(struct fiber_task *task)
{
	bump(&notes.begun);
	while (!ck_pr_load_64(&notes.go))
		fiber_yield();
	for (int i = 0; i < 3; i++) {
		note(probe_of(task)->name);
		fiber_yield();
	}
}

static void
run_noting(unsigned count, fiber_fn run, uint64_t expected)
{
	struct sched *sched = new_sched(1);
	struct probe probes[26] = { 0 };

	memset(&notes, 0, sizeof(notes));
	for (unsigned i = 0; i < count; i++) {
		probes[i].name = (char)('a' + i);
		submit(sched, &probes[i], run);
	}
	start(sched);
	if (run == note_thrice)
		wait_for_count(&notes.begun, count);
	bump(&notes.go);
	ok(wait_for_count(&notes.count, expected), "%u fibers run", count);
	stop(sched);
}

static void
fibers_begin_in_the_order_of_their_submits(void)
{
	run_noting(26, note_once, 26);
	is_str(notes.text, "abcdefghijklmnopqrstuvwxyz", "first in, first out");
}

static void
fibers_that_yield_take_turns(void)
{
	bool good = true;

	run_noting(4, note_thrice, 12);
	/* Any order, but always the same. */
	for (int i = 0; i < 12; i++)
		good &= notes.text[i] == notes.text[i % 4];
	for (char name = 'a'; name <= 'd'; name++)
		good &= memchr(notes.text, name, 4) != NULL;
	ok(good, "in the order in which they yield (%s)", notes.text);
}

static void
end_and_free(struct fiber_task *task)
{
	struct probe *probe = probe_of(task);
	uint64_t *done = &probe->other->done;

	free(probe);
	bump(done);
}

static void
run_may_free_the_task(void)
{
	struct sched *sched = started_sched(2);
	struct probe owner = { 0 };
	struct sched_stats sum;

	for (int i = 0; i < 100; i++) {
		struct probe *probe = calloc(1, sizeof(*probe));

		assert(probe);
		probe->other = &owner;
		submit(sched, probe, end_and_free);
	}
	ok(wait_for_count(&owner.done, 100), "100 tasks free themselves");
	sched_stop(sched);
	sum = total(sched);
	ok(sum.fibers == 100 && sum.fibers_ended == 100,
	   "and are counted as begun and ended");
	ok(sum.fiber_stacks <= 2, "one stack a worker is enough (%llu)",
	   (unsigned long long)sum.fiber_stacks);
	sched_destroy(sched);
	ok(!fiber_self(), "this thread is no fiber");
}

/* ---- fairness ----------------------------------------------------------- */

/* Fibers that never end, on one worker with a source. One of them leaves work
 * for the source and for the queue, and counts the turns of all fibers until
 * that has run. */
static struct {
	struct sched *sched;
	struct source source;
	struct task task;
	struct probe probes[4];
	uint64_t turns;              /* slices that fibers used; the worker's */
	uint64_t source_at, task_at; /* when it was left there; 0: it has run */
	uint64_t source_worst, task_worst;
	uint64_t source_runs, task_runs; /* atomic */
} fair;

static void
fair_source(struct source *source, struct source_run *result)
{
	eventfd_t count;

	(void)result;
	if (eventfd_read(source->fd, &count))
		return;
	if (fair.turns - fair.source_at > fair.source_worst)
		fair.source_worst = fair.turns - fair.source_at;
	fair.source_at = 0;
	bump(&fair.source_runs);
}

static void
fair_task(struct task *task)
{
	(void)task;
	if (fair.turns - fair.task_at > fair.task_worst)
		fair.task_worst = fair.turns - fair.task_at;
	fair.task_at = 0;
	bump(&fair.task_runs);
}

static void
leave_work(void)
{
	if (!fair.source_at) {
		fair.source_at = fair.turns;
		if (eventfd_write(fair.source.fd, 1))
			abort();
	}
	if (!fair.task_at) {
		fair.task_at = fair.turns;
		sched_submit(fair.sched, &fair.task);
	}
}

static void
never_end(struct fiber_task *task)
{
	for (;;) {
		while (!fiber_slice_over())
			ck_pr_stall();
		fair.turns++;
		/* Not while some of them have not begun, and wait as tasks. */
		if (probe_of(task) == &fair.probes[0] && fair.turns > 20)
			leave_work();
		fiber_yield();
		bump(&probe_of(task)->done);
	}
}

static void
endless_fibers_starve_nobody(void)
{
	enum { ROUNDS = 200 };
	uint64_t fewest = UINT64_MAX, most = 0;
	struct sched_stats stats;
	enum err err;

	fair.sched = new_sched(1);
	fair.turns = 1; /* 0 says nothing is there */
	fair.task.run = fair_task;
	fair.source.run = fair_source;
	fair.source.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	err = sched_add_source(fair.sched, &fair.source);
	assert(!err);
	for (size_t i = 0; i < ARRAY_LEN(fair.probes); i++)
		submit(fair.sched, &fair.probes[i], never_end);
	start(fair.sched);
	ok(wait_for_count(&fair.source_runs, ROUNDS), "the source runs");
	ok(wait_for_count(&fair.task_runs, ROUNDS), "tasks run");
	sched_stop(fair.sched);
	for (size_t i = 0; i < ARRAY_LEN(fair.probes); i++) {
		uint64_t done = fair.probes[i].done;

		fewest = done < fewest ? done : fewest;
		most = done > most ? done : most;
	}
	ok(fair.source_worst <= 2, "a source waits for %llu slices at most",
	   (unsigned long long)fair.source_worst);
	ok(fair.task_worst <= 2, "a task for %llu",
	   (unsigned long long)fair.task_worst);
	ok(fewest > 0 && most - fewest <= 2, "the fibers have equal shares");
	sched_stats(fair.sched, 0, &stats);
	ok(stats.parks <= 2, "the worker does not park meanwhile");
	sched_destroy(fair.sched);
	close(fair.source.fd);
}

/* Endless ones and a stream of new ones, each of which takes its slice. */
static void
use_a_slice(struct fiber_task *task)
{
	struct probe *probe = probe_of(task);

	while (!fiber_slice_over())
		ck_pr_stall();
	bump(&probe->done);
	fiber_submit(probe->sched, &probe->task);
}

static void
new_fibers_do_not_starve_old_ones(void)
{
	struct sched *sched = new_sched(1);
	struct probe endless = { 0 }, fresh[2] = { 0 };

	submit(sched, &endless, never_end);
	submit(sched, &fresh[0], use_a_slice);
	submit(sched, &fresh[1], use_a_slice);
	start(sched);
	ok(wait_for_count(&endless.done, 20), "the old one has its turns");
	ok(wait_for_count(&fresh[0].done, 20) &&
		   wait_for_count(&fresh[1].done, 20),
	   "and so have the new ones");
	stop(sched);
}

/* On the source's home worker, which does nothing else meanwhile. */
static void
leave_work_and_hold_on(struct fiber_task *task)
{
	struct probe *probe = probe_of(task);
	uint64_t deadline = clock_mono_ns() + DEADLINE_NS;

	probe->result = false;
	probe->second = sched_worker_index() == fair.source.home;
	if (probe->second) {
		leave_work();
		while (!probe->result && clock_mono_ns() < deadline) {
			(void)fiber_slice_over();
			probe->result = ck_pr_load_64(&fair.source_runs) &&
					ck_pr_load_64(&fair.task_runs);
		}
	}
	bump(&probe->done);
}

static void
others_help_while_a_fiber_is_over_its_slice(void)
{
	struct probe probe = { 0 };
	uint64_t tries = 0;
	enum err err;

	memset(&fair, 0, sizeof(fair));
	fair.sched = new_sched(2);
	fair.turns = 1;
	fair.task.run = fair_task;
	fair.source.run = fair_source;
	fair.source.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	err = sched_add_source(fair.sched, &fair.source);
	assert(!err);
	start(fair.sched);
	while (!probe.second && tries < 10000) {
		submit(fair.sched, &probe, leave_work_and_hold_on);
		if (!wait_for_count(&probe.done, ++tries))
			break;
	}
	ok(probe.second && probe.result,
	   "another worker runs its source and its task");
	stop(fair.sched);
	close(fair.source.fd);
}

/* ---- waiting ------------------------------------------------------------ */

static void
wake_other(struct fiber_task *task)
{
	struct probe *probe = probe_of(task);

	if (wait_for_count(&probe->other->begun, 1))
		fiber_wake(probe->other->self);
	bump(&probe->ended);
}

static void
a_fiber_of_the_same_worker_wakes(void)
{
	struct sched *sched = new_sched(1);
	struct probe waiter = { 0 }, waker = { .other = &waiter };

	submit(sched, &waiter, wait_once);
	submit(sched, &waker, wake_other);
	start(sched);
	ok(wait_for_count(&waiter.ended, 1) && waiter.result, "it is woken");
	stop(sched);
}

static void
a_fiber_of_another_worker_wakes(void)
{
	struct sched *sched = started_sched(4);
	bool good = true;

	/* Submitted from outside, so they land where they will. */
	for (int i = 0; good && i < 200 / SLOWER + 10; i++) {
		struct probe waiter = { 0 }, waker = { .other = &waiter };

		submit(sched, &waiter, wait_once);
		submit(sched, &waker, wake_other);
		good = wait_for_count(&waiter.ended, 1) && waiter.result &&
		       wait_for_count(&waker.ended, 1);
	}
	ok(good, "each is woken");
	stop(sched);
}

/* Two threads on two processors, if there are as many: the worker has parked,
 * or is about to, when the wake comes. A wake that is lost is made good when
 * the worker wakes to trim its stacks, a second later. */
static void
a_foreign_thread_wakes(void)
{
	struct sched *sched = started_sched(1);
	bool good = true;
	struct sched_stats stats;
	unsigned rounds = 10000 / SLOWER, late = 0;

	for (unsigned i = 0; good && i < rounds; i++) {
		struct probe waiter = { 0 };
		uint64_t woken;

		submit(sched, &waiter, wait_once);
		good = wait_for_count(&waiter.begun, 1);
		for (unsigned n = 0; n < i % 128; n++)
			ck_pr_stall();
		woken = clock_mono_ns();
		fiber_wake(waiter.self);
		good &= wait_for_count(&waiter.ended, 1) && waiter.result;
		late += clock_mono_ns() - woken > NS_PER_S / 2;
	}
	ok(good, "%u times, each is woken", rounds);
	/* The machine may have been busy. */
	ok(late <= 2, "when the wake comes, and not by the next look (%u)",
	   late);
	sched_stats(sched, 0, &stats);
	ok(stats.parks > rounds / 10, "by a worker that had parked (%llu)",
	   (unsigned long long)stats.parks);
	stop(sched);
}

enum { BURST = 100 };

/* Until all of them have begun, so each needs a stack. */
static void
wait_for_all(struct fiber_task *task)
{
	struct probe *owner = probe_of(task)->other;

	bump(&owner->begun);
	while (ck_pr_load_64(&owner->begun) < BURST)
		fiber_yield();
	bump(&owner->done);
}

static void
burst(struct sched *sched)
{
	static struct probe probes[BURST];
	struct probe owner = { 0 };

	for (unsigned i = 0; i < BURST; i++) {
		probes[i] = (struct probe){ .other = &owner };
		submit(sched, &probes[i], wait_for_all);
	}
	(void)wait_for_count(&owner.done, BURST);
}

/* The stacks of a burst stay for the next ones, and are given back when there
 * are no more. */
static void
stacks_that_are_used_stay(void)
{
	enum { KEPT = 16 };
	struct sched *sched = started_sched(1);
	struct sched_stats stats;
	uint64_t begin = clock_mono_ns(), now, last = begin, pause = 0, least;

	/* Two looks for stacks that nobody used, at least. */
	burst(sched);
	sched_stats(sched, 0, &stats);
	least = stats.fiber_stacks;
	while ((now = clock_mono_ns()) - begin < 5 * NS_PER_S / 2) {
		burst(sched);
		sleep_ms(2);
		sched_stats(sched, 0, &stats);
		if (stats.fiber_stacks < least)
			least = stats.fiber_stacks;
		if (now - last > pause)
			pause = now - last;
		last = now;
	}
	/* Where the machine stood still they were not used. */
	ok(least >= BURST || pause > NS_PER_S,
	   "%llu stacks stay while they are used", (unsigned long long)least);
	for (unsigned i = 0; i < 1000 && stats.fiber_stacks > KEPT; i++) {
		sleep_ms(10);
		sched_stats(sched, 0, &stats);
	}
	is_u64(stats.fiber_stacks, KEPT, "the others are given back later");
	stop(sched);
}

/* The moment between a worker's last look at its inbox and its park is filled
 * with a long run of a source that it helps with. */
static struct {
	struct source sources[2];
	struct probe waiter;
	struct task holders[2]; /* fibers would leave stacks to be trimmed */
	uint64_t helps, woken, held; /* atomic */
} gap;

static void
be_helped(struct source *source, struct source_run *result)
{
	unsigned index = sched_worker_index();

	(void)result;
	if (source->home == index || index != gap.waiter.number)
		return;
	bump(&gap.helps);
	(void)wait_for_count(&gap.woken, 1);
}

static void
wait_somewhere(struct fiber_task *task)
{
	gap.waiter.number = sched_worker_index();
	wait_once(task);
}

/* One on each worker, until the other one is held by the second. */
static void
hold_another_worker(struct task *task)
{
	(void)task;
	if (sched_worker_index() == gap.waiter.number) {
		(void)wait_for_count(&gap.held, 1);
		return;
	}
	sched_expect_long();
	bump(&gap.held);
	(void)wait_for_count(&gap.waiter.ended, 1);
}

static void
a_wake_just_before_the_park_is_seen(void)
{
	struct sched *sched = new_sched(2);
	bool good;

	memset(&gap, 0, sizeof(gap));
	for (int i = 0; i < 2; i++) {
		enum err err;

		gap.sources[i].run = be_helped;
		gap.sources[i].fd = -1;
		err = sched_add_source(sched, &gap.sources[i]);
		assert(!err);
	}
	submit(sched, &gap.waiter, wait_somewhere);
	start(sched);
	good = wait_for_count(&gap.waiter.begun, 1);
	for (int i = 0; i < 2; i++) {
		gap.holders[i].run = hold_another_worker;
		sched_submit(sched, &gap.holders[i]);
	}
	good &= wait_for_count(&gap.helps, 1);
	fiber_wake(gap.waiter.self);
	bump(&gap.woken);
	good &= wait_for_count(&gap.waiter.ended, 1) && gap.waiter.result;
	ok(good, "the fiber goes on");
	stop(sched);
}

static void
wait_and_note(struct fiber_task *task)
{
	announce(probe_of(task));
	(void)fiber_wait(UINT64_MAX);
	note(probe_of(task)->name);
}

static void
hold_on(struct fiber_task *task)
{
	announce(probe_of(task));
	(void)wait_for_count(&probe_of(task)->done, 1);
}

static void
who_is_woken_first_goes_on_first(void)
{
	struct sched *sched = started_sched(1);
	struct probe probes[5] = { 0 }, holder = { 0 };
	bool good = true;

	memset(&notes, 0, sizeof(notes));
	for (int i = 0; i < 5; i++) {
		probes[i].name = (char)('a' + i);
		submit(sched, &probes[i], wait_and_note);
		good &= wait_for_count(&probes[i].begun, 1);
	}
	/* So that all wakes are there before the worker looks. */
	submit(sched, &holder, hold_on);
	good &= wait_for_count(&holder.begun, 1);
	for (int i = 0; i < 5; i++)
		fiber_wake(probes[i * 2 % 5].self);
	bump(&holder.done);
	ok(good && wait_for_count(&notes.count, 5), "five go on");
	is_str(notes.text, "acebd", "in the order of their wakes");
	stop(sched);
}

static void
wait_twice_late(struct fiber_task *task)
{
	struct probe *probe = probe_of(task);

	announce(probe);
	wait_for_count(&probe->done, 1);
	probe->result = fiber_wait(0) && fiber_wait(UINT64_MAX);
	probe->second = fiber_wait(0);
	bump(&probe->ended);
}

static void
wakes_before_a_wait_are_counted(void)
{
	struct sched *sched = started_sched(1);
	struct probe probe = { 0 };

	submit(sched, &probe, wait_twice_late);
	wait_for_count(&probe.begun, 1);
	fiber_wake(probe.self);
	fiber_wake(probe.self);
	bump(&probe.done);
	ok(wait_for_count(&probe.ended, 1) && probe.result,
	   "two wakes end two waits at once");
	ok(!probe.second, "and not a third");
	stop(sched);
}

static void
wait_once_late(struct fiber_task *task)
{
	struct probe *probe = probe_of(task);

	announce(probe);
	wait_for_count(&probe->done, 1);
	probe->result = fiber_wait(UINT64_MAX);
	bump(&probe->begun);
	wait_for_count(&probe->done, 2);
	bump(&probe->ended);
}

static void
wait_in_vain(struct fiber_task *task)
{
	struct probe *probe = probe_of(task);

	announce(probe);
	probe->result = fiber_wait(clock_mono_ns() + NS_PER_MS);
	bump(&probe->ended);
}

static void
wakes_that_nobody_waited_for_end_with_the_fiber(void)
{
	struct sched *sched = started_sched(1);
	struct probe first = { 0 }, second = { 0 };
	bool good;

	submit(sched, &first, wait_once_late);
	good = wait_for_count(&first.begun, 1);
	fiber_wake(first.self);
	fiber_wake(first.self);
	bump(&first.done);
	/* One of the two is taken. The third lies in the inbox. */
	good &= wait_for_count(&first.begun, 2);
	fiber_wake(first.self);
	bump(&first.done);
	good &= wait_for_count(&first.ended, 1);
	submit(sched, &second, wait_in_vain);
	good &= wait_for_count(&second.ended, 1);
	ok(good && first.self == second.self, "the same stack twice");
	ok(first.result && !second.result, "the second has none of them");
	stop(sched);
}

static void
wait_5_ms(struct fiber_task *task)
{
	struct probe *probe = probe_of(task);
	uint64_t begun = clock_mono_ns();

	announce(probe);
	probe->result = fiber_wait(begun + 5 * NS_PER_MS);
	probe->number = clock_mono_ns() - begun;
	bump(&probe->done);
	probe->second = fiber_wait(UINT64_MAX);
	bump(&probe->ended);
}

static void
a_wait_ends_with_its_time(void)
{
	struct sched *sched = started_sched(1);
	struct probe probe = { 0 };

	submit(sched, &probe, wait_5_ms);
	ok(wait_for_count(&probe.done, 1) && !probe.result, "it was not woken");
	ok(probe.number >= 5 * NS_PER_MS && probe.number < DEADLINE_NS,
	   "after 5 ms (%llu us)", (unsigned long long)(probe.number / 1000));
	fiber_wake(probe.self);
	ok(wait_for_count(&probe.ended, 1) && probe.second,
	   "the wake that comes late is for the next wait");
	stop(sched);
}

enum { TIMERS = SLOWER > 1 ? 100 : 500 };
static struct {
	struct probe probes[TIMERS];
	uint64_t base_ns; /* atomic: when all have begun */
	uint64_t last_ns;
	uint64_t wrong, early, ended; /* of the one worker */
} timers;

static void
wait_until(struct fiber_task *task)
{
	struct probe *probe = probe_of(task);
	bool woken;

	announce(probe);
	while (!ck_pr_load_64(&timers.base_ns))
		fiber_yield();
	probe->number += timers.base_ns;
	woken = fiber_wait(probe->number);
	if (clock_mono_ns() < probe->number)
		timers.early++;
	/* Every third is woken long before its time. */
	if (woken != (probe->name % 3 == 0) ||
	    (!woken && probe->number < timers.last_ns))
		timers.wrong++;
	if (!woken)
		timers.last_ns = probe->number;
	bump(&timers.ended);
}

/* The heap: taken from the top, and from anywhere. */
static void
waits_end_in_the_order_of_their_times(void)
{
	struct sched *sched = new_sched(1);

	memset(&timers, 0, sizeof(timers));
	for (size_t i = 0; i < TIMERS; i++) {
		struct probe *probe = &timers.probes[i];

		probe->name = (char)(i % 3);
		probe->number = (i * 7919 % TIMERS) * 100 * NS_PER_US;
		submit(sched, probe, wait_until);
	}
	start(sched);
	for (size_t i = 0; i < TIMERS; i++)
		wait_for_count(&timers.probes[i].begun, 1);
	ck_pr_store_64(&timers.base_ns, clock_mono_ns() + 300 * NS_PER_MS);
	for (size_t i = 0; i < TIMERS; i += 3)
		fiber_wake(timers.probes[i].self);
	ok(wait_for_count(&timers.ended, TIMERS), "%d end", TIMERS);
	/* Those that were woken end before their time. */
	is_u64(timers.early, (TIMERS + 2) / 3, "none before its time");
	is_u64(timers.wrong, 0, "the earliest first");
	stop(sched);
}

static bool
is_heap(const struct fibers *heap)
{
	bool good = true;

	for (unsigned i = 0; i < heap->timer_count; i++) {
		const struct fiber *above = heap->timers[i ? (i - 1) / 2 : 0];

		good &= above->until_ns <= heap->timers[i]->until_ns &&
			heap->timers[i]->timer == (int)i;
	}
	return good;
}

/* The heap itself, with any of them taken out. */
static void
the_earliest_timer_is_first(void)
{
	enum { MANY = 200 };
	static struct fiber fibers[MANY];
	struct fiber *timers_of[MANY];
	struct fibers heap = { .timers = timers_of, .room = MANY };
	bool good = true;

	srand(1);
	for (int i = 0; i < MANY; i++)
		fibers[i].timer = NO_TIMER;
	for (int step = 0; good && step < 20000; step++) {
		struct fiber *fiber = &fibers[rand() % MANY];

		if (fiber->timer != NO_TIMER) {
			fiber_timer_remove(&heap, fiber);
		} else {
			fiber->until_ns = (uint64_t)(rand() % 1000);
			fiber_timer_add(&heap, fiber);
		}
		good = is_heap(&heap);
	}
	ok(good, "whatever is added and removed");
}

static void
waiting_fibers_let_their_worker_sleep(void)
{
	struct sched *sched = started_sched(2);
	struct probe probe = { 0 };
	struct sched_stats before, after;

	submit(sched, &probe, wait_once);
	wait_for_count(&probe.begun, 1);
	sleep_ms(50);
	before = total(sched);
	sleep_ms(200);
	after = total(sched);
	is_u64(after.parks, before.parks, "nobody wakes for nothing");
	fiber_wake(probe.self);
	ok(wait_for_count(&probe.ended, 1), "until it is woken");
	stop(sched);
}

/* ---- every wake once ---------------------------------------------------- */

enum { CROWD = 32, WAKERS = 3 };
static struct {
	struct probe probes[CROWD];
	uint64_t sent[CROWD];  /* atomic: before each wake */
	uint64_t taken[CROWD]; /* atomic: waits that returned true */
	uint64_t wakes;        /* for each */
	uint64_t late;         /* atomic: waits that returned false */
	uint64_t early;        /* atomic: a wake was taken twice */
	uint64_t ended;
} crowd;

static void
wait_in_the_crowd(struct fiber_task *task)
{
	struct probe *probe = probe_of(task);
	size_t i = (size_t)(probe - crowd.probes);

	announce(probe);
	while (crowd.taken[i] < crowd.wakes) {
		/* From no time at all to about as long as it takes. */
		uint64_t patience = (crowd.taken[i] * 37 % 100) * NS_PER_US;

		if (!fiber_wait(clock_mono_ns() + patience)) {
			ck_pr_inc_64(&crowd.late);
			if (probe->number++ % 64 == 0)
				fiber_yield();
			continue;
		}
		ck_pr_inc_64(&crowd.taken[i]);
		if (crowd.taken[i] > ck_pr_load_64(&crowd.sent[i]))
			ck_pr_inc_64(&crowd.early);
	}
	bump(&crowd.ended);
}

/* True: there was one left to send. */
static bool
send_wake(size_t i)
{
	uint64_t sent = ck_pr_load_64(&crowd.sent[i]);

	while (sent < crowd.wakes) {
		if (!ck_pr_cas_64_value(&crowd.sent[i], sent, sent + 1, &sent))
			continue;
		fiber_wake(crowd.probes[i].self);
		return true;
	}
	return false;
}

static void *
wake_the_crowd(void *argument)
{
	unsigned seed = (unsigned)(uintptr_t)argument;
	bool more = true;

	for (unsigned n = seed; more; n++) {
		more = false;
		for (size_t i = 0; i < CROWD; i++)
			more |= send_wake((i * seed + n) % CROWD);
		if (n % 16 == 0)
			usleep(100);
	}
	return NULL;
}

/* Wakers that are workers. */
static void
wake_the_crowd_as_a_fiber(struct fiber_task *task)
{
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = 0; i < CROWD; i++)
			more |= send_wake(i);
		fiber_yield();
	}
	bump(&probe_of(task)->ended);
}

static void
each_wake_of_a_crowd_is_taken_once(unsigned workers, uint64_t wakes)
{
	struct sched *sched = new_sched(workers);
	struct probe waker = { 0 };
	pthread_t threads[WAKERS];
	bool good = true;

	memset(&crowd, 0, sizeof(crowd));
	crowd.wakes = wakes;
	for (size_t i = 0; i < CROWD; i++)
		submit(sched, &crowd.probes[i], wait_in_the_crowd);
	start(sched);
	for (size_t i = 0; i < CROWD; i++)
		good &= wait_for_count(&crowd.probes[i].begun, 1);
	submit(sched, &waker, wake_the_crowd_as_a_fiber);
	for (size_t i = 0; i < WAKERS; i++)
		pthread_create(&threads[i], NULL, wake_the_crowd,
			       (void *)(2 * i + 1));
	for (size_t i = 0; i < WAKERS; i++)
		pthread_join(threads[i], NULL);
	good &= wait_for_count(&waker.ended, 1) &&
		wait_for_count(&crowd.ended, CROWD);
	ok(good, "%u workers: none of %d x %llu is lost (%llu were late)",
	   workers, CROWD, (unsigned long long)wakes,
	   (unsigned long long)crowd.late);
	is_u64(crowd.early, 0, "none is taken twice");
	stop(sched);
}

/* ---- where they run ----------------------------------------------------- */

static _Thread_local struct probe *own;
static struct {
	struct probe probes[64];
	unsigned submitter;
	uint64_t begun_elsewhere, moved, ended; /* atomic */
} homes;

static void
stay_at_home(struct fiber_task *task)
{
	struct probe *probe = probe_of(task);
	unsigned index = sched_worker_index();

	probe->number = index;
	if (index != homes.submitter)
		ck_pr_inc_64(&homes.begun_elsewhere);
	for (int i = 0; i < 50; i++) {
		own = probe;
		fiber_yield();
		if (i % 10 == 0)
			(void)fiber_wait(clock_mono_ns() + 50 * NS_PER_US);
		/* What another fiber of the same worker has left there. */
		if (sched_worker_index() != index || own->number != index)
			ck_pr_inc_64(&homes.moved);
	}
	bump(&homes.ended);
}

static void
submit_all(struct fiber_task *task)
{
	struct probe *probe = probe_of(task);

	homes.submitter = sched_worker_index();
	for (size_t i = 0; i < ARRAY_LEN(homes.probes); i++)
		submit(probe->sched, &homes.probes[i], stay_at_home);
	(void)wait_for_count(&homes.begun_elsewhere, 1);
	bump(&probe->ended);
}

static void
fibers_are_stolen_before_they_begin_and_never_after(void)
{
	struct sched *sched = started_sched(4);
	struct probe probe = { 0 };
	bool good;

	submit(sched, &probe, submit_all);
	good = wait_for_count(&homes.ended, ARRAY_LEN(homes.probes));
	ok(good, "64 end");
	ok(homes.begun_elsewhere > 0, "%llu began on another worker",
	   (unsigned long long)homes.begun_elsewhere);
	is_u64(homes.moved, 0, "none went on on another one");
	ok(total(sched).stolen >= homes.begun_elsewhere, "they were stolen");
	stop(sched);
}

/* A worker's ready fibers do not keep it from others' tasks. */
static void
answer(struct task *task)
{
	(void)task;
	bump(&fair.task_runs);
}

static void
block_with_a_task(struct fiber_task *task)
{
	struct probe *probe = probe_of(task);

	fair.task.run = answer;
	sched_submit(probe->sched, &fair.task);
	probe->result = wait_for_count(&fair.task_runs, 1);
	bump(&probe->ended);
}

static void
use_all_slices(struct fiber_task *task)
{
	for (;;) {
		while (!fiber_slice_over())
			ck_pr_stall();
		bump(&probe_of(task)->done);
		fiber_yield();
	}
}

static void
a_worker_with_ready_fibers_steals_tasks(void)
{
	struct sched *sched = new_sched(2);
	struct probe endless[2] = { 0 }, blocker = { 0 };

	memset(&fair, 0, sizeof(fair));
	submit(sched, &endless[0], use_all_slices);
	submit(sched, &endless[1], use_all_slices);
	start(sched);
	wait_for_count(&endless[0].done, 5);
	wait_for_count(&endless[1].done, 5);
	submit(sched, &blocker, block_with_a_task);
	ok(wait_for_count(&blocker.ended, 1) && blocker.result,
	   "that wait behind a long one");
	stop(sched);
}

static void
do_nothing(struct source *source, struct source_run *result)
{
	(void)source, (void)result;
}

static void
an_endless_fiber_does_not_keep_waking_others(void)
{
	struct sched *sched = new_sched(2);
	struct source sources[2] = { 0 };
	struct probe endless = { 0 };
	uint64_t slices, parks;

	/* One for each, so that something waits behind the fiber. */
	for (int i = 0; i < 2; i++) {
		enum err err;

		sources[i].run = do_nothing;
		sources[i].fd = -1;
		err = sched_add_source(sched, &sources[i]);
		assert(!err);
	}
	submit(sched, &endless, use_all_slices);
	start(sched);
	wait_for_count(&endless.done, 20);
	slices = ck_pr_load_64(&endless.done);
	parks = total(sched).parks;
	wait_for_count(&endless.done, slices + 200);
	parks = total(sched).parks - parks;
	ok(parks <= 20, "200 slices, and it parks %llu times",
	   (unsigned long long)parks);
	stop(sched);
}

/* ---- the end ------------------------------------------------------------ */

static void
yield_for_ever(struct fiber_task *task)
{
	announce(probe_of(task));
	for (;;)
		fiber_yield();
}

static void
wait_for_long(struct fiber_task *task)
{
	announce(probe_of(task));
	(void)fiber_wait(clock_mono_ns() + 100 * DEADLINE_NS);
	bump(&probe_of(task)->ended);
}

static void
stop_leaves_fibers_where_they_are(void)
{
	struct sched *sched = started_sched(2);
	struct probe probes[20] = { 0 }, late = { 0 };
	uint64_t ended = 0;
	bool good = true;

	for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
		static const fiber_fn kinds[] = { wait_once, wait_for_long,
						  yield_for_ever };

		submit(sched, &probes[i], kinds[i % 3]);
	}
	for (size_t i = 0; i < ARRAY_LEN(probes); i++)
		good &= wait_for_count(&probes[i].begun, 1);
	sched_stop(sched);
	submit(sched, &late, wait_once);
	fiber_wake(probes[0].self);
	sched_destroy(sched);
	for (size_t i = 0; i < ARRAY_LEN(probes); i++)
		ended += probes[i].ended;
	ok(good && ended == 0 && late.begun == 0,
	   "ready, waiting, and not begun");
}

int
main(void)
{
	uint64_t wakes = tap_rounds("FIBER_WAKES", 20000 / SLOWER);

	fibers_begin_in_the_order_of_their_submits();
	fibers_that_yield_take_turns();
	run_may_free_the_task();
	endless_fibers_starve_nobody();
	new_fibers_do_not_starve_old_ones();
	others_help_while_a_fiber_is_over_its_slice();
	a_fiber_of_the_same_worker_wakes();
	a_fiber_of_another_worker_wakes();
	a_foreign_thread_wakes();
	stacks_that_are_used_stay();
	a_wake_just_before_the_park_is_seen();
	who_is_woken_first_goes_on_first();
	wakes_before_a_wait_are_counted();
	wakes_that_nobody_waited_for_end_with_the_fiber();
	a_wait_ends_with_its_time();
	waits_end_in_the_order_of_their_times();
	the_earliest_timer_is_first();
	waiting_fibers_let_their_worker_sleep();
	each_wake_of_a_crowd_is_taken_once(1, wakes);
	each_wake_of_a_crowd_is_taken_once(4, wakes);
	fibers_are_stolen_before_they_begin_and_never_after();
	a_worker_with_ready_fibers_steals_tasks();
	an_endless_fiber_does_not_keep_waking_others();
	stop_leaves_fibers_where_they_are();
	return tap_done();
}
