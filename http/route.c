/* SPDX-License-Identifier: MIT */
/*
 * What a request asks for: its path, its query and its action.
 */
#include "core/percent.h"
#include "http/reply.h"
#include "http/request.h"
#include "http/service/replies.h"
#include "http/service/service.h"

#define KV_PREFIX "/v1/kv/"

/* ---- route -------------------------------------------------------------- */

static struct bytes
cut_front(struct bytes text, size_t n)
{
	return (struct bytes){ (const char *)text.data + n, text.len - n };
}

static void
split_target(struct request *request)
{
	struct bytes path = request->target;
	const char *question;

	if (!guard_target_path(&path, true))
		assert(!"the guard let a bad target through");
	question = memchr(path.data, '?', path.len);
	if (question) {
		size_t len = (size_t)(question - (const char *)path.data);

		request->query = cut_front(path, len + 1);
		path.len = len;
	}
	/* The absolute form's may be empty (RFC 9112, section 3.2). */
	if (!path.len)
		path = bytes_of(request->method == METHOD_OPTIONS && !question
					? "*"
					: "/");
	request->path = path;
}

/* Their count where there is none. */
static unsigned
find_store(const struct server *server, struct bytes name)
{
	unsigned count = server_store_count(server), i = 0;

	while (i < count &&
	       !bytes_equal(bytes_of(kv_name(server->stores[i])), name))
		i++;
	return i;
}

/* The front of "{store}/{key...}"; the key is empty where there is none. */
static struct bytes
cut_store(struct bytes text, struct bytes *key)
{
	const char *slash = memchr(text.data, '/', text.len);
	struct bytes name = text;

	*key = (struct bytes){ NULL, 0 };
	if (slash) {
		name.len = (size_t)(slash - (const char *)text.data);
		*key = cut_front(text, name.len + 1);
	}
	return name;
}

/* The key with its store's index before it, decoded once. */
static bool
decode_key(struct request *request, struct bytes raw) ON_WORKER
{
	char *tagged = request_alloc(request, 1 + raw.len);
	size_t len;

	if (!tagged) {
		reply_error(request, ERR_NOMEM);
		return false;
	}
	if (!percent_decode(raw, PERCENT_PLUS, tagged + 1, &len)) {
		reply_problem(request, 400, NULL,
			      "the key is not percent-encoded correctly");
		return false;
	}
	if (len > KV_KEY_MAX) {
		reply_problem(request, 414, NULL,
			      "the key has %zu bytes, the limit is %d", len,
			      KV_KEY_MAX);
		return false;
	}
	tagged[0] = (char)request->store;
	request->key_tagged = (struct bytes){ tagged, 1 + len };
	request->key = (struct bytes){ tagged + 1, len };
	/* Most keys stand in the target as they are. */
	request->hash =
		len == raw.len && raw.data == request->foreseen_key.data &&
				len == request->foreseen_key.len
			? request->foreseen
			: kv_hash(request->kv, request->key);
	return true;
}

/* /v1/kv/{store}, /v1/kv/{store}/ and /v1/kv/{store}/{key...} */
static bool
route_kv(struct request *request, struct bytes rest) ON_WORKER
{
	const struct server *server = local_self()->server;
	struct bytes key, name = cut_store(rest, &key);

	request->store = find_store(server, name);
	if (request->store == server_store_count(server)) {
		reply_problem(request, 404, NULL, "there is no such store");
		return false;
	}
	request->kv = server->stores[request->store];
	request->resource = key.len ? RESOURCE_KEY : RESOURCE_STORE;
	return !key.len || decode_key(request, key);
}

/* ---- foresight ----------------------------------------------------------- */

/* False: not a key's target. */
static bool
foresee_key(struct request *request) ON_WORKER
{
	const struct server *server = local_self()->server;
	struct bytes target = request->target, key, name;
	const char *question;
	struct kv *kv;
	unsigned store;

	if (!bytes_begin(target, KV_PREFIX))
		return false;
	name = cut_store(cut_front(target, strlen(KV_PREFIX)), &key);
	store = find_store(server, name);
	if (!key.len || store == server_store_count(server))
		return false;
	question = memchr(key.data, '?', key.len);
	if (question)
		key.len = (size_t)(question - (const char *)key.data);
	kv = server->stores[store];
	request->foreseen_key = key;
	request->foreseen = kv_hash(kv, key);
	__builtin_prefetch(
		&kv_versions(kv)->words[version_stripe(request->foreseen)]);
	return true;
}

void
request_foresee(struct request *request)
{
	if (!foresee_key(request))
		request->foreseen = reply_key_hash(reply_key(request));
	cache_prefetch(&local_self()->cache, request->foreseen);
}

void
request_foresee_entry(const struct request *request)
{
	cache_prefetch_entry(&local_self()->cache, request->foreseen);
}

/* ---- the path ------------------------------------------------------------ */

/* The services of this moment, for as long as the request lives. */
static const struct service *
find_service(struct request *request, struct bytes name) ON_WORKER
{
	struct local *local = local_self();

	if (!request->catalog) {
		request->catalog = local->catalog;
		catalog_hold(local, request->catalog);
	}
	return catalog_find(request->catalog, name);
}

static bool
find_database(struct request *request, struct bytes name) ON_WORKER
{
	const struct server *server = local_self()->server;
	const struct service *service;

	for (unsigned i = 0; i < server->database_count; i++) {
		struct sql *sql = server->databases[i];

		if (bytes_equal(bytes_of(sql_name(sql)), name)) {
			request->sql = sql;
			return true;
		}
	}
	service = find_service(request, name);
	if (service)
		request->sql = service->tenant->sql;
	return service;
}

/* /v1/sql/{database} and /v1/sql/{database}/explain */
static bool
route_sql(struct request *request, struct bytes rest) ON_WORKER
{
	const char *slash = memchr(rest.data, '/', rest.len);
	struct bytes name = rest, after = { NULL, 0 };

	if (slash) {
		name.len = (size_t)(slash - (const char *)rest.data);
		after = cut_front(rest, name.len);
	}
	if (!find_database(request, name)) {
		reply_problem(request, 404, NULL, "there is no such database");
		return false;
	}
	if (!slash)
		request->resource = RESOURCE_SQL;
	else if (bytes_equal(after, bytes_of("/explain")))
		request->resource = RESOURCE_SQL_EXPLAIN;
	return true;
}

/* /v1/admin/... */
static bool
route_admin(struct request *request, struct bytes rest) ON_WORKER
{
	if (!request->trusted) {
		reply_problem(request, 403, NULL,
			      "this is answered on the admin socket only, to "
			      "root and the daemon's own user");
		return false;
	}
	if (bytes_equal(rest, bytes_of("services"))) {
		request->resource = RESOURCE_ADMIN_SERVICES;
	} else if (bytes_equal(rest, bytes_of("statements"))) {
		request->resource = RESOURCE_ADMIN_STATEMENTS;
	} else if (bytes_equal(rest, bytes_of("slow"))) {
		request->resource = RESOURCE_ADMIN_SLOW;
	} else if (bytes_equal(rest, bytes_of("profile"))) {
		request->resource = RESOURCE_ADMIN_PROFILE;
	} else if (bytes_begin(rest, "services/")) {
		request->name = cut_front(rest, 9);
		if (service_name_is_good(request->name))
			request->resource = RESOURCE_ADMIN_SERVICE;
	}
	return true;
}

/* /{service} and below: what is there is found when it is run. */
static void
route_service(struct request *request) ON_WORKER
{
	struct bytes name = cut_front(request->path, 1);
	const char *slash = memchr(name.data, '/', name.len);

	if (slash)
		name.len = (size_t)(slash - (const char *)name.data);
	request->service = find_service(request, name);
	if (request->service)
		request->resource = RESOURCE_SERVICE;
}

static bool
route_path(struct request *request) ON_WORKER
{
	struct bytes path = request->path;

	if (bytes_begin(path, KV_PREFIX))
		return route_kv(request, cut_front(path, strlen(KV_PREFIX)));
	if (bytes_begin(path, "/v1/sql/"))
		return route_sql(request, cut_front(path, 8));
	if (bytes_begin(path, "/v1/admin/"))
		return route_admin(request, cut_front(path, 10));
	if (bytes_equal(path, bytes_of("/livez")))
		request->resource = RESOURCE_LIVEZ;
	else if (bytes_equal(path, bytes_of("/readyz")))
		request->resource = RESOURCE_READYZ;
	else if (bytes_equal(path, bytes_of("/metrics")))
		request->resource = RESOURCE_METRICS;
	else if (bytes_equal(path, bytes_of("*")))
		request->resource = RESOURCE_SERVER;
	else
		route_service(request);
	return true;
}

/* ---- query -------------------------------------------------------------- */

static bool
decode_pair(struct request *request, struct bytes pair,
	    struct parameter *parameter)
{
	const char *equals = memchr(pair.data, '=', pair.len);
	struct bytes name = pair, value = { "", 0 };
	char *out = request_alloc(request, pair.len + 1);
	size_t name_len, value_len;

	if (!out)
		return false;
	if (equals) {
		name.len = (size_t)(equals - (const char *)pair.data);
		value = cut_front(pair, name.len + 1);
	}
	if (!percent_decode(name, PERCENT_PLUS_IS_SPACE, out, &name_len) ||
	    !percent_decode(value, PERCENT_PLUS_IS_SPACE, out + name_len,
			    &value_len))
		return false;
	parameter->name = (struct bytes){ out, name_len };
	parameter->value = (struct bytes){ out + name_len, value_len };
	return true;
}

bool
request_decode_pairs(struct request *request, struct bytes rest,
		     struct parameter *parameters, unsigned *count)
{
	*count = 0;
	while (rest.len) {
		const char *and = memchr(rest.data, '&', rest.len);
		struct bytes pair = rest;

		if (and)
			pair.len = (size_t)(and-(const char *)rest.data);
		if (pair.len) {
			if (*count == REQUEST_PARAMETERS_MAX ||
			    !decode_pair(request, pair, &parameters[*count]))
				return false;
			++*count;
		}
		rest = cut_front(rest, and? pair.len + 1 : pair.len);
	}
	return true;
}

bool
request_decode_query(struct request *request)
{
	if (request_decode_pairs(request, request->query, request->parameters,
				 &request->parameter_count))
		return true;
	reply_problem(request, 400, NULL,
		      "the query is not percent-encoded correctly, or has "
		      "more than %d parameters",
		      REQUEST_PARAMETERS_MAX);
	return false;
}

struct bytes
request_parameter(const struct request *request, const char *name)
{
	struct bytes wanted = bytes_of(name);

	for (unsigned i = 0; i < request->parameter_count; i++)
		if (bytes_equal(request->parameters[i].name, wanted))
			return request->parameters[i].value;
	return (struct bytes){ NULL, 0 };
}

bool
request_flag(const struct request *request, const char *name, bool *out)
{
	struct bytes text = request_parameter(request, name);

	*out = bytes_equal(text, bytes_of("1")) ||
	       bytes_equal(text, bytes_of("true"));
	return !text.data || *out || bytes_equal(text, bytes_of("0")) ||
	       bytes_equal(text, bytes_of("false"));
}

/* An unknown or repeated parameter is a mistake that would otherwise pass
 * for having been obeyed. */
static bool
check_parameters(struct request *request) ON_WORKER
{
	for (unsigned i = 0; i < request->parameter_count; i++) {
		struct bytes name = request->parameters[i].name;
		bool known = bytes_equal(name, bytes_of("op")) ||
			     bytes_listed(request->action->parameters, name);
		bool again = false;

		for (unsigned j = 0; j < i; j++)
			again |= bytes_equal(request->parameters[j].name, name);
		if (known && !again)
			continue;
		reply_problem(request, 400, NULL,
			      known ? "query parameter %u is given twice"
				    : "query parameter %u is not known here",
			      i + 1);
		return false;
	}
	return true;
}

/* ---- dispatch ----------------------------------------------------------- */

static void
refuse_action(struct request *request) ON_WORKER
{
	if (request->resource == RESOURCE_NONE)
		reply_problem(request, 404, NULL, "there is nothing here");
	else if (action_method_known(request->resource, request->method))
		reply_problem(request, 400, NULL,
			      "this needs ?op= with an operation that the "
			      "method has here");
	else
		reply_problem(request, 405, NULL,
			      "the method is not allowed here");
}

bool
request_route(struct request *request)
{
	const struct action *action;

	split_target(request);
	if (!route_path(request))
		return false;
	if (request->resource == RESOURCE_SERVICE) {
		request->action = action_at(ACTION_ROUTE);
		return true;
	}
	if (!request_decode_query(request))
		return false;
	action = action_find(request->resource, request->method,
			     request_parameter(request, "op"));
	if (!action) {
		refuse_action(request);
		return false;
	}
	request->action = action;
	return check_parameters(request);
}
