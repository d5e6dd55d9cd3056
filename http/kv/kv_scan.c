/* SPDX-License-Identifier: MIT */
/*
 * Ordered scans of a store: GET /v1/kv/{store}/.
 *
 * A scan is a task with a snapshot of its own. It goes on until its page is
 * full, a slice at a time; a page is bounded by items and by bytes, and what
 * remains is behind a cursor. The cursor is the last key that was shown, so
 * it stays good while others write, and costs the server nothing.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "core/json.h"
#include "core/units.h"
#include "http/kv/kv_json.h"
#include "http/reply.h"
#include "http/request.h"

enum {
	LIMIT_DEFAULT = 100,
	LIMIT_MAX = 10000,
	/* A page ends early where its values are large; one item always
	 * fits. */
	PAGE_BYTES = 4 << 20,
	CURSOR_MAX = (1 + KV_KEY_MAX) * 4 / 3 + 4,
};

struct scan {
	struct request *request;
	struct kv_read *read;
	struct kv_scan *walk;
	struct buffer page;
	struct json json;

	struct bytes prefix, start, end; /* empty: none */
	struct bytes after;              /* the cursor's key; empty: none */
	bool reverse, values, ndjson;
	uint64_t limit, now_ms;

	uint64_t count;
	bool more; /* the page is full and something is left */
	enum err err;
	size_t last_len;
	char last[KV_KEY_MAX]; /* the last key on the page */
};

/* ---- parameters --------------------------------------------------------- */

/* Base64 for URLs, without padding (RFC 4648, section 5), of a direction and
 * a key. */
static void
cursor_encode(const struct scan *scan, char out[CURSOR_MAX + 1])
{
	char raw[1 + KV_KEY_MAX];
	size_t len = 1 + scan->last_len, text_len;

	raw[0] = scan->reverse ? 'r' : 'f';
	memcpy(raw + 1, scan->last, scan->last_len);
	base64_encode((struct bytes){ raw, len }, out);
	text_len = base64_encoded_len(len);
	while (text_len && out[text_len - 1] == '=')
		text_len--;
	out[text_len] = '\0';
	for (size_t i = 0; i < text_len; i++) {
		if (out[i] == '+')
			out[i] = '-';
		else if (out[i] == '/')
			out[i] = '_';
	}
}

static bool
cursor_decode(struct scan *scan, struct bytes text)
{
	char *copy = request_alloc(scan->request, text.len + 4);
	size_t len = text.len;

	if (!copy || !len || len > CURSOR_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = ((const char *)text.data)[i];

		copy[i] = (char)(c == '-' ? '+' : c == '_' ? '/' : c);
	}
	while (len % 4)
		copy[len++] = '=';
	if (!base64_decode((struct bytes){ copy, len }, copy, &len) ||
	    len < 2 || copy[0] != (scan->reverse ? 'r' : 'f'))
		return false;
	scan->after = (struct bytes){ copy + 1, len - 1 };
	return true;
}

static const char *
take_parameters(struct request *request, struct scan *scan)
{
	struct bytes limit = request_parameter(request, "limit");
	struct bytes cursor = request_parameter(request, "cursor");

	scan->prefix = request_parameter(request, "prefix");
	scan->start = request_parameter(request, "start");
	scan->end = request_parameter(request, "end");
	scan->limit = LIMIT_DEFAULT;
	if (limit.data && (!units_u64(limit, &scan->limit) || !scan->limit ||
			   scan->limit > LIMIT_MAX))
		return "limit is a number from 1 to 10000";
	if (!request_flag(request, "reverse", &scan->reverse) ||
	    !request_flag(request, "values", &scan->values))
		return "reverse and values are 1 or 0";
	if (scan->prefix.len > KV_KEY_MAX || scan->start.len > KV_KEY_MAX ||
	    scan->end.len > KV_KEY_MAX)
		return "prefix, start and end have 480 bytes at most";
	if (cursor.data && !cursor_decode(scan, cursor))
		return "the cursor is not one that a scan in this direction "
		       "gave";
	return NULL;
}

static bool
accepts_ndjson(const struct request *request)
{
	struct bytes accept = request->headers.accept;

	return accept.len &&
	       memmem(accept.data, accept.len, "application/x-ndjson", 20);
}

/* ---- walking ------------------------------------------------------------ */

static struct bytes
larger(struct bytes a, struct bytes b)
{
	return bytes_compare(a, b) >= 0 ? a : b;
}

static bool
has_prefix(struct bytes key, struct bytes prefix)
{
	return key.len >= prefix.len &&
	       (!prefix.len || !memcmp(key.data, prefix.data, prefix.len));
}

/* The first key behind all that begin with prefix: its last byte that can be
 * raised is. Empty: there is none. */
static struct bytes
prefix_end(struct bytes prefix, unsigned char *out)
{
	size_t len = prefix.len;

	if (len)
		memcpy(out, prefix.data, len);
	while (len && out[len - 1] == 0xff)
		len--;
	if (len)
		out[len - 1]++;
	return (struct bytes){ out, len };
}

/* Where the walk begins. Forwards: the first key that may be shown, or the
 * cursor's own, which is skipped. Backwards: what is behind the last one. */
static struct bytes
walk_from(const struct scan *scan, unsigned char space[KV_KEY_MAX])
{
	struct bytes bound, behind;

	if (!scan->reverse)
		return larger(larger(scan->prefix, scan->start), scan->after);
	behind = prefix_end(scan->prefix, space);
	bound = scan->end;
	if (!bound.len || (behind.len && bytes_compare(behind, bound) < 0))
		bound = behind;
	if (scan->after.len &&
	    (!bound.len || bytes_compare(scan->after, bound) < 0))
		bound = scan->after;
	return bound.len ? bound : (struct bytes){ NULL, 0 };
}

/* Keys run from start, included, to end, not included, whatever the
 * direction. */
static bool
is_outside(const struct scan *scan, struct bytes key)
{
	if (!has_prefix(key, scan->prefix))
		return true;
	if (scan->reverse)
		return scan->start.len && bytes_compare(key, scan->start) < 0;
	return scan->end.len && bytes_compare(key, scan->end) >= 0;
}

static void
put_item(struct scan *scan, struct bytes key, const struct kv_record *record)
{
	struct json *json = &scan->json;
	char etag[24];

	if (scan->ndjson)
		json_begin(json, &scan->page);
	snprintf(etag, sizeof(etag), "%llu", (unsigned long long)record->seq);
	json_object_begin(json);
	json_text_or_base64(json, "key", key);
	json_name(json, "etag");
	json_text(json, bytes_of(etag));
	json_name(json, "size");
	json_u64(json, record->value.len);
	json_text_or_base64(json, "type",
			    record->type.len
				    ? record->type
				    : bytes_of("application/octet-stream"));
	if (record->expires_ms) {
		json_name(json, "expires");
		json_u64(json, record->expires_ms);
	}
	if (scan->values)
		json_put_value(json, record->value);
	json_object_end(json);
	if (scan->ndjson)
		buffer_add(&scan->page, "\n", 1);
	memcpy(scan->last, key.data, key.len);
	scan->last_len = key.len;
	scan->count++;
}

/* True: the page is done. */
static bool
step(struct scan *scan)
{
	struct kv_record record;
	struct bytes key;
	enum err err = kv_scan_next(scan->walk, &key, &record);

	if (err == ERR_NOTFOUND || (!err && is_outside(scan, key)))
		return true;
	scan->err = err;
	if (err)
		return true;
	if (!scan->reverse && scan->after.len && !scan->count &&
	    bytes_equal(key, scan->after))
		return false;
	if (scan->count == scan->limit ||
	    (scan->count &&
	     scan->page.len + (scan->values ? record.value.len : 0) >
		     PAGE_BYTES)) {
		scan->more = true;
		return true;
	}
	put_item(scan, key, &record);
	return false;
}

/* ---- the task ----------------------------------------------------------- */

static void finish(struct request *request);

static void
end_walk(struct scan *scan) ON_WORKER
{
	struct request *request = scan->request;

	if (scan->walk)
		kv_scan_end(scan->walk);
	scan->walk = NULL;
	if (scan->read)
		local_give_read(local_self(), request->store, scan->read);
	scan->read = NULL;
}

static enum err
begin_walk(struct scan *scan) ON_WORKER
{
	unsigned char space[KV_KEY_MAX];
	enum err err;

	scan->now_ms = clock_wall_ms();
	scan->read = local_take_read(local_self(), scan->request->store);
	if (!scan->read)
		return ERR_OVERLOADED;
	err = kv_read_renew(scan->read, true);
	if (err)
		return err;
	return kv_scan_begin(scan->read, scan->reverse, walk_from(scan, space),
			     scan->now_ms, &scan->walk);
}

static void
run_scan(struct task *task) ON_WORKER
{
	struct request *request = request_of_task(task);
	struct scan *scan = request->work;

	TAKES_OVER(request);
	if (!scan->walk)
		scan->err = begin_walk(scan);
	while (!scan->err && !step(scan)) {
		if (sched_slice_over()) {
			request_again(request);
			return;
		}
	}
	end_walk(scan);
	request_post(request, finish);
}

static void
free_scan(void *work) ON_WORKER
{
	struct scan *scan = work;

	end_walk(scan);
	buffer_fini(&scan->page);
	free(scan);
}

/* A part of a query as it came, but for what would end a link, or the query
 * within it. */
static void
put_query(struct buffer *link, struct bytes part)
{
	const char *c = part.data;

	for (size_t i = 0; i < part.len; i++) {
		if (c[i] == '>' || c[i] == '#')
			buffer_addf(link, "%%%02X", c[i]);
		else
			buffer_add(link, c + i, 1);
	}
}

/* The same request with the cursor in it. False: a head has no room for it. */
static bool
put_link(struct reply *reply, const struct request *request, const char *cursor)
{
	struct buffer link;
	struct bytes rest = request->query;
	bool fits;

	buffer_init(&link, HEAD_MAX);
	buffer_add_str(&link, "<");
	buffer_add(&link, request->path.data, request->path.len);
	buffer_addf(&link, "?cursor=%s", cursor);
	while (rest.len) {
		const char *and = memchr(rest.data, '&', rest.len);
		size_t len =
			and? (size_t)(and-(const char *)rest.data) : rest.len;

		if (len && !(len >= 7 && !memcmp(rest.data, "cursor=", 7))) {
			buffer_add_str(&link, "&");
			put_query(&link, (struct bytes){ rest.data, len });
		}
		len += and != NULL;
		rest = (struct bytes){ (const char *)rest.data + len,
				       rest.len - len };
	}
	buffer_add_str(&link, ">; rel=\"next\"");
	fits = !link.err && reply_header(reply, "Link",
					 (struct bytes){ link.data, link.len });
	buffer_fini(&link);
	return fits;
}

static void
close_page(struct scan *scan, const char *cursor)
{
	if (scan->ndjson)
		return;
	json_array_end(&scan->json);
	json_name(&scan->json, "next");
	if (scan->more)
		json_text(&scan->json, bytes_of(cursor));
	else
		json_none(&scan->json);
	json_object_end(&scan->json);
	buffer_add(&scan->page, "\n", 1);
}

static void
finish(struct request *request) ON_WORKER
{
	struct scan *scan = request->work;
	char cursor[CURSOR_MAX + 1] = "";
	struct reply reply;

	if (scan->err) {
		reply_error(request, scan->err);
		return;
	}
	if (scan->more)
		cursor_encode(scan, cursor);
	close_page(scan, cursor);
	reply_begin(&reply, request, 200);
	reply_header(&reply, "Content-Type",
		     bytes_of(scan->ndjson ? "application/x-ndjson"
					   : "application/json"));
	reply_header(&reply, "Cache-Control", bytes_of("no-store"));
	/* Lines have no other place for the cursor: without it their page would
	 * look like the last one. */
	if (scan->more && !put_link(&reply, request, cursor) && scan->ndjson) {
		reply_problem(request, 414, NULL,
			      "the Link to the next page is too long for a "
			      "head: ask for application/json, which has the "
			      "cursor in \"next\"");
		return;
	}
	reply_send_buffer(&reply, &scan->page);
}

void
kv_scan(struct request *request)
{
	struct scan *scan = calloc(1, sizeof(*scan));
	const char *wrong;

	if (!scan) {
		reply_error(request, ERR_NOMEM);
		return;
	}
	scan->request = request;
	request->work = scan;
	request->free_work = free_scan;
	/* step() is the bound, and the first record: it may be larger than what
	 * may be put by now. */
	buffer_init(&scan->page, SIZE_MAX - 1);
	wrong = take_parameters(request, scan);
	if (wrong) {
		reply_problem(request, 400, NULL, "%s", wrong);
		return;
	}
	scan->ndjson = accepts_ndjson(request);
	if (!scan->ndjson) {
		json_begin(&scan->json, &scan->page);
		json_object_begin(&scan->json);
		json_name(&scan->json, "items");
		json_array_begin(&scan->json);
	}
	request_wait_task(request, run_scan);
}
