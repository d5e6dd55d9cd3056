/* SPDX-License-Identifier: MIT */
/*
 * Snapshots. Renewing one is a few stores to a slot of its own in LMDB's
 * table of readers: no lock, no system call.
 *
 * LMDB takes the number of the last commit, puts it into the slot, and then
 * reads the one of two meta pages that this number uses. Two commits in
 * between are trouble: the second rewrites that meta page under the reader's
 * copy, and a third transaction may not have seen the slot yet and reuse
 * pages of the snapshot. A volatile store commits in microseconds, and a
 * reader can be preempted anywhere. So the committer counts the commits that
 * it begins, and a reader whose renewal met the beginning of one, which would
 * be the second, renews again.
 */
#include <ck_pr.h>
#include <stdlib.h>

#include "storage/kv/kv_internal.h"

struct kv_read {
	struct kv *kv;
	MDB_txn *txn;
	struct kv_slot *slot;
	bool active;    /* the transaction has a snapshot */
	uint64_t txnid; /* of it */
	unsigned scans; /* open on it */
};

struct kv_scan {
	struct kv_read *read;
	MDB_cursor *cursor;
	bool at_key; /* the cursor stands on a key not yet given */
	bool reverse, ended;
	uint64_t now_ms;
};

/* ---- snapshots ---------------------------------------------------------- */

static struct kv_slot *
take_slot(struct kv *kv)
{
	for (unsigned i = 0; i < kv->readers; i++)
		if (!ck_pr_load_uint(&kv->slots[i].taken) &&
		    ck_pr_cas_uint(&kv->slots[i].taken, 0, 1))
			return &kv->slots[i];
	return NULL;
}

enum err
kv_read_create(struct kv *kv, struct kv_read **out)
{
	struct kv_read *read = calloc(1, sizeof(*read));
	int rc;

	if (!read)
		return ERR_NOMEM;
	read->kv = kv;
	read->slot = take_slot(kv);
	if (!read->slot) {
		free(read);
		return ERR_OVERLOADED;
	}
	rc = mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &read->txn);
	if (rc) {
		ck_pr_store_uint(&read->slot->taken, 0);
		free(read);
		return err_from_lmdb(rc);
	}
	mdb_txn_reset(read->txn);
	*out = read;
	return ERR_OK;
}

void
kv_read_destroy(struct kv_read *read)
{
	kv_read_reset(read);
	mdb_txn_abort(read->txn);
	ck_pr_store_uint(&read->slot->taken, 0);
	free(read);
}

/* take_slot() gives the first that is free, so one in the second half says that
 * the first is taken. */
bool
kv_read_is_scarce(const struct kv_read *read)
{
	return read->slot >= &read->kv->slots[read->kv->readers / 2];
}

void
kv_read_reset(struct kv_read *read)
{
	assert(read->scans == 0);
	if (!read->active)
		return;
	mdb_txn_reset(read->txn);
	read->active = false;
	ck_pr_store_64(&read->slot->txnid, 0);
}

/* Once through: sets *clean when no commit began meanwhile. */
static int
renew_once(struct kv_read *read, bool *clean)
{
	uint64_t *begun = &read->kv->commits_begun;
	uint64_t before = ck_pr_load_64(begun);
	int rc;

	/* Pairs with the full fence between counting a commit and making it,
	 * in publish_odd(): whose commit we could meet, its count we see in
	 * the second load. */
	ck_pr_fence_load();
	rc = mdb_txn_renew(read->txn);
	if (rc)
		return rc;
	/* Also puts our slot out of the store buffer: a transaction that
	 * begins after a commit that we did not count sees it. */
	ck_pr_fence_memory();
	*clean = ck_pr_load_64(begun) == before;
	if (!*clean)
		mdb_txn_reset(read->txn);
	return 0;
}

enum err
kv_read_renew(struct kv_read *read, bool fresh)
{
	bool clean = false;

	/* Pairs with the store fence in publish_even(): who was answered, or
	 * saw an even word, sees the commit's number here. */
	if (read->active && !fresh &&
	    read->txnid >= ck_pr_load_64(&read->kv->committed))
		return ERR_OK;
	kv_read_reset(read);
	while (!clean) {
		int rc = renew_once(read, &clean);

		if (rc)
			return err_from_lmdb(rc);
	}
	read->txnid = mdb_txn_id(read->txn);
	read->active = true;
	ck_pr_store_64(&read->slot->txnid, read->txnid);
	return ERR_OK;
}

/* ---- looking up --------------------------------------------------------- */

enum err
kv_get(struct kv_read *read, struct bytes key, uint64_t now_ms,
       struct kv_record *record)
{
	MDB_val name = val_of(key), value;
	struct kv_record found;
	int rc;

	assert(read->active);
	if (key.len == 0)
		return ERR_NOTFOUND;
	rc = mdb_get(read->txn, read->kv->data, &name, &value);
	if (rc)
		return err_from_lmdb(rc);
	if (!kv_record_decode(value.mv_data, value.mv_size, &found))
		return ERR_FAULT;
	if (!kv_record_is_live(&found, now_ms))
		return ERR_NOTFOUND;
	*record = found;
	return ERR_OK;
}

/* See kv_evict.c. A read of a line that all share, and a write only where it
 * says something new: a few in each round of the hand. */
void
kv_touch_used(struct kv *kv, uint64_t hash)
{
	uint8_t *slot, used, round;

	if (!kv->used)
		return;
	slot = kv_used_slot(kv, hash);
	used = ck_pr_load_8(slot);
	round = ck_pr_load_8(&kv->round);
	if ((used & KV_USED_DATE) == round)
		return;
	if (used < KV_USED_MOST)
		used += KV_USED_ONCE;
	ck_pr_store_8(slot, (used & ~KV_USED_DATE) | round);
}

/* ---- scanning ----------------------------------------------------------- */

/* Puts the cursor on the first key of the walk. */
static int
seek(struct kv_scan *scan, struct bytes bound)
{
	MDB_val name = val_of(bound), value;
	int rc;

	if (!scan->reverse && bound.len == 0)
		return mdb_cursor_get(scan->cursor, &name, &value, MDB_FIRST);
	if (scan->reverse && !bound.data)
		return mdb_cursor_get(scan->cursor, &name, &value, MDB_LAST);
	if (bound.len == 0)
		return MDB_NOTFOUND; /* nothing is before the empty key */
	rc = mdb_cursor_get(scan->cursor, &name, &value, MDB_SET_RANGE);
	if (!scan->reverse || (rc && rc != MDB_NOTFOUND))
		return rc;
	return mdb_cursor_get(scan->cursor, &name, &value,
			      rc ? MDB_LAST : MDB_PREV);
}

enum err
kv_scan_begin(struct kv_read *read, bool reverse, struct bytes bound,
	      uint64_t now_ms, struct kv_scan **out)
{
	struct kv_scan *scan = calloc(1, sizeof(*scan));
	int rc;

	assert(read->active);
	if (!scan)
		return ERR_NOMEM;
	scan->read = read;
	scan->reverse = reverse;
	scan->now_ms = now_ms;
	rc = mdb_cursor_open(read->txn, read->kv->data, &scan->cursor);
	if (rc) {
		free(scan);
		return err_from_lmdb(rc);
	}
	read->scans++;
	rc = seek(scan, bound);
	scan->at_key = rc == 0;
	scan->ended = rc == MDB_NOTFOUND;
	if (rc && rc != MDB_NOTFOUND) {
		kv_scan_end(scan);
		return err_from_lmdb(rc);
	}
	*out = scan;
	return ERR_OK;
}

static int
step(struct kv_scan *scan, MDB_val *name, MDB_val *value)
{
	MDB_cursor_op op = scan->reverse ? MDB_PREV : MDB_NEXT;

	if (scan->ended)
		return MDB_NOTFOUND;
	if (scan->at_key)
		op = MDB_GET_CURRENT;
	scan->at_key = false;
	return mdb_cursor_get(scan->cursor, name, value, op);
}

enum err
kv_scan_next(struct kv_scan *scan, struct bytes *key, struct kv_record *record)
{
	struct kv_record found;
	MDB_val name, value;

	do {
		int rc = step(scan, &name, &value);

		if (rc) {
			scan->ended = true;
			return err_from_lmdb(rc);
		}
		if (!kv_record_decode(value.mv_data, value.mv_size, &found))
			return ERR_FAULT;
	} while (!kv_record_is_live(&found, scan->now_ms));
	*key = bytes_of_val(name);
	*record = found;
	return ERR_OK;
}

void
kv_scan_end(struct kv_scan *scan)
{
	mdb_cursor_close(scan->cursor);
	scan->read->scans--;
	free(scan);
}
