/* SPDX-License-Identifier: MIT */
/*
 * The lane over a fake store, whose commits wait at a gate or take a time.
 */
#include <stdlib.h>

#include "storage/lane.h"
#include "tests/tap.h"
#include "tests/waiting.h"

enum { SEEN_MAX = 1 << 17, PRODUCERS = 4 };

struct entry {
	struct lane_item item;
	unsigned number; /* in the order of its producer */
	unsigned producer;
	unsigned completed;
};

struct fake {
	struct lane *lane;

	/* Set by the test while the committer waits, or before it runs. */
	uint64_t commit_ms;
	size_t decide_most; /* 0: all */
	unsigned fault_at;  /* the batch that fails, from 1; 0: none */
	uint64_t idle_in_ns;

	/* Atomic. */
	uint64_t gate_open; /* commits that may pass; UINT64_MAX: all */
	uint64_t batches, waiting_at_gate, idles, faults, completed;

	/* The committer's, read by the test when it is at rest. */
	struct entry *seen[SEEN_MAX];
	size_t seen_count;
	size_t batch_items[4096];
};

static size_t
fake_commit(void *store, struct lane_item **items, size_t count, bool *fault)
{
	struct fake *fake = store;
	uint64_t batch = ck_pr_load_64(&fake->batches);

	ck_pr_inc_64(&fake->waiting_at_gate);
	while (ck_pr_load_64(&fake->gate_open) <= batch)
		usleep(100);
	if (fake->commit_ms)
		sleep_ms((unsigned)fake->commit_ms);
	if (fake->decide_most && count > fake->decide_most)
		count = fake->decide_most;
	*fault = fake->fault_at && batch + 1 == fake->fault_at;
	for (size_t i = 0; i < count; i++) {
		struct entry *entry =
			CONTAINER_OF(items[i], struct entry, item);

		items[i]->err = *fault ? ERR_FAULT : ERR_OK;
		if (fake->seen_count < SEEN_MAX)
			fake->seen[fake->seen_count++] = entry;
	}
	if (batch < 4096)
		fake->batch_items[batch] = count;
	lane_count_sync(fake->lane, 1000);
	ck_pr_inc_64(&fake->batches);
	return count;
}

static uint64_t
fake_idle(void *store, bool *fault)
{
	struct fake *fake = store;

	ck_pr_inc_64(&fake->idles);
	return fake->idle_in_ns ? clock_mono_ns() + fake->idle_in_ns
				: UINT64_MAX;
}

static void
fake_fault(void *arg, const char *name)
{
	struct fake *fake = arg;

	ck_pr_inc_64(&fake->faults);
}

static struct fake *running; /* for done(), which has no argument */

static void
done(struct lane_item *item)
{
	struct entry *entry = CONTAINER_OF(item, struct entry, item);

	ck_pr_inc_uint(&entry->completed);
	ck_pr_inc_64(&running->completed);
}

static struct fake *
start(void)
{
	struct fake *fake = calloc(1, sizeof(*fake));

	fake->gate_open = UINT64_MAX;
	running = fake;
	return fake;
}

static void
open_lane(struct fake *fake)
{
	struct lane_options options = {
		.name = "a long name for a store",
		.store = fake,
		.commit = fake_commit,
		.idle = fake_idle,
		.on_fault = fake_fault,
		.on_fault_arg = fake,
	};

	if (lane_open(&fake->lane, &options) != ERR_OK)
		abort();
}

static void
stop(struct fake *fake)
{
	ck_pr_store_64(&fake->gate_open, UINT64_MAX);
	lane_close(fake->lane);
	free(fake);
}

static struct entry *
entries_of(size_t count, unsigned ops, size_t bytes)
{
	struct entry *entries = calloc(count, sizeof(*entries));

	for (size_t i = 0; i < count; i++) {
		entries[i].item = (struct lane_item){ .done = done,
						      .ops = ops,
						      .bytes = bytes };
		entries[i].number = (unsigned)i;
	}
	return entries;
}

static enum err
submit(struct fake *fake, struct entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		enum err err = lane_submit(fake->lane, &entries[i].item);

		if (err != ERR_OK)
			return err;
	}
	return ERR_OK;
}

/* Puts one item into a commit that waits at the gate, so that all that is
 * submitted next waits in the queue. */
static struct entry *
block(struct fake *fake)
{
	struct entry *first = entries_of(1, 1, 1);
	uint64_t before = ck_pr_load_64(&fake->waiting_at_gate);

	ck_pr_store_64(&fake->gate_open, ck_pr_load_64(&fake->batches));
	if (submit(fake, first, 1) != ERR_OK ||
	    !wait_for_count(&fake->waiting_at_gate, before + 1))
		abort();
	return first;
}

/* ---- order and bounds --------------------------------------------------- */

static bool
each_once_in_order(const struct entry *entries, size_t count)
{
	bool good = true;

	for (size_t i = 0; i < count; i++)
		good &= entries[i].completed == 1;
	return good;
}

static void
items_are_committed_in_order_and_completed_once(void)
{
	struct fake *fake = start();
	struct entry *first, *entries = entries_of(500, 1, 10);
	bool in_order = true;

	open_lane(fake);
	first = block(fake);
	ok(submit(fake, entries, 500) == ERR_OK, "500 items wait");
	is_u64(lane_waiting(fake->lane), 501, "with the one that is committed");
	ck_pr_store_64(&fake->gate_open, UINT64_MAX);
	ok(wait_for_count(&fake->completed, 501), "all are completed");
	for (size_t i = 0; i < 500; i++)
		in_order &= fake->seen[i + 1] == &entries[i];
	ok(in_order, "in the order of their submits");
	ok(each_once_in_order(entries, 500), "each once");
	is_u64(fake->batches, 2, "in one batch, behind the first");
	stop(fake);
	free(entries);
	free(first);
}

static void
a_batch_is_bounded(void)
{
	static const struct {
		unsigned ops;
		size_t bytes, count, largest;
		const char *name;
	} cases[] = {
		{ 1, 1, 2500, LANE_BATCH_OPS, "by items" },
		{ 10, 1, 250, LANE_BATCH_OPS / 10, "by operations" },
		{ 1, 1 << 20, 10, 4, "by bytes" },
		{ 3 * LANE_BATCH_OPS, 1, 3, 1, "but takes one that is larger" },
		{ 0, 3 * LANE_BATCH_BYTES, 3, 1, "whatever makes it so" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fake *fake = start();
		struct entry *first,
			*entries = entries_of(cases[i].count, cases[i].ops,
					      cases[i].bytes);
		size_t largest = 0;

		open_lane(fake);
		first = block(fake);
		(void)!submit(fake, entries, cases[i].count);
		ck_pr_store_64(&fake->gate_open, UINT64_MAX);
		wait_for_count(&fake->completed, cases[i].count + 1);
		for (size_t j = 1; j < fake->batches; j++)
			if (fake->batch_items[j] > largest)
				largest = fake->batch_items[j];
		is_u64(largest, cases[i].largest, cases[i].name);
		stop(fake);
		free(entries);
		free(first);
	}
}

static void
what_a_batch_leaves_comes_again(void)
{
	struct fake *fake = start();
	struct entry *first, *entries = entries_of(100, 1, 1);
	bool in_order = true;

	fake->decide_most = 7;
	open_lane(fake);
	first = block(fake);
	(void)!submit(fake, entries, 100);
	ck_pr_store_64(&fake->gate_open, UINT64_MAX);
	ok(wait_for_count(&fake->completed, 101), "all are completed");
	for (size_t i = 0; i < 100; i++)
		in_order &= fake->seen[i + 1] == &entries[i];
	ok(in_order && each_once_in_order(entries, 100), "in order, once");
	is_u64(fake->batches, 1 + 15, "seven at a time");
	stop(fake);
	free(entries);
	free(first);
}

static void
closing_commits_what_waits(void)
{
	struct fake *fake = start();
	struct entry *first, *entries = entries_of(3000, 1, 1);

	open_lane(fake);
	first = block(fake);
	(void)!submit(fake, entries, 3000);
	ck_pr_store_64(&fake->gate_open, UINT64_MAX);
	lane_close(fake->lane);
	is_u64(fake->completed, 3001, "3000 items that waited are completed");
	free(fake);
	free(entries);
	free(first);
}

/* ---- a crowd ------------------------------------------------------------ */

struct producer {
	pthread_t thread;
	struct fake *fake;
	struct entry *entries;
	size_t count;
	enum err err;
};

static void *
produces(void *arg)
{
	struct producer *producer = arg;

	for (size_t i = 0; i < producer->count; i++) {
		producer->err =
			submit(producer->fake, &producer->entries[i], 1);
		if (producer->err != ERR_OK)
			break;
		/* Lets the committer park now and then. */
		if (i % 64 == 0)
			usleep(200);
	}
	return NULL;
}

static void
a_crowd_is_served_each_once_in_its_order(void)
{
	size_t count = tap_rounds("LANE_ROUNDS", 20000);
	struct fake *fake = start();
	struct producer producers[PRODUCERS];
	unsigned next[PRODUCERS] = { 0 };
	bool in_order = true, once = true;

	open_lane(fake);
	for (unsigned i = 0; i < PRODUCERS; i++) {
		producers[i] = (struct producer){
			.fake = fake,
			.entries = entries_of(count, 1, 100),
			.count = count,
		};
		for (size_t j = 0; j < count; j++) {
			producers[i].entries[j].producer = i;
			producers[i].entries[j].item.patient = true;
		}
		pthread_create(&producers[i].thread, NULL, produces,
			       &producers[i]);
	}
	for (unsigned i = 0; i < PRODUCERS; i++)
		pthread_join(producers[i].thread, NULL);
	ok(wait_for_count(&fake->completed, PRODUCERS * count),
	   "%zu items of %u producers", PRODUCERS * count, PRODUCERS);
	for (size_t i = 0; i < fake->seen_count; i++) {
		struct entry *entry = fake->seen[i];

		in_order &= entry->number == next[entry->producer]++;
	}
	for (unsigned i = 0; i < PRODUCERS; i++)
		once &= each_once_in_order(producers[i].entries, count);
	ok(in_order, "each producer's in its order");
	ok(once, "each once");
	is_u64(lane_waiting(fake->lane), 0, "nothing waits");
	stop(fake);
	for (unsigned i = 0; i < PRODUCERS; i++)
		free(producers[i].entries);
}

/* An item that comes just as the committer goes to sleep is the one that a
 * missing look would lose. Each one here comes a little later after the commit
 * before it, so that some meet that moment. */
static void
no_item_is_left_to_a_committer_that_sleeps(void)
{
	size_t count = tap_rounds("LANE_ROUNDS", 20000);
	struct fake *fake = start();
	struct entry *entries = entries_of(count, 1, 1);
	bool good = true;

	open_lane(fake);
	for (size_t i = 0; i < count && good; i++) {
		good = submit(fake, &entries[i], 1) == ERR_OK;
		for (unsigned j = 0; j < 20000; j++)
			if (ck_pr_load_64(&fake->batches) > i)
				break;
		good &= wait_for_count(&fake->batches, i + 1);
		for (size_t j = 0; j < i % 200; j++)
			ck_pr_barrier();
	}
	ok(good, "%zu items, one after the other", count);
	stop(fake);
	free(entries);
}

/* ---- admission ---------------------------------------------------------- */

/* Submits one a millisecond for so long; how many were refused. */
static unsigned
offer(struct fake *fake, struct entry *entries, unsigned ms)
{
	uint64_t end = clock_mono_ns() + ms * NS_PER_MS;
	unsigned refused = 0, i = 0;

	while (clock_mono_ns() < end && i < 4000) {
		enum err err = submit(fake, &entries[i++], 1);

		refused += err == ERR_OVERLOADED;
		if (err != ERR_OK)
			ck_pr_inc_64(&running->completed);
		sleep_ms(1);
	}
	return refused;
}

static void
one_slow_sync_refuses_nobody(void)
{
	struct fake *fake = start();
	struct entry *entries = entries_of(4000, 1, 1);
	struct lane_stats stats;
	uint64_t slow = 0;
	unsigned refused;

	fake->commit_ms = 60;
	open_lane(fake);
	refused = offer(fake, entries, 400);
	lane_stats(fake->lane, &stats);
	/* On a busy machine 60 ms may have been more than 100. */
	for (unsigned i = 12; i < LANE_BUCKETS; i++)
		slow += stats.commit_time[i];
	ok(refused == 0 || slow > 0,
	   "60 ms each, all that waits goes into the next");
	stop(fake);
	free(entries);
}

static void
one_very_long_sync_refuses_and_heals(void)
{
	struct fake *fake = start();
	struct entry *entries = entries_of(8000, 1, 1), *first;

	open_lane(fake);
	first = block(fake);
	is_u64(offer(fake, entries, 60), 0, "not in the first 60 ms");
	ok(offer(fake, entries + 4000, 300) > 0, "but when it does not end");
	ck_pr_store_64(&fake->gate_open, UINT64_MAX);
	lane_close(fake->lane);
	free(fake);
	free(entries);
	free(first);

	fake = start();
	entries = entries_of(8000, 1, 1);
	open_lane(fake);
	first = block(fake);
	(void)!submit(fake, entries, 1);
	sleep_ms(200);
	ok(submit(fake, entries + 1, 1) == ERR_OVERLOADED, "refused");
	entries[2].item.patient = true;
	ok(submit(fake, entries + 2, 1) == ERR_OK, "but not who is patient");
	ck_pr_store_64(&fake->gate_open, UINT64_MAX);
	wait_for_count(&fake->completed, 3);
	ok(submit(fake, entries + 3, 1) == ERR_OK, "and nobody afterwards");
	stop(fake);
	free(entries);
	free(first);
}

static void
a_standing_queue_refuses(void)
{
	struct fake *fake = start();
	/* Each fills a batch of 20 ms: 100 make two seconds of queue. */
	struct entry *entries = entries_of(4000, LANE_BATCH_OPS, 1);
	struct lane_stats stats;
	enum err err = ERR_OK;
	unsigned taken = 0;

	fake->commit_ms = 20;
	open_lane(fake);
	while (taken < 100 && err == ERR_OK) {
		err = submit(fake, &entries[taken], 1);
		taken += err == ERR_OK;
		sleep_ms(8);
	}
	ok(err == ERR_OVERLOADED, "after %u items", taken);
	ok(taken >= 10, "not at once");
	ok(wait_for_count(&fake->completed, taken), "what was taken is done");
	ok(submit(fake, &entries[taken], 1) == ERR_OK, "then it takes again");
	lane_stats(fake->lane, &stats);
	is_u64(stats.refused, 1, "the refusal is counted");
	stop(fake);
	free(entries);
}

/* Five clients that wait for their answers, each of whose items fills a batch
 * of 20 ms: no item waits longer than 80 ms, but none less, either. */
static void
so_does_one_that_is_short_but_always_there(void)
{
	struct fake *fake = start();
	struct entry *entries = entries_of(4000, LANE_BATCH_OPS, 1);
	uint64_t end = clock_mono_ns() + 2 * NS_PER_S;
	enum err err = ERR_OK;
	unsigned taken = 0;

	fake->commit_ms = 20;
	open_lane(fake);
	while (err == ERR_OK && clock_mono_ns() < end) {
		if (lane_waiting(fake->lane) < 5)
			err = submit(fake, &entries[taken++], 1);
		else
			usleep(500);
	}
	ok(err == ERR_OVERLOADED, "after %u items", taken);
	stop(fake);
	free(entries);
}

/* ---- faults, idling, counting ------------------------------------------- */

static void
a_fault_is_final(void)
{
	struct fake *fake = start();
	struct entry *first, *entries = entries_of(2000, 1, 1);
	bool failed = true;
	struct lane_stats stats;

	fake->fault_at = 2;
	open_lane(fake);
	first = block(fake);
	(void)!submit(fake, entries, 1500);
	ck_pr_store_64(&fake->gate_open, UINT64_MAX);
	ok(wait_for_count(&fake->completed, 1501), "all are answered");
	ok(first->item.err == ERR_OK, "the batch before it is good");
	for (size_t i = 0; i < 1500; i++)
		failed &= entries[i].item.err == ERR_FAULT;
	ok(failed, "the rest fails, also what was not in the batch");
	is_u64(fake->batches, 2, "the store is not asked again");
	is_u64(fake->faults, 1, "the fault is told once");
	ok(lane_faulty(fake->lane) &&
		   submit(fake, entries + 1500, 1) == ERR_FAULT,
	   "nothing more is taken");
	lane_stats(fake->lane, &stats);
	is_u64(stats.failed, 1500, "failures are counted");
	stop(fake);
	free(entries);
	free(first);
}

static void
idle_is_called_in_time(void)
{
	struct fake *fake = start();
	struct entry *entry = entries_of(1, 1, 1);
	uint64_t before;

	open_lane(fake);
	ok(wait_for_count(&fake->idles, 1), "at the start");
	sleep_ms(50);
	is_u64(ck_pr_load_64(&fake->idles), 1, "then never, as it says");
	lane_poke(fake->lane);
	ok(wait_for_count(&fake->idles, 2), "when it is poked");
	stop(fake);

	fake = start();
	fake->idle_in_ns = 5 * NS_PER_MS;
	open_lane(fake);
	ok(wait_for_count(&fake->idles, 5), "again and again, as it says");
	before = ck_pr_load_64(&fake->idles);
	(void)!submit(fake, entry, 1);
	ok(wait_for_count(&fake->completed, 1) &&
		   wait_for_count(&fake->idles, before + 3),
	   "also after an item");
	stop(fake);
	free(entry);
}

static uint64_t
sum(const uint64_t *buckets)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < LANE_BUCKETS; i++)
		total += buckets[i];
	return total;
}

static void
figures_add_up(void)
{
	struct fake *fake = start();
	struct entry *first, *entries = entries_of(300, 3, 7);
	struct lane_stats stats;

	open_lane(fake);
	first = block(fake);
	(void)!submit(fake, entries, 300);
	sleep_ms(2);
	ck_pr_store_64(&fake->gate_open, UINT64_MAX);
	wait_for_count(&fake->completed, 301);
	lane_stats(fake->lane, &stats);
	is_u64(stats.batches, 2, "batches");
	is_u64(stats.items, 301, "items");
	is_u64(stats.ops, 901, "operations");
	is_u64(stats.bytes, 2101, "bytes");
	is_u64(stats.sync_ns, 2000, "time of syncs");
	ok(stats.commit_ns >= 2 * NS_PER_MS, "time of commits");
	ok(stats.age_ns >= 2 * NS_PER_MS, "age of the oldest");
	is_u64(stats.batch_items[1], 1, "a batch of 1 is below 2");
	is_u64(stats.batch_items[9], 1, "one of 300 is below 512");
	ok(sum(stats.batch_items) == 2 && sum(stats.commit_time) == 2 &&
		   sum(stats.queue_age) == 2,
	   "each batch is in one bucket of each");
	stop(fake);
	free(entries);
	free(first);
}

/* ---- sources ------------------------------------------------------------ */

enum { SOURCES = 3 };

static struct source sources[SOURCES];
static uint64_t opened[SOURCES]; /* atomic */

static void
open_parcel(struct parcel *parcel)
{
	struct lane_item *item = CONTAINER_OF(parcel, struct lane_item, parcel);
	struct entry *entry = CONTAINER_OF(item, struct entry, item);

	entry->completed++;
	ck_pr_inc_64(&opened[entry->producer]);
}

static void
run_source(struct source *source, struct source_run *result)
{
	result->work = source_open_parcels(source);
}

static void
items_go_to_their_sources(void)
{
	struct fake *fake = start();
	struct sched_options options = { .workers = 2 };
	struct entry *entries = entries_of(3000, 1, 1);
	struct sched *sched;
	bool all = true;

	if (sched_create(&sched, &options) != ERR_OK)
		abort();
	for (unsigned i = 0; i < SOURCES; i++) {
		sources[i] = (struct source){ .run = run_source, .fd = -1 };
		if (sched_add_source(sched, &sources[i]) != ERR_OK)
			abort();
	}
	if (sched_start(sched, NULL, NULL, NULL) != ERR_OK)
		abort();
	open_lane(fake);
	for (size_t i = 0; i < 3000; i++) {
		entries[i].producer = i % SOURCES;
		entries[i].item.done = NULL;
		entries[i].item.source = &sources[i % SOURCES];
		entries[i].item.parcel.open = open_parcel;
	}
	ok(submit(fake, entries, 3000) == ERR_OK, "3000 items, 3 sources");
	for (unsigned i = 0; i < SOURCES; i++)
		all &= wait_for_count(&opened[i], 1000);
	ok(all, "each source opens its own");
	sched_stop(sched);
	ok(each_once_in_order(entries, 3000), "each once");
	stop(fake);
	sched_destroy(sched);
	free(entries);
}

int
main(void)
{
	items_are_committed_in_order_and_completed_once();
	a_batch_is_bounded();
	what_a_batch_leaves_comes_again();
	closing_commits_what_waits();
	a_crowd_is_served_each_once_in_its_order();
	no_item_is_left_to_a_committer_that_sleeps();
	one_slow_sync_refuses_nobody();
	one_very_long_sync_refuses_and_heals();
	a_standing_queue_refuses();
	so_does_one_that_is_short_but_always_there();
	a_fault_is_final();
	idle_is_called_in_time();
	figures_add_up();
	items_go_to_their_sources();
	return tap_done();
}
