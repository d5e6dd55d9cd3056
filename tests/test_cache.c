/* SPDX-License-Identifier: MIT */
#include "core/cache.h"

#include "tests/tap.h"

enum { KEYS = 200 };

struct object {
	struct cache_entry entry;
	uint32_t key;
	unsigned serial;
};

/* Serial numbers that were freed, in order, since the last look. */
static unsigned freed[100000], freed_count;
static unsigned live;

static void
free_object(struct cache_entry *entry)
{
	struct object *object = CONTAINER_OF(entry, struct object, entry);

	freed[freed_count++ % ARRAY_LEN(freed)] = object->serial;
	live--;
	free(object);
}

/* Few distinct hashes, so that chains are long and hashes collide. */
static uint64_t
hash_of(uint32_t key)
{
	return key % 50 * 64 + key % 3;
}

static struct object *
object_create(uint32_t key, uint32_t size, unsigned serial)
{
	struct object *object = calloc(1, sizeof(*object));

	object->key = key;
	object->serial = serial;
	object->entry = (struct cache_entry){
		.hash = hash_of(key),
		.key = &object->key,
		.key_len = sizeof(object->key),
		.size = size,
	};
	live++;
	return object;
}

static struct object *
find(struct cache *cache, uint32_t key)
{
	struct cache_entry *entry = cache_find(
		cache, hash_of(key), (struct bytes){ &key, sizeof(key) });

	return entry ? CONTAINER_OF(entry, struct object, entry) : NULL;
}

static bool
put(struct cache *cache, uint32_t key, uint32_t size, unsigned serial)
{
	struct object *object = object_create(key, size, serial);

	if (cache_insert(cache, &object->entry))
		return true;
	free(object);
	live--;
	return false;
}

/* ---- the naive model ---------------------------------------------------- */

struct item {
	uint32_t key, size;
	unsigned serial;
	bool visited;
};

/* SIEVE as the paper prints it, on an array: index 0 is the tail. */
struct model {
	struct item items[KEYS];
	unsigned count;
	int hand; /* -1: the tail */
	uint64_t used, budget;
	unsigned freed[KEYS * 2], freed_count;
};

static void
model_remove(struct model *model, unsigned at)
{
	model->freed[model->freed_count++] = model->items[at].serial;
	model->used -= model->items[at].size;
	memmove(&model->items[at], &model->items[at + 1],
		(model->count - at - 1) * sizeof(*model->items));
	model->count--;
	/* The removed entry's newer neighbour now has its index. */
	if (model->hand > (int)at)
		model->hand--;
	if (model->hand == (int)model->count)
		model->hand = -1;
}

static void
model_evict(struct model *model)
{
	unsigned at = model->hand < 0 ? 0 : (unsigned)model->hand;

	while (model->items[at].visited) {
		model->items[at].visited = false;
		at = at + 1 < model->count ? at + 1 : 0;
	}
	model->hand = (int)at;
	model_remove(model, at);
}

static int
model_find(const struct model *model, uint32_t key)
{
	for (unsigned i = 0; i < model->count; i++)
		if (model->items[i].key == key)
			return (int)i;
	return -1;
}

static bool
model_put(struct model *model, uint32_t key, uint32_t size, unsigned serial)
{
	int same = model_find(model, key);

	if (size > model->budget / 8)
		return false;
	if (same >= 0)
		model_remove(model, (unsigned)same);
	while (model->used + size > model->budget)
		model_evict(model);
	model->items[model->count++] =
		(struct item){ key, size, serial, false };
	model->used += size;
	return true;
}

/* ---- the same trace through both ---------------------------------------- */

static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Small keys more often, as caches see them. */
static uint32_t
random_key(uint64_t *state)
{
	uint64_t limit = 1 + next_random(state) % KEYS;

	return (uint32_t)(next_random(state) % limit);
}

static bool
step(struct cache *cache, struct model *model, uint64_t *state, unsigned serial)
{
	uint32_t key = random_key(state);
	uint32_t size = 1 + (uint32_t)(next_random(state) % 140);
	struct object *object = find(cache, key);
	int at = model_find(model, key);

	if ((object != NULL) != (at >= 0))
		return false;
	if (object && object->serial != model->items[at].serial)
		return false;
	switch (next_random(state) % 8) {
	case 0:
		if (object) {
			cache_remove(cache, &object->entry);
			model_remove(model, (unsigned)at);
		}
		return true;
	case 1:
	case 2:
		return put(cache, key, size, serial) ==
		       model_put(model, key, size, serial);
	default:
		if (object) {
			cache_hit(cache, &object->entry);
			model->items[at].visited = true;
			return true;
		}
		cache_miss(cache);
		return put(cache, key, size, serial) ==
		       model_put(model, key, size, serial);
	}
}

static bool
same_order(const struct cache *cache, const struct model *model)
{
	const struct cache_entry *entry = cache->oldest;

	for (unsigned i = 0; i < model->count; i++) {
		const struct object *object =
			CONTAINER_OF(entry, struct object, entry);

		if (!entry || object->serial != model->items[i].serial ||
		    entry->visited != model->items[i].visited)
			return false;
		entry = entry->newer;
	}
	return !entry && cache->count == model->count &&
	       cache->used == model->used && cache->used <= cache->budget;
}

static bool
trace_agrees(uint64_t seed, unsigned steps)
{
	struct model model = { .hand = -1, .budget = 1000 };
	uint64_t state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
	struct cache cache;
	bool same = true;

	if (cache_init(&cache, model.budget, free_object))
		return false;
	for (unsigned i = 0; same && i < steps; i++) {
		freed_count = model.freed_count = 0;
		same = step(&cache, &model, &state, i) &&
		       freed_count == model.freed_count &&
		       !memcmp(freed, model.freed,
			       freed_count * sizeof(*freed)) &&
		       same_order(&cache, &model) && live == cache.count;
		if (!same)
			printf("# seed %llu, step %u\n",
			       (unsigned long long)seed, i);
	}
	cache_fini(&cache);
	return same && live == 0;
}

static void
evicts_as_the_model_does(void)
{
	unsigned long rounds = tap_rounds("CACHE_ROUNDS", 20);
	bool same = true;

	for (unsigned long seed = 1; same && seed <= rounds; seed++)
		same = trace_agrees(seed, 5000);
	ok(same, "%lu random traces: contents, order and victims of the model",
	   rounds);
}

/* ---- one by one --------------------------------------------------------- */

/* The example of the paper: A and D are hit, the hand stops at the first
 * entry that was not. */
static void
sieve_keeps_what_was_hit(void)
{
	struct cache cache;
	bool well = cache_init(&cache, 80, free_object) == ERR_OK;

	for (uint32_t key = 0; key < 8; key++)
		well &= put(&cache, key, 10, key);
	ok(well && cache.used == 80, "full to the last byte");
	cache_hit(&cache, &find(&cache, 0)->entry);
	cache_hit(&cache, &find(&cache, 3)->entry);
	freed_count = 0;
	ok(put(&cache, 8, 10, 8) && freed_count == 1 && freed[0] == 1,
	   "the oldest that was not hit goes");
	ok(put(&cache, 9, 10, 9) && freed[1] == 2, "then the next");
	ok(put(&cache, 10, 10, 10) && freed[2] == 4, "the hand skips a hit");
	ok(find(&cache, 0) && find(&cache, 3), "what was hit is there");
	is_u64(cache.evictions, 3, "evictions");
	is_u64(cache.inserts, 11, "inserts");
	is_u64(cache.hits, 2, "hits");
	is_u64(cache.misses, 0, "misses");
	cache_fini(&cache);
	is_u64(live, 0, "fini frees the rest");
}

static void
keys_differ_by_length_too(void)
{
	struct cache cache;
	uint32_t key = 7;
	bool well = cache_init(&cache, 800, free_object) == ERR_OK &&
		    put(&cache, key, 10, 0);

	for (size_t len = 0; well && len < sizeof(key); len++)
		well = !cache_find(&cache, hash_of(key),
				   (struct bytes){ &key, len });
	ok(well, "a part of a key is not found");
	ok(!cache_find(&cache, hash_of(key) + cache.mask + 1,
		       (struct bytes){ &key, sizeof(key) }),
	   "nor is another hash in the same bucket");
	cache_fini(&cache);
}

static void
sizes_have_limits(void)
{
	struct cache cache;

	ok(cache_init(&cache, 800, free_object) == ERR_OK, "init");
	ok(put(&cache, 1, 100, 1), "an eighth of the budget is taken");
	ok(!put(&cache, 2, 101, 2), "more is refused");
	ok(!put(&cache, 1, 101, 3) && find(&cache, 1)->serial == 1,
	   "a refused one does not replace");
	ok(put(&cache, 1, 50, 4) && find(&cache, 1)->serial == 4 &&
		   cache.count == 1 && cache.used == 50 && cache.evictions == 0,
	   "the same key is replaced");
	ok(put(&cache, 3, 0, 5), "one that is charged nothing");
	cache_fini(&cache);

	ok(cache_init(&cache, 0, free_object) == ERR_OK, "budget 0");
	ok(!put(&cache, 1, 0, 1) && !find(&cache, 1), "keeps nothing");
	cache_fini(&cache);
	is_u64(live, 0, "nothing is left");
}

/* A hash of its own slot and print. */
static uint64_t
missed_hash(uint64_t slot, uint64_t print)
{
	return print << 48 | slot << 16;
}

static void
a_full_cache_wants_what_is_missed_twice(void)
{
	struct cache cache;
	bool well = cache_init(&cache, 160, free_object) == ERR_OK;

	for (uint32_t key = 0; key < 15; key++) {
		well &= cache_wants(&cache, missed_hash(key, 1));
		well &= put(&cache, key, 10, key);
	}
	ok(well, "anything while there is room");
	ok(!cache_wants(&cache, missed_hash(3, 7)), "nothing missed once");
	ok(cache_wants(&cache, missed_hash(3, 7)), "what is missed again");
	ok(!cache_wants(&cache, missed_hash(4, 7)), "not another slot's");
	ok(!cache_wants(&cache, missed_hash(3, 8)) &&
		   !cache_wants(&cache, missed_hash(3, 7)),
	   "nor what another one has pushed out of its slot");
	cache_remove(&cache, &find(&cache, 0)->entry);
	ok(cache_wants(&cache, missed_hash(5, 9)), "room lets anything in");
	cache_fini(&cache);
	ok(cache_init(&cache, 0, free_object) == ERR_OK &&
		   !cache_wants(&cache, 1),
	   "no budget wants nothing");
	cache_fini(&cache);
}

static void
buckets_follow_the_budget(void)
{
	static const struct {
		size_t budget, buckets;
	} cases[] = {
		{ 1, 64 },
		{ 64 * 256, 64 },
		{ 65 * 256, 128 },
		{ (size_t)32 << 20, 131072 },
		{ (size_t)1 << 40, 1 << 20 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cache cache;

		ok(cache_init(&cache, cases[i].budget, free_object) == ERR_OK &&
			   cache.mask + 1 == cases[i].buckets,
		   "%zu bytes: %zu buckets", cases[i].budget, cases[i].buckets);
		cache_fini(&cache);
	}
}

int
main(void)
{
	sieve_keeps_what_was_hit();
	keys_differ_by_length_too();
	sizes_have_limits();
	a_full_cache_wants_what_is_missed_twice();
	buckets_follow_the_budget();
	evicts_as_the_model_does();
	return tap_done();
}
