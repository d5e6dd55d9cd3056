/* SPDX-License-Identifier: MIT */
/*
 * What the files of a store share. Includes LMDB, so nobody else includes it
 * but the tests.
 *
 *   kv.c         open, close, submit, stats
 *   kv_state.c   the folder: lock, format, marker; is the file whole
 *   kv_read.c    snapshots, look-ups, scans
 *   kv_commit.c  a batch: begin, apply, commit, publish; or halves
 *   kv_write.c   what each operation does
 *   kv_found.c   what stands under a key, and something else in its place
 *   kv_space.c   the quota, and the room on the disk
 *   kv_evict.c   making room in a volatile store
 *   kv_sweep.c   removing what has expired
 */
#ifndef STORAGE_KV_INTERNAL_H
#define STORAGE_KV_INTERNAL_H

#include <lmdb.h>

#include "storage/kv.h"
#include "storage/kv/kv_record.h"

/* What tests set; 0 and NULL are the real thing. */
struct kv_tuning {
	const char *boot_id;
	uint64_t map_size;
	uint64_t (*now_ms)(void);
	uint64_t sweep_pause_ms; /* between two sweeps of an idle store */
};

MUST_CHECK enum err kv_open_tuned(struct kv **out,
				  const struct kv_options *options,
				  const struct kv_tuning *tuning, char *message,
				  size_t message_size);

enum {
	KV_SWEEP_BATCH = 500, /* expired keys in a transaction of their own */
	KV_SWEEP_PIGGYBACK = 32, /* in a transaction of others */
	KV_SWEEP_PAUSE_MS = 1000,
	/* A byte of recency: a date of 5 bits, above it a count of 3. */
	KV_USED_DATE = 31,
	KV_USED_ONCE = 32,
	KV_USED_MOST = 7 * 32,
	/* For count_reusable(), mdb_stat, mdb_copy and the like. */
	KV_READERS_EXTRA = 16,
};

/* A snapshot's place in the table of readers. */
struct kv_slot {
	/* Atomic: taken and given back by any thread. */
	alignas(64) unsigned taken;
	/* Atomic: its transaction, 0 while it has none; by its user. */
	uint64_t txnid;
};

/* What a record was before an atomic write changed it. */
struct kv_undo {
	struct kv_undo *next; /* the change before */
	struct bytes key;     /* borrowed from the operation */
	bool stored;
	size_t size;
	uint8_t record[];
};

/* The transaction at work. */
struct kv_batch {
	MDB_txn *txn;
	int rc; /* the first failure; then the transaction is lost */
	uint64_t now_ms;
	uint64_t bytes, last_seq; /* figures, as they will be */
	uint64_t evicted, expired;
	uint64_t next_due_ms; /* as it will be */
	bool changed;         /* there is something to commit */
	bool refused;         /* something was ERR_FULL */

	/* Of the write in progress: bytes of values in its outs, and how many
	 * there may be. */
	uint64_t out, out_max;

	/* An atomic write in progress notes what it changes. */
	bool undoable;
	struct kv_undo *undo;

	/* See kv_space.c. */
	uint64_t freed, written; /* pages, about */
	uint64_t reusable;       /* free ones, where counted */
	bool counted, cannot_grow;

	/* Stripes of the keys that changed, a bit each. */
	uint64_t touched[VERSION_STRIPES / 64];
};

struct kv {
	/* Set by kv_open(), then never changed. */
	char *name, *dir;
	bool is_volatile;
	uint64_t max_size, default_ttl_ms;
	struct sequence *sequence;
	struct kv_tuning tuning;
	uint64_t seed; /* of kv_hash() */
	int lock_fd, marker_fd, data_fd;
	int witness_fd; /* of a durable one's data: see check_sync() */
	MDB_env *env;
	MDB_dbi data, expiry, figures_db;
	uint64_t map_size;
	size_t page_size, node_max;
	struct lane *lane;
	struct kv_slot *slots;
	unsigned readers;
	size_t used_mask;

	/* Atomic, a byte a slot of the hash: when and how often a key was
	 * used, see kv_evict.c. NULL in a durable store. */
	uint8_t *used;

	/* The committer's. */
	alignas(64) struct kv_batch batch;
	size_t batch_max;         /* items; smaller after a batch did not fit */
	unsigned sweep_max;       /* keys of an idle sweep; likewise */
	uint64_t bytes, last_seq; /* figures, committed */
	uint64_t file_pages;      /* of the file, allocated */
	uint64_t next_due_ms;     /* first expiry; UINT64_MAX: none */
	uint64_t sweep_at_ms;     /* when idle() comes next, wall time */
	uint64_t hand_steps;      /* in this part of its round */
	size_t hand_len;          /* the key at which eviction goes on */
	uint8_t hand[KV_KEY_MAX];

	/* Atomic, the committer's to write: see kv_read.c. */
	alignas(64) uint64_t committed; /* the last published transaction */
	uint64_t commits_begun;
	uint64_t word; /* see kv_store_word() */

	/* Atomic, the committer's to write: figures for kv_stats(). */
	alignas(64) uint64_t entries;
	uint64_t live_bytes, map_used, evicted, expired;
	unsigned full, disk_full;

	/* Atomic, the committer's to write, in a line that seldom changes:
	 * see kv_evict.c. */
	alignas(64) uint8_t round;

	struct versions versions;
};

/* ---- any thread --------------------------------------------------------- */

enum err err_from_lmdb(int rc);

static inline uint8_t *
kv_used_slot(const struct kv *kv, uint64_t hash)
{
	return &kv->used[(hash >> 32) & kv->used_mask];
}

static inline MDB_val
val_of(struct bytes bytes)
{
	return (MDB_val){ bytes.len, (void *)(uintptr_t)bytes.data };
}

static inline struct bytes
bytes_of_val(MDB_val val)
{
	return (struct bytes){ val.mv_data, val.mv_size };
}

/* ---- kv_state.c: before the committer runs and after -------------------- */

/* A sentence for the operator; returns err. */
enum err kv_say(char *message, size_t size, enum err err, const char *format,
		...) PRINTF(4, 5);
/* The folder: makes, locks and checks it, and says what it was closed as. */
MUST_CHECK enum err kv_state_open(struct kv *kv, char *message, size_t size);
/* After the data file was made and synced. */
MUST_CHECK enum err kv_state_made(struct kv *kv, char *message, size_t size);
/* A file that LMDB may open: absent, or whole as far as its head tells. */
MUST_CHECK enum err kv_state_check_file(struct kv *kv, char *message,
					size_t size);
/* Volatile: throws the data away. */
MUST_CHECK enum err kv_state_remove_data(struct kv *kv);
void kv_state_close(struct kv *kv, bool clean);

/* ---- the committer's, inside a batch ------------------------------------ */

/* True on success; keeps the first failure, which ends the transaction. */
bool kv_check(struct kv *kv, int rc);

/* kv_found.c: what stands under a key. Points into the transaction: any change
 * ends it. */
struct kv_found {
	bool stored; /* in the file, perhaps expired */
	bool live;
	size_t size;
	struct kv_record record;
};
/* False: kv_check() failed. */
MUST_CHECK bool kv_find(struct kv *kv, struct bytes key,
			struct kv_found *found);
/* Puts the record in the place of old, or deletes where it is NULL, keeps the
 * index, the figures and the stripes. The new one points elsewhere. */
void kv_replace(struct kv *kv, struct bytes key, const struct kv_found *old,
		const struct kv_record *record);
/* A key that was made: it has a date, and no count. */
void kv_evict_note_new(struct kv *kv, struct bytes key);
/* Notes that the key changed. */
void kv_touch_stripe(struct kv *kv, struct bytes key);
/* What a record of this size takes in the file. */
uint64_t kv_cost(const struct kv *kv, size_t key_len, size_t record_size,
		 bool expires);
uint64_t kv_cost_found(const struct kv *kv, struct bytes key,
		       const struct kv_found *found);

/* kv_write.c: applies one write and sets its outcomes, but for the commit's. */
void kv_apply(struct kv *kv, struct kv_write *write);

/* kv_space.c */
void kv_space_begin(struct kv *kv);
/* Is there room to make the key's record cost `need`? May evict and sweep,
 * and looks old up again when it did. */
MUST_CHECK enum err kv_space_admit(struct kv *kv, struct bytes key,
				   struct kv_found *old, uint64_t need);
/* Notes a change that does not grow, and gives back what costs have: it may
 * use the reserve. */
void kv_space_admit_shrink(struct kv *kv, uint64_t have);
/* The last look, also for what undoing took. False: it does not fit. */
MUST_CHECK bool kv_space_admit_commit(struct kv *kv);
/* Bytes of the pages of the trees. */
uint64_t kv_space_pages(struct kv *kv);
/* Is the library laid out as kv_space.c thinks? */
MUST_CHECK bool kv_space_knows_lmdb(MDB_txn *write);
/* After a commit, and at the start. */
void kv_space_note(struct kv *kv);

/* kv_evict.c: makes room for spared, whose cost grows from have to need.
 * *changed is set when something had to go. */
MUST_CHECK enum err kv_evict(struct kv *kv, struct bytes spared, uint64_t have,
			     uint64_t need, bool *changed);
/* kv_sweep.c: removes at most max expired keys; how many were removed. */
unsigned kv_sweep(struct kv *kv, unsigned max);
/* The first expiry in the transaction, UINT64_MAX: none. */
uint64_t kv_sweep_due_ms(struct kv *kv);

/* kv_commit.c: the lane's callbacks, and a transaction without operations. */
size_t kv_commit(void *store, struct lane_item **items, size_t count,
		 bool *fault);
MUST_CHECK enum err kv_commit_begin(struct kv *kv);
MUST_CHECK enum err kv_commit_end(struct kv *kv);
uint64_t kv_idle(void *store, bool *fault);

#endif
