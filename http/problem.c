/* SPDX-License-Identifier: MIT */
/*
 * Problems (RFC 9457): what went wrong, for people and for programs.
 */
#include <stdarg.h>
#include <stdio.h>

#include "core/clock.h"
#include "core/json.h"
#include "core/log.h"
#include "http/conn.h"
#include "http/date.h"
#include "http/reply.h"

enum { DETAIL_MAX = 512 };

/* A detail may quote a client's text, and end where its buffer did: in the
 * middle of a character. */
static void
keep_utf8(char *text)
{
	size_t len = strlen(text);

	for (unsigned i = 0; i < 4; i++) {
		if (json_is_utf8((struct bytes){ text, len - i })) {
			text[len - i] = '\0';
			return;
		}
		if (i == len)
			break;
	}
	for (; *text; text++)
		if ((unsigned char)*text >= 0x80)
			*text = '?';
}

PRINTF(2, 0)
static void
detail_text(char text[DETAIL_MAX], const char *detail, va_list args)
{
	vsnprintf(text, DETAIL_MAX, detail, args);
	keep_utf8(text);
}

static void
problem_text(struct buffer *out, const struct request *request, unsigned status,
	     const char *code, int index, struct bytes members,
	     const char *detail)
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
	if (members.len) {
		buffer_add(out, ",", 1);
		buffer_add(out, members.data, members.len);
	}
	json_object_end(&json);
	buffer_add(out, "\n", 1);
}

static void
log_failure(const struct request *request, unsigned status, const char *detail)
{
	char quoted[256], what[1024];

	log_warn(
		"request failed status=%u method=%s route=%s request_id=%.*s "
		"traceparent=%s detail=%s",
		status, method_name(request->method),
		resource_template(request->resource), (int)request->id_len,
		request->id,
		log_quote(quoted, sizeof(quoted), request->headers.traceparent),
		log_quote(what, sizeof(what), bytes_of(detail)));
}

static const struct bytes no_members = { NULL, 0 };

static void
send_problem(struct reply *reply, const char *code, int index,
	     struct bytes members, const char *detail) ON_WORKER
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
	buffer_init(&body, 4096 + members.len);
	problem_text(&body, request, reply->status, code, index, members,
		     detail);
	if (body.err)
		reply_send(reply);
	else
		reply_send_copy(reply, (struct bytes){ body.data, body.len });
	buffer_fini(&body);
}

/* With the text of detail and args. */
PRINTF(5, 0)
static void
problem_of(struct request *request, unsigned status, const char *code,
	   int index, const char *detail, va_list args) ON_WORKER
{
	struct reply reply;
	char text[DETAIL_MAX];

	detail_text(text, detail, args);
	reply_begin(&reply, request, status);
	send_problem(&reply, code, index, no_members, text);
}

void
reply_problem(struct request *request, unsigned status, const char *code,
	      const char *detail, ...)
{
	va_list args;

	va_start(args, detail);
	problem_of(request, status, code, -1, detail, args);
	va_end(args);
}

void
reply_problem_index(struct request *request, unsigned status, const char *code,
		    int index, const char *detail, ...)
{
	va_list args;

	va_start(args, detail);
	problem_of(request, status, code, index, detail, args);
	va_end(args);
}

void
reply_problem_members(struct request *request, unsigned status,
		      const char *code, struct bytes members,
		      const char *detail)
{
	struct reply reply;

	reply_begin(&reply, request, status);
	send_problem(&reply, code, -1, members, detail);
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
	send_problem(&reply, NULL, -1, no_members, detail);
}

void
reply_error(struct request *request, enum err err)
{
	const char *code;
	unsigned status = http_status(err, &code);

	reply_problem(request, status, code, "%s", err_text(err));
}

void
reply_gone(struct request *request)
{
	request->state = REQUEST_CUT;
}

void
reply_condition(struct request *request, uint64_t seq)
{
	struct reply reply;

	reply_begin(&reply, request, 412);
	if (seq)
		reply_etag(&reply, seq);
	send_problem(&reply, NULL, -1, no_members,
		     seq ? "what is there is not what the precondition asks for"
			 : "the key does not exist");
}

void
reply_cut_problem(struct request *request, unsigned status, const char *code,
		  const char *detail, ...)
{
	const struct status *known = status_at(status_index(status));
	struct buffer body, out;
	char text[DETAIL_MAX], date[HTTP_DATE_SIZE];
	va_list args;

	va_start(args, detail);
	detail_text(text, detail, args);
	va_end(args);
	buffer_init(&body, 4096);
	buffer_init(&out, 8192);
	problem_text(&body, request, status, code, -1, no_members, text);
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
