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

#include <ck_pr.h>

#include "core/affinity.h"
#include "core/histogram.h"
#include "http/server.h"
#include "http/service/parse.h"
#include "http/service/tree.h"
#include "http/status.h"
#include "storage/sql.h"

/* Where a parameter of a statement comes from. */
enum binding_source {
	BIND_PATH,  /* index of the path's parameter */
	BIND_INPUT, /* JSON or form body, then query string, by name */
	BIND_AUTH,  /* auth_subject: empty for now */
	BIND_REQUEST_ID,
	BIND_BODY, /* raw */
};

struct binding {
	enum binding_source source;
	unsigned index;                        /* BIND_PATH */
	const char *name;                      /* without its ":" */
	const struct route_optional *optional; /* NULL: required */
};

struct statement {
	struct sql_text text;
	unsigned line;
	bool readonly;            /* as sql.h says it */
	uint64_t care;            /* its number in the statistics: see care.h */
	struct binding *bindings; /* one for each parameter, in its order */
	unsigned binding_count;
};

/* Written by its worker alone, with plain stores; read by who asks. */
struct route_counters {
	uint64_t requests[STATUS_COUNT];
	uint64_t hits;   /* answered from the cache or by a 304 without
			    running */
	uint64_t shared; /* answered by the run of another request, or by the
			    shared layer */
	uint64_t runs;   /* of its statements */
	uint64_t rows;   /* of replies */
	uint64_t run_ns, run_max_ns;
	uint64_t in_place, on_fiber, on_slow;
	struct histogram duration;
	/* Not a counter: what this worker has learnt, the running mean of
	 * what its runs cost; 0: none yet. */
	uint64_t cost_ns;
	/* Atomic, and used in the last of the array alone: the route does not
	 * slice, so many runs go to a slow thread at once. All workers learn
	 * it from one, and write it seldom. */
	unsigned slow_runs;
};

/* A piece of `location`, in order. A placeholder is a column of the reply's
 * first row, else a parameter of the path, else an input of the route. */
struct location_part {
	enum location_source {
		LOCATION_TEXT,
		LOCATION_COLUMN, /* by its name: a `*` may grow */
		LOCATION_PATH,
		LOCATION_INPUT,
	} source;
	unsigned index; /* LOCATION_PATH */
	char *text;     /* as it is, or the placeholder's name */
};

struct route {
	struct service *service;
	const struct route_spec *spec;
	unsigned index; /* in the service */
	char *template; /* "/shop/orders/{id}": for metrics */
	char *name;     /* "GET /shop/orders/{id}": for logs and statistics */
	const char *label; /* the same: see profile_label() */
	bool readonly;     /* all statements read: GET is always so */
	bool cacheable; /* GET, readonly, nothing unstable in it, no request id
			   and no body bound, and not switched off */
	bool uses_body; /* a parameter may come from the body */
	struct statement *statements;
	unsigned statement_count;
	struct location_part *location;
	unsigned location_count; /* 0: none */
	/* One a worker, and one for all others. By method and template, so
	 * that they go on over deploys: the tenant's. */
	struct route_counters **counters;
};

/* A name, and what lives as long as the process. */
struct tenant {
	char name[SERVICE_NAME_MAX + 1];
	/* Changes only while no request can have a service of this name. */
	struct sql *sql;

	/* Of who has the deploys' turn. */
	struct tenant *next;
	unsigned versions;           /* that some catalog has */
	struct tenant_route *routes; /* counters by method and template */
	struct tenant_state *state;  /* see deploy_internal.h */

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
	uint64_t version;     /* counts its deploys, from 1 */
	uint64_t previous;    /* what a rollback goes to; 0: nothing */
	uint64_t checksum;    /* of its files: part of every ETag */
	uint64_t deployed_ms; /* wall time */
	unsigned catalogs;    /* that have it; of who has the deploys'
				   turn */
	char prefix[SERVICE_NAME_MAX + 2]; /* "/shop" */
	struct service_files files;
	struct service_spec spec;
	struct route *routes;
	unsigned route_count;
	struct tree *tree;
};

/*
 * A service from its files, which it takes: they are parsed. NULL: no memory.
 * What is wrong is in complaints, and the rest can still be prepared, so that
 * all of it is said.
 */
struct service *service_create(struct service_files *files,
			       struct complaints *complaints);
/*
 * Prepares each statement on sql, whose schema is the migrated one, and
 * accounts for each parameter. complaints also get hints. sql is not kept. On
 * a slow thread, or on main. An error is of the database or of memory, and no
 * mistake in the service; complained.
 */
MUST_CHECK enum err service_prepare(struct service *service, struct sql *sql,
				    struct complaints *complaints);
/* Both. NULL: see complaints. */
struct service *service_build(struct service_files *files, struct sql *sql,
			      struct complaints *complaints);
void service_destroy(struct service *service);

/* ---- the catalog --------------------------------------------------------- */

/*
 * When may an old catalog be destroyed? When no worker uses it and no request
 * has it.
 *
 *	worker	 local->catalog = C, full fence
 *		 is server->catalog still C?                     (1)
 *		 use it; users[self] += 1 for each request that keeps it
 *		 fence, local->catalog = NULL                    (2)
 *	request	 its last use, fence, users[self] -= 1           (3)
 *	deploy	 server->catalog = new, full fence               (1)
 *		 until no local->catalog is the old one, fence   (2)
 *		 until the sum of users is 0, fence, destroy     (3)
 *
 * (1) Without the two full fences the worker could read the old pointer again
 *     while its own store is not visible yet: the deploy would miss it. (The
 *     hazard pointers of M. Michael, 2004.)
 * (2) Who sees NULL also sees the counts that the run has added. From then on
 *     counts of the old one only fall: whoever adds to them has it in use. So
 *     a sum of 0, read one by one, is a sum of 0.
 * (3) Who sees the count fall also knows that the reads before it are done.
 *
 * The deploy waits for (2), which is one run of a shard at most, before it is
 * answered: then no request begins any more with the old services. For (3) it
 * does not wait: a request may be long.
 */
struct catalog {
	uint64_t generation;       /* from 1, never used twice */
	struct service **services; /* by name */
	unsigned count;
	struct catalog *older; /* retired and not yet destroyed */
	unsigned workers;
	/* How many requests of each worker have it, by the worker on which
	 * they began less those that ended there: only the sum means
	 * something. A line each, written by that worker alone; the last one
	 * is for all other threads. Atomic. */
	struct catalog_users {
		alignas(CACHE_LINE) uint64_t count;
	} users[];
};

/* A copy of old's list with service in it, or without name; old NULL: empty.
 * Services are shared between catalogs: the last that has one destroys it.
 * NULL: no memory, and service is still the caller's. */
struct catalog *catalog_create(unsigned workers, const struct catalog *old,
			       struct service *service, const char *name);
/* And the services that no other one has. */
void catalog_destroy(struct catalog *catalog);

/* NULL: no such service. name is the path's first segment, raw. */
const struct service *catalog_find(const struct catalog *catalog,
				   struct bytes name);

/* From now on workers take this one up. The old one goes behind it in
 * `older`. In a turn of the deploys. */
void catalog_publish(struct server *server, struct catalog *catalog);
/* No worker is in the middle of a run with it. */
bool catalog_is_put_down(const struct server *server,
			 const struct catalog *catalog);
/* After that: no request has it either. */
bool catalog_is_unused(const struct catalog *catalog);

/* At the start of a shard's run: what is routed in it finds its service in
 * local->catalog. */
static inline void
catalog_take_up(struct local *local)
{
	struct catalog *catalog;

	do {
		catalog = ck_pr_load_ptr(&local->server->catalog);
		ck_pr_store_ptr(&local->catalog, catalog);
		/* (1), pairs with catalog_publish(). */
		ck_pr_fence_memory();
	} while (ck_pr_load_ptr(&local->server->catalog) != catalog);
	TAKES_OVER(catalog);
}

/* At its end. */
static inline void
catalog_put_down(struct local *local)
{
	/* (2), pairs with catalog_is_put_down(). */
	ck_pr_fence_release();
	ck_pr_store_ptr(&local->catalog, NULL);
}

/* Within a run: a request keeps it. NULL is no catalog. */
static inline void
catalog_hold(struct local *local, struct catalog *catalog)
{
	uint64_t *count;

	if (!catalog)
		return;
	count = &catalog->users[local->index].count;
	ck_pr_store_64(count, *count + 1);
}

/* Any thread: an old catalog has one request less, and may be unused now. */
void catalog_reap(const struct server *server);

/*
 * On any worker. Of the old catalog's last request somebody must say that it
 * has ended. Within a run with that catalog this need not be: a deploy waits
 * for the end of that run before it looks, see (2).
 */
static inline void
catalog_release(struct local *local, struct catalog *catalog)
{
	uint64_t *count;

	if (!catalog)
		return;
	HANDS_OVER(catalog);
	count = &catalog->users[local->index].count;
	/* (3), pairs with catalog_is_unused(). */
	ck_pr_fence_release();
	ck_pr_store_64(count, *count - 1);
	/* What this worker alone writes. */
	if (catalog != local->catalog)
		catalog_reap(local->server);
}

/* For work beside a request that has it, on any thread: outlives the request,
 * and ends on any thread. */
static inline void
catalog_hold_other(struct catalog *catalog)
{
	/* Ordered before the request's release, and read after it: see
	 * catalog_is_unused(). */
	if (catalog)
		ck_pr_inc_64(&catalog->users[catalog->workers].count);
}

static inline void
catalog_release_other(const struct server *server, struct catalog *catalog)
{
	if (!catalog)
		return;
	HANDS_OVER(catalog);
	ck_pr_fence_release();
	ck_pr_dec_64(&catalog->users[catalog->workers].count);
	/* Pairs with (1) in catalog_publish(): either a deploy that retires it
	 * sees the count, or we see that it has done so. */
	ck_pr_fence_atomic_load();
	if (ck_pr_load_ptr(&server->catalog) != catalog)
		catalog_reap(server);
}

#endif
