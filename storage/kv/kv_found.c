/* SPDX-License-Identifier: MIT */
/*
 * What stands under a key, and something else in its place: the record, its
 * index entry, and the figures. Failures are the transaction's: kv_check()
 * keeps them.
 */
#include "storage/kv/kv_internal.h"

bool
kv_find(struct kv *kv, struct bytes key, struct kv_found *found)
{
	MDB_val name = val_of(key), value;
	int rc = mdb_get(kv->batch.txn, kv->data, &name, &value);

	*found = (struct kv_found){ 0 };
	if (rc == MDB_NOTFOUND)
		return true;
	if (!kv_check(kv, rc))
		return false;
	if (!kv_record_decode(value.mv_data, value.mv_size, &found->record))
		return kv_check(kv, MDB_CORRUPTED);
	found->stored = true;
	found->live = kv_record_is_live(&found->record, kv->batch.now_ms);
	found->size = value.mv_size;
	return true;
}

static bool
put_index(struct kv *kv, struct bytes key, uint64_t expires_ms, uint64_t seq)
{
	uint8_t index[KV_EXPIRY_KEY_SIZE];
	MDB_val name = { sizeof(index), index }, value = val_of(key);

	if (!expires_ms)
		return true;
	kv_expiry_encode(index, expires_ms, seq);
	return kv_check(kv,
			mdb_put(kv->batch.txn, kv->expiry, &name, &value, 0));
}

static bool
delete_index(struct kv *kv, uint64_t expires_ms, uint64_t seq)
{
	uint8_t index[KV_EXPIRY_KEY_SIZE];
	MDB_val name = { sizeof(index), index };
	int rc;

	if (!expires_ms)
		return true;
	kv_expiry_encode(index, expires_ms, seq);
	rc = mdb_del(kv->batch.txn, kv->expiry, &name, NULL);
	/* Each record that expires has its entry. */
	return kv_check(kv, rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc);
}

/* Straight into LMDB's page. */
static bool
put_data(struct kv *kv, struct bytes key, const struct kv_record *record)
{
	MDB_val name = val_of(key), value = { kv_record_size(record), NULL };
	int rc = mdb_put(kv->batch.txn, kv->data, &name, &value, MDB_RESERVE);

	if (!kv_check(kv, rc))
		return false;
	kv_record_encode(value.mv_data, record);
	return true;
}

void
kv_replace(struct kv *kv, struct bytes key, const struct kv_found *old,
	   const struct kv_record *record)
{
	struct kv_batch *batch = &kv->batch;
	uint64_t have = kv_cost_found(kv, key, old);
	MDB_val name = val_of(key);

	batch->changed = true;
	kv_touch_stripe(kv, key);
	/* The record that old shows is gone after the first of these. */
	if (old->stored &&
	    !delete_index(kv, old->record.expires_ms, old->record.seq))
		return;
	if (!record) {
		batch->bytes -= have;
		kv_check(kv, mdb_del(batch->txn, kv->data, &name, NULL));
		return;
	}
	if (!put_data(kv, key, record) ||
	    !put_index(kv, key, record->expires_ms, record->seq))
		return;
	batch->bytes += kv_cost(kv, key.len, kv_record_size(record),
				record->expires_ms != 0);
	batch->bytes -= have;
	if (!old->live)
		kv_evict_note_new(kv, key);
	else
		kv_touch_used(kv, kv_hash(kv, key));
}
