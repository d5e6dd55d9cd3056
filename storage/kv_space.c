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
 * transaction is allowed to need a page that has no block. Copy-on-write
 * needs pages also to delete; a part of what is allocated is kept for that:
 *
 *   |<------ pages in use, some free ------>|<--- ahead --->|
 *   0                                 last_page         file_pages
 *                                           |<- new ->|reserve|
 *
 * A transaction has the free pages and those ahead. A large value needs pages
 * in a row, and where the free ones have none LMDB goes past last_page; so
 * where it lies is looked at, and the file made longer if it must be.
 */
#include <ck_pr.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "core/log.h"
#include "storage/kv_internal.h"

enum {
	/* A transaction's pages of the free list and the unnamed database. */
	OVERHEAD_PAGES = 32,
	/* Bounds of the two below. */
	AHEAD_MIN = 256 << 10,
	AHEAD_MAX = 4 << 20,
};

/*
 * How far the file grows at a time, so that most commits need not allocate;
 * and the reserve: hundreds of deletes in one transaction. Some part of a
 * small store, so that its file is no larger than it must be.
 */
static uint64_t
ahead_pages(const struct kv *kv)
{
	uint64_t bytes = kv->max_size / 16;

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

struct trees {
	uint64_t pages, depth;
};

static void
add_tree(struct kv *kv, MDB_dbi dbi, struct trees *trees)
{
	MDB_stat stat;

	if (!kv_check(kv, mdb_stat(kv->batch.txn, dbi, &stat)))
		return;
	trees->pages += stat.ms_branch_pages + stat.ms_leaf_pages +
			stat.ms_overflow_pages;
	trees->depth += stat.ms_depth;
}

static struct trees
trees_now(struct kv *kv)
{
	struct trees trees = { 0 };

	add_tree(kv, kv->data, &trees);
	add_tree(kv, kv->expiry, &trees);
	return trees;
}

/* The most that the transaction may write by now. It copies a page once, so
 * never more than there are. */
static uint64_t
demand(const struct kv *kv, const struct trees *trees)
{
	uint64_t copied = kv->batch.copied;

	return (copied < trees->pages ? copied : trees->pages) +
	       kv->batch.fresh + OVERHEAD_PAGES;
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

	if (pages < kv->file_pages)
		pages = kv->file_pages;
	if (kv->batch.cannot_grow)
		return false;
	more = (pages + step - kv->file_pages) * kv->page_size;
	rc = posix_fallocate(kv->data_fd, (off_t)from, (off_t)more);
	if (rc) { /* perhaps without the step */
		more = (pages - kv->file_pages) * kv->page_size;
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
 * The free pages that this transaction can take, or as many as are wanted. A
 * record of the free list has the transaction that freed the pages as its key,
 * and their number as its first word. LMDB takes those freed before the oldest
 * snapshot.
 */
static uint64_t
count_reusable(struct kv *kv, uint64_t wanted)
{
	enum { FREE_LIST = 0 };
	uint64_t oldest = oldest_snapshot(kv), pages = 0;
	MDB_cursor *cursor;
	MDB_val name, value;
	MDB_txn *txn;

	if (mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &txn) != 0)
		return 0;
	if (mdb_cursor_open(txn, FREE_LIST, &cursor) == 0) {
		while (pages < wanted &&
		       mdb_cursor_get(cursor, &name, &value, MDB_NEXT) == 0 &&
		       first_id(name) < oldest)
			pages += first_id(value);
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	return pages;
}

/* More than are wanted now are counted, so that it is done a few times in a
 * batch at most, and only once where there are not enough. */
static bool
free_ones_have(struct kv *kv, uint64_t pages)
{
	struct kv_batch *batch = &kv->batch;

	if (pages > batch->reusable && !batch->counted_all) {
		batch->reusable = count_reusable(kv, 2 * pages);
		batch->counted_all = batch->reusable < 2 * pages;
	}
	return pages <= batch->reusable;
}

static bool
disk_has(struct kv *kv, uint64_t pages)
{
	uint64_t end = kv->last_page + 1 + pages;

	return end <= kv->file_pages ||
	       free_ones_have(kv, end - kv->file_pages) || grow_file(kv, end);
}

bool
kv_space_cover(struct kv *kv, uint64_t page, uint64_t pages)
{
	return page + pages <= kv->file_pages || grow_file(kv, page + pages);
}

/* Counts the pages of one more change, if there is room for them. */
static bool
take_pages(struct kv *kv, uint64_t fresh, uint64_t reserve)
{
	struct kv_batch *batch = &kv->batch;
	struct trees trees = trees_now(kv);
	uint64_t copied = batch->copied;

	/* A path in each tree, and a neighbour a level where pages join or
	 * split. */
	batch->copied += 2 * trees.depth + 2;
	batch->fresh += fresh;
	if (disk_has(kv, demand(kv, &trees) + reserve))
		return true;
	batch->copied = copied;
	batch->fresh -= fresh;
	batch->refused = true;
	return false;
}

/* Pages of the free list for those that a record of this cost gives back. */
static uint64_t
pages_to_free(const struct kv *kv, uint64_t cost)
{
	return cost / kv->page_size / (kv->page_size / 2 / sizeof(size_t));
}

bool
kv_space_admit_shrink(struct kv *kv, uint64_t have)
{
	return take_pages(kv, 2 + pages_to_free(kv, have), 0);
}

void
kv_space_begin(struct kv *kv)
{
	/* Finds that there is room again, also when nothing asks for it. */
	if (ck_pr_load_uint(&kv->disk_full))
		(void)!grow_file(kv, kv->last_page + 1 + ahead_pages(kv));
}

void
kv_space_note(struct kv *kv)
{
	MDB_envinfo info;

	mdb_env_info(kv->env, &info);
	kv->last_page = info.me_last_pgno;
	ck_pr_store_64(&kv->live_bytes, kv->bytes);
	ck_pr_store_64(&kv->map_used, (kv->last_page + 1) * kv->page_size);
}

/* ---- the quota ---------------------------------------------------------- */

bool
kv_space_is_over(struct kv *kv, uint64_t growth, uint64_t limit)
{
	uint64_t twice = 2 * (kv->max_size / kv->page_size + 1);

	return kv->batch.bytes + growth > limit || trees_now(kv).pages > twice;
}

static enum err
check_quota(struct kv *kv, uint64_t growth, bool *changed)
{
	if (!kv_space_is_over(kv, growth, kv->max_size))
		return ERR_OK;
	/* What has expired is gone for readers, so it is not in the way. */
	*changed = kv_sweep(kv, KV_SWEEP_BATCH) > 0;
	if (!kv_space_is_over(kv, growth, kv->max_size))
		return ERR_OK;
	return ERR_FULL;
}

enum err
kv_space_admit(struct kv *kv, struct bytes key, struct kv_found *old,
	       uint64_t need)
{
	uint64_t have = kv_cost_found(kv, key, old);
	uint64_t reserve = ahead_pages(kv);
	bool changed = false;
	enum err err = ERR_OK;

	if (need <= have)
		reserve = 0;
	else if (kv->is_volatile)
		err = kv_evict(kv, key, have, need, &changed);
	else
		err = check_quota(kv, need - have, &changed);
	if (changed && !kv_find(kv, key, old))
		return ERR_FAULT;
	if (err == ERR_OK &&
	    !take_pages(kv, need / kv->page_size + 2 + pages_to_free(kv, have),
			reserve))
		err = ERR_FULL;
	if (err == ERR_FULL)
		kv->batch.refused = true;
	return err;
}
