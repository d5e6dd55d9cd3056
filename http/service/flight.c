/* SPDX-License-Identifier: MIT */
#include "http/service/flight.h"

#include <ck_pr.h>
#include <sched.h>
#include <stdlib.h>
#include <xxhash.h>

#include "http/request.h"
#include "http/service/replies.h"

struct slot {
	/* Atomic: 1 while somebody is in the few lines that change the rest. */
	alignas(CACHE_LINE) unsigned busy;
	/* Under busy. */
	bool taken;
	XXH128_hash_t hash;
	struct request *leader;
	ck_stack_entry_t *followers; /* by request.parcel.link */
};

struct flights {
	struct slot slots[FLIGHT_SLOTS];
};

struct flights *
flights_create(void)
{
	struct flights *flights =
		aligned_alloc(CACHE_LINE, sizeof(struct flights));

	return flights ? memset(flights, 0, sizeof(*flights)) : NULL;
}

void
flights_destroy(struct flights *flights)
{
	free(flights);
}

/* Both pair with each other: what one holder wrote, the next one sees. */
static bool
try_enter(struct slot *slot)
{
	if (ck_pr_fas_uint(&slot->busy, 1))
		return false;
	ck_pr_fence_acquire();
	TAKES_OVER(slot);
	return true;
}

static void
leave(struct slot *slot)
{
	HANDS_OVER(slot);
	ck_pr_fence_release();
	ck_pr_store_uint(&slot->busy, 0);
}

static enum flight
join(struct slot *slot, XXH128_hash_t hash, struct request *request) ON_WORKER
{
	if (!slot->taken) {
		slot->taken = true;
		slot->hash = hash;
		slot->leader = request;
		return FLIGHT_LEADS;
	}
	if (!XXH128_isEqual(slot->hash, hash))
		return FLIGHT_ALONE;
	request_wait(request);
	HANDS_OVER(request);
	request->parcel.link.next = slot->followers;
	slot->followers = &request->parcel.link;
	return FLIGHT_FOLLOWS;
}

static struct slot *
slot_of(struct flights *flights, XXH128_hash_t hash)
{
	return &flights->slots[hash.low64 % FLIGHT_SLOTS];
}

static XXH128_hash_t
hash_of(const struct request *request)
{
	struct bytes key = reply_key(request);

	return XXH3_128bits(key.data, key.len);
}

enum flight
flight_join(struct flights *flights, struct request *request,
	    void (*finish)(struct request *request))
{
	XXH128_hash_t hash = hash_of(request);
	struct slot *slot = slot_of(flights, hash);
	enum flight flight;

	if (!try_enter(slot))
		return FLIGHT_ALONE;
	request->finish = finish;
	flight = join(slot, hash, request);
	leave(slot);
	return flight;
}

static void
give(struct request *follower, struct kept_reply *kept)
{
	TAKES_OVER(follower);
	if (kept) {
		kept_reply_ref(kept);
		follower->shared = kept;
	}
	request_post(follower, follower->finish);
}

void
flight_land(struct flights *flights, struct request *request,
	    struct kept_reply *kept)
{
	struct slot *slot = slot_of(flights, hash_of(request));
	ck_stack_entry_t *followers;

	/* The lines in between are ten instructions; only a holder that lost
	 * its processor in the middle makes us go round. */
	while (!try_enter(slot))
		sched_yield();
	assert(slot->taken && slot->leader == request);
	followers = slot->followers;
	slot->followers = NULL;
	slot->taken = false;
	leave(slot);
	while (followers) {
		ck_stack_entry_t *next = followers->next;

		give(CONTAINER_OF(followers, struct request, parcel.link),
		     kept);
		followers = next;
	}
}
