/* SPDX-License-Identifier: MIT */
/*
 * /livez, /readyz and OPTIONS.
 */
#include "core/json.h"
#include "http/reply.h"
#include "http/request.h"
#include "http/service/service.h"

/* What /readyz says of a store or a database that answers 500. */
#define FAULTY "failed to sync, or is damaged"

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

/* A damaged one goes on as well as it can, which is for the operator to end. */
static bool
check_database(struct buffer *out, struct sql *sql)
{
	struct sql_stats stats;

	sql_stats(sql, &stats);
	return check(out, "database", sql_name(sql),
		     !stats.damaged && !lane_faulty(sql_lane(sql)), FAULTY);
}

/* Those of the configuration, then services'. */
static bool
check_databases(struct server *server, struct buffer *out) ON_WORKER
{
	const struct catalog *catalog = local_self()->catalog;
	bool ready = true;

	for (unsigned i = 0; i < server->database_count; i++)
		ready &= check_database(out, server->databases[i]);
	for (unsigned i = 0; catalog && i < catalog->count; i++)
		ready &= check_database(out, catalog->services[i]->tenant->sql);
	return ready;
}

/* A full store is ready: it reads and deletes. A faulty one is not. */
static bool
check_all(struct server *server, struct buffer *out) ON_WORKER
{
	bool ready = true;

	ready &= check(out, "serving", NULL, !server_draining(server),
		       "draining");
	ready &= check(out, "storage", NULL, !server_faulty(server),
		       "a store or a database failed to sync");
	for (unsigned i = 0; i < server_store_count(server); i++)
		ready &=
			check(out, "store", kv_name(server->stores[i]),
			      !lane_faulty(kv_lane(server->stores[i])), FAULTY);
	ready &= check_databases(server, out);
	return ready;
}

/* False: answered. Its mere name is enough. */
static bool
take_verbose(struct request *request, bool *out) ON_WORKER
{
	struct bytes text = request_parameter(request, "verbose");

	*out = text.data && !text.len;
	if (*out || request_flag(request, "verbose", out))
		return true;
	reply_problem(request, 400, NULL, "verbose is 1 or 0");
	return false;
}

void
ops_readyz(struct request *request)
{
	/* Of a line for each of about a thousand services. */
	enum { CHECKS_MAX = 128 << 10 };
	struct buffer out;
	bool ready, verbose;

	if (!take_verbose(request, &verbose))
		return;
	buffer_init(&out, CHECKS_MAX);
	ready = check_all(local_self()->server, &out);
	if (out.err || !verbose) {
		buffer_clear(&out);
		buffer_add_str(&out, ready ? "ok\n" : "not ready\n");
	} else {
		buffer_addf(&out, "%s\n", ready ? "ready" : "not ready");
	}
	send_text(request, ready ? 200 : 503,
		  (struct bytes){ out.data, out.len });
	buffer_fini(&out);
}
