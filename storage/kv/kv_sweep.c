/* SPDX-License-Identifier: MIT */
/*
 * Expired keys are invisible at once, because readers compare times, and are
 * removed later by the order of the index. Every batch of writes removes a few
 * that are due, at no sync of its own; an idle store does it in transactions
 * of its own, a second apart, so that keys that expire one by one do not cost
 * a sync each.
 *
 * Keys that expire together may lie all over the tree, and each then needs a
 * page of its own to be removed: more than a full disk has. As a batch does, a
 * sweep that does not fit is tried again with half as many, at once, down to a
 * single key; that one is tried again after a pause.
 */
#include <ck_pr.h>

#include "core/clock.h"
#include "storage/kv/kv_internal.h"

enum {
	/* An idle store looks at least this often, should the wall clock have
	 * been set forward meanwhile. */
	LOOK_MS = 60 * 1000,
};

uint64_t
kv_sweep_due_ms(struct kv *kv)
{
	uint64_t due_ms = UINT64_MAX;
	MDB_cursor *cursor;
	MDB_val name, value;
	int rc;

	if (!kv_check(kv, mdb_cursor_open(kv->batch.txn, kv->expiry, &cursor)))
		return due_ms;
	rc = mdb_cursor_get(cursor, &name, &value, MDB_FIRST);
	if (!rc && name.mv_size == KV_EXPIRY_KEY_SIZE)
		due_ms = kv_expiry_ms(name.mv_data);
	else if (rc != MDB_NOTFOUND)
		kv_check(kv, rc ? rc : MDB_CORRUPTED);
	mdb_cursor_close(cursor);
	return due_ms;
}

/* The first index entry, if it is due. Copies the key: what the cursor shows
 * ends with the first change. */
static bool
first_due(struct kv *kv, MDB_cursor *cursor, uint8_t *key, size_t *key_len,
	  uint64_t *seq)
{
	MDB_val name, value;
	int rc = mdb_cursor_get(cursor, &name, &value, MDB_FIRST);

	if (rc == MDB_NOTFOUND || !kv_check(kv, rc))
		return false;
	if (name.mv_size != KV_EXPIRY_KEY_SIZE || value.mv_size > KV_KEY_MAX) {
		kv_check(kv, MDB_CORRUPTED);
		return false;
	}
	if (kv_expiry_ms(name.mv_data) > kv->batch.now_ms)
		return false;
	*seq = kv_expiry_seq(name.mv_data);
	*key_len = value.mv_size;
	memcpy(key, value.mv_data, value.mv_size);
	return true;
}

/* Removes the record, and with it the index entry. */
static bool
sweep_one(struct kv *kv, struct bytes key, uint64_t seq)
{
	struct kv_found found;

	if (!kv_find(kv, key, &found))
		return false;
	if (!found.stored || found.live || found.record.seq != seq)
		return kv_check(kv, MDB_CORRUPTED);
	kv_space_admit_shrink(kv, kv_cost_found(kv, key, &found));
	kv_replace(kv, key, &found, NULL);
	return kv->batch.rc == 0;
}

unsigned
kv_sweep(struct kv *kv, unsigned max)
{
	uint8_t key[KV_KEY_MAX];
	MDB_cursor *cursor;
	unsigned n = 0;
	size_t key_len;
	uint64_t seq;

	if (kv->batch.rc ||
	    !kv_check(kv, mdb_cursor_open(kv->batch.txn, kv->expiry, &cursor)))
		return 0;
	while (n < max && first_due(kv, cursor, key, &key_len, &seq)) {
		if (!sweep_one(kv, (struct bytes){ key, key_len }, seq))
			break;
		n++;
	}
	mdb_cursor_close(cursor);
	kv->batch.expired += n;
	return n;
}

/* ---- idle --------------------------------------------------------------- */

/* What is committed, and what is left. */
static enum err
sweep_alone(struct kv *kv, unsigned *swept)
{
	enum err err = kv_commit_begin(kv);

	*swept = 0;
	if (err != ERR_OK)
		return err;
	*swept = kv_sweep(kv, kv->sweep_max);
	if (*swept == 0) /* nothing was due, and nothing will be committed */
		kv->next_due_ms = kv_sweep_due_ms(kv);
	return kv_commit_end(kv);
}

/* Returns whether to come again at once, if anything is due. */
static bool
sweep_what_fits(struct kv *kv, bool *fault)
{
	unsigned swept, max = kv->sweep_max;
	enum err err = sweep_alone(kv, &swept);

	*fault = err == ERR_FAULT;
	if (err == ERR_OK) {
		kv->sweep_max =
			max < KV_SWEEP_BATCH / 2 ? max * 2 : KV_SWEEP_BATCH;
		/* More is due than one transaction takes: writers first, if
		 * there are any, then the rest. */
		return swept == max;
	}
	kv->sweep_max = max > 1 ? max / 2 : 1;
	kv->next_due_ms = 0; /* what there was is still there */
	return max > 1;
}

static uint64_t
pause_ms(const struct kv *kv, uint64_t now_ms, bool again)
{
	uint64_t ms = LOOK_MS;

	if (kv->next_due_ms == UINT64_MAX)
		return UINT64_MAX;
	if (kv->next_due_ms <= now_ms && again)
		return 0;
	if (kv->next_due_ms < now_ms + LOOK_MS)
		ms = kv->next_due_ms > now_ms ? kv->next_due_ms - now_ms : 0;
	return ms > kv->tuning.sweep_pause_ms ? ms : kv->tuning.sweep_pause_ms;
}

uint64_t
kv_idle(void *store, bool *fault)
{
	struct kv *kv = store;
	uint64_t now_ms = kv->tuning.now_ms(), ms;
	bool again = sweep_what_fits(kv, fault);

	ms = pause_ms(kv, now_ms, again);
	if (ms == UINT64_MAX) {
		kv->sweep_at_ms = UINT64_MAX;
		return UINT64_MAX;
	}
	kv->sweep_at_ms = now_ms + ms;
	return clock_mono_ns() + ms * NS_PER_MS;
}
