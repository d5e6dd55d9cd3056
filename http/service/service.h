/* SPDX-License-Identifier: MIT */
/*
 * A service that is deployed: its routes, ready to be run, its database and
 * its limits.
 *
 *	tenant     a name and what belongs to it over all versions: database,
 *		   counters, limits' state. Made once, never freed while the
 *		   process lives.
 *	service    one version: immutable from the moment it is published
 *	catalog    all services at one moment, immutable
 *
 * A deploy makes a new catalog and publishes it with one store. A worker takes
 * it up at its next turn; a request keeps the catalog it began with, and the
 * old one is destroyed when the last such request has ended. No reader writes
 * a shared line for that.
 */
#ifndef HTTP_SERVICE_SERVICE_H
#define HTTP_SERVICE_SERVICE_H

#include "core/affinity.h"
#include "core/histogram.h"
#include "http/service/parse.h"
#include "http/service/tree.h"
#include "http/status.h"
#include "storage/sql.h"

struct server;

/* Where a parameter of a statement comes from. */
enum binding_source {
	BIND_PATH,   /* index of the path's parameter */
	BIND_INPUT,  /* JSON or form body, then query string, by name */
	BIND_AUTH,   /* auth_subject: empty for now */
	BIND_REQUEST_ID,
	BIND_BODY, /* raw */
};

struct binding {
	enum binding_source source;
	unsigned index; /* BIND_PATH */
	const char *name;
	const struct route_optional *optional; /* NULL: required */
};

struct statement {
	struct sql_text text;
	unsigned line;
	bool readonly;
	struct binding *bindings; /* one for each parameter, in its order */
	unsigned binding_count;
};

/* Written by its worker alone, with plain stores; read by who asks. */
struct route_counters {
	uint64_t requests[STATUS_COUNT];
	uint64_t hits;      /* answered from the cache or by a 304 without
			       running */
	uint64_t shared;    /* answered by the run of another request, or by the
			       shared layer */
	uint64_t runs;      /* of its statements */
	uint64_t rows;      /* of replies */
	uint64_t run_ns, run_max_ns;
	uint64_t in_place, on_fiber, on_slow;
	struct histogram duration;
	/* Not counters: what this worker has learnt. */
	uint64_t cost_ns;   /* running mean of its runs; 0: none yet */
	bool slow;          /* it does not slice: to the slow lane at once */
};

struct route {
	struct service *service;
	const struct route_spec *spec;
	unsigned index; /* in the service */
	const char *template; /* "/shop/orders/{id}": for metrics and logs */
	bool readonly;  /* all statements read: GET is always so */
	bool cacheable; /* readonly, GET, nothing unstable in it, no request id
			   and no body bound */
	bool uses_body; /* a parameter comes from the body */
	struct statement *statements;
	unsigned statement_count;
	char *location_columns; /* see answer.c */
	/* One a worker, and one for all others. By template, so that they go
	 * on over deploys: the tenant's. */
	struct route_counters **counters;
};

/* A name, and what lives as long as the process. */
struct tenant {
	char name[SERVICE_NAME_MAX + 1];
	struct sql *sql; /* NULL once the service is removed */
	unsigned index;
	/* Counters by template and method; grows under the deploy's lock. */
	struct tenant_route *routes;

	/* Atomic: the request limit, see limit.c: the time at which the next
	 * request would be due if all came evenly. */
	alignas(CACHE_LINE) uint64_t due_ns;
	/* Atomic: statements that run on fibers and slow threads. */
	alignas(CACHE_LINE) unsigned statements;
	/* Atomic: refused by each of the limits. */
	uint64_t refused_rate, refused_statements;
};

struct service {
	struct tenant *tenant;
	uint64_t version; /* counts its deploys, from 1 */
	uint64_t checksum; /* of its files: part of every ETag */
	uint64_t deployed_ms;
	char prefix[SERVICE_NAME_MAX + 2]; /* "/shop" */
	struct service_files files;
	struct service_spec spec;
	struct route *routes;
	unsigned route_count;
	struct tree *tree;
};

/*
 * Builds a service from its files: parses, then prepares each statement on
 * sql, whose schema is the migrated one, and accounts for each parameter.
 * Takes files. NULL: see complaints, which also gets hints. On a slow thread,
 * or before the workers.
 */
struct service *service_build(struct service_files *files, struct sql *sql,
			      struct complaints *complaints);
void service_destroy(struct service *service);

/* ---- the catalog --------------------------------------------------------- */

struct catalog {
	uint64_t generation; /* from 1, never used twice */
	struct service **services; /* by name */
	unsigned count;
	struct catalog *older; /* retired and not yet destroyed */
	/* How many requests of each worker have it, by the worker on which
	 * they began less those that ended there: only the sum means
	 * something. A line each, written by that worker alone. */
	struct catalog_users {
		alignas(CACHE_LINE) int64_t count;
	} users[];
};

/* NULL: no such service. name is the path's first segment, raw. */
const struct service *catalog_find(const struct catalog *catalog,
				   struct bytes name);

#endif
