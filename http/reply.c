/* SPDX-License-Identifier: MIT */
#include "http/reply.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/clock.h"
#include "core/json.h"
#include "core/log.h"
#include "http/conn.h"
#include "http/shard.h"

#define FIRST_HEADER "X-Request-Id"

static const char hit_text[] = "jackdaw; hit     ";
static const char miss_text[] = "jackdaw; fwd=miss";
static_assert(sizeof(hit_text) == sizeof(miss_text),
	      "one overwrites the other in place; blanks at the end of a "
	      "field are no part of its value (RFC 9110, section 5.5)");
enum {
	CACHE_STATUS_LEN = sizeof(miss_text) - 1,
	/* Seconds left of any expiry in milliseconds that we take. */
	MAX_AGE_LEN = 16,
};

/* ---- the head ----------------------------------------------------------- */

void
reply_begin(struct reply *reply, struct request *request, unsigned status)
{
	reply->request = request;
	reply->status = status;
	reply->lines = 0;
	reply->len = request->id_len;
	memcpy(reply->head, request->id, request->id_len);
}

void
reply_header(struct reply *reply, const char *name, struct bytes value)
{
	size_t name_len = strlen(name);
	char *out = reply->head + reply->len;

	if (value.len == 0 || reply->lines == HEAD_LINES_MAX ||
	    reply->len + 2 + name_len + 2 + value.len >= HEAD_MAX)
		return;
	reply->ends[reply->lines++] = (unsigned short)reply->len;
	out = mempcpy(out, "  ", 2);
	out = mempcpy(out, name, name_len);
	out = mempcpy(out, ": ", 2);
	out = mempcpy(out, value.data, value.len);
	reply->len = (size_t)(out - reply->head);
}

void
reply_headerf(struct reply *reply, const char *name, const char *format, ...)
{
	char value[HEAD_MAX];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(value, sizeof(value), format, args);
	va_end(args);
	if (len > 0 && (size_t)len < sizeof(value))
		reply_header(reply, name, (struct bytes){ value, (size_t)len });
}

void
reply_etag(struct reply *reply, uint64_t seq)
{
	reply_headerf(reply, "ETag", "\"%llu\"", (unsigned long long)seq);
}

/*
 * The head as the value of the first header. Returns where libmicrohttpd
 * keeps it: stable until the response is destroyed, and copied out while the
 * reply's head is built, before the handler of any other request runs.
 */
static char *
put_head(struct MHD_Response *response, struct reply *reply)
{
	char *kept;

	reply->head[reply->len] = '\0';
	if (!MHD_add_response_header(response, FIRST_HEADER, reply->head))
		return NULL;
	kept = (char *)(uintptr_t)MHD_get_response_header(response,
							  FIRST_HEADER);
	for (unsigned i = 0; kept && i < reply->lines; i++)
		memcpy(kept + reply->ends[i], "\r\n", 2);
	return kept;
}

/* ---- sending ------------------------------------------------------------ */

static void
queue(struct request *request, unsigned status, struct MHD_Response *response)
{
	request->status = (unsigned short)status;
	request->state = REQUEST_ANSWERED;
	shard_queue(request, status, response);
}

static void
send_response(struct reply *reply, struct MHD_Response *response)
{
	struct request *request = reply->request;

	if (!response || !put_head(response, reply)) {
		/* No memory for even this: the connection is closed. */
		request->state = REQUEST_CUT;
		request->status = 503;
	} else {
		if (server_draining(local_self()->server) &&
		    !MHD_add_response_header(response, "Connection", "close"))
			log_warn("no memory for a header");
		queue(request, reply->status, response);
	}
	if (response)
		MHD_destroy_response(response);
}

void
reply_send(struct reply *reply)
{
	send_response(reply,
		      MHD_create_response_from_buffer(0, (void *)(uintptr_t) "",
						      MHD_RESPMEM_PERSISTENT));
}

void
reply_send_copy(struct reply *reply, struct bytes body)
{
	send_response(reply,
		      MHD_create_response_from_buffer(
			      body.len,
			      (void *)(uintptr_t)(body.len ? body.data : ""),
			      MHD_RESPMEM_MUST_COPY));
}

void
reply_send_malloced(struct reply *reply, char *body, size_t len)
{
	struct MHD_Response *response;

	response = MHD_create_response_from_buffer_with_free_callback(len, body,
								      free);
	if (!response)
		free(body);
	send_response(reply, response);
}

void
reply_send_buffer(struct reply *reply, struct buffer *body)
{
	size_t len;
	char *data;

	if (body->err) {
		reply_error(reply->request, body->err);
		buffer_fini(body);
		return;
	}
	data = buffer_take(body, &len);
	if (data)
		reply_send_malloced(reply, data, len);
	else
		reply_send(reply);
}

static ssize_t
stream_more(void *arg, uint64_t position, char *out, size_t size)
{
	struct stream *stream = arg;
	ptrdiff_t n = stream->more(stream->arg, out, size);

	(void)position;
	if (n < 0)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	return n > 0 ? n : MHD_CONTENT_READER_END_OF_STREAM;
}

static void
stream_end(void *arg)
{
	struct stream *stream = arg;

	stream->end(stream->arg);
	free(stream);
}

void
reply_send_stream(struct reply *reply, const struct stream *stream)
{
	/* 16 KiB a piece: a quarter of a socket's usual send buffer. */
	enum { BLOCK = 16 << 10 };
	struct stream *copy = malloc(sizeof(*copy));
	struct MHD_Response *response = NULL;

	if (copy) {
		*copy = *stream;
		response = MHD_create_response_from_callback(
			MHD_SIZE_UNKNOWN, BLOCK, stream_more, copy, stream_end);
	}
	if (!response) {
		stream->end(stream->arg);
		free(copy);
	}
	send_response(reply, response);
}

/* ---- problems ----------------------------------------------------------- */

static void
problem_text(struct buffer *out, const struct request *request, unsigned status,
	     const char *code, int index, const char *detail)
{
	const struct status *known = status_at(status_index(status));
	struct json json;
	char type[64];

	if (!code)
		code = known->code;
	snprintf(type, sizeof(type), "urn:jackdaw:problem:%s", code);
	json_begin(&json, out);
	json_object_begin(&json);
	json_name(&json, "type");
	json_text(&json, bytes_of(type));
	json_name(&json, "title");
	json_text(&json, bytes_of(known->title));
	json_name(&json, "status");
	json_u64(&json, status);
	json_name(&json, "detail");
	json_text(&json, bytes_of(detail));
	json_name(&json, "code");
	json_text(&json, bytes_of(code));
	json_name(&json, "request_id");
	json_text(&json, (struct bytes){ request->id, request->id_len });
	if (index >= 0) {
		json_name(&json, "index");
		json_i64(&json, index);
	}
	json_object_end(&json);
	buffer_add(out, "\n", 1);
}

static void
log_failure(const struct request *request, unsigned status, const char *detail)
{
	char quoted[256];

	log_warn(
		"request failed status=%u method=%s route=%s request_id=%.*s "
		"traceparent=%s detail=\"%s\"",
		status, method_name(request->method),
		resource_template(request->resource), (int)request->id_len,
		request->id,
		log_quote(quoted, sizeof(quoted), request->headers.traceparent),
		detail);
}

static void
send_problem(struct reply *reply, const char *code, int index,
	     const char *detail)
{
	struct request *request = reply->request;
	struct buffer body;

	if (reply->status == 500 || reply->status == 507)
		log_failure(request, reply->status, detail);
	reply_header(reply, "Content-Type",
		     bytes_of("application/problem+json"));
	if (reply->status == 503)
		reply_header(reply, "Retry-After", bytes_of("1"));
	if (reply->status == 405)
		reply_header(reply, "Allow",
			     bytes_of(resource_allow(request->resource)));
	buffer_init(&body, 4096);
	problem_text(&body, request, reply->status, code, index, detail);
	if (body.err)
		reply_send(reply);
	else
		reply_send_copy(reply, (struct bytes){ body.data, body.len });
	buffer_fini(&body);
}

void
reply_problem(struct request *request, unsigned status, const char *code,
	      const char *detail, ...)
{
	struct reply reply;
	char text[512];
	va_list args;

	va_start(args, detail);
	vsnprintf(text, sizeof(text), detail, args);
	va_end(args);
	reply_begin(&reply, request, status);
	send_problem(&reply, code, -1, text);
}

void
reply_problem_index(struct request *request, unsigned status, const char *code,
		    int index, const char *detail, ...)
{
	struct reply reply;
	char text[512];
	va_list args;

	va_start(args, detail);
	vsnprintf(text, sizeof(text), detail, args);
	va_end(args);
	reply_begin(&reply, request, status);
	send_problem(&reply, code, index, text);
}

void
reply_problem_header(struct request *request, unsigned status,
		     const char *detail, const char *name, const char *format,
		     ...)
{
	struct reply reply;
	char value[128];
	va_list args;

	va_start(args, format);
	vsnprintf(value, sizeof(value), format, args);
	va_end(args);
	reply_begin(&reply, request, status);
	reply_header(&reply, name, bytes_of(value));
	send_problem(&reply, NULL, -1, detail);
}

void
reply_error(struct request *request, enum err err)
{
	const char *code;
	unsigned status = http_status(err, &code);

	reply_problem(request, status, code, "%s", err_text(err));
}

void
reply_condition(struct request *request, uint64_t seq)
{
	struct reply reply;

	reply_begin(&reply, request, 412);
	if (seq)
		reply_etag(&reply, seq);
	send_problem(&reply, NULL, -1,
		     seq ? "the key's current ETag is another one"
			 : "the key does not exist");
}

void
reply_cut_problem(struct request *request, unsigned status, const char *code,
		  const char *detail, ...)
{
	const struct status *known = status_at(status_index(status));
	struct buffer body, out;
	char text[512], date[HTTP_DATE_SIZE];
	va_list args;

	va_start(args, detail);
	vsnprintf(text, sizeof(text), detail, args);
	va_end(args);
	buffer_init(&body, 4096);
	buffer_init(&out, 8192);
	problem_text(&body, request, status, code, -1, text);
	http_date(clock_wall_ms(), date);
	buffer_addf(&out,
		    "HTTP/1.1 %u %s\r\nDate: %s\r\nConnection: close\r\n"
		    "X-Request-Id: %.*s\r\n%s"
		    "Content-Type: application/problem+json\r\n"
		    "Content-Length: %zu\r\n\r\n",
		    status, known->title, date, (int)request->id_len,
		    request->id, status == 503 ? "Retry-After: 1\r\n" : "",
		    body.len);
	buffer_add(&out, body.data, body.len);
	request->status = (unsigned short)status;
	request->state = REQUEST_CUT;
	if (!body.err && !out.err)
		conn_answer(request->conn, (struct bytes){ out.data, out.len });
	buffer_fini(&body);
	buffer_fini(&out);
}

void
reply_cut(struct request *request, enum err err)
{
	const char *code;
	unsigned status = http_status(err, &code);

	if (err == ERR_TOO_LARGE)
		reply_cut_problem(
			request, status, code,
			"the body is larger than %llu bytes",
			(unsigned long long)request_body_max(request));
	else
		reply_cut_problem(request, status, code, "%s", err_text(err));
}

/* ---- replies that are kept ---------------------------------------------- */

static void
kept_free(void *kept)
{
	free(kept);
}

void
kept_reply_free(struct cache_entry *entry)
{
	struct kept_reply *kept = CONTAINER_OF(entry, struct kept_reply, entry);

	/* Frees kept when nobody sends it any more. */
	MHD_destroy_response(kept->response);
}

/* What malloc and libmicrohttpd add to a kept reply: its own block, the
 * response (about 200 bytes), a header's record, name and text. */
static uint32_t
kept_size(size_t data_len, size_t head_len)
{
	enum { RESPONSE = 208, HEADER = 64, NAME = 16, MALLOC = 16 };

	return (uint32_t)(sizeof(struct kept_reply) + data_len + head_len +
			  RESPONSE + HEADER + NAME + 5 * MALLOC);
}

static struct kept_reply *
kept_create(struct request *request, uint64_t hash,
	    const struct kv_record *record)
{
	struct bytes key = request->key_tagged;
	size_t data_len = key.len + record->type.len + record->value.len;
	struct kept_reply *kept = malloc(sizeof(*kept) + data_len);
	char *out;

	if (!kept)
		return NULL;
	out = kept->data;
	kept->entry.hash = hash;
	kept->entry.key = out;
	kept->entry.key_len = (uint32_t)key.len;
	out = mempcpy(out, key.data, key.len);
	kept->type = (struct bytes){ out, record->type.len };
	out = mempcpy(out, record->type.data, record->type.len);
	kept->value = (struct bytes){ out, record->value.len };
	memcpy(out, record->value.data, record->value.len);
	kept->seq = record->seq;
	kept->modified_ms = record->modified_ms;
	kept->expires_ms = record->expires_ms;
	return kept;
}

/* Places in a head that are set at each use. */
struct places {
	size_t cache_status, max_age;
};

/* Seconds left, padded with blanks at the end. */
static void
put_max_age(char *out, uint64_t expires_ms, uint64_t now_ms)
{
	uint64_t left = expires_ms > now_ms ? expires_ms - now_ms : 0;
	char text[24];
	int len = snprintf(text, sizeof(text), "%llu",
			   (unsigned long long)(left / 1000));

	memset(out, ' ', MAX_AGE_LEN);
	memcpy(out, text,
	       (size_t)len < MAX_AGE_LEN ? (size_t)len : MAX_AGE_LEN);
}

/* The head that every whole reply to a GET has. X-Content-Type-Options: what
 * a client stored must not become a page of ours in somebody's browser. */
static void
kept_head(struct reply *reply, const struct kept_reply *kept,
	  struct places *places)
{
	char date[HTTP_DATE_SIZE];

	reply_header(reply, "Cache-Status", bytes_of(miss_text));
	places->cache_status = reply->len - CACHE_STATUS_LEN;
	places->max_age = 0;
	if (kept->expires_ms) {
		reply_headerf(reply, "Cache-Control", "max-age=%*s",
			      MAX_AGE_LEN, "");
		places->max_age = reply->len - MAX_AGE_LEN;
	}
	reply_etag(reply, kept->seq);
	http_date(kept->modified_ms, date);
	reply_header(reply, "Last-Modified", bytes_of(date));
	reply_header(reply, "Content-Type",
		     kept->type.len ? kept->type
				    : bytes_of("application/octet-stream"));
	reply_header(reply, "X-Content-Type-Options", bytes_of("nosniff"));
	reply_header(reply, "Accept-Ranges", bytes_of("bytes"));
}

struct kept_reply *
reply_keep(struct request *request, uint64_t hash,
	   const struct kv_record *record)
{
	struct kept_reply *kept = kept_create(request, hash, record);
	struct reply reply;
	struct places places;
	char *head;

	if (!kept)
		return NULL;
	kept->response = MHD_create_response_from_buffer_with_free_callback_cls(
		kept->value.len, (void *)(uintptr_t)kept->value.data, kept_free,
		kept);
	if (!kept->response) {
		free(kept);
		return NULL;
	}
	/* The place of an id of ours: a client's own goes another way. */
	reply_begin(&reply, request, 200);
	memset(reply.head, '0', REQUEST_ID_OURS);
	reply.len = REQUEST_ID_OURS;
	kept_head(&reply, kept, &places);
	head = put_head(kept->response, &reply);
	if (!head) {
		kept_reply_free(&kept->entry);
		return NULL;
	}
	kept->id = head;
	kept->cache_status = head + places.cache_status;
	kept->max_age = places.max_age ? head + places.max_age : NULL;
	kept->entry.size = kept_size(kept->entry.key_len + kept->type.len +
					     kept->value.len,
				     reply.len);
	return kept;
}

void
reply_kept_headers(struct reply *reply, const struct kept_reply *kept, bool hit,
		   uint64_t now_ms)
{
	struct places places;

	kept_head(reply, kept, &places);
	memcpy(reply->head + places.cache_status, hit ? hit_text : miss_text,
	       CACHE_STATUS_LEN);
	if (places.max_age)
		put_max_age(reply->head + places.max_age, kept->expires_ms,
			    now_ms);
}

/* The same reply with what differs: a client's own id, or the closing of the
 * connection. */
static void
send_kept_apart(struct request *request, struct kept_reply *kept, bool hit,
		uint64_t now_ms)
{
	struct reply reply;

	reply_begin(&reply, request, 200);
	reply_kept_headers(&reply, kept, hit, now_ms);
	reply_send_copy(&reply, kept->value);
}

void
reply_send_kept(struct request *request, struct kept_reply *kept, bool hit,
		uint64_t now_ms)
{
	if (request->id_len != REQUEST_ID_OURS ||
	    server_draining(local_self()->server)) {
		send_kept_apart(request, kept, hit, now_ms);
		return;
	}
	/* In place: put_head() says why nobody is reading these now. */
	memcpy(kept->id, request->id, REQUEST_ID_OURS);
	memcpy(kept->cache_status, hit ? hit_text : miss_text,
	       CACHE_STATUS_LEN);
	if (kept->max_age)
		put_max_age(kept->max_age, kept->expires_ms, now_ms);
	queue(request, 200, kept->response);
}

/* ---- dates -------------------------------------------------------------- */

void
http_date(uint64_t wall_ms, char out[HTTP_DATE_SIZE])
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed",
					 "Thu", "Fri", "Sat" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr",
					    "May", "Jun", "Jul", "Aug",
					    "Sep", "Oct", "Nov", "Dec" };
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	snprintf(out, HTTP_DATE_SIZE, "%s, %02u %s %04u %02u:%02u:%02u GMT",
		 days[tm.tm_wday % 7], (unsigned)tm.tm_mday % 100u,
		 months[tm.tm_mon % 12], (unsigned)(tm.tm_year + 1900) % 10000u,
		 (unsigned)tm.tm_hour % 100u, (unsigned)tm.tm_min % 100u,
		 (unsigned)tm.tm_sec % 100u);
}

/* IMF-fixdate only: the two obsolete forms are not sent by anything that
 * would have got a date from us. */
bool
http_date_parse(struct bytes text, uint64_t *wall_s)
{
	char copy[HTTP_DATE_SIZE];
	struct tm tm = { 0 };
	const char *end;
	time_t seconds;

	if (text.len != HTTP_DATE_SIZE - 1)
		return false;
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	end = strptime(copy, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	if (!end || *end)
		return false;
	seconds = timegm(&tm);
	if (seconds < 0)
		return false;
	*wall_s = (uint64_t)seconds;
	return true;
}
