/* SPDX-License-Identifier: MIT */
/*
 * The run queue by itself, and the injector. RUNQ_TASKS sets how many tasks
 * go through each crowd.
 */
#include "core/injector.h"
#include "core/runq.h"
#include "tests/tap.h"
#include "tests/waiting.h"

static struct runq
new_runq(unsigned size)
{
	struct runq runq;
	enum err err = runq_init(&runq, size);

	assert(!err);
	return runq;
}

static void
empty_queue_gives_nothing(void)
{
	struct runq runq = new_runq(4);

	ok(!runq_take(&runq), "nothing to pop");
	ok(!runq_take(&runq), "nothing to steal");
	ok(runq_is_empty(&runq) && runq_stealable(&runq) == 0, "it is empty");
	is_u64(runq_room(&runq), 3, "a ring of 4 has room for 3");
	runq_fini(&runq);
}

static void
full_queue_refuses(void)
{
	static const unsigned sizes[] = { 2, 4, 256 };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct runq runq = new_runq(sizes[i]);
		struct task task = { 0 };
		unsigned pushed = 0;

		while (runq_push(&runq, &task))
			pushed++;
		ok(pushed == sizes[i] - 1, "a ring of %u takes %u", sizes[i],
		   sizes[i] - 1);
		ok(runq_room(&runq) == 0, "then it has no room");
		ok(runq_take(&runq) && runq_push(&runq, &task),
		   "one out, one in");
		runq_fini(&runq);
	}
}

static void
order_holds_over_wraps(void)
{
	struct runq runq = new_runq(4);
	struct task tasks[4096];
	size_t in = 0, out = 0;
	bool ordered = true;

	while (out < ARRAY_LEN(tasks)) {
		while (in < ARRAY_LEN(tasks) && runq_push(&runq, &tasks[in]))
			in++;
		ordered &= runq_take(&runq) == &tasks[out++];
		if (out < in)
			ordered &= runq_take(&runq) == &tasks[out++];
	}
	ok(ordered, "first in, first out, popped or stolen, over 1000 wraps");
	ok(runq_is_empty(&runq), "and empty at the end");
	runq_fini(&runq);
}

/* ---- a crowd ------------------------------------------------------------ */

enum { THIEVES = 3, POOL = 64 };

/* Out of the queue or in it; each may be true once at a time. */
struct parcelled {
	struct task task;
	alignas(CACHE_LINE) unsigned queued;
};

static struct crowd {
	struct runq runq;
	struct parcelled pool[POOL];
	alignas(CACHE_LINE) unsigned done;
	alignas(CACHE_LINE) uint64_t taken;
	alignas(CACHE_LINE) unsigned wrong;
} crowd;

static void
take_out(struct task *task)
{
	struct parcelled *item = CONTAINER_OF(task, struct parcelled, task);

	if (!ck_pr_cas_uint(&item->queued, 1, 0))
		ck_pr_inc_uint(&crowd.wrong);
}

static void *
thief(void *argument)
{
	uint64_t taken = 0;

	while (!ck_pr_load_uint(&crowd.done)) {
		struct task *task = runq_take(&crowd.runq);

		if (task) {
			take_out(task);
			taken++;
		} else {
			sched_yield();
		}
	}
	ck_pr_add_64(&crowd.taken, taken);
	return NULL;
}

/* Where the ring is full the owner makes room, or leaves it to the thieves. */
static void
put_in(unsigned long n, uint64_t *popped)
{
	struct parcelled *item = &crowd.pool[n % POOL];

	/* Still with a thief, which has not yet said so. */
	while (ck_pr_load_uint(&item->queued))
		sched_yield();
	ck_pr_store_uint(&item->queued, 1);
	while (!runq_push(&crowd.runq, &item->task)) {
		struct task *task = n % 64 ? runq_take(&crowd.runq) : NULL;

		if (task) {
			take_out(task);
			++*popped;
		} else {
			sched_yield();
		}
	}
}

static void
every_task_is_taken_once(unsigned size, unsigned long tasks)
{
	pthread_t threads[THIEVES];
	uint64_t popped = 0;
	unsigned left = 0;

	memset(&crowd, 0, sizeof(crowd));
	crowd.runq = new_runq(size);
	for (int i = 0; i < THIEVES; i++)
		pthread_create(&threads[i], NULL, thief, NULL);
	for (unsigned long n = 0; n < tasks; n++)
		put_in(n, &popped);
	while (runq_stealable(&crowd.runq))
		sched_yield();
	ck_pr_store_uint(&crowd.done, 1);
	for (int i = 0; i < THIEVES; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < POOL; i++)
		left += crowd.pool[i].queued;
	ok(crowd.wrong == 0, "ring of %u: no task is taken twice", size);
	ok(left == 0, "ring of %u: none is left", size);
	ok(popped + crowd.taken == tasks,
	   "ring of %u: %lu tasks, %llu popped, %llu stolen", size, tasks,
	   (unsigned long long)popped, (unsigned long long)crowd.taken);
	runq_fini(&crowd.runq);
}

/* ---- the injector ------------------------------------------------------- */

static void
injector_keeps_the_order(void)
{
	struct injector injector;
	struct task tasks[100], *taken[32];
	unsigned in = 0, out = 0;
	bool ordered = true;

	injector_init(&injector);
	ok(injector_is_empty(&injector) &&
		   injector_take(&injector, taken, 32, 1) == 0,
	   "it begins empty");
	while (ordered && out < ARRAY_LEN(tasks)) {
		unsigned count;

		for (int i = 0; i < 7 && in < ARRAY_LEN(tasks); i++)
			injector_push(&injector, &tasks[in++]);
		count = injector_take(&injector, taken, 5, 1);
		for (unsigned i = 0; i < count; i++)
			ordered &= taken[i] == &tasks[out++];
	}
	ok(ordered, "first in, first out, over pushes between takes");
	ok(injector_is_empty(&injector) && !injector_is_ready(&injector),
	   "and ends empty");
}

static void
injector_gives_fair_shares(void)
{
	struct injector injector;
	struct task tasks[40], *taken[32];

	injector_init(&injector);
	for (size_t i = 0; i < ARRAY_LEN(tasks); i++)
		injector_push(&injector, &tasks[i]);
	is_u64(injector_take(&injector, taken, 32, 4), 11,
	       "a fourth of 40, and one");
	is_u64(injector_take(&injector, taken, 3, 1), 3, "no more than asked");
	is_u64(injector_take(&injector, taken, 32, 1), 26, "then the rest");
}

static void
injector_in_use_is_passed_by(void)
{
	struct injector injector;
	struct task task, *taken[1];

	injector_init(&injector);
	injector_push(&injector, &task);
	injector.taker = 1;
	ok(injector_take(&injector, taken, 1, 1) == 0,
	   "nobody waits for the one who takes");
	ok(!injector_is_empty(&injector) && !injector_is_ready(&injector),
	   "it is not empty, but not ready either");
}

enum { PRODUCERS = 3, TAKERS = 2 };

struct numbered {
	struct task task;
	unsigned producer;
	unsigned number;
};

static struct {
	struct injector injector;
	struct numbered *tasks[PRODUCERS];
	unsigned each;
	alignas(CACHE_LINE) uint64_t taken;
	alignas(CACHE_LINE) unsigned wrong;
} line;

static void *
producer(void *argument)
{
	struct numbered *tasks = argument;

	for (unsigned i = 0; i < line.each; i++)
		injector_push(&line.injector, &tasks[i].task);
	return NULL;
}

static void *
taker(void *argument)
{
	unsigned next[PRODUCERS] = { 0 };
	struct task *tasks[32];

	while (ck_pr_load_64(&line.taken) < PRODUCERS * (uint64_t)line.each) {
		unsigned count =
			injector_take(&line.injector, tasks, 32, TAKERS);

		for (unsigned i = 0; i < count; i++) {
			struct numbered *item =
				CONTAINER_OF(tasks[i], struct numbered, task);

			if (item->number < next[item->producer])
				ck_pr_inc_uint(&line.wrong);
			next[item->producer] = item->number + 1;
			item->number = UINT32_MAX; /* a second take is wrong */
		}
		ck_pr_add_64(&line.taken, count);
		if (count == 0)
			sched_yield();
	}
	return NULL;
}

static void
injector_serves_a_crowd(unsigned each)
{
	pthread_t threads[PRODUCERS + TAKERS];
	bool all = true;

	injector_init(&line.injector);
	line.each = each;
	for (unsigned p = 0; p < PRODUCERS; p++) {
		line.tasks[p] = calloc(each, sizeof(*line.tasks[p]));
		for (unsigned i = 0; i < each; i++) {
			line.tasks[p][i].producer = p;
			line.tasks[p][i].number = i;
		}
	}
	for (unsigned i = 0; i < TAKERS; i++)
		pthread_create(&threads[PRODUCERS + i], NULL, taker, NULL);
	for (unsigned i = 0; i < PRODUCERS; i++)
		pthread_create(&threads[i], NULL, producer, line.tasks[i]);
	for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	for (unsigned p = 0; p < PRODUCERS; p++) {
		for (unsigned i = 0; i < each; i++)
			all &= line.tasks[p][i].number == UINT32_MAX;
		free(line.tasks[p]);
	}
	ok(line.wrong == 0, "each taker sees each producer's order");
	ok(all && injector_is_empty(&line.injector), "and none is lost");
}

int
main(void)
{
	unsigned long tasks = tap_rounds("RUNQ_TASKS", 5000000 / SLOWER);

	/* A task that is lost would be waited for for ever. */
	alarm(600);
	empty_queue_gives_nothing();
	full_queue_refuses();
	order_holds_over_wraps();
	every_task_is_taken_once(2, tasks);
	every_task_is_taken_once(4, tasks);
	injector_keeps_the_order();
	injector_gives_fair_shares();
	injector_in_use_is_passed_by();
	injector_serves_a_crowd(1000000 / SLOWER);
	return tap_done();
}
