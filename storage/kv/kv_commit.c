/* SPDX-License-Identifier: MIT */
/*
 * One batch, on the committer.
 *
 *   apply        the writes in order, in one transaction, until its time is
 *                over; what is left comes again in the next batch
 *   odd          the version words of all keys that changed, then a fence
 *   commit       LMDB's, with its syncs
 *   publish      the transaction's number, then the words even again
 *   complete     by the lane, after this
 *
 * What can fail in the middle ends the transaction as a whole: no page left
 * in the map, too many dirty pages, no block left on the disk, no memory.
 * Then half of the batch is tried again, down to a single write, so that only
 * those fail that do not fit. Any other failure, of a write or a sync above
 * all, is final: the pages that were written are in an unknown state, and a
 * second sync that succeeds would prove nothing. The batch fails and so does
 * the store.
 */
#include <ck_pr.h>
#include <errno.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "storage/kv/kv_internal.h"

static struct kv_write *
write_of(struct lane_item *item)
{
	return CONTAINER_OF(item, struct kv_write, item);
}

bool
kv_check(struct kv *kv, int rc)
{
	if (rc && !kv->batch.rc)
		kv->batch.rc = rc;
	return rc == 0;
}

/* ---- begin, publish, end ------------------------------------------------ */

enum err
kv_commit_begin(struct kv *kv)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(kv->env, NULL, 0, &txn);

	if (rc)
		return err_from_lmdb(rc);
	kv->batch = (struct kv_batch){
		.txn = txn,
		.now_ms = kv->tuning.now_ms(),
		.bytes = kv->bytes,
		.last_seq = kv->last_seq,
	};
	kv_space_begin(kv);
	return ERR_OK;
}

void
kv_touch_stripe(struct kv *kv, struct bytes key)
{
	unsigned stripe = version_stripe(kv_hash(kv, key));

	kv->batch.touched[stripe / 64] |= UINT64_C(1) << (stripe % 64);
}

static void
for_each_touched(struct kv *kv, void (*set)(struct versions *, unsigned))
{
	for (unsigned i = 0; i < ARRAY_LEN(kv->batch.touched); i++)
		for (uint64_t word = kv->batch.touched[i]; word;
		     word &= word - 1)
			set(&kv->versions,
			    i * 64 + (unsigned)__builtin_ctzll(word));
}

static void
publish_odd(struct kv *kv)
{
	for_each_touched(kv, version_odd);
	version_word_odd(&kv->word);
	ck_pr_store_64(&kv->commits_begun, kv->commits_begun + 1);
	/* For the words, see core/version.h; for the count, it pairs with the
	 * fences in renew_once(). */
	version_fence();
}

/* txnid: 0 where the commit failed. */
static void
publish_even(struct kv *kv, uint64_t txnid)
{
	if (txnid)
		ck_pr_store_64(&kv->committed, txnid);
	/* version_even() has the fence between the number and the words. For
	 * those who are only answered, the hand-over that follows has it. */
	for_each_touched(kv, version_even);
	version_word_even(&kv->word);
}

static void
publish_figures(struct kv *kv, uint64_t entries)
{
	const struct kv_batch *batch = &kv->batch;

	kv->bytes = batch->bytes;
	kv->last_seq = batch->last_seq;
	kv->next_due_ms = batch->next_due_ms;
	ck_pr_store_64(&kv->entries, entries);
	ck_pr_store_64(&kv->evicted, kv->evicted + batch->evicted);
	ck_pr_store_64(&kv->expired, kv->expired + batch->expired);
	kv_space_note(kv);
}

static void
put_figures(struct kv *kv)
{
	uint8_t figures[KV_FIGURES_SIZE];
	MDB_val name = { 7, (void *)(uintptr_t) "figures" };
	MDB_val value = { sizeof(figures), figures };

	kv_put_le64(figures, kv->batch.bytes);
	kv_put_le64(figures + 8, kv->batch.last_seq);
	kv_check(kv, mdb_put(kv->batch.txn, kv->figures_db, &name, &value, 0));
}

/* A meta page that could not be written, for whatever reason, leaves open
 * whether the commit happened, and LMDB refuses all that comes after it. */
static int
check_poisoned(struct kv *kv, int rc)
{
	MDB_txn *txn;
	int probe;

	if (rc == 0)
		return 0;
	probe = mdb_txn_begin(kv->env, NULL, 0, &txn);
	if (probe == 0)
		mdb_txn_abort(txn);
	return probe == MDB_PANIC ? MDB_PANIC : rc;
}

/*
 * "No room" is what a write or the sync has said, and LMDB does not tell which.
 * A write is no fault: nothing of the transaction counts yet. The sync is one,
 * though what it lacked was room: a device that gives blocks only when they are
 * written may fail it so. The kernel tells each descriptor once of pages that
 * it could not write since it was opened or last told, so another one, which
 * nobody syncs, hears what LMDB's heard.
 */
static int
check_sync(struct kv *kv, int rc)
{
	if ((rc != ENOSPC && rc != EDQUOT) || kv->is_volatile)
		return rc;
	return fdatasync(kv->witness_fd) == 0 ? rc : EIO;
}

static void
commit_txn(struct kv *kv)
{
	uint64_t txnid = mdb_txn_id(kv->batch.txn);
	uint64_t start_ns = clock_mono_ns();
	MDB_stat stat = { 0 };
	int rc;

	mdb_stat(kv->batch.txn, kv->data, &stat);
	publish_odd(kv);
	rc = check_poisoned(kv, mdb_txn_commit(kv->batch.txn));
	rc = check_sync(kv, rc);
	publish_even(kv, rc ? 0 : txnid);
	lane_count_sync(kv->lane, clock_mono_ns() - start_ns);
	if (kv_check(kv, rc))
		publish_figures(kv, stat.ms_entries);
}

/* Nothing to commit: the outcomes are those of the last commit's state. */
enum err
kv_commit_end(struct kv *kv)
{
	struct kv_batch *batch = &kv->batch;

	if (!batch->rc && batch->changed) {
		batch->next_due_ms = kv_sweep_due_ms(kv);
		put_figures(kv);
		if (!kv_space_admit_commit(kv))
			kv_check(kv, ENOSPC);
	}
	if (!batch->rc && batch->changed)
		commit_txn(kv);
	else
		mdb_txn_abort(batch->txn);
	batch->txn = NULL;
	if (batch->rc && err_from_lmdb(batch->rc) == ERR_FAULT)
		log_error("store %s: commit failed: %s", kv->name,
			  mdb_strerror(batch->rc));
	if (batch->refused || (!batch->rc && batch->changed))
		ck_pr_store_uint(&kv->full, batch->refused);
	return err_from_lmdb(batch->rc);
}

/* ---- a batch ------------------------------------------------------------ */

/* Returns how many were applied; the last of them may have failed. */
static size_t
apply(struct kv *kv, struct lane_item **items, size_t count)
{
	uint64_t end_ns = clock_mono_ns() + LANE_BATCH_APPLY_US * NS_PER_US;
	size_t n = 0;

	do
		kv_apply(kv, write_of(items[n++]));
	while (n < count && !kv->batch.rc && clock_mono_ns() < end_ns);
	return n;
}

static enum err
run(struct kv *kv, struct lane_item **items, size_t count, size_t *applied)
{
	enum err err = kv_commit_begin(kv);

	*applied = count;
	if (err != ERR_OK)
		return err;
	*applied = apply(kv, items, count);
	/* Not where the batch is on its way down to what fits. */
	if (!kv->batch.rc && kv->batch_max == LANE_BATCH_OPS)
		kv_sweep(kv, KV_SWEEP_PIGGYBACK);
	return kv_commit_end(kv);
}

static void
fail(struct kv *kv, struct lane_item **items, size_t count, enum err err)
{
	for (size_t i = 0; i < count; i++) {
		struct kv_write *write = write_of(items[i]);

		items[i]->err = err;
		for (unsigned j = 0; j < write->count; j++)
			write->ops[j].err = err;
	}
	if (err == ERR_FULL)
		ck_pr_store_uint(&kv->full, 1);
}

/* The sweeper learns of an expiry that comes before the one it waits for, if
 * it would not come soon anyway. */
static void
poke_sweeper(struct kv *kv)
{
	uint64_t soon_ms = kv->batch.now_ms + kv->tuning.sweep_pause_ms;

	if (kv->next_due_ms >= kv->sweep_at_ms || kv->sweep_at_ms <= soon_ms)
		return;
	kv->sweep_at_ms = kv->next_due_ms;
	lane_poke(kv->lane);
}

size_t
kv_commit(void *store, struct lane_item **items, size_t count, bool *fault)
{
	struct kv *kv = store;
	size_t n = count < kv->batch_max ? count : kv->batch_max;

	for (;;) {
		size_t applied;
		enum err err = run(kv, items, n, &applied);

		if (err == ERR_OK) {
			if (kv->batch_max < LANE_BATCH_OPS)
				kv->batch_max *= 2;
			if (kv->batch_max > LANE_BATCH_OPS)
				kv->batch_max = LANE_BATCH_OPS;
			poke_sweeper(kv);
			return applied;
		}
		*fault = err == ERR_FAULT;
		/* A single one may have failed for what was swept with it. */
		if (*fault ||
		    (applied == 1 && kv->batch_max < LANE_BATCH_OPS)) {
			n = *fault ? count : 1;
			fail(kv, items, n, err);
			return n;
		}
		kv->batch_max = n = applied > 1 ? applied / 2 : 1;
	}
}
