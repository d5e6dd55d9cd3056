/* SPDX-License-Identifier: MIT */
#include "http/intake.h"

#include <microhttpd.h>
#include <strings.h>

#include "http/conn.h"
#include "http/reply.h"

/*
 * A walk over the headers. libmicrohttpd 0.9.75 takes folded lines and lines
 * that end in a bare LF, and takes a line that begins with a colon for the end
 * of the headers, so that what follows would be the next request. It leaves
 * all lines where they were received, so each must begin behind the CRLF of
 * the one before, and the empty line be behind the last.
 */
struct walk {
	struct headers *headers;
	const char *expected; /* where the next line begins */
	bool in_order;
};

static enum MHD_Result
on_header(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_len,
	  const char *value, size_t value_len)
{
	struct walk *walk = cls;

	walk->in_order &= name == walk->expected;
	walk->expected = value + value_len + 2;
	guard_field(walk->headers, (struct bytes){ name, name_len },
		    (struct bytes){ value, value_len });
	return MHD_YES;
}

/* Bytes from the method to the end of the headers. */
static size_t
head_size(struct MHD_Connection *connection)
{
	return MHD_get_connection_info(connection,
				       MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)
		->header_size;
}

static void
walk_headers(struct request *request, struct MHD_Connection *connection,
	     const char *method, const char *version)
{
	struct headers *headers = &request->headers;
	struct walk walk = { headers, version + strlen(version) + 2, true };

	guard_begin(headers);
	MHD_get_connection_values_n(connection, MHD_HEADER_KIND, on_header,
				    &walk);
#if MHD_VERSION < 0x01000000 /* later ones parse by RFC 9112 themselves */
	/* A NUL would end the method or the target for us, not for a proxy. */
	if (method + strlen(method) + 1 + request->target.len + 1 != version)
		guard_refuse(headers, 400,
			     "the request line has a NUL in it, or more than "
			     "one blank between its parts");
	if (!walk.in_order ||
	    method + head_size(connection) != walk.expected + 2)
		guard_refuse(headers, 400,
			     "a header line is folded, has no name, or does "
			     "not end in CRLF");
#endif
}

/*
 * Does the connection's pool have room for the head of a reply? Where it has
 * not, libmicrohttpd would close without a word. It keeps 64 bytes for each
 * field and parameter beside the text of the request.
 */
static bool
pool_has_room(const struct request *request, struct MHD_Connection *connection)
{
	enum { FIELD = 64, STATUS_AND_LENGTH = 192 };
	const char *target = request->target.data;
	size_t used = head_size(connection) + FIELD * request->headers.fields;

	for (size_t i = 0; i < request->target.len; i++)
		if (target[i] == '?' || target[i] == '&')
			used += FIELD;
	return used + HEAD_MAX + STATUS_AND_LENGTH <= POOL_SIZE;
}

/* A client's id is kept where it is one that can be logged as it is. */
static void
take_id(struct request *request)
{
	struct bytes id = request->headers.request_id;
	const char *text = id.data;

	if (id.len < 1 || id.len > REQUEST_ID_MAX)
		return;
	for (size_t i = 0; i < id.len; i++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "abcdefghijklmnopqrstuvwxyz0123456789._-",
			    text[i]))
			return;
	memcpy(request->id, text, id.len);
	request->id_len = (unsigned)id.len;
}

static bool
guard_passes(struct request *request,
	     struct MHD_Connection *connection) ON_WORKER
{
	struct headers *headers = &request->headers;

	take_id(request);
	if (request->target.len > GUARD_TARGET_MAX) {
		reply_cut_problem(request, 414, NULL,
				  "the target is longer than %d bytes",
				  GUARD_TARGET_MAX);
		return false;
	}
	if (!pool_has_room(request, connection)) {
		reply_cut_problem(request, 431, NULL,
				  "target and headers together are larger "
				  "than 6.6 KiB, with 64 bytes for each");
		return false;
	}
	if (!guard_end(headers, request->http10, request->target,
		       request->method)) {
		reply_problem(request, headers->status, NULL, "%s",
			      headers->refused);
		return false;
	}
	return true;
}

/* Is it for JSON? What curl says of -d, and what says nothing, passes too;
 * media types are caseless (RFC 9110, section 8.3.1). */
static bool
media_type_fits(const struct request *request)
{
	static const char *const known[] = {
		"application/json",         "application/x-ndjson",
		"application/jsonl",        "application/x-www-form-urlencoded",
		"application/octet-stream", "text/plain",
	};
	struct bytes type = request->headers.content_type;
	const char *text = type.data;
	size_t len = 0;

	/* A route takes what its parameters need: see bind.c. */
	if (request->action->body == BODY_VALUE ||
	    request->action->body == BODY_ROUTE || !type.len)
		return true;
	while (len < type.len && !strchr("; \t", text[len]))
		len++;
	if (len > 5 && !strncasecmp(text + len - 5, "+json", 5))
		return true;
	for (unsigned i = 0; i < ARRAY_LEN(known); i++)
		if (strlen(known[i]) == len &&
		    !strncasecmp(text, known[i], len))
			return true;
	return false;
}

/* A body comes: is it wanted, and is it small enough? */
static bool
body_passes(struct request *request) ON_WORKER
{
	const struct headers *headers = &request->headers;
	uint64_t max;

	if (!request_route(request))
		return false;
	if (request->action->body == BODY_NONE) {
		reply_problem(request, 400, NULL, "this request takes no body");
		return false;
	}
	if (!media_type_fits(request)) {
		reply_problem(request, 415, NULL,
			      "this takes JSON: application/json, or "
			      "application/x-ndjson for lines");
		return false;
	}
	max = request_body_max(request);
	if (!headers->chunked && headers->content_length > max) {
		reply_problem(request, 413, NULL,
			      "the body has %llu bytes, the limit is %llu",
			      (unsigned long long)headers->content_length,
			      (unsigned long long)max);
		return false;
	}
	return true;
}

/*
 * The first call of the handler. To answer here closes the connection, which
 * is right for what the guard refuses and for a body that is not wanted.
 * Everything else is answered in the last call.
 */
void
intake_head(struct request *request, struct MHD_Connection *connection,
	    const char *method, const char *version) ON_WORKER
{
	bool has_body;

	request_foresee_entry(request);
	request->method = method_parse(method);
	request->http10 = strcmp(version, "HTTP/1.1") != 0;
	request->state = REQUEST_BODY;
	walk_headers(request, connection, method, version);
	if (!guard_passes(request, connection))
		return;
	has_body =
		request->headers.chunked || request->headers.content_length > 0;
	if (has_body && !body_passes(request))
		return;
	conn_phase(request->conn, CONN_BODY, request->started_ns);
}
