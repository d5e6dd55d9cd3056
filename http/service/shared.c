/* SPDX-License-Identifier: MIT */
/*
 * The shared layer: replies that took long to make, for the workers that have
 * not made them. A volatile store, so it is bounded and forgets what is used
 * least; reading it takes no lock and no system call.
 *
 * Private to this process, as a record holds addresses of version words:
 * emptied at the start, and what could not be removed then is of another boot.
 * Key: 128 bits of a hash of the target. Value: struct stored, then the
 * dependencies, the key, Location and body.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "core/clock.h"
#include "core/log.h"
#include "http/request.h"
#include "http/service/replies.h"
#include "http/service/service.h"

enum {
	/* Enough for some thousand reports; it is only in memory where it is
	 * used. */
	SHARED_SIZE = 64 << 20,
	/* Larger replies are few, and dear to copy twice. */
	SHARED_VALUE_MAX = 1 << 20,
};

struct shared_replies {
	struct kv *kv;
	struct kv_read **reads; /* one a worker, that worker's alone */
	unsigned workers;
};

struct stored {
	uint64_t boot; /* the server's: see server.h */
	uint64_t generation, etag, expires_ms, run_ns;
	const struct route *route;
	uint32_t rows, status, dep_count, key_len, location_len, body_len;
};

struct shared_key {
	XXH128_hash_t hash;
};

static struct shared_key
key_of(struct bytes key)
{
	return (struct shared_key){ XXH3_128bits(key.data, key.len) };
}

/* NUL is not allowed in a store's key, so it is written in hexadecimal. */
enum { KEY_TEXT = 32 };

static struct bytes
key_text(struct bytes key, char out[KEY_TEXT + 1])
{
	struct shared_key hash = key_of(key);

	snprintf(out, KEY_TEXT + 1, "%016llx%016llx",
		 (unsigned long long)hash.hash.high64,
		 (unsigned long long)hash.hash.low64);
	return (struct bytes){ out, KEY_TEXT };
}

/* ---- opening ------------------------------------------------------------- */

static void
empty(const char *dir)
{
	DIR *stream = opendir(dir);
	struct dirent *entry;

	if (!stream)
		return;
	/* Of whatever kind: not every file system says it here. Folders, which
	 * are "." and "..", stay. */
	while ((entry = readdir(stream)))
		(void)unlinkat(dirfd(stream), entry->d_name, 0);
	closedir(stream);
}

enum err
shared_replies_create(struct shared_replies **out, struct server *server,
		      const char *dir, char *message, size_t message_size)
{
	struct shared_replies *shared = calloc(1, sizeof(*shared));
	struct kv_options options = {
		.name = "replies",
		.dir = dir,
		.is_volatile = true,
		.max_size = SHARED_SIZE,
		.readers = sched_workers(server->sched),
	};
	enum err err = ERR_NOMEM;

	if (!shared)
		goto say;
	shared->workers = sched_workers(server->sched);
	shared->reads = calloc(shared->workers, sizeof(*shared->reads));
	options.sequence = server->sequence;
	if (!shared->reads)
		goto free_shared;
	empty(dir);
	err = kv_open(&shared->kv, &options, message, message_size);
	if (err)
		goto free_reads;
	*out = shared;
	return ERR_OK;

free_reads:
	free(shared->reads);
free_shared:
	free(shared);
say:
	if (err == ERR_NOMEM)
		snprintf(message, message_size, "%s", err_text(err));
	return err;
}

void
shared_replies_destroy(struct shared_replies *shared)
{
	for (unsigned i = 0; i < shared->workers; i++)
		if (shared->reads[i])
			kv_read_destroy(shared->reads[i]);
	kv_close(shared->kv);
	free(shared->reads);
	free(shared);
}

/* ---- finding ------------------------------------------------------------- */

static struct bytes
cut(const char **at, size_t len)
{
	struct bytes bytes = { *at, len };

	*at += len;
	return bytes;
}

static void
take_deps(const char **at, uint32_t count, struct sql_deps *deps)
{
	for (uint32_t i = 0; i < count; i++) {
		struct kept_dep dep;

		memcpy(&dep, cut(at, sizeof(dep)).data, sizeof(dep));
		deps->list[i].word = dep.word;
		deps->list[i].value = dep.value;
	}
	deps->count = count;
}

/* NULL: no memory, or another process has left it. */
static struct kept_reply *
unpack(const struct server *server, const struct kv_record *record)
{
	struct stored stored;
	struct sql_deps deps;
	struct reply_parts parts;
	const char *at = record->value.data;

	memcpy(&stored, at, sizeof(stored));
	if (stored.boot != server->boot)
		return NULL;
	at += sizeof(stored);
	sql_deps_init(&deps);
	deps.expires_ms = stored.expires_ms;
	take_deps(&at, stored.dep_count, &deps);
	parts = (struct reply_parts){ .generation = stored.generation,
				      .route = stored.route,
				      .etag = stored.etag,
				      .run_ns = stored.run_ns,
				      .rows = stored.rows,
				      .status = stored.status,
				      .deps = &deps };
	parts.key = cut(&at, stored.key_len);
	parts.location = cut(&at, stored.location_len);
	parts.body = cut(&at, stored.body_len);
	return kept_reply_create(&parts);
}

static struct kv_read *
read_of(struct local *local, struct shared_replies *shared) ON_WORKER
{
	struct kv_read **read = &shared->reads[local->index];

	/* Without one, nothing is shared. */
	if (!*read && kv_read_create(shared->kv, read))
		*read = NULL;
	return *read;
}

static struct kept_reply *
look_up(struct local *local, struct kv_read *read,
	const struct request *request) ON_WORKER
{
	struct bytes key = reply_key(request);
	char text[KEY_TEXT + 1];
	struct kv_record record;
	struct kept_reply *kept;

	if (kv_read_renew(read, false) ||
	    kv_get(read, key_text(key, text), clock_wall_ms(), &record))
		return NULL;
	kv_touch_used(local->server->shared_replies->kv,
		      kv_hash(local->server->shared_replies->kv,
			      (struct bytes){ text, KEY_TEXT }));
	kept = unpack(local->server, &record);
	if (kept && bytes_equal(kept->key, key) &&
	    kept_reply_is_current(kept, request->catalog->generation))
		return kept;
	if (kept)
		kept_reply_unref(kept);
	return NULL;
}

struct kept_reply *
shared_replies_find(struct local *local, const struct request *request,
		    const struct route *route)
{
	struct shared_replies *shared = local->server->shared_replies;
	struct kv_read *read = shared ? read_of(local, shared) : NULL;
	struct kept_reply *kept;

	if (!read)
		return NULL;
	kept = look_up(local, read, request);
	kv_read_reset(read);
	assert(!kept || kept->route == route);
	return kept;
}

/* ---- putting ------------------------------------------------------------- */

/* A write that nobody waits for; frees itself. */
struct put {
	struct kv_write write;
	struct kv_op op;
	char key[KEY_TEXT + 1];
	char value[];
};

static void
put_done(struct lane_item *item)
{
	struct kv_write *write = CONTAINER_OF(item, struct kv_write, item);

	free(CONTAINER_OF(write, struct put, write));
}

static size_t
pack(const struct server *server, const struct kept_reply *kept, char *out)
{
	const struct stored stored = {
		.boot = server->boot,
		.generation = kept->generation,
		.etag = kept->etag,
		.expires_ms = kept->expires_ms,
		.run_ns = kept->run_ns,
		.route = kept->route,
		.rows = kept->rows,
		.status = kept->status,
		.dep_count = kept->dep_count,
		.key_len = (uint32_t)kept->key.len,
		.location_len = (uint32_t)kept->location.len,
		.body_len = (uint32_t)kept->body.len,
	};
	char *at = mempcpy(out, &stored, sizeof(stored));

	at = mempcpy(at, kept->deps, kept->dep_count * sizeof(*kept->deps));
	at = mempcpy(at, kept->key.data, kept->key.len);
	at = mempcpy(at, kept->location.data, kept->location.len);
	at = mempcpy(at, kept->body.data, kept->body.len);
	return (size_t)(at - out);
}

static size_t
packed_size(const struct kept_reply *kept)
{
	return sizeof(struct stored) +
	       kept->dep_count * sizeof(struct kept_dep) + kept->key.len +
	       kept->location.len + kept->body.len;
}

void
shared_replies_put(struct server *server, const struct kept_reply *kept)
{
	size_t size = packed_size(kept);
	struct put *put;

	if (!server->shared_replies || size > SHARED_VALUE_MAX)
		return;
	put = malloc(sizeof(*put) + size);
	if (!put)
		return;
	memset(put, 0, sizeof(*put));
	put->op.kind = KV_PUT;
	put->op.key = key_text(kept->key, put->key);
	put->op.value =
		(struct bytes){ put->value, pack(server, kept, put->value) };
	put->write.ops = &put->op;
	put->write.count = 1;
	put->write.item.done = put_done;
	/* It is only a cache: what is refused is made again. */
	if (kv_submit(server->shared_replies->kv, &put->write))
		free(put);
}
