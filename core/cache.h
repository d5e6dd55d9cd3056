/* SPDX-License-Identifier: MIT */
/*
 * A worker's cache of finished replies: SIEVE eviction within a budget of
 * bytes (Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024).
 *
 * Entries are embedded in objects of the caller. The cache owns an entry from
 * insert until it calls free(entry). One thread only, nothing here is atomic.
 * A hit writes one flag of the entry, and that only when it was not set.
 *
 * The cache knows nothing of validity: the caller compares versions, and
 * removes an entry that is out of date.
 */
#ifndef CORE_CACHE_H
#define CORE_CACHE_H

#include "core/base.h"
#include "core/err.h"

struct cache_entry {
	/* The caller's, set before cache_insert(). */
	uint64_t hash;
	const void *key; /* lives as long as the entry */
	uint32_t key_len;
	uint32_t size; /* bytes charged to the budget, all included */

	/* The cache's. */
	bool visited;
	struct cache_entry *chain;         /* next in the bucket */
	struct cache_entry *newer, *older; /* insertion order */
};

struct cache {
	struct cache_entry **buckets;
	uint16_t *missed; /* prints of hashes that were missed, by hash */
	size_t mask;
	struct cache_entry *newest, *oldest, *hand;
	size_t budget;
	void (*free)(struct cache_entry *entry);
	/* Read by other threads for metrics, written by the owner alone, both
	 * through ck_pr. used is in bytes, count in entries. */
	uint64_t used, count;
	uint64_t hits, misses, evictions, inserts;
};

/* budget 0: caches nothing. The buckets cost address space; memory only once
 * entries come. Nothing else is ever allocated here. */
MUST_CHECK enum err cache_init(struct cache *cache, size_t budget,
			       void (*free)(struct cache_entry *entry));
/* Frees every entry. Those are no evictions. */
void cache_fini(struct cache *cache);

/*
 * Have the memory that cache_find() will need brought near: the bucket, and
 * some hundred instructions later what is first in it, which is nearly always
 * what is looked for, with what the caller keeps behind the entry. Each comes
 * from memory, not from a cache of the processor, when there are many entries;
 * waiting for one after the other costs as much as half a request's own work.
 */
static inline void
cache_prefetch(const struct cache *cache, uint64_t hash)
{
	if (cache->buckets)
		__builtin_prefetch(&cache->buckets[hash & cache->mask]);
}

static inline void
cache_prefetch_entry(const struct cache *cache, uint64_t hash)
{
	enum { LINES = 4 }; /* an entry, and a small value with its key */
	const char *entry;

	if (!cache->buckets)
		return;
	entry = (const char *)cache->buckets[hash & cache->mask];
	for (unsigned i = 0; entry && i < LINES; i++)
		__builtin_prefetch(entry + (size_t)i * CACHE_LINE);
}

/* Borrowed until the next call on this cache. NULL when absent. Does not
 * count: the caller knows whether the entry was of use. */
struct cache_entry *cache_find(struct cache *cache, uint64_t hash,
			       struct bytes key);
void cache_hit(struct cache *cache, struct cache_entry *entry);
void cache_miss(struct cache *cache);
/*
 * Is it worth inserting what was missed? Always while there is room; later
 * only what was missed before, not long ago. So keys that are read once do not
 * pay for an insertion and an eviction each, nor push out others (the
 * doorkeeper of Einziger, Friedman and Manes, "TinyLFU", 2017).
 */
MUST_CHECK bool cache_wants(struct cache *cache, uint64_t hash);

/* Takes the entry; evicts until it fits. An entry of the same key is replaced,
 * which is no eviction. One larger than an eighth of the budget is refused:
 * false, still the caller's. */
MUST_CHECK bool cache_insert(struct cache *cache, struct cache_entry *entry);
/* Takes it out and frees it. */
void cache_remove(struct cache *cache, struct cache_entry *entry);

#endif
