/* SPDX-License-Identifier: MIT */
#include "http/service/replies.h"

#include <stdlib.h>
#include <xxhash.h>

#include "core/clock.h"
#include "core/refs.h"
#include "http/request.h"
#include "http/service/service.h"

/* ---- making and counting ------------------------------------------------- */

struct kept_reply *
kept_reply_create(const struct reply_parts *parts)
{
	enum { MALLOC = 16 };
	const struct sql_deps *deps = parts->deps;
	size_t size = sizeof(struct kept_reply) +
		      deps->count * sizeof(struct kept_dep) + parts->key.len +
		      parts->location.len + parts->body.len;
	struct kept_reply *kept;
	char *out;

	if (size > UINT32_MAX - MALLOC)
		return NULL;
	kept = malloc(size);
	if (!kept)
		return NULL;
	out = (char *)&kept->deps[deps->count];
	*kept = (struct kept_reply){
		.entry = { .hash = reply_key_hash(parts->key),
			   .key_len = (uint32_t)parts->key.len,
			   .size = (uint32_t)size + MALLOC },
		.generation = parts->generation,
		.route = parts->route,
		.etag = parts->etag,
		.expires_ms = deps->expires_ms,
		.run_ns = parts->run_ns,
		.rows = (uint32_t)parts->rows,
		.status = (unsigned short)parts->status,
		.dep_count = (unsigned short)deps->count,
		.refs = 1,
	};
	for (unsigned i = 0; i < deps->count; i++)
		kept->deps[i] = (struct kept_dep){ deps->list[i].word,
						   deps->list[i].value };
	kept->key = bytes_put(&out, parts->key);
	kept->location = bytes_put(&out, parts->location);
	kept->body = bytes_put(&out, parts->body);
	kept->entry.key = kept->key.data;
	return kept;
}

struct kept_reply *
kept_reply_copy(const struct kept_reply *kept)
{
	struct sql_deps deps;

	sql_deps_init(&deps);
	deps.count = kept->dep_count;
	deps.expires_ms = kept->expires_ms;
	for (unsigned i = 0; i < kept->dep_count; i++) {
		deps.list[i].word = kept->deps[i].word;
		deps.list[i].value = kept->deps[i].value;
	}
	return kept_reply_create(&(struct reply_parts){
		.generation = kept->generation,
		.route = kept->route,
		.etag = kept->etag,
		.run_ns = kept->run_ns,
		.rows = kept->rows,
		.status = kept->status,
		.deps = &deps,
		.key = kept->key,
		.location = kept->location,
		.body = kept->body,
	});
}

void
kept_reply_ref(struct kept_reply *kept)
{
	refs_take(&kept->refs);
}

void
kept_reply_unref(struct kept_reply *kept)
{
	if (refs_drop(&kept->refs, kept))
		free(kept);
}

/* ---- is it current? ------------------------------------------------------ */

bool
kept_reply_is_current(const struct kept_reply *kept, uint64_t generation)
{
	if (kept->generation != generation)
		return false;
	for (unsigned i = 0; i < kept->dep_count; i++)
		if (ck_pr_load_64(kept->deps[i].word) != kept->deps[i].value)
			return false;
	return !kept->expires_ms || clock_wall_ms() < kept->expires_ms;
}

/* ---- a worker's cache ---------------------------------------------------- */

struct bytes
reply_key(const struct request *request)
{
	return (struct bytes){ (const char *)request->target.data - 1,
			       request->target.len + 1 };
}

uint64_t
reply_key_hash(struct bytes key)
{
	return XXH3_64bits(key.data, key.len);
}

struct kept_reply *
replies_find(struct local *local, const struct request *request)
{
	struct bytes key = reply_key(request);
	struct cache_entry *entry;
	struct kept_reply *kept;

	entry = cache_find(&local->cache, request->foreseen, key);
	if (!entry)
		return NULL;
	kept = CONTAINER_OF(entry, struct kept_reply, entry);
	if (!kept_reply_is_current(kept, request->catalog->generation)) {
		/* A request that began with an older catalog leaves what
		 * those of the new one have. */
		if (kept->generation <= request->catalog->generation)
			cache_remove(&local->cache, entry);
		return NULL;
	}
	cache_hit(&local->cache, entry);
	return kept;
}

void
replies_keep(struct local *local, struct kept_reply *kept)
{
	if (!cache_wants(&local->cache, kept->entry.hash))
		return;
	kept_reply_ref(kept);
	if (!cache_insert(&local->cache, &kept->entry))
		kept_reply_unref(kept);
}

uint64_t
reply_tag(const struct server *server, const struct route *route,
	  const struct sql_deps *deps)
{
	uint64_t numbers[SQL_DEPS_MAX + 4];
	unsigned count = 0;

	numbers[count++] = server->boot;
	numbers[count++] = route->service->checksum;
	numbers[count++] = route->index;
	/* A key that has expired is gone before a word says so: what is read
	 * then is told from what was read before by the first to expire. */
	numbers[count++] = deps->expires_ms;
	for (unsigned i = 0; i < deps->count; i++)
		numbers[count++] = deps->list[i].value;
	/* 0 is no tag, and one beyond 2^63 - 1 is none of ours: see
	 * etag_parse(). */
	return XXH3_64bits(numbers, count * sizeof(*numbers)) >> 1 | 1;
}

/* ---- lengths ------------------------------------------------------------- */

enum { LENGTHS = 8192 };

/* Atomic words, written by any worker. check is length ^ the key, so that two
 * words of different writers are no pair (Hyatt and Mann, "A lockless
 * transposition-table implementation", 2002). */
struct reply_lengths {
	struct {
		uint64_t check, length;
	} places[LENGTHS];
};

static uint64_t
length_key(uint64_t key_hash, uint64_t tag)
{
	return key_hash ^ tag * UINT64_C(0x9e3779b97f4a7c15);
}

struct reply_lengths *
reply_lengths_create(void)
{
	return calloc(1, sizeof(struct reply_lengths));
}

void
reply_lengths_destroy(struct reply_lengths *lengths)
{
	free(lengths);
}

void
reply_length_note(struct reply_lengths *lengths, uint64_t key_hash,
		  uint64_t tag, size_t length)
{
	uint64_t key = length_key(key_hash, tag);

	ck_pr_store_64(&lengths->places[key % LENGTHS].length, length);
	ck_pr_store_64(&lengths->places[key % LENGTHS].check, length ^ key);
}

bool
reply_length_find(const struct reply_lengths *lengths, uint64_t key_hash,
		  uint64_t tag, size_t *length)
{
	uint64_t key = length_key(key_hash, tag);
	uint64_t check = ck_pr_load_64(&lengths->places[key % LENGTHS].check);
	uint64_t found = ck_pr_load_64(&lengths->places[key % LENGTHS].length);

	if ((found ^ check) != key)
		return false;
	*length = (size_t)found;
	return true;
}
