/* SPDX-License-Identifier: MIT */
/*
 * A key/value store: ordered keys, values with a content type, a commit
 * number and an expiry.
 *
 * Readers hold snapshots and never block. Writers submit a kv_write, which
 * the store's committer applies together with others (storage/lane.h).
 *
 * A durable store answers a write after its sync. A volatile one does not
 * sync: it is bounded, evicts the least used, is good after a crash of the
 * process and starts empty after a crash of the machine.
 */
#ifndef STORAGE_KV_H
#define STORAGE_KV_H

#include "core/affinity.h"
#include "core/base.h"
#include "core/err.h"
#include "core/version.h"
#include "storage/lane.h"
#include "storage/sequence.h"

enum {
	KV_KEY_MAX = 480,  /* LMDB's own limit is 511 */
	KV_TYPE_MAX = 255, /* bytes of a content type */
	KV_TAGS_MAX = 16,  /* entity tags in one condition */
	KV_NAME_MAX = 64,  /* bytes of a store's name: [A-Za-z0-9_-] */
};

struct kv;

struct kv_options {
	const char *name;
	const char *dir; /* of this store; made if missing */
	bool is_volatile;
	uint64_t max_size;       /* bytes of live data, see kv_stats */
	uint64_t default_ttl_ms; /* for puts without one; 0: none */
	unsigned readers;        /* snapshots at the same time, at least */
	uint64_t max_age_ns;     /* of what waits in the lane; 0: 50 ms */
	struct sequence *sequence;
	void (*on_fault)(void *arg, const char *name);
	void *on_fault_arg;
};

/* Opens or makes the store. ERR_LOCKED: another process has it. ERR_FAULT:
 * damaged. ERR_BAD: it is of the other kind or a newer format. message gets a
 * sentence for the operator on any error. */
MUST_CHECK enum err kv_open(struct kv **out, const struct kv_options *options,
			    char *message, size_t message_size);
/* Everything submitted is completed first; every kv_read is destroyed by
 * then. Marks a clean end. */
void kv_close(struct kv *kv);

const char *kv_name(const struct kv *kv);
bool kv_is_volatile(const struct kv *kv);
struct lane *kv_lane(struct kv *kv);
/* For caching what was read: version words, and the word of a key. */
const struct versions *kv_versions(const struct kv *kv);
/* A version word of the whole store: changes with every commit. */
const uint64_t *kv_store_word(const struct kv *kv);
/* The hash that kv uses for stripes and recency, seeded with the store. */
uint64_t kv_hash(const struct kv *kv, struct bytes key);

/* ---- reading ------------------------------------------------------------ */

struct kv_record {
	uint64_t seq;         /* number of the operation: the ETag */
	uint64_t modified_ms; /* wall time */
	uint64_t expires_ms;  /* wall time; 0: never */
	struct bytes type;    /* content type; empty: none given */
	struct bytes value;
};

/* A snapshot that can be renewed. Used by one thread at a time. */
struct kv_read;

/* ERR_OVERLOADED: options.readers are open already. */
MUST_CHECK enum err kv_read_create(struct kv *kv, struct kv_read **out);
void kv_read_destroy(struct kv_read *read);
/* Half of options.readers are for those who need one for a while: to keep this
 * one while it is idle would leave fewer. */
bool kv_read_is_scarce(const struct kv_read *read);

/* Makes the snapshot at least as new as everything acknowledged before the
 * call; always a new one when fresh (needed after an odd version word).
 * No system call. */
MUST_CHECK enum err kv_read_renew(struct kv_read *read, bool fresh);
/* Gives the snapshot back, so that its pages can be reused: before parking. */
void kv_read_reset(struct kv_read *read);

/* Finds a live key (not expired at now_ms; pass clock_wall_ms()). What record
 * points to lives until the snapshot is renewed or reset. */
MUST_CHECK enum err kv_get(struct kv_read *read, struct bytes key,
			   uint64_t now_ms, struct kv_record *record);

/* Tells a volatile store that the key was used. Writes nothing when it knows
 * already; does nothing to a durable store. hash is kv_hash()'s. */
void kv_touch_used(struct kv *kv, uint64_t hash);

/*
 * An ordered walk over a snapshot, live keys only. Start, then next until
 * ERR_NOTFOUND. The first key is the first one >= from (forwards), or the
 * last one < before, or the very last where before.data is NULL (backwards).
 * Any thread may go on with it, one at a time. It ends before its snapshot
 * is renewed, reset or destroyed.
 */
struct kv_scan;
MUST_CHECK enum err kv_scan_begin(struct kv_read *read, bool reverse,
				  struct bytes from_or_before, uint64_t now_ms,
				  struct kv_scan **out);
MUST_CHECK enum err kv_scan_next(struct kv_scan *scan, struct bytes *key,
				 struct kv_record *record);
void kv_scan_end(struct kv_scan *scan);

/* ---- writing ------------------------------------------------------------ */

enum kv_op_kind {
	KV_PUT,    /* value, type, ttl_ms or expires_ms */
	KV_DELETE, /* ERR_NOTFOUND if it was not there */
	KV_INCR,   /* by, initial; keeps the expiry unless ttl_ms is given;
		      an absent key becomes initial + by, with type */
	KV_APPEND, /* value; keeps type and expiry; an absent key is made
		      with type */
	KV_TOUCH,  /* ttl_ms (0: never expires); keeps value and number */
	KV_GETDEL, /* delete, with the old record in out */
	KV_GET,    /* inside a batch: the record in out; ERR_NOTFOUND where it
		      is absent, which fails no atomic write */
};

/* If-Match or If-None-Match. */
struct kv_condition {
	bool present;
	bool any; /* "*" */
	unsigned count;
	uint64_t tags[KV_TAGS_MAX];
};

struct kv_op {
	/* In. What it points to lives until the write is done. */
	enum kv_op_kind kind;
	struct bytes key, value, type;
	bool has_ttl; /* ttl_ms is meant, also when it is 0 */
	uint64_t ttl_ms;
	uint64_t expires_ms; /* absolute, used by import; 0: unused */
	int64_t by, initial;
	struct kv_condition if_match, if_none_match;
	uint64_t value_max; /* APPEND: a longer result is ERR_TOO_LARGE;
			       0: no limit */

	/* Out. */
	enum err err;
	bool created; /* PUT, INCR, APPEND: the key was absent */
	uint64_t seq; /* of the key now; DELETE, GETDEL: of the
			 deletion; on ERR_CONDITION the current one,
			 0 where the key is absent */
	uint64_t expires_ms_now;
	int64_t number;       /* INCR: the new value */
	struct kv_record out; /* GET, GETDEL: the record; memory below */
	void *out_memory;     /* malloc'd, the submitter's to free */
};

struct kv_write {
	struct lane_item item; /* source, and err: the write as a whole */
	struct kv_op *ops;
	unsigned count;
	/* All or nothing: the first op that fails undoes the others, sets
	 * item.err to its error, and failed to its index. Otherwise each op
	 * has an outcome of its own and item.err is OK unless the commit
	 * failed. */
	bool atomic;
	unsigned failed;
	/* Of the values in all outs together, in bytes: one that would pass
	 * it is ERR_TOO_LARGE. The first always fits. 0: no limit. */
	uint64_t out_max;
};

/* Fills item.ops and item.bytes, clears what is Out. Keys are 1 to KV_KEY_MAX
 * bytes, types at most KV_TYPE_MAX: the caller checks. Errors are
 * lane_submit()'s. */
MUST_CHECK enum err kv_submit(struct kv *kv, struct kv_write *write);

/*
 * live_bytes counts what the records take in the file: keys, values, their
 * heads and index entries, and whole pages for values above half a page. It
 * falls with every delete, at once. The pages that hold them are fuller or
 * emptier; a store is also full when these reach twice max_size.
 */
struct kv_stats {
	uint64_t entries; /* expired ones until they are swept included */
	uint64_t live_bytes;
	uint64_t max_size;
	uint64_t map_used, map_size; /* file pages, of the mapped bytes */
	uint64_t evicted, expired;   /* since start */
	uint64_t oldest_reader;      /* commits behind of the oldest snapshot */
	unsigned readers, readers_max;
	bool full;      /* the last batch had to refuse something */
	bool disk_full; /* the file could not grow */
};
/* Any thread; costs no transaction. */
void kv_stats(struct kv *kv, struct kv_stats *stats);

#endif
