/* SPDX-License-Identifier: MIT */
/*
 * Replies of read routes, as a worker's cache keeps them: with the version
 * words of what was read, from before it was read. One is current while all
 * words are what they were, the catalog is the same, and no key of a store
 * that was read has expired.
 *
 * The key is the raw target with TARGET_TAG before it, so a hit needs no
 * routing. Counted, since the same reply may be kept by a worker, on its way
 * to others who asked for the same, and being sent.
 */
#ifndef HTTP_SERVICE_REPLIES_H
#define HTTP_SERVICE_REPLIES_H

#include "core/cache.h"
#include "http/server.h"
#include "storage/sql.h"

struct reply;
struct request;
struct route;

struct kept_dep {
	const uint64_t *word;
	uint64_t value;
};

struct kept_reply {
	struct cache_entry entry; /* its cache's worker's */
	/* Set when it is made, then never changed. */
	uint64_t generation; /* of the catalog that route belongs to */
	const struct route *route;
	uint64_t etag;
	uint64_t expires_ms; /* wall time; 0: never */
	uint64_t run_ns;     /* what it took */
	uint32_t rows;
	unsigned short status;
	unsigned short dep_count;
	struct bytes key, location, body; /* location empty: none */
	/* Atomic. */
	unsigned refs;
	struct kept_dep deps[]; /* then key, location, body */
};

/* What a reply is made of. */
struct reply_parts {
	uint64_t generation;
	const struct route *route;
	uint64_t etag, run_ns, rows;
	unsigned status;
	const struct sql_deps *deps;
	struct bytes key; /* TARGET_TAG and the target */
	struct bytes location, body;
};

/* One reference. NULL: no memory. Any thread. */
struct kept_reply *kept_reply_create(const struct reply_parts *parts);
/* Another one of the same, for another cache: an entry is in one only. */
struct kept_reply *kept_reply_copy(const struct kept_reply *kept);
void kept_reply_ref(struct kept_reply *kept);
void kept_reply_unref(struct kept_reply *kept);

/* Any thread that may use the catalog of this generation. */
bool kept_reply_is_current(const struct kept_reply *kept, uint64_t generation);

/* The key of a request's reply, and its hash. */
struct bytes reply_key(const struct request *request);
uint64_t reply_key_hash(struct bytes key);

/* A current one, which is counted as a hit; NULL. Borrowed until the next
 * call on the cache. */
struct kept_reply *replies_find(struct local *local,
				const struct request *request) ON_WORKER;
/* Keeps it where the cache wants it; takes a reference of its own. */
void replies_keep(struct local *local, struct kept_reply *kept) ON_WORKER;

/* The tag of what was read: of the words' values, the time at which the first
 * of the keys expires, the service's files, the route and the start of the
 * process. */
uint64_t reply_tag(const struct server *server, const struct route *route,
		   const struct sql_deps *deps);

/*
 * How long the reply of a target with this tag is, as far as any worker still
 * knows: a 304 that runs nothing has to say it (RFC 9110, section 8.6). A
 * table of the process; 16 bytes a place, the newest wins.
 */
struct reply_lengths;
struct reply_lengths *reply_lengths_create(void);
void reply_lengths_destroy(struct reply_lengths *lengths);
void reply_length_note(struct reply_lengths *lengths, uint64_t key_hash,
		       uint64_t tag, size_t length);
bool reply_length_find(const struct reply_lengths *lengths, uint64_t key_hash,
		       uint64_t tag, size_t *length);

/* ---- the shared layer: see shared.c -------------------------------------- */

struct shared_replies;

/* A volatile store in dir, emptied at the start. */
MUST_CHECK enum err shared_replies_create(struct shared_replies **out,
					  struct server *server,
					  const char *dir, char *message,
					  size_t message_size);
/* After the workers have ended. */
void shared_replies_destroy(struct shared_replies *shared);
/* A current reply, with one reference; NULL: none. */
struct kept_reply *shared_replies_find(struct local *local,
				       const struct request *request,
				       const struct route *route) ON_WORKER;
/* Any thread. */
void shared_replies_put(struct server *server, const struct kept_reply *kept);

#endif
