/* SPDX-License-Identifier: MIT */
#include "http/action.h"

#include <stdio.h>

enum { LABEL_MAX = 64 };
static char labels[ACTION_COUNT][LABEL_MAX];
static char allows[RESOURCE_COUNT][METHODS_TEXT_MAX];

static const struct action actions[ACTION_COUNT] = {
#define ACTION_ROW(name, resource, method, op, body, run, parameters) \
	{ ACTION_##name,   RESOURCE_##resource, \
	  METHOD_##method, op, \
	  BODY_##body,     run, \
	  parameters,      labels[ACTION_##name] },
	ACTION_LIST(ACTION_ROW)
#undef ACTION_ROW
		{ ACTION_OPTIONS, RESOURCE_SERVER, METHOD_OPTIONS, "",
		  BODY_NONE, ops_options, "", labels[ACTION_OPTIONS] },
	{ ACTION_ROUTE, RESOURCE_SERVICE, METHOD_OTHER, "", BODY_ROUTE,
	  service_run, "", labels[ACTION_ROUTE] },
	{ ACTION_NONE, RESOURCE_NONE, METHOD_OTHER, "", BODY_NONE, NULL, "",
	  labels[ACTION_NONE] },
};

static void
fill_allows(void)
{
	unsigned methods[RESOURCE_COUNT] = { 0 };

	for (unsigned i = 0; i < ACTION_OPTIONS; i++)
		methods[actions[i].resource] |= 1u << actions[i].method;
	methods[RESOURCE_SERVER] = (1u << METHOD_OTHER) - 1;
	for (unsigned i = 0; i < RESOURCE_COUNT; i++)
		/* Of a service, each path has its own. */
		if (methods[i])
			methods_text(methods[i], allows[i]);
}

void
action_begin(void)
{
	fill_allows();
	for (unsigned i = 0; i < ACTION_OPTIONS; i++) {
		const struct action *action = &actions[i];

		snprintf(labels[i], LABEL_MAX, "%s %s%s%s",
			 method_name(action->method),
			 resource_template(action->resource),
			 *action->op ? "?op=" : "", action->op);
	}
	snprintf(labels[ACTION_OPTIONS], LABEL_MAX, "OPTIONS");
	/* Until its route is known. */
	snprintf(labels[ACTION_ROUTE], LABEL_MAX, "%s",
		 resource_template(RESOURCE_SERVICE));
	snprintf(labels[ACTION_NONE], LABEL_MAX, "refused");
}

const struct action *
action_at(enum action_index index)
{
	assert(index < ACTION_COUNT);
	return &actions[index];
}

/* A POST without op is none: each POST here names what it does. */
const struct action *
action_find(enum resource resource, enum method method, struct bytes op)
{
	if (method == METHOD_HEAD)
		method = METHOD_GET;
	if (method == METHOD_OPTIONS && resource != RESOURCE_NONE)
		return &actions[ACTION_OPTIONS];
	for (unsigned i = 0; i < ACTION_OPTIONS; i++) {
		const struct action *action = &actions[i];

		if (action->resource == resource && action->method == method &&
		    bytes_equal(bytes_of(action->op), op))
			return action;
	}
	return NULL;
}

bool
action_method_known(enum resource resource, enum method method)
{
	for (unsigned i = 0; i < ACTION_OPTIONS; i++)
		if (actions[i].resource == resource &&
		    actions[i].method == method)
			return true;
	return false;
}

const char *
resource_allow(enum resource resource)
{
	return allows[resource];
}

const char *
resource_template(enum resource resource)
{
	switch (resource) {
	case RESOURCE_NONE:
		return "";
	case RESOURCE_SERVER:
		return "*";
	case RESOURCE_LIVEZ:
		return "/livez";
	case RESOURCE_READYZ:
		return "/readyz";
	case RESOURCE_METRICS:
		return "/metrics";
	case RESOURCE_STORE:
		return "/v1/kv/{store}/";
	case RESOURCE_KEY:
		return "/v1/kv/{store}/{key}";
	case RESOURCE_SQL:
		return "/v1/sql/{database}";
	case RESOURCE_SQL_EXPLAIN:
		return "/v1/sql/{database}/explain";
	case RESOURCE_ADMIN_SERVICES:
		return "/v1/admin/services";
	case RESOURCE_ADMIN_SERVICE:
		return "/v1/admin/services/{service}";
	case RESOURCE_ADMIN_STATEMENTS:
		return "/v1/admin/statements";
	case RESOURCE_ADMIN_SLOW:
		return "/v1/admin/slow";
	case RESOURCE_ADMIN_PROFILE:
		return "/v1/admin/profile";
	case RESOURCE_SERVICE: /* the route's own is shown */
		return "/{service}";
	}
	return "";
}

static const char *const method_names[] = {
	[METHOD_GET] = "GET",     [METHOD_HEAD] = "HEAD",
	[METHOD_PUT] = "PUT",     [METHOD_DELETE] = "DELETE",
	[METHOD_POST] = "POST",   [METHOD_PATCH] = "PATCH",
	[METHOD_QUERY] = "QUERY", [METHOD_OPTIONS] = "OPTIONS",
	[METHOD_OTHER] = "other",
};

enum method
method_parse(const char *text)
{
	/* Almost every request is one of these two. */
	if (!strcmp(text, "GET"))
		return METHOD_GET;
	if (!strcmp(text, "PUT"))
		return METHOD_PUT;
	for (unsigned i = 0; i < METHOD_OTHER; i++)
		if (!strcmp(text, method_names[i]))
			return (enum method)i;
	return METHOD_OTHER;
}

const char *
method_name(enum method method)
{
	return method_names[method];
}

void
methods_text(unsigned methods, char out[METHODS_TEXT_MAX])
{
	size_t len = 0;

	if (methods & (1u << METHOD_GET))
		methods |= 1u << METHOD_HEAD;
	methods |= 1u << METHOD_OPTIONS;
	for (unsigned i = 0; i < METHOD_OTHER; i++)
		if (methods & (1u << i))
			len += (size_t)snprintf(
				out + len, METHODS_TEXT_MAX - len, "%s%s",
				len ? ", " : "", method_name((enum method)i));
	assert(len < METHODS_TEXT_MAX);
}
