/* SPDX-License-Identifier: MIT */
/*
 * Fibers that wait for their commits, over a store that counts.
 */
#include <stdlib.h>

#include "storage/lane.h"
#include "tests/fibers.h"

enum { FIBERS = 100 };

struct counter {
	struct lane *lane;
	uint64_t committed; /* the committer's; read when an item is done */
	uint64_t fault_at;  /* 0: never */
};

struct visitor {
	struct fiber_task task;
	struct counter *counter;
	struct fiber *fiber; /* atomic */
	unsigned rounds;
	unsigned failed; /* rounds with an outcome that is not expected */
	enum err last;
	uint64_t *strays_ended; /* NULL, or it may not end before */
};

static uint64_t ended; /* atomic */

static size_t
count_commit(void *store, struct lane_item **items, size_t count, bool *fault)
{
	struct counter *counter = store;

	for (size_t i = 0; i < count; i++) {
		counter->committed++;
		*fault |= counter->committed == counter->fault_at;
	}
	for (size_t i = 0; i < count; i++)
		items[i]->err = *fault                 ? ERR_FAULT
				: items[i]->bytes == 7 ? ERR_CONFLICT
						       : ERR_OK;
	return count;
}

/* Each item lives on the fiber's stack, for as long as the call does. */
static void
visit(struct fiber_task *task)
{
	struct visitor *visitor = CONTAINER_OF(task, struct visitor, task);

	ck_pr_store_ptr(&visitor->fiber, fiber_self());
	for (unsigned i = 0; i < visitor->rounds; i++) {
		struct lane_item item = { .ops = 1,
					  .bytes = i % 10,
					  .patient = true };
		enum err expected = i % 10 == 7 ? ERR_CONFLICT : ERR_OK;

		visitor->last = lane_commit_wait(visitor->counter->lane, &item);
		visitor->failed += visitor->last != expected;
		memset(&item, 0xa5, sizeof(item));
	}
	while (visitor->strays_ended && !ck_pr_load_64(visitor->strays_ended))
		fiber_yield();
	bump(&ended);
}

static void
open_counter(struct counter *counter)
{
	struct lane_options options = {
		.name = "counter",
		.store = counter,
		.commit = count_commit,
	};

	if (lane_open(&counter->lane, &options) != ERR_OK)
		abort();
}

static struct visitor *
send_visitors(struct sched *sched, struct counter *counter, unsigned rounds,
	      uint64_t *strays_ended)
{
	struct visitor *visitors = calloc(FIBERS, sizeof(*visitors));

	ended = 0;
	for (unsigned i = 0; i < FIBERS; i++) {
		visitors[i] = (struct visitor){
			.task = { .run = visit, .name = "visitor" },
			.counter = counter,
			.rounds = rounds,
			.strays_ended = strays_ended,
		};
		fiber_submit(sched, &visitors[i].task);
	}
	return visitors;
}

static unsigned
failures(const struct visitor *visitors)
{
	unsigned count = 0;

	for (unsigned i = 0; i < FIBERS; i++)
		count += visitors[i].failed;
	return count;
}

static void
each_goes_on_with_the_outcome_of_its_own(void)
{
	unsigned rounds = (unsigned)tap_rounds("LANE_FIBER_ROUNDS", 100);
	struct counter counter = { 0 };
	struct sched *sched = new_sched(2);
	struct visitor *visitors;

	open_counter(&counter);
	start(sched);
	visitors = send_visitors(sched, &counter, rounds, NULL);
	ok(wait_for_count(&ended, FIBERS), "%u fibers, %u commits each", FIBERS,
	   rounds);
	is_u64(failures(visitors), 0, "each has its outcome");
	lane_close(counter.lane);
	is_u64(counter.committed, (uint64_t)FIBERS * rounds, "each item once");
	stop(sched);
	free(visitors);
}

/* Somebody else may wake a fiber at any time: a client that left. */
static void
a_stray_wake_does_not_end_the_wait(void)
{
	struct counter counter = { 0 };
	struct sched *sched = new_sched(2);
	uint64_t strays_ended = 0;
	struct visitor *visitors;

	open_counter(&counter);
	start(sched);
	visitors = send_visitors(sched, &counter, 50, &strays_ended);
	for (unsigned i = 0; i < 5000; i++) {
		struct fiber *fiber =
			ck_pr_load_ptr(&visitors[i % FIBERS].fiber);

		if (fiber)
			fiber_wake(fiber);
	}
	ck_pr_store_64(&strays_ended, 1);
	ok(wait_for_count(&ended, FIBERS), "all end");
	is_u64(failures(visitors), 0, "each has its outcome");
	lane_close(counter.lane);
	is_u64(counter.committed, FIBERS * 50, "each item once");
	stop(sched);
	free(visitors);
}

static void
a_lane_that_takes_nothing_is_not_waited_for(void)
{
	struct counter counter = { .fault_at = 1 };
	struct sched *sched = new_sched(1);
	struct visitor *visitors;
	bool fault = true;

	open_counter(&counter);
	start(sched);
	visitors = send_visitors(sched, &counter, 3, NULL);
	ok(wait_for_count(&ended, FIBERS), "all end");
	for (unsigned i = 0; i < FIBERS; i++)
		fault &= visitors[i].last == ERR_FAULT;
	ok(fault, "with its fault");
	lane_close(counter.lane);
	stop(sched);
	free(visitors);
}

int
main(void)
{
	each_goes_on_with_the_outcome_of_its_own();
	a_stray_wake_does_not_end_the_wait();
	a_lane_that_takes_nothing_is_not_waited_for();
	return tap_done();
}
