/* SPDX-License-Identifier: MIT */
/*
 * What a worker's cache keeps of a key: the record as it was read, with the
 * version word that was noted before. In one block, and small: a hit on one
 * of many keys costs the cache lines that it touches.
 *
 * Counted, since a large value is sent from where it lies and may outlive its
 * place in the cache. The last to let go may be on another worker: the shard
 * may have moved.
 */
#ifndef HTTP_KEPT_H
#define HTTP_KEPT_H

#include "core/cache.h"
#include "storage/kv.h"

struct kept {
	struct cache_entry entry;
	uint64_t version;        /* the word */
	struct kv_record record; /* points into data */
	unsigned refs;           /* atomic */
	char data[];             /* key, type, value */
};

/* One reference; version 0. NULL: no memory. */
struct kept *kept_create(uint64_t hash, struct bytes key,
			 const struct kv_record *record);
void kept_ref(struct kept *kept);
void kept_unref(struct kept *kept);
/* The cache's free function: its reference, of a key or of a route's reply
 * (http/service/replies.h). */
void kept_free(struct cache_entry *entry);

static inline struct kept *
kept_of(struct cache_entry *entry)
{
	return CONTAINER_OF(entry, struct kept, entry);
}

#endif
