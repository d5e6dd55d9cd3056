/* SPDX-License-Identifier: MIT */
/*
 * Sources: inboxes, edges, wishes, hand-overs, help, and how many system
 * calls a request costs. SOURCE_PARCELS sets how many parcels are posted,
 * SOURCE_ROUNDS the length of the dialogues. All of it runs twice, the second
 * time with a lead at each worker.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "core/sched.h"
#include "tests/tap.h"
#include "tests/waiting.h"

/* Sources that are not shared have wait(). */
static bool leading;

/* A source that records what happens to it. */
struct probe {
	struct source source;
	int eventfd;     /* readable when it is touched */
	uint64_t waits;  /* that ended with something; by the holder */
	uint64_t runs;   /* written by the holder */
	uint64_t units;  /* read from its descriptor; by the holder */
	uint64_t opened; /* parcels */
	uint64_t home_runs, away_runs;
	uint64_t busy_ms; /* the next run takes this long; by any thread */
	uint64_t block;   /* or until `release`; by any thread */
	uint64_t release;
	uint64_t blocked; /* 1 while it does; by the holder */
	unsigned work;    /* what each run says it did; 0: units read */
	unsigned agains;  /* asks for so many more runs */
	uint64_t tick_every_ns;
	uint64_t slack_ns; /* the latest a tick has come */
	uint64_t tick_ns;
	bool pause;
	bool leave; /* does not read its descriptor */
	bool warns; /* says so before a long run */
	unsigned holders, collisions;
};

static unsigned
drain(struct probe *probe)
{
	eventfd_t count = 0;

	if (probe->leave || eventfd_read(probe->eventfd, &count))
		return 0;
	return (unsigned)count;
}

static void
be_busy(struct probe *probe)
{
	uint64_t ms = ck_pr_load_64(&probe->busy_ms);
	bool block = ck_pr_load_64(&probe->block);

	if (ms == 0 && !block)
		return;
	ck_pr_store_64(&probe->busy_ms, 0);
	ck_pr_store_64(&probe->block, 0);
	if (probe->warns)
		sched_expect_long();
	ck_pr_store_64(&probe->blocked, 1);
	sleep_ms((unsigned)ms);
	if (block)
		(void)wait_for_count(&probe->release, 1);
	ck_pr_store_64(&probe->blocked, 0);
}

static void
tick(struct probe *probe, struct source_run *result)
{
	uint64_t now = clock_mono_ns();

	if (probe->tick_ns && now >= probe->tick_ns &&
	    now - probe->tick_ns > probe->slack_ns)
		probe->slack_ns = now - probe->tick_ns;
	if (!probe->tick_ns || now >= probe->tick_ns)
		probe->tick_ns = now + probe->tick_every_ns;
	result->tick_ns = probe->tick_ns;
}

static void
bump(uint64_t *counter, uint64_t n)
{
	ck_pr_fence_store();
	ck_pr_store_64(counter, *counter + n);
}

/* True: one of the probe's own descriptors is readable. Edges of the others
 * are taken with them, as libmicrohttpd does. */
static bool
look_at_own(struct probe *probe, int timeout_ms)
{
	struct epoll_event events[8];
	int count = epoll_wait(probe->source.fd, events, ARRAY_LEN(events),
			       timeout_ms);
	bool own = false;

	for (int i = 0; i < count; i++)
		own |= events[i].data.ptr != NULL;
	return own;
}

static void
work_probe(struct probe *probe, struct source_run *result)
{
	const struct source *source = &probe->source;
	unsigned units = drain(probe);

	be_busy(probe);
	if (probe->tick_every_ns)
		tick(probe, result);
	result->work = probe->work ? probe->work : units;
	result->again = probe->agains > 0;
	probe->agains -= result->again;
	result->pause = probe->pause;
	bump(source->home == sched_worker_index() ? &probe->home_runs
						  : &probe->away_runs,
	     1);
	ck_pr_dec_uint(&probe->holders);
	bump(&probe->units, units);
	bump(&probe->runs, 1);
}

static void
enter_probe(struct probe *probe)
{
	if (ck_pr_faa_uint(&probe->holders, 1) != 0)
		ck_pr_inc_uint(&probe->collisions);
}

static void
run_probe(struct source *source, struct source_run *result)
{
	struct probe *probe = CONTAINER_OF(source, struct probe, source);

	enter_probe(probe);
	if (source->wait)
		(void)look_at_own(probe, 0);
	bump(&probe->opened, source_open_parcels(source));
	work_probe(probe, result);
}

static void
wait_probe(struct source *source, int timeout_ms, struct source_run *result)
{
	struct probe *probe = CONTAINER_OF(source, struct probe, source);

	enter_probe(probe);
	if (look_at_own(probe, timeout_ms)) {
		sched_awake();
		sched_awake();
		bump(&probe->waits, 1);
		work_probe(probe, result);
		return;
	}
	if (probe->tick_every_ns)
		result->tick_ns = probe->tick_ns;
	ck_pr_dec_uint(&probe->holders);
}

/* Its eventfd within an epoll. */
static void
make_lead(struct probe *probe)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET,
				     .data.ptr = probe };
	int rc;

	probe->source.wait = wait_probe;
	probe->source.fd = epoll_create1(EPOLL_CLOEXEC);
	rc = epoll_ctl(probe->source.fd, EPOLL_CTL_ADD, probe->eventfd, &event);
	assert(rc == 0);
	(void)rc;
}

static void
add_probe(struct sched *sched, struct probe *probe, bool shared)
{
	enum err err;

	memset(probe, 0, sizeof(*probe));
	probe->source.run = run_probe;
	probe->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	probe->source.fd = probe->eventfd;
	probe->source.shared = shared;
	if (leading && !shared)
		make_lead(probe);
	err = sched_add_source(sched, &probe->source);
	assert(!err);
}

static void
touch(struct probe *probe)
{
	int rc = eventfd_write(probe->eventfd, 1);

	assert(rc == 0);
	(void)rc;
}

static struct sched *
new_sched(unsigned workers)
{
	struct sched_options options = { .workers = workers };
	struct sched *sched = NULL;
	enum err err = sched_create(&sched, &options);

	assert(!err);
	return sched;
}

static void
start(struct sched *sched)
{
	enum err err = sched_start(sched, NULL, NULL, NULL);

	assert(!err);
	/* Until all have parked. */
	for (unsigned i = 0; i < sched_workers(sched); i++) {
		struct sched_stats stats = { 0 };

		while (!stats.parks)
			sched_stats(sched, i, &stats);
	}
}

static void
close_probe(struct probe *probe)
{
	if (probe->source.wait)
		close(probe->source.fd);
	close(probe->eventfd);
}

static struct sched_stats
total(const struct sched *sched)
{
	struct sched_stats sum = { 0 }, one;

	for (unsigned i = 0; i < sched_workers(sched); i++) {
		sched_stats(sched, i, &one);
		sum.sources_helped += one.sources_helped;
		sum.source_runs += one.source_runs;
		sum.parks += one.parks;
		sum.polls += one.polls;
		sum.wakes += one.wakes;
	}
	return sum;
}

/* ---- what it costs ------------------------------------------------------ */

static void
sources_get_homes_in_turn(void)
{
	struct sched *sched = new_sched(3);
	struct probe probes[5], listener;

	for (int i = 0; i < 5; i++)
		add_probe(sched, &probes[i], false);
	add_probe(sched, &listener, true);
	for (unsigned i = 0; i < 5; i++)
		ok(probes[i].source.home == i % 3, "source %u at worker %u", i,
		   i % 3);
	sched_destroy(sched);
	for (int i = 0; i < 5; i++)
		close_probe(&probes[i]);
	close_probe(&listener);
}

/* One client that waits for each answer: a wait that wakes, a run, and the
 * wait that parks. */
static void
a_dialogue_costs_one_run_and_one_wait_each(unsigned rounds)
{
	struct sched *sched = new_sched(2);
	struct sched_stats before, after;
	struct probe probe, other;
	bool answered = true;
	unsigned n = 0;

	add_probe(sched, &probe, false);
	add_probe(sched, &other, false);
	start(sched);
	before = total(sched);
	while (answered && n < rounds) {
		touch(&probe);
		answered = wait_for_count(&probe.units, ++n);
		/* It parks before the client's next request. */
		while (answered && total(sched).parks < before.parks + n)
			sched_yield();
	}
	sched_stop(sched);
	after = total(sched);
	ok(answered, "%u requests are answered", rounds);
	is_u64(after.source_runs - before.source_runs, rounds, "a run each");
	is_u64(after.parks - before.parks, rounds, "a wait each");
	is_u64(after.polls - before.polls, 0, "no look at descriptors between");
	is_u64(after.wakes - before.wakes, 0, "and nobody else is woken");
	sched_destroy(sched);
	close_probe(&probe);
	close_probe(&other);
}

static void
count_opened(struct parcel *parcel)
{
	(void)parcel;
}

static void
a_wake_costs_one_run_and_one_wait_each(unsigned rounds)
{
	struct sched *sched = new_sched(2);
	struct sched_stats before, after;
	struct probe probe;
	struct parcel parcel = { .open = count_opened };
	bool opened = true;
	unsigned n = 0;

	add_probe(sched, &probe, false);
	start(sched);
	before = total(sched);
	while (opened && n < rounds) {
		source_post(&probe.source, &parcel);
		source_wake(&probe.source);
		opened = wait_for_count(&probe.runs, ++n);
		while (opened && total(sched).parks < before.parks + n)
			sched_yield();
	}
	sched_stop(sched);
	after = total(sched);
	ok(opened && probe.opened == rounds, "%u parcels are opened", rounds);
	is_u64(after.source_runs - before.source_runs, rounds, "a run each");
	is_u64(after.parks - before.parks, rounds, "a wait each");
	is_u64(after.polls - before.polls, 0, "no look at descriptors between");
	sched_destroy(sched);
	close_probe(&probe);
}

/* Two units a run: it is run again without asking, and the descriptors are
 * looked at every 16 turns or 100 us. */
static void
a_hot_source_is_run_without_polling(void)
{
	struct sched *sched = new_sched(1);
	struct sched_stats before, after;
	struct probe hot, cold;
	uint64_t most;

	add_probe(sched, &hot, false);
	add_probe(sched, &cold, false);
	hot.work = 2;
	start(sched);
	before = total(sched);
	touch(&hot);
	ok(wait_for_count(&hot.runs, 10000), "it runs 10000 times by itself");
	touch(&cold);
	ok(wait_for_count(&cold.units, 1), "a cold one beside it is seen");
	sched_stop(sched);
	after = total(sched);
	most = (after.source_runs - before.source_runs) / 16 +
	       (after.busy_ns - before.busy_ns) / (100 * NS_PER_US) + 2;
	ok(after.parks == before.parks, "it never waits");
	/* A run that is interrupted counts as 100 us. */
	ok(after.polls - before.polls < 2 * most + 1000,
	   "%llu looks at descriptors for %llu runs",
	   (unsigned long long)(after.polls - before.polls),
	   (unsigned long long)(after.source_runs - before.source_runs));
	sched_destroy(sched);
	close_probe(&hot);
	close_probe(&cold);
}

/* ---- inboxes ------------------------------------------------------------ */

enum { POSTERS = 4, SOURCES = 3 };

struct letter {
	struct parcel parcel;
	unsigned opened; /* by the holder */
};

static struct {
	struct probe probes[SOURCES];
	struct letter *letters[POSTERS];
	unsigned each;
	alignas(CACHE_LINE) uint64_t opened;
	alignas(CACHE_LINE) unsigned wrong;
} post;

static void
open_letter(struct parcel *parcel)
{
	struct letter *letter = CONTAINER_OF(parcel, struct letter, parcel);

	if (letter->opened++)
		ck_pr_inc_uint(&post.wrong);
	ck_pr_inc_64(&post.opened);
}

static void *
poster(void *argument)
{
	struct letter *letters = argument;

	for (unsigned i = 0; i < post.each; i++) {
		struct source *source = &post.probes[i % SOURCES].source;

		letters[i].parcel.open = open_letter;
		source_post(source, &letters[i].parcel);
		/* The last three wake; most of the others go along. */
		if (i % 5 == 0 || i + SOURCES >= post.each)
			source_wake(source);
		if (i % 1000 == 0)
			usleep(1);
	}
	return NULL;
}

static void
every_parcel_is_opened_once(unsigned workers, unsigned each)
{
	struct sched *sched = new_sched(workers);
	pthread_t threads[POSTERS];
	unsigned collisions = 0;

	memset(&post, 0, sizeof(post));
	post.each = each;
	for (int i = 0; i < SOURCES; i++) {
		add_probe(sched, &post.probes[i], false);
		/* Long runs now and then, so that helpers come. */
		post.probes[i].warns = true;
	}
	start(sched);
	for (int i = 0; i < POSTERS; i++) {
		post.letters[i] = calloc(each, sizeof(*post.letters[i]));
		pthread_create(&threads[i], NULL, poster, post.letters[i]);
	}
	for (int i = 0; i < 10; i++) {
		ck_pr_store_64(&post.probes[i % SOURCES].busy_ms, 5);
		sleep_ms(10);
	}
	for (int i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	ok(wait_for_count(&post.opened, POSTERS * (uint64_t)each) &&
		   post.opened == POSTERS * (uint64_t)each,
	   "%u workers, %u parcels: each is opened", workers, POSTERS * each);
	sched_stop(sched);
	ok(post.wrong == 0, "once");
	for (int i = 0; i < SOURCES; i++)
		collisions += post.probes[i].collisions;
	ok(collisions == 0, "with never two holders of a source");
	sched_destroy(sched);
	for (int i = 0; i < SOURCES; i++)
		close_probe(&post.probes[i]);
	for (int i = 0; i < POSTERS; i++)
		free(post.letters[i]);
}

/* ---- wishes ------------------------------------------------------------- */

static void
again_runs_again(void)
{
	struct sched *sched = new_sched(1);
	struct probe probe;

	add_probe(sched, &probe, false);
	probe.agains = 1000;
	start(sched);
	touch(&probe);
	ok(wait_for_count(&probe.runs, 1001), "a thousand more runs");
	sleep_ms(20);
	is_u64(ck_pr_load_64(&probe.runs), 1001, "and no more");
	sched_stop(sched);
	sched_destroy(sched);
	close_probe(&probe);
}

static void
ticks_come_in_time(void)
{
	struct sched *sched = new_sched(2);
	struct probe probe;
	uint64_t parks;

	add_probe(sched, &probe, false);
	probe.tick_every_ns = 5 * NS_PER_MS;
	start(sched);
	touch(&probe);
	ok(wait_for_count(&probe.runs, 21), "20 ticks of 5 ms");
	parks = total(sched).parks;
	sched_stop(sched);
	ok(parks < 40, "by waiting for them (%llu waits)",
	   (unsigned long long)parks);
	ok(probe.slack_ns < 2 * NS_PER_S, "the latest by %llu us",
	   (unsigned long long)(probe.slack_ns / NS_PER_US));
	sched_destroy(sched);
	close_probe(&probe);
}

static void
inbox_needs_no_descriptor(void)
{
	struct sched *sched = new_sched(1);
	struct probe probe;
	struct parcel parcel = { .open = count_opened };

	memset(&probe, 0, sizeof(probe));
	probe.source.run = run_probe;
	probe.source.fd = -1;
	probe.leave = true;
	ok(sched_add_source(sched, &probe.source) == ERR_OK, "fd -1 is taken");
	start(sched);
	source_post(&probe.source, &parcel);
	source_wake(&probe.source);
	ok(wait_for_count(&probe.opened, 1), "and its inbox is looked at");
	sched_stop(sched);
	sched_destroy(sched);
}

/* ---- shared sources ----------------------------------------------------- */

static void
a_shared_source_is_taken_by_one(unsigned rounds)
{
	struct sched *sched = new_sched(4);
	struct probe probe;
	bool taken = true;
	unsigned n = 0;

	add_probe(sched, &probe, true);
	start(sched);
	while (taken && n < rounds) {
		touch(&probe);
		taken = wait_for_count(&probe.units, ++n);
	}
	sched_stop(sched);
	ok(taken, "%u events, each is taken", rounds);
	ok(probe.units == rounds && probe.collisions == 0,
	   "by one worker at a time");
	sched_destroy(sched);
	close_probe(&probe);
}

static void
what_a_run_leaves_of_a_shared_source_is_found(void)
{
	struct sched *sched = new_sched(2);
	struct probe probe;

	add_probe(sched, &probe, true);
	close(probe.source.fd);
	sched_destroy(sched);

	sched = new_sched(2);
	memset(&probe, 0, sizeof(probe));
	probe.source.run = run_probe;
	probe.source.shared = true;
	/* Each read takes one. */
	probe.eventfd = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE);
	probe.source.fd = probe.eventfd;
	ok(sched_add_source(sched, &probe.source) == ERR_OK, "is added");
	start(sched);
	ok(eventfd_write(probe.source.fd, 100) == 0 &&
		   wait_for_count(&probe.units, 100),
	   "a run that takes one of 100 is followed by the others");
	sched_stop(sched);
	sched_destroy(sched);
	close_probe(&probe);
}

/* As a listening socket when descriptors are exhausted: readable for ever,
 * and nothing can be taken. */
static void
a_pause_does_not_spin(void)
{
	struct sched *sched = new_sched(2);
	struct probe probe, own;
	struct sched_stats stats;
	uint64_t begun, most;

	add_probe(sched, &probe, true);
	add_probe(sched, &own, false);
	probe.pause = probe.leave = true;
	start(sched);
	begun = clock_mono_ns();
	touch(&probe);
	sleep_ms(350);
	stats = total(sched);
	most = 2 * ((clock_mono_ns() - begun) / (100 * NS_PER_MS) + 2);
	ok(stats.source_runs >= 2 && stats.source_runs <= most,
	   "two workers, 350 ms: %llu runs, one each 100 ms",
	   (unsigned long long)stats.source_runs);
	ok(stats.parks < 3 * most, "and %llu waits",
	   (unsigned long long)stats.parks);
	touch(&own);
	ok(wait_for_count(&own.units, 1), "other sources work meanwhile");
	sched_stop(sched);
	sched_destroy(sched);
	close_probe(&probe);
	close_probe(&own);
}

static void
a_pause_ends(void)
{
	struct sched *sched = new_sched(1);
	struct probe probe;

	add_probe(sched, &probe, true);
	probe.pause = true;
	start(sched);
	touch(&probe);
	ok(wait_for_count(&probe.units, 1), "the event before the pause");
	touch(&probe);
	ok(wait_for_count(&probe.units, 2), "the event in it, after it");
	sched_stop(sched);
	sched_destroy(sched);
	close_probe(&probe);
}

/* ---- help --------------------------------------------------------------- */

/* Two workers; the first has two sources, one of which can block it. */
struct pair {
	struct sched *sched;
	struct probe blocks, other_home, waits;
};

static void
pair_start(struct pair *pair)
{
	pair->sched = new_sched(2);
	add_probe(pair->sched, &pair->blocks, false);
	add_probe(pair->sched, &pair->other_home, false);
	add_probe(pair->sched, &pair->waits, false);
	assert(pair->waits.source.home == pair->blocks.source.home);
	pair->blocks.warns = true;
	start(pair->sched);
}

static void
pair_stop(struct pair *pair)
{
	sched_stop(pair->sched);
	sched_destroy(pair->sched);
	close_probe(&pair->blocks);
	close_probe(&pair->other_home);
	close_probe(&pair->waits);
}

static void
pair_block(struct pair *pair)
{
	ck_pr_store_64(&pair->blocks.block, 1);
	touch(&pair->blocks);
	(void)wait_for_count(&pair->blocks.blocked, 1);
}

/* The home worker goes on, and has nothing to do. */
static void
pair_release(struct pair *pair)
{
	ck_pr_store_64(&pair->blocks.release, 1);
	(void)wait_for_count(&pair->blocks.runs, 1);
	sleep_ms(20);
}

/* How many of them are served before the home worker is back. */
static unsigned
served_while_blocked(struct pair *pair, unsigned rounds, bool by_parcel)
{
	struct parcel parcel = { .open = count_opened };
	uint64_t *counter =
		by_parcel ? &pair->waits.opened : &pair->waits.units;
	unsigned served = 0;

	while (served < rounds) {
		uint64_t before = ck_pr_load_64(counter);

		if (by_parcel) {
			source_post(&pair->waits.source, &parcel);
			source_wake(&pair->waits.source);
		} else {
			touch(&pair->waits);
		}
		if (!wait_for_count(counter, before + 1) ||
		    !ck_pr_load_64(&pair->blocks.blocked))
			break;
		served++;
		usleep(200); /* until the helper has parked again */
	}
	return served;
}

static void
a_source_is_helped_while_home_is_busy(void)
{
	static const struct {
		const char *name;
		bool by_parcel;
	} cases[] = { { "edges", false }, { "parcels", true } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pair pair;
		uint64_t helped, home_runs;
		unsigned served;

		pair_start(&pair);
		pair_block(&pair);
		served = served_while_blocked(&pair, 50, cases[i].by_parcel);
		is_u64(served, 50, cases[i].name);
		pair_release(&pair);

		/* And home again. */
		helped = total(pair.sched).sources_helped;
		home_runs = ck_pr_load_64(&pair.waits.home_runs);
		ok(helped >= 50, "by the other worker (%llu runs)",
		   (unsigned long long)helped);
		ok(wait_for_count(&pair.waits.home_runs, 1),
		   "home has run what was returned");
		touch(&pair.waits);
		ok(wait_for_count(&pair.waits.home_runs, home_runs + 1),
		   "and hears of the next edge");
		is_u64(total(pair.sched).sources_helped, helped,
		       "the helper has left it");
		ok(pair.waits.collisions == 0, "never two holders");
		pair_stop(&pair);
	}
}

static void
a_helper_sleeps_between(void)
{
	struct pair pair;
	uint64_t parks;

	pair_start(&pair);
	pair_block(&pair);
	sleep_ms(50);
	parks = total(pair.sched).parks;
	sleep_ms(150);
	ok(total(pair.sched).parks - parks < 5, "while nothing comes");
	pair_release(&pair);
	pair_stop(&pair);
}

static void
ticks_come_while_home_is_busy(void)
{
	struct pair pair;
	uint64_t runs;

	pair_start(&pair);
	pair.waits.tick_every_ns = 10 * NS_PER_MS;
	touch(&pair.waits);
	wait_for_count(&pair.waits.runs, 1);
	pair_block(&pair);
	runs = ck_pr_load_64(&pair.waits.runs);
	ok(wait_for_count(&pair.waits.runs, runs + 5) &&
		   ck_pr_load_64(&pair.blocks.blocked),
	   "five ticks");
	pair_release(&pair);
	runs = ck_pr_load_64(&pair.waits.home_runs);
	ok(wait_for_count(&pair.waits.home_runs, runs + 5),
	   "and at home after");
	pair_stop(&pair);
}

/* The edge comes while a helper has the source, and the home worker, which
 * cannot take it, has parked again. */
static void
an_edge_during_help_is_not_lost(void)
{
	struct pair pair;

	pair_start(&pair);
	ck_pr_store_64(&pair.waits.block, 1);
	pair_block(&pair);
	ok(wait_for_count(&pair.waits.blocked, 1), "the helper has the source");
	pair_release(&pair);
	/* The helper has read its descriptor for this run. */
	touch(&pair.waits);
	sleep_ms(20);
	is_u64(ck_pr_load_64(&pair.waits.units), 0, "home cannot take it");
	ck_pr_store_64(&pair.waits.release, 1);
	ok(wait_for_count(&pair.waits.units, 1), "the edge is served");
	ok(ck_pr_load_64(&pair.waits.home_runs) > 0, "at home");
	sleep_ms(20);
	ok(pair.waits.collisions == 0, "never two holders");
	pair_stop(&pair);
}

/* The same for a parcel. */
static void
a_parcel_during_help_is_not_lost(void)
{
	struct parcel parcel = { .open = count_opened };
	struct sched_stats before;
	struct pair pair;

	pair_start(&pair);
	ck_pr_store_64(&pair.waits.block, 1);
	pair_block(&pair);
	(void)wait_for_count(&pair.waits.blocked, 1);
	pair_release(&pair);
	before = total(pair.sched);
	source_post(&pair.waits.source, &parcel);
	source_wake(&pair.waits.source);
	sleep_ms(20);
	ck_pr_store_64(&pair.waits.release, 1);
	ok(wait_for_count(&pair.waits.opened, 1), "the parcel is opened");
	ok(total(pair.sched).parks - before.parks < 5,
	   "and nobody has spun for it");
	pair_stop(&pair);
}

struct slicer {
	struct task task;
	uint64_t stop, running;
};

static void
slice_until_stopped(struct task *task)
{
	struct slicer *slicer = CONTAINER_OF(task, struct slicer, task);

	ck_pr_store_64(&slicer->running, sched_worker_index() + 1);
	while (!ck_pr_load_64(&slicer->stop))
		(void)sched_slice_over();
	ck_pr_store_64(&slicer->running, 0);
}

/* A task that asks, and goes on all the same: its worker's sources are
 * helped from the moment its slice is over. */
static void
a_slice_that_is_over_calls_for_help(void)
{
	struct slicer slicer = { .task.run = slice_until_stopped };
	struct sched *sched = new_sched(2);
	struct probe probes[2];
	unsigned home;

	add_probe(sched, &probes[0], false);
	add_probe(sched, &probes[1], false);
	start(sched);
	sched_submit(sched, &slicer.task);
	ok(wait_for_count(&slicer.running, 1), "a task that does not end");
	home = (unsigned)ck_pr_load_64(&slicer.running) - 1;
	touch(&probes[home]);
	ok(wait_for_count(&probes[home].units, 1),
	   "its worker's source is served");
	ok(ck_pr_load_64(&slicer.running), "meanwhile");
	ck_pr_store_64(&slicer.stop, 1);
	sched_stop(sched);
	ok(total(sched).sources_helped > 0, "by the other one");
	sched_destroy(sched);
	close_probe(&probes[0]);
	close_probe(&probes[1]);
}

/* ---- leads -------------------------------------------------------------- */

/* Its worker parks in it; what comes is run within the wait. */
static void
a_lead_is_run_by_its_wait(unsigned rounds)
{
	struct sched *sched = new_sched(1);
	struct probe lead;
	bool answered = true;

	add_probe(sched, &lead, false);
	start(sched);
	for (unsigned n = 1; answered && n <= rounds; n++) {
		touch(&lead);
		answered = wait_for_count(&lead.units, n);
	}
	sched_stop(sched);
	ok(answered, "%u requests are answered", rounds);
	/* Beside those that came while the worker was on its way. */
	ok(lead.waits > rounds / 2, "%llu of them in a wait",
	   (unsigned long long)lead.waits);
	sched_destroy(sched);
	close_probe(&lead);
}

/* A lead that always has something keeps nobody out. */
static void
a_busy_lead_starves_nobody(void)
{
	struct sched *sched = new_sched(1);
	struct probe lead, other, listener;
	uint64_t begin, n = 0;
	bool answered = true;

	add_probe(sched, &listener, true);
	add_probe(sched, &lead, false);
	add_probe(sched, &other, false);
	start(sched);
	begin = clock_mono_ns();
	while (answered && clock_mono_ns() - begin < NS_PER_S / 4) {
		n++;
		touch(&listener);
		touch(&other);
		while (answered && (ck_pr_load_64(&listener.units) < n ||
				    ck_pr_load_64(&other.units) < n)) {
			touch(&lead);
			answered = clock_mono_ns() - begin < DEADLINE_NS;
		}
	}
	sched_stop(sched);
	ok(answered, "a listener and another source are served %llu times",
	   (unsigned long long)n);
	/* A look a millisecond: some hundred on a quiet machine. */
	ok(n > 10, "and soon");
	ok(lead.units > n, "while the lead is busy");
	sched_destroy(sched);
	close_probe(&listener);
	close_probe(&lead);
	close_probe(&other);
}

static void
run_all(unsigned parcels, unsigned rounds)
{
	a_dialogue_costs_one_run_and_one_wait_each(rounds);
	a_wake_costs_one_run_and_one_wait_each(rounds);
	every_parcel_is_opened_once(1, parcels / POSTERS);
	every_parcel_is_opened_once(2, parcels / POSTERS);
	every_parcel_is_opened_once(4, parcels / POSTERS);
	again_runs_again();
	ticks_come_in_time();
	inbox_needs_no_descriptor();
	a_shared_source_is_taken_by_one(rounds);
	what_a_run_leaves_of_a_shared_source_is_found();
	a_pause_does_not_spin();
	a_pause_ends();
	a_source_is_helped_while_home_is_busy();
	a_helper_sleeps_between();
	ticks_come_while_home_is_busy();
	an_edge_during_help_is_not_lost();
	a_parcel_during_help_is_not_lost();
	a_slice_that_is_over_calls_for_help();
}

int
main(void)
{
	unsigned parcels =
		(unsigned)tap_rounds("SOURCE_PARCELS", 400000 / SLOWER);
	unsigned rounds = (unsigned)tap_rounds("SOURCE_ROUNDS", 10000 / SLOWER);

	sources_get_homes_in_turn();
	a_hot_source_is_run_without_polling();
	run_all(parcels, rounds);
	printf("# with leads\n");
	leading = true;
	run_all(parcels, rounds);
	a_lead_is_run_by_its_wait(rounds);
	a_busy_lead_starves_nobody();
	return tap_done();
}
