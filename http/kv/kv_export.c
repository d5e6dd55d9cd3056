/* SPDX-License-Identifier: MIT */
/*
 * Export: GET /v1/kv/{store}/?op=export, a JSON object a line, as import
 * takes them.
 *
 * One snapshot from first to last. It is produced as the client reads, a line
 * at a time, so memory is bounded by a line; a client that takes longer than
 * limits.snapshot_timeout is cut off, since the pages of an old snapshot
 * cannot be used again.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "core/json.h"
#include "core/log.h"
#include "http/kv/kv_json.h"
#include "http/reply.h"
#include "http/request.h"

struct export
{
	unsigned store;
	struct kv_read *read;
	struct kv_scan *walk;
	struct bytes prefix; /* the request's, which outlives the stream */
	struct buffer line;
	size_t sent; /* of line */
	uint64_t deadline_ns;
	bool done;
};

static void
put_line(struct export *export, struct bytes key,
	 const struct kv_record *record)
{
	struct json json;

	buffer_clear(&export->line);
	export->sent = 0;
	json_begin(&json, &export->line);
	json_object_begin(&json);
	json_text_or_base64(&json, "key", key);
	json_put_value(&json, record->value);
	if (record->type.len)
		json_text_or_base64(&json, "type", record->type);
	if (record->expires_ms) {
		json_name(&json, "expires");
		json_u64(&json, record->expires_ms);
	}
	json_object_end(&json);
	buffer_add(&export->line, "\n", 1);
}

/* False: an error. At the end export->done is set. */
static bool
next_line(struct export *export)
{
	struct kv_record record;
	struct bytes key;
	enum err err = kv_scan_next(export->walk, &key, &record);

	export->done =
		err == ERR_NOTFOUND ||
		(!err &&
		 (key.len < export->prefix.len ||
		  (export->prefix.len &&
		   memcmp(key.data, export->prefix.data, export->prefix.len))));
	if (export->done)
		return true;
	if (!err) {
		put_line(export, key, &record);
		err = export->line.err;
	}
	if (err)
		log_warn("export cut off: %s", err_text(err));
	return !err;
}

static bool
is_late(const struct export *export)
{
	if (clock_coarse_ns() <= export->deadline_ns)
		return false;
	log_warn("export cut off: the client took longer than "
		 "limits.snapshot_timeout");
	return true;
}

static ptrdiff_t
more(void *arg, char *out, size_t size)
{
	struct export *export = arg;
	size_t filled = 0;

	if (is_late(export))
		return STREAM_CUT;
	while (filled < size && !export->done) {
		size_t left = export->line.len - export->sent;
		size_t n = left < size - filled ? left : size - filled;

		if (!left) {
			if (!next_line(export))
				return STREAM_CUT;
			continue;
		}
		memcpy(out + filled, export->line.data + export->sent, n);
		export->sent += n;
		filled += n;
	}
	return (ptrdiff_t)filled;
}

static void
end(void *arg) ON_WORKER
{
	struct export *export = arg;

	if (export->walk)
		kv_scan_end(export->walk);
	if (export->read)
		local_give_read(local_self(), export->store, export->read);
	buffer_fini(&export->line);
	free(export);
}

static enum err
begin(struct export *export) ON_WORKER
{
	enum err err;

	export->read = local_take_read(local_self(), export->store);
	if (!export->read)
		return ERR_OVERLOADED;
	err = kv_read_renew(export->read, true);
	if (err)
		return err;
	return kv_scan_begin(export->read, false, export->prefix,
			     clock_wall_ms(), &export->walk);
}

void
kv_export(struct request *request)
{
	const struct config *config = local_self()->server->config;
	struct export *export = calloc(1, sizeof(*export));
	struct stream stream = { more, end, export };
	struct reply reply;
	enum err err;

	if (!export) {
		reply_error(request, ERR_NOMEM);
		return;
	}
	export->store = request->store;
	export->prefix = request_parameter(request, "prefix");
	export->deadline_ns =
		clock_mono_ns() + config->snapshot_timeout_ms * NS_PER_MS;
	/* The record is the bound: it may be larger than what may be put by
	 * now. */
	buffer_init(&export->line, SIZE_MAX - 1);
	err = begin(export);
	if (err) {
		end(export);
		reply_error(request, err);
		return;
	}
	reply_begin(&reply, request, 200);
	reply_header(&reply, "Content-Type", bytes_of("application/x-ndjson"));
	reply_header(&reply, "Cache-Control", bytes_of("no-store"));
	reply_send_stream(&reply, &stream);
}
