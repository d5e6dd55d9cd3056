/* SPDX-License-Identifier: MIT */
/*
 * Least used goes first, by second chance: a hand walks over the keys in
 * their order, and evicts those that were not used since it last came by. New
 * keys are born used, so a flood of them does not push out what is read: at
 * each round of the hand, what was read once more stays, what was written and
 * never read goes.
 *
 * How a key was used is a byte at its hash, which several keys may share. So
 * it is not a mark that the hand takes away, for it would take away that of
 * the others, but a date and a count. The hand counts eighths of its rounds.
 * Who uses a key for the first time in one of them writes the date and adds
 * one to the count, up to seven. A key whose date is a round old is evicted
 * when its count is 0; otherwise it gets a new date for half of its count. So
 * what was read often outlives a pause of a few rounds, and what was written
 * once, for which nothing is counted, does not.
 *
 * The hand keeps its pace: from half the size on it goes two keys with each
 * put, so that a round is half of all keys put anew. What is used once in
 * that time stays. Eviction begins at nine tenths. Where two keys are too
 * few to find one that was not used, it falls behind, and then goes the faster
 * the less is left; only past the size it goes on until the value fits.
 *
 * Pages count, too: a key here and there that goes leaves its page emptier,
 * and only a page three quarters empty is joined with another. The store is as
 * full as its bytes or half of its pages say, whichever is more, so that
 * the file stays bounded.
 */
#include <ck_pr.h>
#include <errno.h>

#include "storage/kv/kv_internal.h"

enum {
	ROUND_PARTS = 8,
	/* With each put, while there is room, and when there is none left. */
	STEPS_USUAL = 2,
	STEPS_MOST = 16,
	/* Two for one, so that it gets ahead again. */
	EVICTIONS_PER_PUT = 2,
};

/* ---- the hand ----------------------------------------------------------- */

/* The first key at or after the hand, around the end. */
static int
place_hand(struct kv *kv, MDB_cursor *cursor, MDB_val *name, MDB_val *value)
{
	int rc = MDB_NOTFOUND;

	if (kv->hand_len) {
		*name = (MDB_val){ kv->hand_len, kv->hand };
		rc = mdb_cursor_get(cursor, name, value, MDB_SET_RANGE);
	}
	if (rc == MDB_NOTFOUND)
		rc = mdb_cursor_get(cursor, name, value, MDB_FIRST);
	return rc;
}

static int
advance(MDB_cursor *cursor, MDB_val *name, MDB_val *value)
{
	/* After a delete this is the key that moved into the place. */
	int rc = mdb_cursor_get(cursor, name, value, MDB_NEXT);

	if (rc == MDB_NOTFOUND)
		rc = mdb_cursor_get(cursor, name, value, MDB_FIRST);
	return rc;
}

static void
leave_hand(struct kv *kv, const MDB_val *name)
{
	assert(name->mv_size <= sizeof(kv->hand));
	kv->hand_len = name->mv_size;
	memcpy(kv->hand, name->mv_data, name->mv_size);
}

/*
 * Lets a key off that was used in the last round, or often before. A date is
 * never so old that it comes round again: the hand comes by all keys in each
 * round, and those it leaves have a younger one. A use at the same time may
 * be lost, or not be counted; the next one is not.
 */
static bool
lets_off(struct kv *kv, struct bytes key)
{
	uint8_t *slot = kv_used_slot(kv, kv_hash(kv, key));
	uint8_t used = ck_pr_load_8(slot);

	if (((kv->round - used) & KV_USED_DATE) <= ROUND_PARTS)
		return true;
	if (used < KV_USED_ONCE)
		return false;
	used = (uint8_t)(used / KV_USED_ONCE / 2 * KV_USED_ONCE);
	ck_pr_store_8(slot, used | kv->round);
	return true;
}

/* The next key at this hash begins without its count. The date stays, for it
 * may be another key's. */
static void
forget_uses(struct kv *kv, struct bytes key)
{
	uint8_t *slot = kv_used_slot(kv, kv_hash(kv, key));

	ck_pr_store_8(slot, ck_pr_load_8(slot) & KV_USED_DATE);
}

void
kv_evict_note_new(struct kv *kv, struct bytes key)
{
	uint8_t *slot;

	if (!kv->used)
		return;
	slot = kv_used_slot(kv, kv_hash(kv, key));
	/* The count may be that of another key at the same hash. */
	ck_pr_store_8(slot, (ck_pr_load_8(slot) & ~KV_USED_DATE) | kv->round);
}

static void
count_step(struct kv *kv, uint64_t entries)
{
	if (++kv->hand_steps < entries / ROUND_PARTS)
		return;
	kv->hand_steps = 0;
	ck_pr_store_8(&kv->round, (kv->round + 1) & KV_USED_DATE);
}

/* ---- evicting ----------------------------------------------------------- */

static void
evict_here(struct kv *kv, MDB_cursor *cursor, struct bytes key, MDB_val value)
{
	struct kv_batch *batch = &kv->batch;
	struct kv_found found = { .stored = true, .size = value.mv_size };
	uint8_t index[KV_EXPIRY_KEY_SIZE];
	MDB_val name = { sizeof(index), index };
	uint64_t expires_ms, cost;

	if (!kv_record_decode(value.mv_data, value.mv_size, &found.record)) {
		kv_check(kv, MDB_CORRUPTED);
		return;
	}
	expires_ms = found.record.expires_ms;
	cost = kv_cost_found(kv, key, &found);
	kv_expiry_encode(index, expires_ms, found.record.seq);
	kv_touch_stripe(kv, key);
	forget_uses(kv, key);
	if (!kv_check(kv, mdb_cursor_del(cursor, 0)))
		return;
	if (expires_ms &&
	    !kv_check(kv, mdb_del(batch->txn, kv->expiry, &name, NULL)))
		return;
	batch->bytes -= cost;
	batch->changed = true;
	if (expires_ms && expires_ms <= batch->now_ms)
		batch->expired++;
	else
		batch->evicted++;
}

static bool
is_expired(struct kv *kv, MDB_val value)
{
	struct kv_record record;

	return kv_record_decode(value.mv_data, value.mv_size, &record) &&
	       !kv_record_is_live(&record, kv->batch.now_ms);
}

/* The size at which eviction begins. */
static uint64_t
high_mark(const struct kv *kv)
{
	return kv->max_size / 10 * 9;
}

/* How full the store would be. */
static uint64_t
level(struct kv *kv, uint64_t growth)
{
	uint64_t bytes = kv->batch.bytes + growth;
	uint64_t pages = kv_space_pages(kv) / 2;

	return bytes > pages ? bytes : pages;
}

static unsigned
steps_for(struct kv *kv, uint64_t growth)
{
	uint64_t high = high_mark(kv), now = level(kv, growth);

	if (now <= high)
		return STEPS_USUAL;
	if (now >= kv->max_size)
		return STEPS_MOST;
	return STEPS_USUAL +
	       (unsigned)((now - high) * (STEPS_MOST - STEPS_USUAL) /
			  (kv->max_size - high));
}

/* While the value does not fit yet, always. */
static bool
wants_more(struct kv *kv, uint64_t growth, unsigned steps, unsigned evictions)
{
	return kv->batch.bytes + growth > kv->max_size ||
	       (steps < steps_for(kv, growth) && evictions < EVICTIONS_PER_PUT);
}

static bool
may_go(struct kv *kv, struct bytes key, MDB_val value, struct bytes spared,
       uint64_t growth)
{
	return level(kv, growth) > high_mark(kv) && !bytes_equal(key, spared) &&
	       (is_expired(kv, value) || !lets_off(kv, key));
}

static unsigned
turn_hand(struct kv *kv, MDB_cursor *cursor, struct bytes spared,
	  uint64_t growth)
{
	unsigned steps = 0, evictions = 0;
	MDB_val name, value;
	MDB_stat stat = { 0 };
	int rc = place_hand(kv, cursor, &name, &value);

	mdb_stat(kv->batch.txn, kv->data, &stat);
	while (!rc && wants_more(kv, growth, steps++, evictions)) {
		struct bytes key = bytes_of_val(name);

		if (may_go(kv, key, value, spared, growth)) {
			kv_space_admit_shrink(kv, value.mv_size);
			evict_here(kv, cursor, key, value);
			if (kv->batch.rc)
				return evictions;
			evictions++;
		}
		count_step(kv, stat.ms_entries);
		rc = advance(cursor, &name, &value);
	}
	if (!rc)
		leave_hand(kv, &name);
	else if (rc != MDB_NOTFOUND)
		kv_check(kv, rc);
	return evictions;
}

enum err
kv_evict(struct kv *kv, struct bytes spared, uint64_t have, uint64_t need,
	 bool *changed)
{
	uint64_t growth = need - have;
	MDB_cursor *cursor;

	/* With this the hand comes to an end: all but spared can go. */
	if (need > kv->max_size)
		return ERR_FULL;
	if (level(kv, growth) <= kv->max_size / 2)
		return ERR_OK;
	if (!kv_check(kv, mdb_cursor_open(kv->batch.txn, kv->data, &cursor)))
		return ERR_FAULT;
	*changed = turn_hand(kv, cursor, spared, growth) > 0;
	mdb_cursor_close(cursor);
	if (kv->batch.rc)
		return ERR_FAULT;
	return kv->batch.bytes + growth > kv->max_size ? ERR_FULL : ERR_OK;
}
