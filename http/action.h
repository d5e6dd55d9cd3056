/* SPDX-License-Identifier: MIT */
/*
 * Actions: what a method, a path and an `op` ask for. The one table that
 * dispatches, answers OPTIONS and Allow, and names the series in /metrics.
 */
#ifndef HTTP_ACTION_H
#define HTTP_ACTION_H

#include "core/affinity.h"
#include "core/base.h"

struct request;

enum method {
	METHOD_GET,
	METHOD_HEAD,
	METHOD_PUT,
	METHOD_DELETE,
	METHOD_POST,
	METHOD_PATCH,
	METHOD_QUERY, /* RFC 10008: a read with a body */
	METHOD_OPTIONS,
	METHOD_OTHER,
};

enum body {
	BODY_NONE,   /* a body is refused */
	BODY_VALUE,  /* raw bytes, up to limits.max_value */
	BODY_JSON,   /* up to limits.max_body */
	BODY_ROUTE,  /* up to the service's own limit */
	BODY_FOLDER, /* a service's files as JSON, up to SERVICE_BODY_MAX */
	BODY_STREAM, /* handed on while it arrives */
};

/* A resource is a path shape: what is common to all methods on it. */
enum resource {
	RESOURCE_NONE,   /* nothing is there */
	RESOURCE_SERVER, /* "*" */
	RESOURCE_LIVEZ,
	RESOURCE_READYZ,
	RESOURCE_METRICS,
	RESOURCE_STORE, /* /v1/kv/{store}/ */
	RESOURCE_KEY,   /* /v1/kv/{store}/{key} */
	RESOURCE_SQL,   /* /v1/sql/{database} */
	RESOURCE_SQL_EXPLAIN,
	RESOURCE_ADMIN_SERVICES,   /* /v1/admin/services */
	RESOURCE_ADMIN_SERVICE,    /* /v1/admin/services/{service} */
	RESOURCE_ADMIN_STATEMENTS, /* /v1/admin/statements */
	RESOURCE_ADMIN_SLOW,       /* /v1/admin/slow */
	RESOURCE_ADMIN_PROFILE,    /* /v1/admin/profile */
	RESOURCE_SERVICE,          /* /{service}/...: has routes of its own */
};
enum { RESOURCE_COUNT = RESOURCE_SERVICE + 1 };

/* resource, method, op, body, function, query parameters beside op */
#define ACTION_LIST(X) \
	X(LIVEZ, LIVEZ, GET, "", NONE, ops_livez, "") \
	X(READYZ, READYZ, GET, "", NONE, ops_readyz, "verbose") \
	X(METRICS, METRICS, GET, "", NONE, ops_metrics, "") \
	X(KEY_GET, KEY, GET, "", NONE, kv_key_get, "") \
	X(KEY_PUT, KEY, PUT, "", VALUE, kv_key_put, "ttl") \
	X(KEY_DELETE, KEY, DELETE, "", NONE, kv_key_delete, "") \
	X(KEY_INCR, KEY, POST, "incr", JSON, kv_key_incr, "ttl") \
	X(KEY_APPEND, KEY, POST, "append", VALUE, kv_key_append, "ttl") \
	X(KEY_TOUCH, KEY, POST, "touch", NONE, kv_key_touch, "ttl") \
	X(KEY_GETDEL, KEY, POST, "getdel", NONE, kv_key_getdel, "") \
	X(SCAN, STORE, GET, "", NONE, kv_scan, \
	  "prefix start end reverse limit cursor values") \
	X(EXPORT, STORE, GET, "export", NONE, kv_export, "prefix") \
	X(IMPORT, STORE, PUT, "import", STREAM, kv_import, "") \
	X(BATCH, STORE, POST, "batch", JSON, kv_batch, "") \
	X(SQL, SQL, POST, "", JSON, sql_post, "shape int64") \
	X(SQL_QUERY, SQL, QUERY, "", JSON, sql_query, "shape int64") \
	X(SQL_EXPLAIN, SQL_EXPLAIN, POST, "", JSON, sql_explain, "") \
	X(SERVICES, ADMIN_SERVICES, GET, "", NONE, admin_services, "") \
	X(SERVICE_PUT, ADMIN_SERVICE, PUT, "", FOLDER, admin_deploy, "") \
	X(SERVICE_CHECK, ADMIN_SERVICE, POST, "check", FOLDER, admin_check, \
	  "") \
	X(SERVICE_ROLLBACK, ADMIN_SERVICE, POST, "rollback", NONE, \
	  admin_rollback, "") \
	X(SERVICE_REMOVE, ADMIN_SERVICE, DELETE, "", NONE, admin_remove, \
	  "purge") \
	X(STATEMENTS, ADMIN_STATEMENTS, GET, "", NONE, admin_statements, "") \
	X(SLOW, ADMIN_SLOW, GET, "", NONE, admin_slow, "") \
	X(PROFILE, ADMIN_PROFILE, GET, "", NONE, admin_profile, "seconds hz")

enum action_index {
#define ACTION_ENUM(name, resource, method, op, body, run, parameters) \
	ACTION_##name,
	ACTION_LIST(ACTION_ENUM)
#undef ACTION_ENUM
		ACTION_OPTIONS,
	ACTION_ROUTE, /* a service's: see http/service/ */
	ACTION_NONE,  /* not routed: refused or not found */
	ACTION_COUNT
};

struct action {
	enum action_index index;
	enum resource resource;
	enum method method;
	const char *op;
	enum body body;
	/* Called on a worker when the request is complete; for BODY_STREAM
	 * also while it arrives. */
	void (*run)(struct request *request);
	const char *parameters; /* allowed in the query, space separated */
	const char *label;      /* "POST /v1/kv/{store}/{key}?op=incr" */
};

/* Before anything is routed: fills in the labels, and what is allowed. */
void action_begin(void);

/* Never NULL for an index below ACTION_COUNT. */
const struct action *action_at(enum action_index index);
/* HEAD finds GET's. NULL: the resource has no such method or op. */
const struct action *action_find(enum resource resource, enum method method,
				 struct bytes op);
/* With some op or without. */
bool action_method_known(enum resource resource, enum method method);
/* "GET, HEAD, PUT": the value of Allow. Empty for RESOURCE_NONE, and for
 * RESOURCE_SERVICE, of which each path has its own. */
const char *resource_allow(enum resource resource);
/* "/v1/kv/{store}/{key}": for metrics. */
const char *resource_template(enum resource resource);

enum method method_parse(const char *text);
const char *method_name(enum method method);
/* The same of a bit for each method: GET brings HEAD with it, and OPTIONS is
 * always one. */
enum { METHODS_TEXT_MAX = 64 };
void methods_text(unsigned methods, char out[METHODS_TEXT_MAX]);

/* The functions of the table, each in the file of its prefix. */
#define ACTION_DECLARE(name, resource, method, op, body, run, parameters) \
	void run(struct request *request) ON_WORKER;
ACTION_LIST(ACTION_DECLARE)
#undef ACTION_DECLARE
void ops_options(struct request *request) ON_WORKER;
void service_run(struct request *request) ON_WORKER;

#endif
