/* SPDX-License-Identifier: MIT */
/*
 * Two kinds of room.
 *
 * The quota bounds what is in the store. It counts the bytes of the records,
 * not pages: pages empty only when most of their records are gone, and a full
 * store would stay full long after deletes. Pages are bounded too, at twice
 * the quota, which random inserts (pages two thirds full) do not reach.
 *
 * The room on the disk bounds what the next transaction may write. LMDB takes
 * a short write, as a full disk makes them, for an input/output error, which
 * for us is the end of the store. So the file is allocated ahead, and no
 * change is begun that might need a page that has no block:
 *
 *   |<---- pages in use, or free to be used again ---->|<-- ahead -->|
 *   0                                              next_page   file_pages
 *                                                      |<-reserve--->|
 *
 * LMDB takes free pages first, so on a full disk a store lives on those, and
 * heals when deletes make more of them. Copy-on-write needs pages also to
 * delete: what grows the store leaves the reserve alone. Before the commit it
 * is looked at once more, and exactly: if it would go past the file, which
 * free pages that do not lie in a row can bring about, the batch is halved.
 */
#include <ck_pr.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "core/log.h"
#include "storage/kv/kv_internal.h"

enum {
	/* What one change may write besides a large value: a path in each
	 * tree, and a neighbour a level where pages split or join. */
	PATH_MOST = 32,
	PATH_USUAL = 8,
	/* And what the commit writes: the unnamed database, the free list. */
	COMMIT_PAGES = 32,
	/* Bounds of ahead_pages(). */
	AHEAD_MIN = 256 << 10,
	AHEAD_MAX = 1 << 20,
};

/*
 * How far the file grows at a time, so that most commits need not allocate;
 * and the reserve: hundreds of deletes in one transaction. Some part of a
 * small store, so that its file is no larger than it must be.
 */
static uint64_t
ahead_pages(const struct kv *kv)
{
	uint64_t least =
		kv->max_size < kv->map_size ? kv->max_size : kv->map_size;
	uint64_t bytes = least / 16;

	if (bytes < AHEAD_MIN)
		bytes = AHEAD_MIN;
	if (bytes > AHEAD_MAX)
		bytes = AHEAD_MAX;
	return bytes / kv->page_size;
}

/* ---- what a record takes ------------------------------------------------ */

/* LMDB's node: a head of 8 bytes, key, data, 2 bytes of index, made even. */
static uint64_t
node_cost(size_t key_len, size_t data_len)
{
	return (8 + key_len + data_len + 2 + 1) & ~UINT64_C(1);
}

static bool
is_big(const struct kv *kv, size_t key_len, size_t data_len)
{
	return 8 + key_len + data_len > kv->node_max;
}

/* Pages of their own for a value, behind one page head of 16 bytes. */
static uint64_t
pages_of(const struct kv *kv, size_t data_len)
{
	return (15 + data_len) / kv->page_size + 1;
}

uint64_t
kv_cost(const struct kv *kv, size_t key_len, size_t record_size, bool expires)
{
	uint64_t cost = 0;

	if (expires)
		cost += node_cost(KV_EXPIRY_KEY_SIZE, key_len);
	if (!is_big(kv, key_len, record_size))
		return cost + node_cost(key_len, record_size);
	return cost + node_cost(key_len, sizeof(size_t)) +
	       pages_of(kv, record_size) * kv->page_size;
}

uint64_t
kv_cost_found(const struct kv *kv, struct bytes key,
	      const struct kv_found *found)
{
	if (!found->stored)
		return 0;
	return kv_cost(kv, key.len, found->size, found->record.expires_ms != 0);
}

/* ---- the disk ----------------------------------------------------------- */

/*
 * The page that the transaction takes next when no free one fits. LMDB has no
 * call that tells it, so it is read where it lies in LMDB's own structure, of
 * which this is the beginning; see kv_space_knows_lmdb().
 */
struct lmdb_txn {
	void *parent, *child;
	size_t next_page;
	size_t txnid;
	MDB_env *env;
};

static uint64_t
next_page(const struct kv *kv)
{
	struct lmdb_txn txn;

	memcpy(&txn, kv->batch.txn, sizeof(txn));
	return txn.next_page;
}

/* All that calls do tell lies where we think, so the rest does. */
bool
kv_space_knows_lmdb(MDB_txn *write)
{
	struct lmdb_txn txn;
	MDB_envinfo info;

	memcpy(&txn, write, sizeof(txn));
	mdb_env_info(mdb_txn_env(write), &info);
	return !txn.parent && !txn.child && txn.env == mdb_txn_env(write) &&
	       txn.txnid == mdb_txn_id(write) &&
	       txn.next_page == info.me_last_pgno + 1;
}

static void
set_disk_full(struct kv *kv, bool full)
{
	if (ck_pr_load_uint(&kv->disk_full) == full)
		return;
	ck_pr_store_uint(&kv->disk_full, full);
	if (full)
		log_warn("store %s: no room on the disk, puts are refused",
			 kv->name);
	else
		log_info("store %s: there is room on the disk again", kv->name);
}

/* Tried once a batch: whether there is room again is seen by trying. */
static bool
grow_file(struct kv *kv, uint64_t pages)
{
	uint64_t step = ahead_pages(kv);
	uint64_t from = kv->file_pages * kv->page_size, more;
	int rc;

	/* Past the map is as bad, and what is kept for deletes is the same. */
	if (kv->batch.cannot_grow || pages >= kv->map_size / kv->page_size)
		return false;
	more = (pages + step - kv->file_pages) * kv->page_size;
	rc = posix_fallocate(kv->data_fd, (off_t)from, (off_t)more);
	if (rc) { /* perhaps without the step */
		more -= step * kv->page_size;
		rc = posix_fallocate(kv->data_fd, (off_t)from, (off_t)more);
	}
	if (rc == 0)
		kv->file_pages += more / kv->page_size;
	kv->batch.cannot_grow = rc != 0;
	set_disk_full(kv, rc != 0);
	return rc == 0;
}

/* The oldest transaction that a snapshot shows. */
static uint64_t
oldest_snapshot(const struct kv *kv)
{
	uint64_t oldest = ck_pr_load_64(&kv->committed);

	for (unsigned i = 0; i < kv->readers; i++) {
		uint64_t txnid = ck_pr_load_64(&kv->slots[i].txnid);

		if (txnid && txnid < oldest)
			oldest = txnid;
	}
	return oldest;
}

/* LMDB's own, of the machine's word. */
static size_t
first_id(MDB_val val)
{
	size_t id;

	memcpy(&id, val.mv_data, sizeof(id));
	return id;
}

/*
 * The free pages that this transaction can take. A record of the free list
 * has the transaction that freed the pages as its key, and their number as its
 * first word. LMDB takes those freed before the oldest snapshot.
 */
static uint64_t
count_reusable(struct kv *kv)
{
	enum { FREE_LIST = 0 };
	uint64_t oldest = oldest_snapshot(kv), pages = 0;
	MDB_cursor *cursor;
	MDB_val name, value;
	MDB_txn *txn;

	if (mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &txn) != 0)
		return 0;
	if (mdb_cursor_open(txn, FREE_LIST, &cursor) == 0) {
		while (mdb_cursor_get(cursor, &name, &value, MDB_NEXT) == 0 &&
		       first_id(name) < oldest)
			pages += first_id(value);
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	return pages;
}

/* With the list of the pages that were freed, two words of it for each. */
static uint64_t
commit_pages(const struct kv *kv)
{
	return COMMIT_PAGES +
	       kv->batch.freed / (kv->page_size / 2 / sizeof(size_t));
}

/* Has the file room past all that is in use, for the commit too? */
static bool
file_has(struct kv *kv, uint64_t pages)
{
	uint64_t end = next_page(kv) + pages + commit_pages(kv);

	return end <= kv->file_pages || grow_file(kv, end);
}

/* It cannot grow: do its free pages make up for it? Counted once a batch. */
static bool
free_ones_have(struct kv *kv, uint64_t pages)
{
	struct kv_batch *batch = &kv->batch;
	uint64_t end = next_page(kv) + pages + commit_pages(kv);

	if (next_page(kv) > kv->file_pages)
		return false;
	if (!batch->counted) {
		batch->reusable = count_reusable(kv);
		batch->counted = true;
	}
	return end + batch->written <= kv->file_pages + batch->reusable;
}

static void
note_change(struct kv *kv, uint64_t have, uint64_t need)
{
	kv->batch.freed += have / kv->page_size + PATH_USUAL;
	kv->batch.written += need / kv->page_size + PATH_USUAL;
}

static bool
admit_growth(struct kv *kv, uint64_t need)
{
	uint64_t pages = need / kv->page_size + PATH_MOST + ahead_pages(kv);

	return file_has(kv, pages) || free_ones_have(kv, pages);
}

void
kv_space_admit_shrink(struct kv *kv, uint64_t have)
{
	note_change(kv, have, 0);
	(void)!file_has(kv, PATH_MOST);
}

bool
kv_space_admit_commit(struct kv *kv)
{
	return file_has(kv, 0) || free_ones_have(kv, 0);
}

void
kv_space_begin(struct kv *kv)
{
	/* Finds that there is room again, also when nothing asks for it. */
	if (ck_pr_load_uint(&kv->disk_full))
		(void)!grow_file(kv, kv->file_pages + ahead_pages(kv));
}

void
kv_space_note(struct kv *kv)
{
	MDB_envinfo info;

	mdb_env_info(kv->env, &info);
	ck_pr_store_64(&kv->live_bytes, kv->bytes);
	ck_pr_store_64(&kv->map_used, (info.me_last_pgno + 1) * kv->page_size);
}

/* ---- the quota ---------------------------------------------------------- */

uint64_t
kv_space_pages(struct kv *kv)
{
	MDB_dbi trees[] = { kv->data, kv->expiry };
	uint64_t pages = 0;
	MDB_stat stat;

	for (size_t i = 0; i < ARRAY_LEN(trees); i++)
		if (kv_check(kv, mdb_stat(kv->batch.txn, trees[i], &stat)))
			pages += stat.ms_branch_pages + stat.ms_leaf_pages +
				 stat.ms_overflow_pages;
	return pages * kv->page_size;
}

static bool
is_over(struct kv *kv, uint64_t growth)
{
	return kv->batch.bytes + growth > kv->max_size ||
	       kv_space_pages(kv) > 2 * kv->max_size;
}

/* Where something had to go, old is looked up again: it may have been that. */
static enum err
check_quota(struct kv *kv, struct bytes key, struct kv_found *old,
	    uint64_t need)
{
	if (!is_over(kv, need - kv_cost_found(kv, key, old)))
		return ERR_OK;
	/* What has expired is gone for readers, so it is not in the way. */
	if (kv_sweep(kv, KV_SWEEP_BATCH) == 0)
		return ERR_FULL;
	if (!kv_find(kv, key, old))
		return ERR_FAULT;
	return is_over(kv, need - kv_cost_found(kv, key, old)) ? ERR_FULL
							       : ERR_OK;
}

static enum err
check_size(struct kv *kv, struct bytes key, struct kv_found *old, uint64_t need)
{
	uint64_t have = kv_cost_found(kv, key, old);
	bool changed = false;
	enum err err;

	if (need <= have)
		return ERR_OK;
	if (!kv->is_volatile)
		return check_quota(kv, key, old, need);
	err = kv_evict(kv, key, have, need, &changed);
	return changed && !kv_find(kv, key, old) ? ERR_FAULT : err;
}

enum err
kv_space_admit(struct kv *kv, struct bytes key, struct kv_found *old,
	       uint64_t need)
{
	enum err err = check_size(kv, key, old, need);
	uint64_t have = kv_cost_found(kv, key, old);

	if (err == ERR_OK && need > have && !admit_growth(kv, need))
		err = ERR_FULL;
	if (err == ERR_OK && need <= have)
		(void)!file_has(kv, need / kv->page_size + PATH_MOST);
	if (err == ERR_OK)
		note_change(kv, have, need);
	if (err == ERR_FULL)
		kv->batch.refused = true;
	return err;
}
