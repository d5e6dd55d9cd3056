/* SPDX-License-Identifier: MIT */
/*
 * The text of a service: its .sql files taken apart into routes, and
 * service.conf into settings. Knows no database: what the statements mean is
 * checked when they are prepared (service.h).
 *
 * A route begins with a comment line of method and path, goes on with option
 * lines, and ends where the next begins:
 *
 *	-- GET /orders/{id}
 *	-- reply: one
 *	SELECT id, total FROM orders WHERE id = :id;
 *
 * The line of a route stands at the beginning of its line, in no string and no
 * comment, and has nothing behind the path. It ends a statement that has no ";"
 * yet. Options are the comment lines right below it, each at the beginning of
 * its line, that look like "-- name: value"; the first line that does not ends
 * them. All other comments are comments, and those around a statement are no
 * part of it. What looks like a route (a word in capitals, or a method in any
 * case, and a word that begins with "/") and is none is an error; what looks
 * like one or like an option in another place gets a hint.
 *
 * Paths are below the service's name: see template.h.
 */
#ifndef HTTP_SERVICE_PARSE_H
#define HTTP_SERVICE_PARSE_H

#include "core/base.h"
#include "core/config.h"
#include "http/action.h"
#include "http/service/complaints.h"
#include "http/service/files.h"
#include "http/service/template.h"
#include "storage/sql.h"

enum {
	ROUTE_STATEMENTS_MAX = 32,
	ROUTE_SEGMENTS_MAX = TEMPLATE_SEGMENTS_MAX,
	ROUTE_OPTIONALS_MAX = 32,
	SERVICE_ROUTES_MAX = 2000,
};

enum route_reply { REPLY_ROWS, REPLY_ONE, REPLY_VALUE, REPLY_NONE };

struct route_statement {
	char *text; /* without the ";" */
	size_t len;
	unsigned line; /* in its file */
};

/* -- optional: name=default, ... No "=": NULL. The default is typed as JSON is:
 * 10, 1.5, 'text' ('' is a quote in it), null, true and false, which are 1 and
 * 0. */
struct route_optional {
	char *name;
	struct sql_value otherwise; /* text is ours */
};

/* One route as it is written. */
struct route_spec {
	const char *file; /* the files' */
	unsigned line;
	enum method method; /* GET answers HEAD too */
	char *path;         /* "/orders/{id}": the template */
	enum route_reply reply;
	unsigned status; /* 200; 204 for REPLY_NONE */
	char *type;      /* REPLY_VALUE's Content-Type, default
			    text/plain; charset=utf-8 */
	char *location;  /* "/shop/orders/{id}": from the columns of the reply's
			    first row, or parameters; begins with "/",
			    "http://", "https://", or with a placeholder that
			    has all up to the path; NULL: none */
	bool cache_off;  /* -- cache: off */
	uint64_t timeout_ms; /* 0: the service's */
	uint64_t max_rows;   /* 0: the service's */
	struct route_optional optionals[ROUTE_OPTIONALS_MAX];
	unsigned optional_count;
	struct route_statement *statements;
	unsigned statement_count;
	char *summary; /* -- summary: for people and for the API's description
			*/
};

/* service.conf */
struct service_settings {
	uint64_t requests_per_s; /* 0: no limit */
	uint64_t max_statements; /* at the same time, beyond those answered in
				    place: 64 */
	uint64_t timeout_ms;     /* of a request's statements: 5s */
	uint64_t max_body;       /* bytes: 1M */
	uint64_t max_rows;       /* of a reply: 10000; beyond it is 413 */
	uint64_t max_reply;      /* bytes of one: 8M */
	uint64_t max_size;       /* of its database: 8G */
	bool cache;              /* true */
	/* Of the daemon's stores, those that its SQL may see. */
	char *stores[CONFIG_STORES_MAX];
	unsigned store_count;
	/* Its own: store NAME { kind max_size ttl }, called SERVICE-NAME
	 * outside, NAME in its SQL. */
	struct config_store own_stores[CONFIG_STORES_MAX];
	unsigned own_store_count;
};

struct service_spec {
	struct service_settings settings;
	struct route_spec *routes;
	unsigned route_count;
	struct sql_migration *migrations; /* in order; the files' memory */
	unsigned migration_count;
};

/* Complains, and goes on, about all that is wrong. spec is to be finished in
 * any case; files outlive it. */
void service_parse(struct service_spec *spec, const struct service_files *files,
		   struct complaints *complaints);
void service_spec_fini(struct service_spec *spec);

/* One .sql file; for tests and fuzzing. Appends to spec. */
void service_parse_routes(struct service_spec *spec,
			  const struct service_file *file,
			  struct complaints *complaints);
/* service.conf's text, as libconfuse takes it; NULL: there is none, and all
 * have their defaults. settings are the spec's, for service_spec_fini(). */
void service_parse_settings(struct service_settings *settings,
			    const struct service_file *file,
			    struct complaints *complaints);

#endif
