/* SPDX-License-Identifier: MIT */
/*
 * Least used goes first, by second chance: a hand walks over the keys in
 * their order, and evicts those that were not used since it last came by. New
 * keys are born used, so a flood of them does not push out what is read: at
 * each round of the hand, what was read once more stays, what was written and
 * never read goes.
 *
 * When a key was used is a byte at its hash, which several keys may share. So
 * it is not a mark that the hand takes away, for it would take away that of
 * the others, but a date: the hand counts eighths of its rounds, and who uses
 * a key writes the count. Sharing then only makes a key look more used.
 *
 * Eviction begins at nine tenths of the size, with a few steps for each put,
 * and so keeps ahead of it; only past the size it goes on until the value
 * fits. Few, or the hand would come round again before what is read often
 * could be read; and enough that it comes round once, where all are used,
 * while the last tenth fills.
 *
 * Pages count, too: a key here and there that goes leaves its page emptier,
 * and only a page three quarters empty is joined with another. At one and a
 * half times the limit eviction goes on, so that the file stays bounded.
 */
#include <ck_pr.h>
#include <errno.h>

#include "storage/kv_internal.h"

enum {
	ROUND_PARTS = 8,
	STEPS_PER_PUT = 16,
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

/* A full round ago or less. A stamp is never so old that the byte wraps: the
 * hand comes by all keys in each round. */
static bool
was_used(const struct kv *kv, struct bytes key)
{
	const uint8_t *used = kv_used_slot(kv, kv_hash(kv, key));

	return (uint8_t)(kv->round - ck_pr_load_8(used)) <= ROUND_PARTS;
}

static void
count_step(struct kv *kv, uint64_t entries)
{
	if (++kv->hand_steps < entries / ROUND_PARTS)
		return;
	kv->hand_steps = 0;
	ck_pr_store_8(&kv->round, (uint8_t)(kv->round + 1));
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

/* Is there more to do? When the value does not fit yet, always. */
static bool
wants_more(struct kv *kv, uint64_t growth, unsigned steps, unsigned evictions)
{
	uint64_t most = kv->max_size / 10 * 9;

	if (kv->batch.bytes + growth > kv->max_size)
		return true;
	return steps < STEPS_PER_PUT && evictions < EVICTIONS_PER_PUT &&
	       (kv->batch.bytes + growth > most ||
		kv_space_pages(kv) > most / 2 * 3);
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

		if (!bytes_equal(key, spared) &&
		    (is_expired(kv, value) || !was_used(kv, key))) {
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
	if (!wants_more(kv, growth, 0, 0))
		return ERR_OK;
	if (!kv_check(kv, mdb_cursor_open(kv->batch.txn, kv->data, &cursor)))
		return ERR_FAULT;
	*changed = turn_hand(kv, cursor, spared, growth) > 0;
	mdb_cursor_close(cursor);
	if (kv->batch.rc)
		return ERR_FAULT;
	return kv->batch.bytes + growth > kv->max_size ? ERR_FULL : ERR_OK;
}
