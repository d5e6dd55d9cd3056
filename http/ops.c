/* SPDX-License-Identifier: MIT */
/*
 * /livez, /readyz and OPTIONS.
 */
#include "core/json.h"
#include "http/reply.h"
#include "http/request.h"

void
ops_options(struct request *request)
{
	struct reply reply;

	reply_begin(&reply, request, 204);
	reply_header(&reply, "Allow",
		     bytes_of(resource_allow(request->resource)));
	reply_send(&reply);
}

static void
send_text(struct request *request, unsigned status, struct bytes text) ON_WORKER
{
	struct reply reply;

	reply_begin(&reply, request, status);
	reply_header(&reply, "Content-Type",
		     bytes_of("text/plain; charset=utf-8"));
	reply_header(&reply, "Cache-Control", bytes_of("no-store"));
	if (status == 503)
		reply_header(&reply, "Retry-After", bytes_of("1"));
	reply_send_copy(&reply, text);
}

/* The process runs and its workers answer: a supervisor restarts it when
 * this fails, so nothing else is looked at. */
void
ops_livez(struct request *request)
{
	send_text(request, 200, bytes_of("ok\n"));
}

static bool
check(struct buffer *out, const char *name, const char *store, bool good,
      const char *why)
{
	buffer_addf(out, "[%c] %s%s%s%s%s\n", good ? '+' : '-', name,
		    store ? " " : "", store ? store : "", good ? " ok" : ": ",
		    good ? "" : why);
	return good;
}

/* A full store is ready: it reads and deletes. A faulty one is not. */
static bool
check_all(struct server *server, struct buffer *out)
{
	bool ready = true;

	ready &= check(out, "serving", NULL, !server_draining(server),
		       "draining");
	ready &= check(out, "storage", NULL, !server_faulty(server),
		       "a store failed to sync");
	for (unsigned i = 0; i < server_store_count(server); i++)
		ready &= check(out, "store", kv_name(server->stores[i]),
			       !lane_faulty(kv_lane(server->stores[i])),
			       "failed to sync, or is damaged");
	return ready;
}

void
ops_readyz(struct request *request)
{
	struct buffer out;
	bool ready;

	buffer_init(&out, 16384);
	ready = check_all(local_self()->server, &out);
	if (out.err || !request_parameter(request, "verbose").data) {
		buffer_clear(&out);
		buffer_add_str(&out, ready ? "ok\n" : "not ready\n");
	} else {
		buffer_addf(&out, "%s\n", ready ? "ready" : "not ready");
	}
	send_text(request, ready ? 200 : 503,
		  (struct bytes){ out.data, out.len });
	buffer_fini(&out);
}
