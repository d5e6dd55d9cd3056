/* SPDX-License-Identifier: MIT */
#include "core/cache.h"

#include <ck_pr.h>
#include <stdlib.h>

/* One bucket for 256 bytes of budget: the size of a small entry, so chains
 * stay short. 2^20 buckets are 8 MiB of pointers. */
enum {
	BYTES_PER_BUCKET = 256,
	BUCKETS_MIN = 64,
	BUCKETS_MAX = 1 << 20,
};

/* Changes a figure that other threads read. */
static void
set(uint64_t *figure, uint64_t value)
{
	ck_pr_store_64(figure, value);
}

enum err
cache_init(struct cache *cache, size_t budget,
	   void (*free_entry)(struct cache_entry *entry))
{
	size_t count = BUCKETS_MIN;

	*cache = (struct cache){ .budget = budget, .free = free_entry };
	if (budget == 0)
		return ERR_OK;
	while (count < BUCKETS_MAX && count < budget / BYTES_PER_BUCKET)
		count *= 2;
	/* calloc, since it takes large arrays as zero pages that do not exist
	 * until they are written. */
	cache->buckets = calloc(count, sizeof(*cache->buckets));
	cache->missed = calloc(count, sizeof(*cache->missed));
	if (!cache->buckets || !cache->missed) {
		cache_fini(cache);
		return ERR_NOMEM;
	}
	cache->mask = count - 1;
	return ERR_OK;
}

void
cache_fini(struct cache *cache)
{
	while (cache->oldest)
		cache_remove(cache, cache->oldest);
	free(cache->buckets);
	free(cache->missed);
	*cache = (struct cache){ 0 };
}

struct cache_entry *
cache_find(struct cache *cache, uint64_t hash, struct bytes key)
{
	struct cache_entry *entry;

	if (!cache->buckets)
		return NULL;
	for (entry = cache->buckets[hash & cache->mask]; entry;
	     entry = entry->chain) {
		if (entry->hash == hash && entry->key_len == key.len &&
		    !memcmp(entry->key, key.data, key.len))
			return entry;
	}
	return NULL;
}

void
cache_hit(struct cache *cache, struct cache_entry *entry)
{
	if (!entry->visited)
		entry->visited = true;
	set(&cache->hits, cache->hits + 1);
}

void
cache_miss(struct cache *cache)
{
	set(&cache->misses, cache->misses + 1);
}

bool
cache_wants(struct cache *cache, uint64_t hash)
{
	uint16_t *missed, print = (uint16_t)(hash >> 48);

	if (!cache->buckets)
		return false;
	if (cache->used < cache->budget - cache->budget / 16)
		return true;
	missed = &cache->missed[(hash >> 16) & cache->mask];
	if (*missed == print)
		return true;
	*missed = print;
	return false;
}

static void
unchain(struct cache *cache, struct cache_entry *entry)
{
	struct cache_entry **link = &cache->buckets[entry->hash & cache->mask];

	while (*link != entry)
		link = &(*link)->chain;
	*link = entry->chain;
}

void
cache_remove(struct cache *cache, struct cache_entry *entry)
{
	unchain(cache, entry);
	/* The hand goes on with the next entry that it would look at; NULL
	 * lets it begin again at the oldest. */
	if (cache->hand == entry)
		cache->hand = entry->newer;
	if (entry->newer)
		entry->newer->older = entry->older;
	else
		cache->newest = entry->older;
	if (entry->older)
		entry->older->newer = entry->newer;
	else
		cache->oldest = entry->newer;
	set(&cache->used, cache->used - entry->size);
	set(&cache->count, cache->count - 1);
	cache->free(entry);
}

/* SIEVE: from the hand towards newer entries, the first one not used since the
 * hand passed it last goes. Each step clears a flag that one hit has set, so
 * on average it is short. */
static void
evict(struct cache *cache)
{
	struct cache_entry *victim = cache->hand ? cache->hand : cache->oldest;

	while (victim->visited) {
		victim->visited = false;
		victim = victim->newer ? victim->newer : cache->oldest;
	}
	cache->hand = victim;
	cache_remove(cache, victim);
	set(&cache->evictions, cache->evictions + 1);
}

static void
link_newest(struct cache *cache, struct cache_entry *entry)
{
	struct cache_entry **bucket =
		&cache->buckets[entry->hash & cache->mask];

	entry->visited = false;
	entry->chain = *bucket;
	*bucket = entry;
	entry->newer = NULL;
	entry->older = cache->newest;
	if (cache->newest)
		cache->newest->newer = entry;
	else
		cache->oldest = entry;
	cache->newest = entry;
}

bool
cache_insert(struct cache *cache, struct cache_entry *entry)
{
	struct cache_entry *same;

	if (entry->size > cache->budget / 8)
		return false;
	/* A budget of 0 takes nothing, not even what is charged nothing. */
	if (!cache->buckets)
		return false;
	same = cache_find(cache, entry->hash,
			  (struct bytes){ entry->key, entry->key_len });
	if (same)
		cache_remove(cache, same);
	while (cache->used + entry->size > cache->budget)
		evict(cache);
	link_newest(cache, entry);
	set(&cache->used, cache->used + entry->size);
	set(&cache->count, cache->count + 1);
	set(&cache->inserts, cache->inserts + 1);
	return true;
}
