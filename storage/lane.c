/* SPDX-License-Identifier: MIT */
/*
 * The life of an item:
 *
 *   lane_submit()      committer
 *     queue  ----->  backlog  ----->  batch  ----->  its source's inbox
 *   (ck_stack,      (oldest first)   (within       (posted, then one wake
 *    taken whole)                     bounds)       for each source)
 *
 * Parking. The committer stores parked = 1, passes a full fence, looks at the
 * queue once more, and sleeps on the word. A producer pushes, passes a full
 * fence, and looks at the word. Whichever fence comes first, the other side
 * sees what stands before it: no item is left to a committer that sleeps.
 *
 * Admission. oldest_ns is the time at which the oldest item that is not in a
 * batch was queued, 0 where there is none. A producer that finds 0 sets it,
 * before it pushes; the committer sets it anew after it took the queue. So a
 * time that is left in the word always has an item behind it, which the next
 * batch takes: nobody is refused for a queue that is empty. standing_ns says
 * since when batches left items behind that were too old. Together they see
 * both kinds of overload: a queue that never drains, and one sync that does
 * not end.
 */
#include "storage/lane.h"

#include <ck_pr.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/oldest_first.h"
#include "core/profile.h"

enum {
	THREAD_NAME_MAX = 16, /* of the kernel, with the NUL */
	/* Sources woken together; more than there are shards on a big box. */
	WAKES_MAX = 64,
};

struct lane {
	/* Set by lane_open(), then never changed. */
	struct lane_options options;
	char *name;
	pthread_t thread;

	/* Atomic: pushed by any thread, taken whole by the committer. */
	alignas(64) ck_stack_t queue;
	/* Atomic: added to by producers, subtracted from by the committer. */
	uint64_t waiting;

	/* Atomic, see above. Producers write only where there is 0. */
	alignas(64) uint64_t oldest_ns;
	uint64_t standing_ns;
	/* Atomic: each is set once. */
	unsigned faulty, closing;
	/* Atomic: by producers that are refused. */
	uint64_t refused;

	/* Atomic: set by the committer, cleared by it or who wakes it. */
	alignas(64) uint32_t parked;
	/* Atomic: set by any thread, cleared by the committer. */
	unsigned poked;

	/* The committer's. */
	alignas(64) ck_stack_entry_t *first, *last; /* the backlog */
	struct lane_item *batch[LANE_BATCH_OPS];
	uint64_t idle_at_ns;

	/* Atomic: written by the committer, read by anybody. */
	struct lane_stats stats;
};

static struct lane_item *
item_of(ck_stack_entry_t *entry)
{
	return CONTAINER_OF(entry, struct lane_item, parcel.link);
}

static bool
queue_is_empty(const struct lane *lane)
{
	return !ck_pr_load_ptr(&lane->queue.head);
}

/* ---- parking ------------------------------------------------------------ */

static void
futex_wait(uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
	struct timespec timeout = {
		.tv_sec = (time_t)(timeout_ns / NS_PER_S),
		.tv_nsec = (long)(timeout_ns % NS_PER_S),
	};

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value,
		timeout_ns == UINT64_MAX ? NULL : &timeout, NULL, 0);
}

static void
unpark(struct lane *lane)
{
	/* Pairs with the fence in park(): see the top. Without it the push
	 * could still be invisible to a committer that looks for the last
	 * time, while we still see it awake. */
	ck_pr_fence_memory();
	if (ck_pr_load_32(&lane->parked) && ck_pr_fas_32(&lane->parked, 0))
		syscall(SYS_futex, &lane->parked, FUTEX_WAKE_PRIVATE, 1, NULL,
			NULL, 0);
}

static bool
has_news(struct lane *lane)
{
	return !queue_is_empty(lane) || ck_pr_load_uint(&lane->poked) ||
	       ck_pr_load_uint(&lane->closing);
}

static void
park(struct lane *lane, uint64_t now_ns)
{
	uint64_t timeout_ns = UINT64_MAX;

	if (lane->idle_at_ns != UINT64_MAX)
		timeout_ns = lane->idle_at_ns > now_ns
				     ? lane->idle_at_ns - now_ns
				     : 0;
	ck_pr_store_32(&lane->parked, 1);
	/* Pairs with the fence in unpark(). */
	ck_pr_fence_memory();
	if (!has_news(lane))
		futex_wait(&lane->parked, 1, timeout_ns);
	ck_pr_store_32(&lane->parked, 0);
}

/* ---- submitting --------------------------------------------------------- */

static bool
is_overloaded(const struct lane *lane, uint64_t now_ns)
{
	uint64_t oldest = ck_pr_load_64(&lane->oldest_ns);
	uint64_t since = ck_pr_load_64(&lane->standing_ns);
	uint64_t too_old = oldest + lane->options.max_age_ns;

	if (oldest == 0 || now_ns <= too_old)
		return false;
	if (since == 0 || since > too_old)
		since = too_old;
	return now_ns > since + LANE_STANDING_MS * NS_PER_MS;
}

enum err
lane_submit(struct lane *lane, struct lane_item *item)
{
	uint64_t now_ns = clock_mono_ns();

	assert(item->source || item->done);
	if (ck_pr_load_uint(&lane->closing))
		return ERR_DRAINING;
	if (ck_pr_load_uint(&lane->faulty))
		return ERR_FAULT;
	if (!item->patient && is_overloaded(lane, now_ns)) {
		ck_pr_inc_64(&lane->refused);
		return ERR_OVERLOADED;
	}
	item->queued_ns = now_ns;
	item->err = ERR_OK;
	ck_pr_inc_64(&lane->waiting);
	if (ck_pr_load_64(&lane->oldest_ns) == 0)
		ck_pr_store_64(&lane->oldest_ns, now_ns);
	HANDS_OVER(item);
	/* Its own store fence pairs with the exchange in take_queue(). */
	ck_stack_push_upmc(&lane->queue, &item->parcel.link);
	unpark(lane);
	return ERR_OK;
}

void
lane_poke(struct lane *lane)
{
	ck_pr_store_uint(&lane->poked, 1);
	unpark(lane);
}

/*
 * A fiber that waits. Its item may be gone as soon as it goes on, and the
 * fiber too, and somebody else may wake it at any time. So it does not go on
 * before the committer is through with both:
 *
 *   WAITS -> DONE   the committer, before it wakes the fiber
 *   DONE -> LEFT    the committer, after; it touches neither from now on
 */
enum { WAKE_WAITS, WAKE_DONE, WAKE_LEFT };

static void
wake_fiber(struct lane_item *item)
{
	ck_pr_store_uint(&item->wake, WAKE_DONE);
	fiber_wake(item->fiber);
	HANDS_OVER(item);
	/* Pairs with the load fence in lane_commit_wait(): who sees LEFT sees
	 * the outcome. */
	ck_pr_fence_store();
	ck_pr_store_uint(&item->wake, WAKE_LEFT);
}

enum err
lane_commit_wait(struct lane *lane, struct lane_item *item)
{
	enum err err;

	item->source = NULL;
	item->done = wake_fiber;
	item->fiber = fiber_self();
	item->wake = WAKE_WAITS;
	assert(item->fiber);
	err = lane_submit(lane, item);
	if (err != ERR_OK)
		return err;
	while (ck_pr_load_uint(&item->wake) == WAKE_WAITS)
		fiber_wait(UINT64_MAX);
	/* The committer is between two lines of wake_fiber(). */
	while (ck_pr_load_uint(&item->wake) != WAKE_LEFT)
		fiber_yield();
	ck_pr_fence_load();
	TAKES_OVER(item);
	return item->err;
}

/* ---- the committer: taking ---------------------------------------------- */

static void
take_queue(struct lane *lane)
{
	ck_stack_entry_t *newest = ck_stack_batch_pop_upmc(&lane->queue);
	ck_stack_entry_t *oldest = oldest_first(newest);

	if (!oldest)
		return;
	if (lane->first)
		lane->last->next = oldest;
	else
		lane->first = oldest;
	lane->last = newest;
}

/* As many of the backlog as one batch may hold; they stay in the backlog
 * until they are decided. Returns the first that is left out. */
static ck_stack_entry_t *
gather(struct lane *lane, size_t *count)
{
	ck_stack_entry_t *entry = lane->first;
	size_t n = 0, ops = 0, bytes = 0;

	for (; entry && n < LANE_BATCH_OPS; entry = entry->next) {
		struct lane_item *item = item_of(entry);

		TAKES_OVER(item);
		ops += item->ops;
		bytes += item->bytes;
		if (n > 0 && (ops > LANE_BATCH_OPS || bytes > LANE_BATCH_BYTES))
			break;
		lane->batch[n++] = item;
	}
	*count = n;
	return entry;
}

/* left: the oldest item that is not in the batch. */
static void
publish_oldest(struct lane *lane, ck_stack_entry_t *left, uint64_t now_ns)
{
	uint64_t since = 0, oldest = left ? item_of(left)->queued_ns : 0;
	uint64_t too_old = oldest + lane->options.max_age_ns;

	if (left && now_ns > too_old) {
		since = lane->standing_ns;
		since = since ? since : too_old;
	}
	ck_pr_store_64(&lane->standing_ns, since);
	ck_pr_store_64(&lane->oldest_ns, oldest);
	/* Pairs with the push of a producer that found oldest_ns set, or set
	 * it, before our 0. Without the second look its item would have no
	 * age until the next producer comes. (One that found it set and has
	 * not pushed yet is such an item still, for that short.) */
	ck_pr_fence_memory();
	if (!left && !queue_is_empty(lane))
		ck_pr_store_64(&lane->oldest_ns, now_ns);
}

/* ---- the committer: counting -------------------------------------------- */

/* The only writer of stats is the committer, so a load and a store will do;
 * readers need each word whole, not all of one moment. */
static void
count(uint64_t *word, uint64_t n)
{
	ck_pr_store_64(word, *word + n);
}

static void
count_bucket(uint64_t *buckets, uint64_t value, uint64_t unit)
{
	unsigned i = 0;

	while (i < LANE_BUCKETS - 1 && value >= unit << i)
		i++;
	count(&buckets[i], 1);
}

static void
count_batch(struct lane *lane, size_t decided, uint64_t age_ns,
	    uint64_t commit_ns)
{
	struct lane_stats *stats = &lane->stats;

	for (size_t i = 0; i < decided; i++) {
		const struct lane_item *item = lane->batch[i];

		count(&stats->ops, item->ops);
		count(&stats->bytes, item->bytes);
		if (item->err == ERR_FAULT || item->err == ERR_FULL)
			count(&stats->failed, 1);
	}
	count(&stats->batches, 1);
	count(&stats->items, decided);
	count(&stats->commit_ns, commit_ns);
	ck_pr_store_64(&stats->age_ns, age_ns);
	count_bucket(stats->batch_items, decided, 1);
	count_bucket(stats->commit_time, commit_ns, 50 * NS_PER_US);
	count_bucket(stats->queue_age, age_ns, 50 * NS_PER_US);
}

void
lane_count_sync(struct lane *lane, uint64_t ns)
{
	count(&lane->stats.sync_ns, ns);
}

/* ---- the committer: committing ------------------------------------------ */

static void
remember_source(struct source **sources, unsigned *n, struct source *source)
{
	for (unsigned i = 0; i < *n; i++)
		if (sources[i] == source)
			return;
	if (*n == WAKES_MAX) {
		source_wake(sources[0]);
		sources[0] = sources[--*n];
	}
	sources[(*n)++] = source;
}

/* An item that is posted belongs to its source: it is not touched again. */
static void
complete(struct lane *lane, size_t decided)
{
	struct source *sources[WAKES_MAX];
	unsigned n = 0;

	for (size_t i = 0; i < decided; i++) {
		struct lane_item *item = lane->batch[i];
		struct source *source = item->source;

		if (source) {
			source_post(source, &item->parcel);
			remember_source(sources, &n, source);
		} else {
			item->done(item);
		}
	}
	for (unsigned i = 0; i < n; i++)
		source_wake(sources[i]);
	HANDS_OVER(&lane->waiting);
	/* Pairs with lane_settle(): who sees 0 frees the sources. */
	ck_pr_fence_release();
	ck_pr_sub_64(&lane->waiting, decided);
}

static void
turn_faulty(struct lane *lane)
{
	if (ck_pr_load_uint(&lane->faulty))
		return;
	ck_pr_store_uint(&lane->faulty, 1);
	lane->idle_at_ns = UINT64_MAX;
	/* Before the failures are answered, so that nobody who got one finds
	 * the server ready. */
	if (lane->options.on_fault)
		lane->options.on_fault(lane->options.on_fault_arg, lane->name);
}

static size_t
decide(struct lane *lane, size_t n)
{
	bool fault = false;
	size_t decided = n;

	if (lane_faulty(lane)) {
		for (size_t i = 0; i < n; i++)
			lane->batch[i]->err = ERR_FAULT;
		return n;
	}
	decided = lane->options.commit(lane->options.store, lane->batch, n,
				       &fault);
	assert(decided >= 1 && decided <= n);
	if (fault)
		turn_faulty(lane);
	return decided;
}

static void
commit_batch(struct lane *lane)
{
	uint64_t start_ns = clock_mono_ns(), age_ns;
	size_t n, decided;

	publish_oldest(lane, gather(lane, &n), start_ns);
	age_ns = start_ns - lane->batch[0]->queued_ns;
	decided = decide(lane, n);
	lane->first = lane->batch[decided - 1]->parcel.link.next;
	count_batch(lane, decided, age_ns, clock_mono_ns() - start_ns);
	complete(lane, decided);
}

static void
run_idle(struct lane *lane)
{
	bool fault = false;

	ck_pr_store_uint(&lane->poked, 0);
	/* Pairs with lane_poke(): a poke after this is a new one. */
	ck_pr_fence_memory();
	lane->idle_at_ns = UINT64_MAX;
	if (!lane->options.idle || lane_faulty(lane))
		return;
	lane->idle_at_ns = lane->options.idle(lane->options.store, &fault);
	if (fault)
		turn_faulty(lane);
}

static void
commit(struct lane *lane)
{
	for (;;) {
		uint64_t now_ns;

		profile_mark_set(PROFILE_COMMIT, NULL);
		take_queue(lane);
		if (lane->first) {
			commit_batch(lane);
			continue;
		}
		if (ck_pr_load_uint(&lane->closing) && queue_is_empty(lane))
			return;
		now_ns = clock_mono_ns();
		if (now_ns >= lane->idle_at_ns ||
		    ck_pr_load_uint(&lane->poked)) {
			profile_mark_set(PROFILE_UPKEEP, NULL);
			run_idle(lane);
		} else {
			profile_mark_set(PROFILE_POLL, NULL);
			park(lane, now_ns);
		}
	}
}

/* ---- opening and closing ------------------------------------------------ */

static void *
committer(void *arg)
{
	struct lane *lane = arg;
	char name[THREAD_NAME_MAX];

	snprintf(name, sizeof(name), "commit-%.8s", lane->name);
	pthread_setname_np(pthread_self(), name);
	profile_thread_begin(name);
	commit(lane);
	profile_thread_end();
	return NULL;
}

/* Signals are for the main thread. */
static int
start_thread(struct lane *lane)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&lane->thread, NULL, committer, lane);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

enum err
lane_open(struct lane **out, const struct lane_options *options)
{
	struct lane *lane = aligned_alloc(alignof(struct lane), sizeof(*lane));

	if (!lane)
		return ERR_NOMEM;
	memset(lane, 0, sizeof(*lane));
	lane->options = *options;
	if (lane->options.max_age_ns == 0)
		lane->options.max_age_ns = LANE_MAX_AGE_MS * NS_PER_MS;
	ck_stack_init(&lane->queue);
	lane->name = strdup(options->name);
	if (!lane->name)
		goto free_lane;
	lane->options.name = lane->name;
	*out = lane;
	if (start_thread(lane) != 0)
		goto free_name;
	return ERR_OK;

free_name:
	*out = NULL;
	free(lane->name);
free_lane:
	free(lane);
	return ERR_NOMEM;
}

void
lane_close(struct lane *lane)
{
	ck_pr_store_uint(&lane->closing, 1);
	unpark(lane);
	pthread_join(lane->thread, NULL);
	assert(lane_waiting(lane) == 0);
	free(lane->name);
	free(lane);
}

/* ---- looking ------------------------------------------------------------ */

uint64_t
lane_waiting(const struct lane *lane)
{
	return ck_pr_load_64(&lane->waiting);
}

void
lane_settle(const struct lane *lane)
{
	const struct timespec moment = { .tv_nsec = 1000000 };

	while (lane_waiting(lane))
		nanosleep(&moment, NULL);
	ck_pr_fence_acquire();
	TAKES_OVER((void *)(uintptr_t)&lane->waiting);
}

bool
lane_faulty(const struct lane *lane)
{
	return ck_pr_load_uint(&lane->faulty);
}

void
lane_stats(const struct lane *lane, struct lane_stats *stats)
{
	const uint64_t *from = (const uint64_t *)&lane->stats;
	uint64_t *to = (uint64_t *)stats;

	static_assert(sizeof(*stats) % sizeof(*to) == 0, "words only");
	for (size_t i = 0; i < sizeof(*stats) / sizeof(*to); i++)
		to[i] = ck_pr_load_64(&from[i]);
	stats->refused = ck_pr_load_64(&lane->refused);
	stats->waiting = lane_waiting(lane);
}
