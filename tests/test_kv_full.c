/* SPDX-License-Identifier: MIT */
/*
 * Stores, maps and disks that are full; and eviction, which keeps a volatile
 * store from being so.
 */
#include <sys/mount.h>

#include "tests/store.h"

enum { MANY = 400, HOT = 50 };

static char filler[1 << 20];

static struct kv_op
put_of(const char *key, size_t len)
{
	struct kv_op op = op_of(KV_PUT, key, NULL);

	op.value = (struct bytes){ filler, len };
	return op;
}

static enum err
put_size(struct store *store, const char *key, size_t len)
{
	struct kv_op op = put_of(key, len);

	return store_op(store, &op);
}

static enum err
delete_key(struct store *store, const char *key)
{
	struct kv_op op = op_of(KV_DELETE, key, NULL);

	return store_op(store, &op);
}

static struct kv_stats
stats_of(struct store *store)
{
	struct kv_stats stats;

	kv_stats(store->kv, &stats);
	return stats;
}

/* Puts PREFIX0, PREFIX1, ... until one is refused; how many went in. */
static unsigned
fill(struct store *store, const char *prefix, size_t len, unsigned most,
     enum err *err)
{
	char key[32];
	unsigned n;

	*err = ERR_OK;
	for (n = 0; n < most; n++) {
		snprintf(key, sizeof(key), "%s%u", prefix, n);
		*err = put_size(store, key, len);
		if (*err != ERR_OK)
			break;
	}
	return n;
}

static unsigned
count_there(struct store *store, const char *prefix, unsigned most)
{
	struct kv_record record;
	unsigned there = 0;
	char key[32];

	for (unsigned i = 0; i < most; i++) {
		snprintf(key, sizeof(key), "%s%u", prefix, i);
		there += store_get(store, key, &record) == ERR_OK;
	}
	kv_read_reset(store->read);
	return there;
}

/* ---- the quota ---------------------------------------------------------- */

static void
a_full_store_refuses_what_grows(struct store *store, unsigned n)
{
	struct kv_op ops[3];
	struct bytes before, after;
	char key[32];

	ok(stats_of(store).full, "the figures say so");
	is_u64(count_there(store, "k", n), n, "all is read");
	snprintf(key, sizeof(key), "k%u", n / 2);
	ok(put_size(store, key, 3000) == ERR_FULL, "no replacing by more");
	ok(put_size(store, key, 1000) == ERR_OK, "but by the same");
	ok(put_size(store, key, 10) == ERR_OK, "and by less");
	ok(put_size(store, key, 1000) == ERR_OK, "and by what was there");
	before = store_dump(store);
	ops[0] = put_of("atomic/1", 10);
	ops[1] = put_of(key, 5);
	ops[2] = put_of("atomic/2", 500000);
	ok(store_write(store, ops, 3, true) == ERR_FULL, "an atomic write");
	after = store_dump(store);
	ok(bytes_equal(before, after), "of which nothing is there");
	free((void *)(uintptr_t)before.data);
	free((void *)(uintptr_t)after.data);
}

static void
it_heals_by_deletes(struct store *store, unsigned n)
{
	char key[32];
	unsigned good = 0;

	/* One key in ten, all over: no page gets empty. */
	for (unsigned i = 0; i < n; i += 10) {
		snprintf(key, sizeof(key), "k%u", i);
		good += delete_key(store, key) == ERR_OK;
	}
	is_u64(good, (n + 9) / 10, "deletes go on");
	ok(!stats_of(store).full, "it is not full any more");
	good = 0;
	for (unsigned i = 0; i < n; i += 10) {
		snprintf(key, sizeof(key), "k%u", i);
		good += put_size(store, key, 1000) == ERR_OK;
	}
	is_u64(good, (n + 9) / 10, "as many fit again");
}

static void
a_store_is_full_at_its_size(void)
{
	struct store store;
	struct kv_stats stats;
	enum err err;
	unsigned n;

	store_init(&store, "quota", false);
	store.options.max_size = 256 << 10;
	store_open(&store);
	n = fill(&store, "k", 1000, MANY, &err);
	ok(err == ERR_FULL && n > 200, "%u values of 1000 bytes fit 256 KiB",
	   n);
	stats = stats_of(&store);
	ok(stats.live_bytes <= stats.max_size &&
		   stats.live_bytes > stats.max_size - 2000,
	   "to the last one");
	a_full_store_refuses_what_grows(&store, n);
	it_heals_by_deletes(&store, n);
	store_reopen(&store);
	ok(put_size(&store, "one more", 2000) == ERR_FULL,
	   "a start does not forget what is in it");
	store_close(&store);
}

static void
the_expired_make_room_at_once(void)
{
	struct store store;
	struct kv_op op;
	char key[32];
	enum err err = ERR_OK;
	unsigned n = 0;

	store_init(&store, "expired", true);
	store.options.is_volatile = false;
	store.options.max_size = 128 << 10;
	store.tuning.sweep_pause_ms = 1000000;
	store_open(&store);
	for (; n < MANY && err == ERR_OK; n++) {
		snprintf(key, sizeof(key), "t%u", n);
		op = put_of(key, 1000);
		op.has_ttl = true;
		op.ttl_ms = 5000;
		err = store_op(&store, &op);
	}
	ok(err == ERR_FULL, "full of what will expire");
	op = op_of(KV_TOUCH, "t0", NULL);
	op.ttl_ms = 3600000;
	ok(store_op(&store, &op) == ERR_OK, "a touch needs no room");
	for (unsigned i = 1; i + 1 < n; i++) {
		snprintf(key, sizeof(key), "t%u", i);
		op = op_of(KV_TOUCH, key, NULL);
		op.ttl_ms = 1;
		(void)!store_op(&store, &op);
	}
	sleep_ms(5);
	ok(put_size(&store, "big", 50000) == ERR_OK,
	   "when it has, there is room");
	is_u64(count_there(&store, "t", n), 1, "and what has not stays");
	store_close(&store);
}

static uint64_t now_ms = 1000000; /* atomic */

static uint64_t
fake_now(void)
{
	return __atomic_load_n(&now_ms, __ATOMIC_SEQ_CST);
}

static void
what_is_replaced_makes_room_once(void)
{
	struct store store;
	struct kv_stats stats;
	struct kv_op op;
	enum err err;

	store_init(&store, "replaced", false);
	store.options.max_size = 128 << 10;
	store.tuning.now_ms = fake_now;
	store.tuning.sweep_pause_ms = 1000000;
	store_open(&store);
	op = put_of("expires", 60000);
	op.has_ttl = true;
	op.ttl_ms = 5000;
	need(store_op(&store, &op) == ERR_OK, "cannot put");
	need(put_size(&store, "stays", 60000) == ERR_OK, "cannot put");
	__atomic_add_fetch(&now_ms, 10000, __ATOMIC_SEQ_CST);
	err = put_size(&store, "expires", 100000);
	stats = stats_of(&store);
	ok(err == ERR_FULL && stats.live_bytes <= stats.max_size,
	   "no room for more than both it and what has expired: %llu of %llu",
	   (unsigned long long)stats.live_bytes,
	   (unsigned long long)stats.max_size);
	ok(put_size(&store, "expires", 60000) == ERR_OK, "but for as much");
	store_close(&store);
}

/* ---- the map ------------------------------------------------------------ */

static void
of_a_batch_only_those_fail_that_do_not_fit_the_map(void)
{
	enum { COUNT = 120, SIZE = 40000 };
	struct kv_op ops[COUNT];
	char keys[COUNT][16];
	struct store store;
	unsigned good = 0, full = 0, there;

	store_init(&store, "map", true);
	store.tuning.map_size = 2 << 20;
	store_open(&store);
	store_put(&store, "small", "x");
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(keys[i], sizeof(keys[i]), "m%u", i);
		ops[i] = put_of(keys[i], SIZE);
	}
	store_write_many(&store, ops, COUNT);
	for (unsigned i = 0; i < COUNT; i++) {
		good += ops[i].err == ERR_OK;
		full += ops[i].err == ERR_FULL;
	}
	is_u64(good + full, COUNT, "each fits or is refused");
	ok(good >= 25 && good <= 48, "%u of 40 KB fit 2 MiB", good);
	there = count_there(&store, "m", COUNT);
	is_u64(there, good, "those that were acknowledged are there");
	ok(store.faults == 0 && has_value(&store, "small", "x"),
	   "nothing else is lost");
	kv_read_reset(store.read); /* or it would keep the pages */
	for (unsigned i = 0; i < COUNT; i++)
		if (ops[i].err == ERR_OK)
			there -= delete_key(&store, keys[i]) == ERR_OK;
	is_u64(there, 0, "they can be deleted");
	/* Pages are free two commits after their deletion. */
	store_put(&store, "small", "y");
	ok(put_size(&store, "again", SIZE) == ERR_OK, "then there is room");
	ok(put_size(&store, "too large", 1 << 20) == ERR_OK ||
		   !lane_faulty(kv_lane(store.kv)),
	   "a value that fits nowhere is no fault");
	store_close(&store);
}

static void
a_snapshot_that_is_kept_does_not_break_the_store(void)
{
	struct store store;
	struct kv_read *pin;
	enum err err = ERR_OK;
	unsigned n = 0;

	store_init(&store, "pinned", true);
	store.tuning.map_size = 4 << 20;
	store_open(&store);
	store_put(&store, "k", "x");
	need(kv_read_create(store.kv, &pin) == ERR_OK &&
		     kv_read_renew(pin, true) == ERR_OK,
	     "cannot make a snapshot");
	for (; n < 2000 && err == ERR_OK; n++)
		err = put_size(&store, "k", 1500);
	ok(err == ERR_FULL, "replacing under it fills the map: %u", n);
	ok(store.faults == 0, "which is no fault");
	kv_read_destroy(pin);
	err = ERR_OK;
	for (n = 0; n < 500 && err == ERR_OK; n++)
		err = put_size(&store, "k", 1500);
	ok(err == ERR_OK, "without it all is good again");
	store_close(&store);
}

/* ---- the disk ----------------------------------------------------------- */

static bool
mount_small(const char *path)
{
	need(mkdir(path, 0700) == 0, "cannot make a folder");
	return mount("none", path, "tmpfs", 0, "size=12m,mode=700") == 0;
}

static unsigned
delete_some(struct store *store, const char *prefix, unsigned from, unsigned to)
{
	unsigned good = 0;
	char key[32];

	for (unsigned i = from; i < to; i++) {
		snprintf(key, sizeof(key), "%s%u", prefix, i);
		good += delete_key(store, key) == ERR_OK;
	}
	return good;
}

/* Two mebibytes, or what is left. */
static void
make_ballast(const char *path)
{
	FILE *file = fopen(path, "w");

	need(file != NULL, "cannot make a file");
	for (unsigned i = 0; i < 2; i++)
		if (fwrite(filler, sizeof(filler), 1, file) != 1)
			break;
	fclose(file);
}

static void
fills_deletes_and_heals(struct store *store, const char *prefix, size_t len)
{
	char ballast[PATH_MAX + 8];
	unsigned n, again;
	enum err err;

	snprintf(ballast, sizeof(ballast), "%s.x", store->dir);
	make_ballast(ballast);
	n = fill(store, prefix, len, 100000, &err);
	ok(err == ERR_FULL && n > 20, "%u values of %zu bytes fit the disk", n,
	   len);
	ok(stats_of(store).disk_full, "the figures say so");
	is_u64(count_there(store, prefix, n), n, "all is read");
	ok(put_size(store, "new", len) == ERR_FULL, "nothing new goes in");
	is_u64(delete_some(store, prefix, 0, n / 2), n / 2, "deletes go on");
	again = fill(store, prefix, len, n / 4, &err);
	ok(again == n / 4, "what they leave is used: %u of %u", again, n / 4);
	store_reopen(store);
	ok(count_there(store, prefix, n) >= n - n / 2,
	   "the rest is there after a start on a full disk");
	is_u64(delete_some(store, prefix, n / 2, n), n - n / 2,
	       "deletes go on after it");
	(void)!delete_some(store, prefix, 0, n / 4);
	n = fill(store, prefix, len, 100000, &err);
	ok(err == ERR_FULL, "full again: %u", n);
	unlink(ballast);
	ok(put_size(store, "healed", 1000) == ERR_OK, "until there is room");
	ok(!stats_of(store).disk_full, "which the figures say");
	ok(store->faults == 0 && !lane_faulty(kv_lane(store->kv)),
	   "none of it is a fault");
	(void)!delete_some(store, prefix, 0, n);
}

static void
a_full_disk_refuses_what_grows(void)
{
	struct store store;
	char disk[PATH_MAX];

	under_root("disk", disk);
	if (!mount_small(disk)) {
		ok(true, "# SKIP mounting a small disk is not permitted");
		return;
	}
	for (unsigned kind = 0; kind < 2; kind++) {
		store_init(&store, kind ? "disk/v" : "disk/d", kind);
		store.options.max_size = 1 << 30;
		store_open(&store);
		fills_deletes_and_heals(&store, kind ? "big" : "s",
					kind ? 100000 : 1000);
		store_close(&store);
		need(system("rm -rf \"$TEST_DISK\"/*") == 0, "cannot clear");
	}
	umount2(disk, MNT_DETACH);
}

/* ---- eviction ----------------------------------------------------------- */

static void
use_hot(struct store *store)
{
	struct kv_record record;
	char key[32];

	for (unsigned i = 0; i < HOT; i++) {
		snprintf(key, sizeof(key), "hot%u", i);
		if (store_get(store, key, &record) == ERR_OK)
			kv_touch_used(store->kv,
				      kv_hash(store->kv, bytes_of(key)));
	}
	kv_read_reset(store->read);
}

/* Keys that are neither in order nor come again; hot ones are used meanwhile
 * or not. */
static void
flood(struct store *store, unsigned count, size_t len, bool use,
      unsigned *refused)
{
	enum { AT_ONCE = 100 };
	static uint64_t number;
	struct kv_op ops[AT_ONCE];
	char keys[AT_ONCE][32];

	for (unsigned done = 0; done < count; done += AT_ONCE) {
		for (unsigned i = 0; i < AT_ONCE; i++) {
			uint64_t mixed =
				++number * UINT64_C(11400714819323198485);

			snprintf(keys[i], sizeof(keys[i]), "f%016llx",
				 (unsigned long long)mixed);
			ops[i] = put_of(keys[i], len);
		}
		store_write_many(store, ops, AT_ONCE);
		for (unsigned i = 0; i < AT_ONCE; i++)
			*refused += ops[i].err != ERR_OK;
		if (use)
			use_hot(store);
	}
}

static void
the_least_used_go_first(void)
{
	struct store store;
	struct kv_stats stats;
	bool index_fits;
	unsigned refused = 0;
	char key[32];

	store_init(&store, "evict", true);
	store.options.max_size = 2 << 20;
	store_open(&store);
	for (unsigned i = 0; i < HOT; i++) {
		snprintf(key, sizeof(key), "hot%u", i);
		need(put_size(&store, key, 200) == ERR_OK, "cannot put");
	}
	flood(&store, 30000, 200, true, &refused);
	stats = stats_of(&store);
	is_u64(refused, 0, "a flood is taken in whole");
	is_u64(count_there(&store, "hot", HOT), HOT,
	       "what is read regularly stays");
	ok(stats.live_bytes <= stats.max_size, "within the size: %llu",
	   (unsigned long long)stats.live_bytes);
	ok(stats.live_bytes > stats.max_size / 10 * 6, "which is used: %llu",
	   (unsigned long long)stats.live_bytes);
	ok(stats.map_used < 5 * stats.max_size / 2, "also in pages: %llu",
	   (unsigned long long)stats.map_used);
	is_u64(stats.evicted + stats.entries, 30000 + HOT,
	       "each key is there or counted as evicted");
	is_u64(store_count_bytes(&store, &index_fits), stats.live_bytes,
	       "the figures are right");
	flood(&store, 5000, 200, false, &refused);
	ok(count_there(&store, "hot", HOT) >= HOT * 9 / 10,
	   "what was read often outlives a pause");
	flood(&store, 1000, 5000, true, &refused);
	is_u64(refused, 0, "so is one of large values");
	ok(put_size(&store, "huge", 1 << 20) == ERR_OK, "and half the store");
	ok(count_there(&store, "hot", HOT) >= HOT * 9 / 10, "hot ones stay");
	store_close(&store);
}

static void
only_what_fits_nowhere_is_refused(void)
{
	struct store store;
	enum err err;

	store_init(&store, "evict-small", true);
	store.options.max_size = 256 << 10;
	store_open(&store);
	(void)!fill(&store, "k", 500, 2000, &err);
	ok(err == ERR_OK, "2000 small ones are taken");
	ok(put_size(&store, "large", 240 << 10) == ERR_OK,
	   "one of nearly all the store");
	ok(put_size(&store, "large", 245 << 10) == ERR_OK, "replaced by more");
	ok(put_size(&store, "larger", 300 << 10) == ERR_FULL,
	   "but not more than it");
	ok(put_size(&store, "k", 100) == ERR_OK, "it goes on");
	store_close(&store);
}

static void
the_expired_go_before_the_used(void)
{
	struct store store;
	struct kv_stats stats;
	char key[32];

	store_init(&store, "evict-ttl", true);
	store.options.max_size = 1 << 20;
	store.tuning.sweep_pause_ms = 1000000;
	store_open(&store);
	for (unsigned i = 0; i < 1600; i++) {
		struct kv_op op;

		snprintf(key, sizeof(key), "%u", i);
		op = put_of(key, 400);
		op.has_ttl = true;
		op.ttl_ms = i % 2 ? 1 : 1000000;
		op.expires_ms = i % 2 ? clock_wall_ms() + 300 : 0;
		need(store_op(&store, &op) == ERR_OK, "cannot put");
	}
	sleep_ms(350);
	for (unsigned i = 0; i < 1600; i++) {
		snprintf(key, sizeof(key), "%u", i);
		kv_touch_used(store.kv, kv_hash(store.kv, bytes_of(key)));
	}
	/* One put, which needs the room of many. */
	ok(put_size(&store, "large", 500000) == ERR_OK, "there is room");
	stats = stats_of(&store);
	ok(stats.expired > 300 && stats.evicted == 0,
	   "%llu expired ones made it, none was evicted",
	   (unsigned long long)stats.expired);
	store_close(&store);
}

int
main(void)
{
	char disk[PATH_MAX];

	memset(filler, 'f', sizeof(filler));
	make_root();
	setenv("TEST_DISK", under_root("disk", disk), 1);
	a_store_is_full_at_its_size();
	the_expired_make_room_at_once();
	what_is_replaced_makes_room_once();
	of_a_batch_only_those_fail_that_do_not_fit_the_map();
	a_snapshot_that_is_kept_does_not_break_the_store();
	the_least_used_go_first();
	only_what_fits_nowhere_is_refused();
	the_expired_go_before_the_used();
	a_full_disk_refuses_what_grows();
	return tap_done();
}
