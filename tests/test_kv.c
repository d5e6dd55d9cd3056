/* SPDX-License-Identifier: MIT */
/*
 * Opening stores, snapshots, scans and the sweeper. What operations do is in
 * test_kv_write.c.
 */
#include <fcntl.h>
#include <sys/wait.h>

#include "tests/store.h"

/* Atomic: what stores take for now. */
static uint64_t now_ms = 1000000;

static uint64_t
fake_now(void)
{
	return __atomic_load_n(&now_ms, __ATOMIC_SEQ_CST);
}

static void
set_now(uint64_t ms)
{
	__atomic_store_n(&now_ms, ms, __ATOMIC_SEQ_CST);
}

static void
put_ttl(struct store *store, const char *key, uint64_t ttl_ms)
{
	struct kv_op op = op_of(KV_PUT, key, "x");

	op.has_ttl = true;
	op.ttl_ms = ttl_ms;
	need(store_op(store, &op) == ERR_OK, "cannot put");
}

/* ---- snapshots ---------------------------------------------------------- */

static void
a_snapshot_stays_until_it_is_renewed(void)
{
	struct store store;
	struct kv_read *old;
	struct kv_record record;
	struct kv_stats stats;

	store_init(&store, "snapshot", false);
	store_open(&store);
	store_put(&store, "k", "1");
	need(kv_read_create(store.kv, &old) == ERR_OK, "cannot make one");
	ok(kv_read_renew(old, false) == ERR_OK, "a snapshot");
	store_put(&store, "k", "2");
	store_put(&store, "k", "3");
	ok(kv_get(old, bytes_of("k"), 0, &record) == ERR_OK &&
		   bytes_equal(record.value, bytes_of("1")),
	   "shows what was");
	ok(has_value(&store, "k", "3"), "another one what is");
	kv_stats(store.kv, &stats);
	is_u64(stats.oldest_reader, 2, "the old one is two commits behind");
	is_u64(stats.readers, 2, "two are counted");
	ok(kv_read_renew(old, false) == ERR_OK &&
		   kv_get(old, bytes_of("k"), 0, &record) == ERR_OK &&
		   bytes_equal(record.value, bytes_of("3")),
	   "until it is renewed");
	kv_read_reset(old);
	kv_read_reset(old);
	kv_stats(store.kv, &stats);
	is_u64(stats.oldest_reader, 0, "one that is given back holds nothing");
	ok(kv_get(store.read, bytes_of(""), 0, &record) == ERR_NOTFOUND,
	   "no key is empty");
	kv_read_destroy(old);
	store_close(&store);
}

static void
snapshots_are_limited(void)
{
	struct store store;
	struct kv_read *reads[8], *more;
	unsigned n = 0;

	store_init(&store, "limited", false);
	store.options.readers = 8;
	store_open(&store); /* takes one */
	while (n < 7 && kv_read_create(store.kv, &reads[n]) == ERR_OK)
		n++;
	is_u64(n, 7, "as many as were asked for");
	ok(kv_read_create(store.kv, &more) == ERR_OVERLOADED, "not more");
	kv_read_destroy(reads[--n]);
	ok(kv_read_create(store.kv, &reads[n]) == ERR_OK, "but again");
	for (n = 0; n < 7; n++)
		kv_read_destroy(reads[n]);
	store_close(&store);
}

/* ---- scans -------------------------------------------------------------- */

/* The keys of a walk, joined by blanks. */
static const char *
walk(struct store *store, bool reverse, const char *bound, char text[256])
{
	struct bytes from = bound ? bytes_of(bound) : (struct bytes){ 0 };
	struct kv_record record;
	struct kv_scan *scan;
	struct bytes key;
	size_t len = 0;

	text[0] = '\0';
	need(kv_read_renew(store->read, false) == ERR_OK &&
		     kv_scan_begin(store->read, reverse, from, fake_now(),
				   &scan) == ERR_OK,
	     "cannot scan");
	while (kv_scan_next(scan, &key, &record) == ERR_OK)
		len += (size_t)snprintf(text + len, 256 - len, "%s%.*s",
					len ? " " : "", (int)key.len,
					(const char *)key.data);
	if (kv_scan_next(scan, &key, &record) != ERR_NOTFOUND)
		strcat(text, " AND GOES ON");
	kv_scan_end(scan);
	return text;
}

static void
scans_walk_both_ways_within_bounds(void)
{
	static const struct {
		bool reverse;
		const char *bound, *keys;
	} cases[] = {
		{ false, NULL, "a aa b c/1 c/2 d" },
		{ false, "", "a aa b c/1 c/2 d" },
		{ false, "a", "a aa b c/1 c/2 d" },
		{ false, "a0", "aa b c/1 c/2 d" },
		{ false, "c/", "c/1 c/2 d" },
		{ false, "d", "d" },
		{ false, "e", "" },
		{ true, NULL, "d c/2 c/1 b aa a" },
		{ true, "e", "d c/2 c/1 b aa a" },
		{ true, "d", "c/2 c/1 b aa a" },
		{ true, "c/2", "c/1 b aa a" },
		{ true, "c", "b aa a" },
		{ true, "a", "" },
		{ true, "", "" },
	};
	static const char *const keys[] = { "d", "b", "c/2", "a", "aa", "c/1" };
	struct store store;
	char text[256];

	store_init(&store, "scan", false);
	store.tuning.now_ms = fake_now;
	store_open(&store);
	is_str(walk(&store, false, NULL, text), "", "an empty store");
	is_str(walk(&store, true, NULL, text), "", "backwards");
	is_str(walk(&store, true, "x", text), "", "with a bound");
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		store_put(&store, keys[i], "x");
	/* Expired ones everywhere. */
	put_ttl(&store, "0", 10);
	put_ttl(&store, "c/", 10);
	put_ttl(&store, "zz", 10);
	set_now(fake_now() + 10);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s %s",
			 cases[i].reverse ? "before" : "from",
			 cases[i].bound ? cases[i].bound : "the end");
		is_str(walk(&store, cases[i].reverse, cases[i].bound, text),
		       cases[i].keys, name);
	}
	store_close(&store);
}

struct part {
	struct kv_scan *scan;
	unsigned want, got;
	bool in_order;
};

static void *
walks_a_part(void *arg)
{
	struct part *part = arg;
	struct kv_record record;
	struct bytes key;

	while (part->got < part->want &&
	       kv_scan_next(part->scan, &key, &record) == ERR_OK)
		part->got++;
	return NULL;
}

static void
a_scan_may_go_on_on_another_thread(void)
{
	struct store store;
	struct kv_scan *scan;
	unsigned total = 0;

	store_init(&store, "hand-over", true);
	store_open(&store);
	for (unsigned i = 0; i < 1000; i++) {
		char key[16];

		snprintf(key, sizeof(key), "k%04u", i);
		store_put(&store, key, "value");
	}
	need(kv_read_renew(store.read, false) == ERR_OK &&
		     kv_scan_begin(store.read, false, (struct bytes){ 0 }, 1,
				   &scan) == ERR_OK,
	     "cannot scan");
	for (unsigned i = 0; i < 10; i++) {
		struct part part = { .scan = scan, .want = 150 };
		pthread_t thread;

		pthread_create(&thread, NULL, walks_a_part, &part);
		pthread_join(thread, NULL);
		total += part.got;
		/* Commits go on meanwhile. */
		store_put(&store, "k0500x", "new");
		store_put(&store, "zzz", "new");
	}
	is_u64(total, 1000, "ten threads see all of the snapshot, no more");
	kv_scan_end(scan);
	store_close(&store);
}

/* ---- sweeping ----------------------------------------------------------- */

static bool
wait_for_entries(struct store *store, uint64_t entries)
{
	uint64_t deadline = clock_mono_ns() + DEADLINE_NS;
	struct kv_stats stats;

	do {
		kv_stats(store->kv, &stats);
		if (stats.entries == entries)
			return true;
		sleep_ms(5);
	} while (clock_mono_ns() < deadline);
	return false;
}

static void
the_expired_are_swept_from_an_idle_store(void)
{
	struct store store;
	struct kv_stats stats;
	uint64_t before;

	set_now(5000000);
	store_init(&store, "sweep", true);
	store.tuning.now_ms = fake_now;
	store.tuning.sweep_pause_ms = 20;
	store_open(&store);
	store_put(&store, "stays", "x");
	kv_stats(store.kv, &stats);
	before = stats.live_bytes;
	for (unsigned i = 0; i < 1200; i++) {
		char key[16];

		snprintf(key, sizeof(key), "k%u", i);
		put_ttl(&store, key, 1000 + i % 7);
	}
	put_ttl(&store, "later", 500000);
	sleep_ms(60);
	kv_stats(store.kv, &stats);
	is_u64(stats.entries, 1202, "nothing goes before its time");
	set_now(5002000);
	lane_poke(kv_lane(store.kv));
	ok(wait_for_entries(&store, 2), "then all that are due go");
	kv_stats(store.kv, &stats);
	is_u64(stats.expired, 1200, "they are counted");
	is_u64(stats.evicted, 0, "and not as evicted");
	ok(has_value(&store, "stays", "x") && has_value(&store, "later", "x"),
	   "the others stay");
	set_now(6000000);
	lane_poke(kv_lane(store.kv));
	ok(wait_for_entries(&store, 1), "until they are due");
	kv_stats(store.kv, &stats);
	is_u64(stats.live_bytes, before, "all of their room is back");
	store_close(&store);
}

static void
the_sweeper_comes_by_itself(void)
{
	struct store store;

	store_init(&store, "timer", true);
	store.tuning.sweep_pause_ms = 20;
	store_open(&store);
	put_ttl(&store, "late", 100000000);
	put_ttl(&store, "soon", 150);
	put_ttl(&store, "sooner", 50);
	ok(wait_for_entries(&store, 1), "for a key that ends before others");
	store_close(&store);
}

static void
a_batch_of_writes_sweeps_a_few(void)
{
	struct store store;
	struct kv_stats stats;

	set_now(7000000);
	store_init(&store, "piggyback", true);
	store.tuning.now_ms = fake_now;
	store.tuning.sweep_pause_ms = 100000;
	store_open(&store);
	for (unsigned i = 0; i < 100; i++) {
		char key[16];

		snprintf(key, sizeof(key), "k%u", i);
		put_ttl(&store, key, 1000);
	}
	set_now(7001000);
	for (unsigned i = 0; i < 4; i++)
		store_put(&store, "other", "x");
	kv_stats(store.kv, &stats);
	ok(stats.expired == 100 && stats.entries == 1,
	   "at no commit of their own: %llu",
	   (unsigned long long)stats.expired);
	store_close(&store);
}

/* ---- opening ------------------------------------------------------------ */

static void
what_was_written_is_there_after_a_start(void)
{
	static const bool kinds[] = { false, true };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct store store;
		struct kv_stats before, after;
		uint64_t last;

		store_init(&store, kinds[i] ? "start-v" : "start-d", kinds[i]);
		store_open(&store);
		for (unsigned j = 0; j < 100; j++) {
			char key[16];

			snprintf(key, sizeof(key), "k%u", j);
			store_put(&store, key, "value");
		}
		put_ttl(&store, "ttl", 1000000);
		kv_stats(store.kv, &before);
		last = sequence_last(store.sequence);
		store_reopen(&store);
		kv_stats(store.kv, &after);
		ok(has_value(&store, "k0", "value") &&
			   has_value(&store, "k99", "value"),
		   "%s: the values", store.options.name);
		is_u64(after.entries, before.entries, "entries");
		is_u64(after.live_bytes, before.live_bytes, "live bytes");
		ok(sequence_last(store.sequence) >= last, "the sequence");
		store_close(&store);
	}
}

static void
numbers_go_on_without_their_file(void)
{
	struct store store;
	struct kv_op op = op_of(KV_PUT, "k", "1");
	uint64_t seq;
	char path[PATH_MAX];

	store_init(&store, "restored", false);
	store_open(&store);
	need(store_op(&store, &op) == ERR_OK, "cannot put");
	seq = op.seq;
	store_close(&store);
	unlink(under_root("sequence", path));
	store_open(&store);
	need(store_op(&store, &op) == ERR_OK, "cannot put");
	ok(op.seq > seq, "a store raises a younger sequence above its own");
	store_close(&store);
}

/* In a process of its own, as LMDB wants a file open once in each. */
static int
open_elsewhere(struct store *store)
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct store other = { .options = store->options };
		enum err err;

		strcpy(other.dir, store->dir);
		err = store_try_open(&other);
		if (err == ERR_LOCKED && !strstr(other.message, store->dir))
			err = ERR_BAD;
		_exit((int)err);
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static void
a_store_is_open_in_one_process(void)
{
	struct store store;

	store_init(&store, "locked", false);
	store_open(&store);
	store_put(&store, "k", "1");
	is_u64((unsigned)open_elsewhere(&store), ERR_LOCKED,
	       "another one is refused, with the folder's name");
	ok(store_put(&store, "k", "2") == ERR_OK && has_value(&store, "k", "2"),
	   "and the first is unharmed");
	store_close(&store);
	is_u64((unsigned)open_elsewhere(&store), ERR_OK, "then it may");
}

static void
a_store_keeps_its_kind(void)
{
	for (unsigned kind = 0; kind < 2; kind++) {
		struct store store;

		store_init(&store, kind ? "kind-v" : "kind-d", kind);
		store_open(&store);
		store_put(&store, "k", "1");
		store_close(&store);
		store.options.is_volatile = !kind;
		ok(store_try_open(&store) == ERR_BAD &&
			   strstr(store.message, store.dir),
		   "%s", store.message);
		store.options.is_volatile = kind;
		store_open(&store);
		ok(has_value(&store, "k", "1"), "it is unharmed");
		store_close(&store);
	}
}

/* ---- damage ------------------------------------------------------------- */

enum damage { MISSING, EMPTY, CUT_100, CUT_PAGE, CUT_HALF, GARBAGE, ZEROS };

static void
fill_file(const char *path, bool zeros)
{
	int fd = open(path, O_WRONLY);
	unsigned char bytes[4096];

	need(fd >= 0, "cannot open the data");
	for (unsigned page = 0; page < 64; page++) {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = zeros ? 0 : (unsigned char)(i * 31 + page);
		need(write(fd, bytes, sizeof(bytes)) > 0, "cannot write");
	}
	close(fd);
}

static void
do_damage(const char *path, enum damage damage)
{
	struct stat st;

	need(stat(path, &st) == 0, "no data file");
	switch (damage) {
	case MISSING:
		need(unlink(path) == 0, "cannot remove");
		break;
	case EMPTY:
		need(truncate(path, 0) == 0, "cannot truncate");
		break;
	case CUT_100:
		need(truncate(path, 100) == 0, "cannot truncate");
		break;
	case CUT_PAGE:
		need(truncate(path, 4096) == 0, "cannot truncate");
		break;
	case CUT_HALF:
		need(truncate(path, 100 * 4096) == 0, "cannot truncate");
		break;
	case GARBAGE:
	case ZEROS:
		fill_file(path, damage == ZEROS);
		break;
	}
}

static void
damage_is_found(void)
{
	static const char *const names[] = { "missing",  "empty", "100 bytes",
					     "one page", "half",  "garbage",
					     "zeros" };
	static char value[1000001];

	memset(value, 'v', sizeof(value) - 1);
	for (unsigned i = 0; i < 2 * ARRAY_LEN(names); i++) {
		enum damage damage = i / 2;
		bool is_volatile = i % 2;
		struct store store;
		char path[PATH_MAX];
		char name[32];

		snprintf(name, sizeof(name), "damage-%u", i);
		store_init(&store, name, is_volatile);
		store_open(&store);
		store_put(&store, "big", value);
		store_put(&store, "k", "1");
		store_close(&store);
		do_damage(store_file(&store, "data.mdb", path), damage);
		if (!is_volatile) {
			ok(store_try_open(&store) == ERR_FAULT &&
				   strstr(store.message, path),
			   "durable, %s: %s", names[damage], store.message);
			continue;
		}
		store_open(&store);
		ok(!has_value(&store, "k", "1") &&
			   store_put(&store, "k", "2") == ERR_OK,
		   "volatile, %s: starts empty", names[damage]);
		store_close(&store);
	}
}

/* ---- volatile stores and crashes ---------------------------------------- */

/* Leaves what a killed process leaves. */
static void
crash(struct store *store, const char *boot)
{
	pid_t pid;

	store->tuning.boot_id = boot;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		store_open(store);
		store_put(store, "crashed", boot);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static bool
survives(struct store *store, const char *boot, const char *key,
	 const char *value)
{
	bool there;

	store->tuning.boot_id = boot;
	store_open(store);
	there = has_value(store, key, value);
	store_close(store);
	return there;
}

static void
a_volatile_store_trusts_its_marker(void)
{
	struct store store;
	char path[PATH_MAX];

	store_init(&store, "marker", true);
	store.tuning.boot_id = "boot-1";
	store_open(&store);
	store_put(&store, "k", "1");
	store_close(&store);
	ok(survives(&store, "boot-1", "k", "1"), "a clean end, the same boot");
	ok(survives(&store, "boot-2", "k", "1"), "a clean end, another boot");
	crash(&store, "boot-2");
	ok(survives(&store, "boot-2", "crashed", "boot-2"),
	   "a crash of the process");
	crash(&store, "boot-3");
	ok(!survives(&store, "boot-4", "crashed", "boot-3"),
	   "not a crash of the machine");
	crash(&store, "unknown");
	ok(!survives(&store, "unknown", "crashed", "unknown"),
	   "nor a crash where no boot is known from another");
	store_open(&store);
	store_put(&store, "k", "3");
	store_close(&store);
	need(truncate(store_file(&store, "boot", path), 5) == 0,
	     "cannot truncate");
	ok(!survives(&store, "boot-4", "k", "3"), "nor a marker that is cut");
	store.tuning.boot_id = NULL;
	ok(!survives(&store, NULL, "k", "3"), "the real boot id");
}

static void
a_durable_store_needs_no_marker(void)
{
	struct store store;

	store_init(&store, "no-marker", false);
	crash(&store, "boot-1");
	ok(survives(&store, "boot-2", "crashed", "boot-1"), "after any crash");
}

/* ---- size --------------------------------------------------------------- */

static long
resident_kib(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long size = 0, resident = 0;

	if (file) {
		if (fscanf(file, "%ld %ld", &size, &resident) != 2)
			resident = 0;
		fclose(file);
	}
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void
an_idle_store_is_small(void)
{
	struct store durable, quick;
	long before = resident_kib(), after;

	store_init(&durable, "idle-d", false);
	durable.options.max_size = UINT64_C(8) << 30;
	store_init(&quick, "idle-v", true);
	quick.options.max_size = UINT64_C(8) << 30;
	store_open(&durable);
	store_open(&quick);
	sleep_ms(20);
	after = resident_kib();
	store_close(&durable);
	store_close(&quick);
#if defined(__SANITIZE_ADDRESS__) || defined(UNDER_TSAN)
	before = after; /* shadow memory counts */
#endif
	ok(after - before < 1024, "two stores of 8 GiB: %ld KiB",
	   after - before);
}

int
main(void)
{
	make_root();
	/* These fork, before there is a thread. */
	a_volatile_store_trusts_its_marker();
	a_durable_store_needs_no_marker();
	a_store_is_open_in_one_process();

	an_idle_store_is_small();
	a_snapshot_stays_until_it_is_renewed();
	snapshots_are_limited();
	scans_walk_both_ways_within_bounds();
	a_scan_may_go_on_on_another_thread();
	the_expired_are_swept_from_an_idle_store();
	the_sweeper_comes_by_itself();
	a_batch_of_writes_sweeps_a_few();
	what_was_written_is_there_after_a_start();
	numbers_go_on_without_their_file();
	a_store_keeps_its_kind();
	damage_is_found();
	return tap_done();
}
