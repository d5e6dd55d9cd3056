/* SPDX-License-Identifier: MIT */
/*
 * Processes that are killed and disks that fail. For the second part the
 * program starts itself again with preload/fault.so.
 */
#include <signal.h>
#include <sys/wait.h>

#include "tests/faults.h"

enum { WRITERS = 4 };

/* ---- a writer to be killed ---------------------------------------------- */

/* What the child tells of a write that was acknowledged. */
struct report {
	uint32_t writer, number;
};

struct writer {
	pthread_t thread;
	struct store *store;
	uint32_t index;
	int pipe;
};

static void
key_of(char key[32], uint32_t writer, uint32_t number)
{
	snprintf(key, 32, "w%u/%u", writer, number);
}

static char filler[200000];

/* Large and small ones, some with an expiry. */
static struct kv_op
op_number(const char *key, uint32_t number)
{
	struct kv_op op = op_of(KV_PUT, key, NULL);

	op.value.data = filler;
	op.value.len = number % 7 ? 100 + number % 50 : 5000 + number % 10000;
	op.has_ttl = number % 3 == 0;
	op.ttl_ms = op.has_ttl ? 3600000 : 0;
	return op;
}

static void *
writes(void *arg)
{
	struct writer *writer = arg;

	for (uint32_t i = 0;; i++) {
		struct report report = { writer->index, i };
		char key[32];
		struct kv_op op;

		key_of(key, writer->index, i);
		op = op_number(key, i);
		if (store_op(writer->store, &op) != ERR_OK)
			return NULL;
		if (write(writer->pipe, &report, sizeof(report)) < 0)
			return NULL;
	}
}

static void
run_child(struct store *store, int pipe)
{
	struct writer writers[WRITERS];

	store_open(store);
	for (uint32_t i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){ .store = store,
					      .index = i,
					      .pipe = pipe };
		pthread_create(&writers[i].thread, NULL, writes, &writers[i]);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(writers[i].thread, NULL);
	_exit(0);
}

/* Ends a child that has reported some writes. */
struct end {
	pid_t pid;        /* to be killed, or 0 */
	uint32_t after;   /* so many writes */
	const char *rule; /* to be set, or NULL */
};

/* Reads reports until the child is gone; counts[w]: how many of writer w. */
static uint32_t
read_reports(int pipe, uint32_t counts[WRITERS], const struct end *end)
{
	struct report report;
	uint32_t total = 0;

	while (read(pipe, &report, sizeof(report)) == sizeof(report)) {
		counts[report.writer] = report.number + 1;
		if (++total != end->after)
			continue;
		if (end->rule)
			set_rules(end->rule);
		else
			kill(end->pid, SIGKILL);
	}
	return total;
}

/* Killed after so many writes, by the rule if there is one. */
static uint32_t
crash_writer(struct store *store, uint32_t after, const char *rule,
	     uint32_t counts[WRITERS])
{
	struct end end = { .after = after, .rule = rule };
	uint32_t total;
	int fds[2];

	memset(counts, 0, WRITERS * sizeof(*counts));
	need(pipe(fds) == 0, "no pipe");
	fflush(stdout);
	end.pid = fork();
	if (end.pid == 0) {
		close(fds[0]);
		run_child(store, fds[1]);
	}
	close(fds[1]);
	total = read_reports(fds[0], counts, &end);
	close(fds[0]);
	waitpid(end.pid, NULL, 0);
	return total;
}

/* All that was acknowledged is there, as it was written, and all figures fit
 * what is there. */
static bool
is_whole(struct store *store, const uint32_t counts[WRITERS])
{
	struct kv_stats stats;
	bool good = true, index_fits;

	store_open(store);
	for (uint32_t i = 0; i < WRITERS; i++)
		for (uint32_t j = 0; j < counts[i]; j++) {
			struct kv_record record;
			struct kv_op op;
			char key[32];

			key_of(key, i, j);
			op = op_number(key, j);
			good &= store_get(store, key, &record) == ERR_OK &&
				bytes_equal(record.value, op.value);
		}
	kv_stats(store->kv, &stats);
	good &= store_count_bytes(store, &index_fits) == stats.live_bytes;
	good &= store_put(store, "goes on", "x") == ERR_OK;
	store_close(store);
	return good && index_fits;
}

static void
nothing_acknowledged_is_lost(bool is_volatile)
{
	unsigned long cycles = tap_rounds("CRASH_CYCLES", 6);
	uint32_t counts[WRITERS], total = 0;
	unsigned long good = 0;

	for (unsigned long i = 0; i < cycles; i++) {
		/* From anywhere in the first batches. */
		uint32_t pick = (uint32_t)i * 7919 + (uint32_t)getpid();
		struct store store;
		char name[32];

		snprintf(name, sizeof(name), "crash-%c%lu",
			 is_volatile ? 'v' : 'd', i);
		store_init(&store, name, is_volatile);
		total += crash_writer(&store, 10 + pick % 300, NULL, counts);
		good += is_whole(&store, counts);
	}
	ok(good == cycles && total > 0, "%s, %lu kills, %u writes",
	   is_volatile ? "volatile" : "durable", cycles, total);
}

/* ---- faults ------------------------------------------------------------- */

static void
a_kill_inside_of_a_commit_is_no_different(void)
{
	static const char *const calls[] = { "fdatasync", "dsync", "pwrite" };

	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		uint32_t counts[WRITERS], total = 0;
		struct store store;
		char rule[64];

		store_init(&store, calls[i], false);
		snprintf(rule, sizeof(rule), "%s kill data.mdb\n", calls[i]);
		total = crash_writer(&store, 30, rule, counts);
		set_rules("");
		ok(is_whole(&store, counts), "killed in %s, after %u writes",
		   calls[i], total);
	}
}

static void
a_failed_write_or_sync_is_final(void)
{
	static const char *const cases[] = {
		"fdatasync EIO data.mdb\n",    "dsync EIO data.mdb\n",
		"dsync ENOSPC data.mdb\n",     "pwrite EIO data.mdb\n",
		"pwrite EROFS data.mdb\n",     "fdatasync ENOSPC data.mdb\n",
		"fdatasync EDQUOT data.mdb\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum { COUNT = 20 };
		struct kv_op ops[COUNT];
		char keys[COUNT][16], name[32];
		struct store store;
		unsigned failed = 0;

		snprintf(name, sizeof(name), "fault-%zu", i);
		store_init(&store, name, false);
		store_open(&store);
		store_put(&store, "before", "1");
		for (unsigned j = 0; j < COUNT; j++) {
			snprintf(keys[j], sizeof(keys[j]), "k%u", j);
			ops[j] = op_of(KV_PUT, keys[j], "x");
		}
		set_rules(cases[i]);
		store_write_many(&store, ops, COUNT);
		set_rules("");
		for (unsigned j = 0; j < COUNT; j++)
			failed += ops[j].err == ERR_FAULT;
		is_u64(failed, COUNT, cases[i]);
		ok(store.faults == 1 && lane_faulty(kv_lane(store.kv)),
		   "told once");
		ok(store_put(&store, "after", "1") == ERR_FAULT,
		   "no write is taken, though the disk is good again");
		store_close(&store);
		store_open(&store);
		ok(has_value(&store, "before", "1"),
		   "opened again: what was acknowledged is there");
		ok(store_put(&store, "after", "1") == ERR_OK,
		   "it takes writes");
		store_close(&store);
	}
}

static void
no_room_is_no_fault(void)
{
	static const char *const cases[] = {
		"pwrite ENOSPC data.mdb\n",
		"pwrite EDQUOT data.mdb\n",
	};
	struct store store;

	store_init(&store, "no-room", false);
	store_open(&store);
	store_put(&store, "before", "1");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		set_rules(cases[i]);
		ok(store_put(&store, "k", "1") == ERR_FULL, "%s", cases[i]);
		set_rules("");
		ok(store_put(&store, "k", "1") == ERR_OK, "it heals");
	}
	ok(store.faults == 0, "and was no fault");
	store_close(&store);
}

/* A batch that does not fit is halved until only what does not fit is left. */
static void
in_a_batch_only_those_fail_that_do_not_fit(void)
{
	enum { COUNT = 20, LARGE = 200000 };
	struct kv_op ops[COUNT];
	char keys[COUNT][16];
	struct store store;
	unsigned good = 0, there = 0;

	store_init(&store, "halves", false);
	store_open(&store);
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(keys[i], sizeof(keys[i]), "k%u", i);
		ops[i] = op_of(KV_PUT, keys[i], "small");
		if (i == 13)
			ops[i].value = (struct bytes){ filler, LARGE };
	}
	set_rules("pwrite ENOSPC data.mdb 150000\n"
		  "fdatasync sleep-20 data.mdb\n"); /* so that they gather */
	store_write_many(&store, ops, COUNT);
	set_rules("");
	for (unsigned i = 0; i < COUNT; i++) {
		good += ops[i].err == ERR_OK;
		there += has_value(&store, keys[i], "small");
	}
	is_u64(good, COUNT - 1, "all but one of a batch are good");
	is_u64(there, COUNT - 1, "and there");
	ok(ops[13].err == ERR_FULL && store.faults == 0, "that one is refused");
	store_close(&store);
}

static void
a_disk_that_gives_no_more_blocks(void)
{
	static char value[60001];
	struct kv_op op;
	struct store store;
	enum err err = ERR_OK;
	unsigned n = 0, deleted = 0;
	struct kv_stats stats;
	char key[16];

	memset(value, 'v', sizeof(value) - 1);
	store_init(&store, "blocks", false);
	store_open(&store);
	store_put(&store, "before", value);
	set_rules("fallocate ENOSPC data.mdb\n");
	for (; n < 1000 && err == ERR_OK; n++) {
		snprintf(key, sizeof(key), "k%u", n);
		err = store_put(&store, key, value);
	}
	kv_stats(store.kv, &stats);
	ok(err == ERR_FULL && stats.disk_full, "full after %u", n);
	ok(has_value(&store, "before", value), "reads go on");
	kv_read_reset(store.read);
	for (unsigned i = 0; i + 1 < n; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		op = op_of(KV_DELETE, key, NULL);
		deleted += store_op(&store, &op) == ERR_OK;
	}
	is_u64(deleted, n - 1, "deletes go on");
	set_rules("");
	ok(store_put(&store, "after", value) == ERR_OK, "it heals");
	kv_stats(store.kv, &stats);
	ok(!stats.disk_full && store.faults == 0, "without a fault");
	store_close(&store);
}

/* Atomic: what the store takes for now, and how often it has asked. */
static uint64_t now_ms = 1000000, asked;

static uint64_t
counted_now(void)
{
	ck_pr_inc_64(&asked);
	return ck_pr_load_64(&now_ms);
}

/* Three to a page, neither written nor expiring in the order of their keys. */
static void
put_scattered(struct store *store, unsigned first, unsigned n, unsigned count)
{
	struct kv_op *ops = calloc(n, sizeof(*ops));
	char(*keys)[16] = calloc(n, sizeof(*keys));

	for (unsigned i = 0; i < n; i++) {
		snprintf(keys[i], sizeof(keys[i]), "s%05u",
			 (first + i) * 7919 % count);
		ops[i] = op_of(KV_PUT, keys[i], NULL);
		ops[i].value = (struct bytes){ filler, 1000 };
		ops[i].has_ttl = (first + i) % 3 == 0;
		ops[i].ttl_ms = ops[i].has_ttl ? 1000 : 0;
	}
	store_write_many(store, ops, n);
	for (unsigned i = 0; i < n; i++)
		need(ops[i].err == ERR_OK, "cannot put");
	free(keys);
	free(ops);
}

static void
put_until_full(struct store *store, size_t len)
{
	for (unsigned n = 0;; n++) {
		struct kv_op op;
		char key[32];

		snprintf(key, sizeof(key), "x%zu/%u", len, n);
		op = op_of(KV_PUT, key, NULL);
		op.value = (struct bytes){ filler, len };
		if (store_op(store, &op) != ERR_OK)
			return;
		need(n < 10000, "it does not get full");
	}
}

static void
the_expired_go_though_the_disk_is_full(void)
{
	enum { COUNT = 3000 };
	struct store store;
	struct kv_stats stats;
	uint64_t before;

	store_init(&store, "sweep", false);
	store.tuning.now_ms = counted_now;
	store.tuning.sweep_pause_ms = 3600000; /* it comes when it is poked */
	store_open(&store);
	put_scattered(&store, 0, COUNT, COUNT);
	set_rules("fallocate ENOSPC data.mdb\n");
	put_until_full(&store, 60000);
	put_until_full(&store, 1000);
	set_rules("fallocate ENOSPC data.mdb\npwrite ENOSPC data.mdb\n");
	before = ck_pr_load_64(&asked);
	ck_pr_add_64(&now_ms, 2000);
	lane_poke(kv_lane(store.kv));
	/* 500, 250, ... 1 of them; twice for each of these. */
	ok(wait_for_count(&asked, before + 18), "not one can be removed");
	sleep_ms(50);
	ok(ck_pr_load_64(&asked) - before < 50, "the sweeper rests: %llu",
	   (unsigned long long)(ck_pr_load_64(&asked) - before));
	set_rules("fallocate ENOSPC data.mdb\n");
	lane_poke(kv_lane(store.kv));
	ok(wait_for_count(&store.kv->expired, COUNT / 3),
	   "a few at a time find room");
	kv_stats(store.kv, &stats);
	ok(stats.expired == COUNT / 3 && stats.disk_full && store.faults == 0,
	   "all go: %llu", (unsigned long long)stats.expired);
	set_rules("");
	store_close(&store);
}

/* Deletes those of put_scattered() that do not expire, one at a time: from *i
 * on, so many of them or until one finds no room. How many nothing was swept
 * with. */
static unsigned
delete_scattered(struct store *store, unsigned *i, unsigned most,
		 unsigned count)
{
	unsigned alone = 0;

	for (unsigned n = 0; n < most && *i < count; ++*i) {
		uint64_t expired = ck_pr_load_64(&store->kv->expired);
		struct kv_op op;
		char key[16];

		if (*i % 3 == 0)
			continue;
		snprintf(key, sizeof(key), "s%05u", *i * 7919 % count);
		op = op_of(KV_DELETE, key, NULL);
		if (store_op(store, &op) != ERR_OK)
			break;
		n++;
		alone += ck_pr_load_64(&store->kv->expired) == expired;
	}
	return alone;
}

static void
what_expires_takes_no_room_from_others(void)
{
	enum { COUNT = 600, BEFORE = 10 };
	struct store store;
	unsigned i = 0, alone;

	store_init(&store, "others", false);
	store.tuning.now_ms = counted_now;
	store.tuning.sweep_pause_ms = 3600000;
	store_open(&store);
	/* One at a time, so that it has the same pages each time. */
	for (unsigned n = 0; n < COUNT; n++)
		put_scattered(&store, n, 1, COUNT);
	set_rules("fallocate ENOSPC data.mdb\n");
	put_until_full(&store, 60000);
	put_until_full(&store, 1000);
	/* Keeps the pages that are freed from being used again. */
	need(kv_read_renew(store.read, true) == ERR_OK, "no snapshot");
	alone = delete_scattered(&store, &i, BEFORE, COUNT);
	need(alone == BEFORE, "no room for ten");
	ck_pr_add_64(&now_ms, 2000);
	alone = delete_scattered(&store, &i, COUNT, COUNT);
	ok(alone > 0, "%u deletes, beside %u that expire", alone,
	   (unsigned)ck_pr_load_64(&store.kv->expired));
	kv_read_reset(store.read);
	set_rules("");
	store_close(&store);
}

static void
a_sequence_that_cannot_move_is_a_fault(void)
{
	struct store store;

	store_init(&store, "sequence-fault", false);
	store_open(&store);
	set_rules("fdatasync EIO sequence\n");
	/* The first number after a start needs the mark to move. */
	ok(store_put(&store, "k", "1") == ERR_FAULT, "nothing is numbered");
	set_rules("");
	ok(store_put(&store, "k", "1") == ERR_FAULT, "nor tried again");
	store_close(&store);
	store_open(&store);
	ok(store_put(&store, "k", "1") == ERR_OK, "after a start it is good");
	store_close(&store);
}

static void
a_slow_sync_only_takes_its_time(void)
{
	struct store store;
	struct lane_stats stats;
	uint64_t start_ns;

	store_init(&store, "slow", false);
	store_open(&store);
	set_rules("fdatasync sleep-60 data.mdb\n");
	start_ns = clock_mono_ns();
	ok(store_put(&store, "k", "1") == ERR_OK, "it is done");
	ok(clock_mono_ns() - start_ns >= 60 * NS_PER_MS, "after the sync");
	set_rules("");
	lane_stats(kv_lane(store.kv), &stats);
	ok(stats.sync_ns >= 60 * NS_PER_MS, "which is counted");
	store_close(&store);
}

static void
faults(void)
{
	a_kill_inside_of_a_commit_is_no_different();
	a_failed_write_or_sync_is_final();
	no_room_is_no_fault();
	in_a_batch_only_those_fail_that_do_not_fit();
	a_disk_that_gives_no_more_blocks();
	the_expired_go_though_the_disk_is_full();
	what_expires_takes_no_room_from_others();
	a_sequence_that_cannot_move_is_a_fault();
	a_slow_sync_only_takes_its_time();
	unlink(rules);
}

int
main(int argc, char **argv)
{
	bool can_fail = faults_begin(argv);

	memset(filler, 'c', sizeof(filler));
	make_root();
	nothing_acknowledged_is_lost(false);
	nothing_acknowledged_is_lost(true);
	if (can_fail)
		faults();
	else
		ok(true, "# SKIP there is no preload/fault.so");
	return tap_done();
}
