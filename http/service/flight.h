/* SPDX-License-Identifier: MIT */
/*
 * Identical misses that run at the same time run once: the first one leads,
 * the others wait for what it makes.
 *
 * A table of slots by a 128-bit hash of the target; a slot whose place is
 * taken by another target leads nobody, and nobody waits for a lock: who finds
 * the slot busy runs alone, which is only slower.
 */
#ifndef HTTP_SERVICE_FLIGHT_H
#define HTTP_SERVICE_FLIGHT_H

#include "core/affinity.h"
#include "core/base.h"

struct request;
struct kept_reply;

enum { FLIGHT_SLOTS = 256 };

enum flight {
	FLIGHT_ALONE,   /* run it; nobody waits */
	FLIGHT_LEADS,   /* run it, then flight_land() in any case */
	FLIGHT_FOLLOWS, /* the request waits: finish() will be called, with
			   request->shared set or not */
};

struct flights;
struct flights *flights_create(void);
void flights_destroy(struct flights *flights);

/* finish is called on the request's shard when the flight lands. */
enum flight flight_join(struct flights *flights, struct request *request,
			void (*finish)(struct request *request)) ON_WORKER;
/* Any thread. Gives kept, of which each follower gets a reference, or NULL, to
 * those who wait. request is the one that leads. */
void flight_land(struct flights *flights, struct request *request,
		 struct kept_reply *kept);

#endif
