/* SPDX-License-Identifier: MIT */
/*
 * From the files of a service to one that can be run: each statement is
 * prepared on the database, each parameter is accounted for.
 */
#include "http/service/service.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/profile.h"
#include "http/sql/care.h"

enum {
	/* Waiting for a connection to prepare on. */
	READER_WAIT_S = 30,
	PATH_PARAMETERS_MAX = ROUTE_SEGMENTS_MAX,
};

/* What is known of a route while it is built. */
struct building {
	struct service *service;
	struct sql_reader *reader;
	struct complaints *complaints;
	struct route *route;
	const struct route_spec *spec;
	/* Names in the path, in its order, and which of them are used. */
	struct bytes path[PATH_PARAMETERS_MAX];
	unsigned path_count;
	uint32_t path_used, optionals_used;
	bool unstable, binds_request;
};

static bool
out_of_memory(struct building *building)
{
	complain(building->complaints, NULL, 0, "%s", err_text(ERR_NOMEM));
	return false;
}

/* ---- parameters ---------------------------------------------------------- */

/* {name} and {name...}, whole segments: the parser has looked. */
static void
find_path_parameters(struct building *building)
{
	const char *at = building->spec->path;

	building->path_count = 0;
	while ((at = strchr(at, '{'))) {
		size_t len = strcspn(++at, ".}");

		if (building->path_count == PATH_PARAMETERS_MAX)
			return;
		building->path[building->path_count++] =
			(struct bytes){ at, len };
	}
}

static int
find_path_parameter(const struct building *building, struct bytes name)
{
	for (unsigned i = 0; i < building->path_count; i++)
		if (bytes_equal(building->path[i], name))
			return (int)i;
	return -1;
}

static const struct route_optional *
find_optional(struct building *building, const char *name)
{
	const struct route_spec *spec = building->spec;

	for (unsigned i = 0; i < spec->optional_count; i++) {
		if (strcmp(spec->optionals[i].name, name))
			continue;
		building->optionals_used |= UINT32_C(1) << i;
		return &spec->optionals[i];
	}
	return NULL;
}

static bool
method_has_body(enum method method)
{
	return method != METHOD_GET && method != METHOD_HEAD;
}

static void
bind_one(struct building *building, struct binding *binding, const char *name)
{
	int index = find_path_parameter(building, bytes_of(name));

	binding->name = name;
	if (index >= 0) {
		binding->source = BIND_PATH;
		binding->index = (unsigned)index;
		building->path_used |= UINT32_C(1) << index;
	} else if (!strcmp(name, "auth_subject")) {
		binding->source = BIND_AUTH;
	} else if (!strcmp(name, "request_id")) {
		binding->source = BIND_REQUEST_ID;
		building->binds_request = true;
	} else if (!strcmp(name, "body")) {
		binding->source = BIND_BODY;
		building->binds_request = true;
		building->route->uses_body = true;
	} else {
		binding->source = BIND_INPUT;
		binding->optional = find_optional(building, name);
		building->route->uses_body |=
			method_has_body(building->spec->method);
	}
}

static bool
bind_all(struct building *building, struct statement *statement,
	 const struct sql_stmt *stmt)
{
	unsigned count = sql_parameter_count(stmt);

	statement->bindings =
		calloc(count ? count : 1, sizeof(*statement->bindings));
	if (!statement->bindings)
		return out_of_memory(building);
	for (unsigned i = 0; i < count; i++) {
		const char *name = sql_parameter_name(stmt, i);
		char *copy;

		if (!name) {
			complain(building->complaints, building->spec->file,
				 statement->line,
				 "parameter %u has no name: write :name",
				 i + 1);
			return false;
		}
		copy = strdup(name);
		if (!copy)
			return out_of_memory(building);
		statement->binding_count = i + 1;
		bind_one(building, &statement->bindings[i], copy);
	}
	return true;
}

/* What was declared and is used nowhere is a mistake in a name. */
static void
check_used(struct building *building)
{
	const struct route_spec *spec = building->spec;

	for (unsigned i = 0; i < building->path_count; i++) {
		if (building->path_used & UINT32_C(1) << i)
			continue;
		complain(building->complaints, spec->file, spec->line,
			 "no statement uses the path's parameter {%.*s}",
			 (int)building->path[i].len,
			 (const char *)building->path[i].data);
	}
	for (unsigned i = 0; i < spec->optional_count; i++) {
		const char *name = spec->optionals[i].name;

		if (building->optionals_used & UINT32_C(1) << i)
			continue;
		if (find_path_parameter(building, bytes_of(name)) >= 0)
			complain(building->complaints, spec->file, spec->line,
				 "optional: %s is in the path, so it is never "
				 "missing",
				 name);
		else
			complain(building->complaints, spec->file, spec->line,
				 "optional: no statement has a parameter :%s",
				 name);
	}
}

/* ---- location ------------------------------------------------------------ */

static bool
is_column(const struct sql_stmt *stmt, struct bytes name)
{
	unsigned count = stmt ? sql_column_count(stmt) : 0;

	for (unsigned i = 0; i < count; i++)
		if (bytes_equal(bytes_of(sql_column_name(stmt, i)), name))
			return true;
	return false;
}

static bool
is_input(const struct route *route, struct bytes name)
{
	for (unsigned i = 0; i < route->statement_count; i++) {
		const struct statement *statement = &route->statements[i];

		for (unsigned j = 0; j < statement->binding_count; j++) {
			const struct binding *binding = &statement->bindings[j];

			if (binding->source == BIND_INPUT &&
			    bytes_equal(bytes_of(binding->name), name))
				return true;
		}
	}
	return false;
}

static void
resolve_placeholder(struct building *building, struct location_part *part,
		    const struct sql_stmt *last)
{
	struct bytes name = bytes_of(part->text);
	int index = find_path_parameter(building, name);

	if (is_column(last, name)) {
		part->source = LOCATION_COLUMN;
	} else if (index >= 0) {
		part->source = LOCATION_PATH;
		part->index = (unsigned)index;
		building->path_used |= UINT32_C(1) << index;
	} else if (is_input(building->route, name)) {
		part->source = LOCATION_INPUT;
	} else {
		complain(building->complaints, building->spec->file,
			 building->spec->line,
			 "location: {%s} is no column of the last statement "
			 "and no parameter",
			 part->text);
	}
}

static bool
add_part(struct building *building, const char *text, size_t len,
	 struct location_part **out)
{
	struct route *route = building->route;
	struct location_part *part = &route->location[route->location_count];

	part->text = strndup(text, len);
	if (!part->text)
		return out_of_memory(building);
	route->location_count++;
	*out = part;
	return true;
}

/* last is the last statement, NULL where it could not be prepared. */
static void
build_location(struct building *building, const struct sql_stmt *last)
{
	const char *at = building->spec->location;
	struct location_part *part = NULL;

	if (!at)
		return;
	/* Each part has a character at least. */
	building->route->location =
		calloc(strlen(at) + 1, sizeof(struct location_part));
	if (!building->route->location) {
		out_of_memory(building);
		return;
	}
	while (*at) {
		size_t len = strcspn(at, "{");

		if (len) {
			if (!add_part(building, at, len, &part))
				return;
			at += len;
			continue;
		}
		len = strcspn(++at, "}");
		if (!at[len] || !len) {
			complain(building->complaints, building->spec->file,
				 building->spec->line,
				 "location: a placeholder is {name}");
			return;
		}
		if (!add_part(building, at, len, &part))
			return;
		resolve_placeholder(building, part, last);
		at += len + 1;
	}
}

/* ---- statements ---------------------------------------------------------- */

/* The line of the mistake: statements go over several. */
static unsigned
line_of(const struct route_statement *written, int offset)
{
	unsigned line = written->line;

	for (int i = 0; i < offset && (size_t)i < written->len; i++)
		line += written->text[i] == '\n';
	return line;
}

struct scan_hint {
	struct building *building;
	unsigned line;
};

static void
found_scan(void *arg, const char *table, int64_t rows)
{
	struct scan_hint *hint = arg;

	if (rows >= CARE_SCAN_ROWS)
		complain_hint(hint->building->complaints,
			      hint->building->spec->file, hint->line,
			      "scans %s (about %lld rows): an index would "
			      "help",
			      table, (long long)rows);
}

static void
hint_scans(struct building *building, const struct statement *statement)
{
	struct scan_hint hint = { building, statement->line };

	/* Only a hint: where it cannot be had, there is none. */
	if (sql_full_scans(building->reader, &statement->text, found_scan,
			   &hint))
		return;
}

static void
check_readonly(struct building *building, const struct statement *statement)
{
	enum method method = building->spec->method;

	if (statement->readonly ||
	    (method != METHOD_GET && method != METHOD_QUERY))
		return;
	complain(building->complaints, building->spec->file, statement->line,
		 "a %s only reads, and this writes", method_name(method));
}

/* The reply is made of the last statement's rows. */
static void
check_reply(struct building *building, const struct statement *statement,
	    const struct sql_stmt *stmt)
{
	if (building->spec->reply == REPLY_NONE || sql_column_count(stmt))
		return;
	complain(building->complaints, building->spec->file, statement->line,
		 "the last statement gives no rows to reply with: add "
		 "RETURNING, or say `-- reply: none`");
}

static bool
build_statement(struct building *building,
		const struct route_statement *written, bool last)
{
	struct route *route = building->route;
	struct statement *statement =
		&route->statements[route->statement_count];
	struct sql_error error = { .offset = -1 };
	struct sql_stmt *stmt;

	sql_text_init(&statement->text,
		      (struct bytes){ written->text, written->len }, SQL_ROUTE);
	statement->line = written->line;
	if (sql_prepare(building->reader, &statement->text, &stmt, &error)) {
		complain(building->complaints, building->spec->file,
			 line_of(written, error.offset), "%s", error.message);
		return false;
	}
	route->statement_count++;
	statement->readonly = sql_is_readonly(stmt);
	route->readonly &= statement->readonly;
	building->unstable |= sql_is_unstable(stmt);
	if (bind_all(building, statement, stmt)) {
		check_readonly(building, statement);
		hint_scans(building, statement);
		if (last) {
			check_reply(building, statement, stmt);
			build_location(building, stmt);
		}
	}
	sql_release(stmt);
	return true;
}

/* ---- routes -------------------------------------------------------------- */

static void
set_cacheable(struct building *building)
{
	struct route *route = building->route;
	const struct route_spec *spec = building->spec;

	route->cacheable = spec->method == METHOD_GET && route->readonly &&
			   !building->unstable && !building->binds_request &&
			   !spec->cache_off &&
			   building->service->spec.settings.cache;
	if (spec->method == METHOD_GET && building->unstable &&
	    !spec->cache_off && building->service->spec.settings.cache)
		complain_hint(building->complaints, spec->file, spec->line,
			      "never cached, because of random(), CURRENT_TIME "
			      "or the like: `-- cache: off` says so");
}

static bool
name_route(struct building *building)
{
	struct route *route = building->route;
	const char *prefix = building->service->prefix;

	if (asprintf(&route->template, "%s%s", prefix, building->spec->path) <
	    0)
		route->template = NULL;
	if (asprintf(&route->name, "%s %s%s",
		     method_name(building->spec->method), prefix,
		     building->spec->path) < 0)
		route->name = NULL;
	if (route->name)
		route->label = profile_label(route->name);
	return (route->template && route->label) || out_of_memory(building);
}

static void
add_to_tree(struct building *building)
{
	const struct route_spec *spec = building->spec;
	enum err err = tree_add(building->service->tree, spec->method,
				spec->path, building->route);

	if (err == ERR_CONFLICT)
		complain(building->complaints, spec->file, spec->line,
			 "%s %s: another route has this method and path",
			 method_name(spec->method), spec->path);
	else if (err)
		complain(building->complaints, spec->file, spec->line,
			 "%s %s: %s", method_name(spec->method), spec->path,
			 err_text(err));
}

static void
build_route(struct building *building)
{
	struct route *route = building->route;
	const struct route_spec *spec = building->spec;
	bool good = true;

	route->service = building->service;
	route->spec = spec;
	route->readonly = true;
	route->statements =
		calloc(spec->statement_count ? spec->statement_count : 1,
		       sizeof(*route->statements));
	if (!route->statements || !name_route(building)) {
		out_of_memory(building);
		return;
	}
	find_path_parameters(building);
	for (unsigned i = 0; i < spec->statement_count; i++)
		good &= build_statement(building, &spec->statements[i],
					i + 1 == spec->statement_count);
	/* Without one of the statements the others' parameters say nothing. */
	if (good)
		check_used(building);
	for (unsigned i = 0; i < route->statement_count; i++)
		route->statements[i].care =
			care_id(building->service->files.name, route->name,
				&route->statements[i].text);
	set_cacheable(building);
	add_to_tree(building);
}

static enum err
build_routes(struct service *service, struct sql *sql,
	     struct complaints *complaints)
{
	enum err err;
	struct sql_reader *reader = sql_reader_take(
		sql, clock_mono_ns() + READER_WAIT_S * NS_PER_S, &err);

	if (!reader) {
		complain(complaints, NULL, 0,
			 "no connection to the database: %s", err_text(err));
		return err == ERR_DEADLINE ? ERR_OVERLOADED : err;
	}
	/* A statement that is kept may be of a schema that is no more. */
	err = sql_reader_refresh(reader);
	if (err)
		complain(complaints, NULL, 0, "the database cannot be read: %s",
			 err_text(err));
	for (unsigned i = 0; !err && i < service->spec.route_count; i++) {
		struct building building = {
			.service = service,
			.reader = reader,
			.complaints = complaints,
			.route = &service->routes[i],
			.spec = &service->spec.routes[i],
		};

		service->route_count = i + 1;
		service->routes[i].index = i;
		build_route(&building);
	}
	sql_reader_give(reader);
	return err;
}

/* ---- life ---------------------------------------------------------------- */

struct service *
service_create(struct service_files *files, struct complaints *complaints)
{
	struct service *service = calloc(1, sizeof(*service));

	if (!service) {
		complain(complaints, NULL, 0, "%s", err_text(ERR_NOMEM));
		service_files_fini(files);
		return NULL;
	}
	service->files = *files;
	memset(files, 0, sizeof(*files));
	service->checksum = service->files.checksum;
	snprintf(service->prefix, sizeof(service->prefix), "/%s",
		 service->files.name);
	service_parse(&service->spec, &service->files, complaints);
	return service;
}

enum err
service_prepare(struct service *service, struct sql *sql,
		struct complaints *complaints)
{
	unsigned count = service->spec.route_count;

	assert(!service->routes);
	service->routes = calloc(count ? count : 1, sizeof(*service->routes));
	if (!service->routes || tree_create(&service->tree)) {
		complain(complaints, NULL, 0, "%s", err_text(ERR_NOMEM));
		return ERR_NOMEM;
	}
	return build_routes(service, sql, complaints);
}

struct service *
service_build(struct service_files *files, struct sql *sql,
	      struct complaints *complaints)
{
	struct service *service = service_create(files, complaints);

	if (!service)
		return NULL;
	if (!service_prepare(service, sql, complaints) && !complaints->errors)
		return service;
	service_destroy(service);
	return NULL;
}

static void
destroy_route(struct route *route)
{
	for (unsigned i = 0; i < route->statement_count; i++) {
		struct statement *statement = &route->statements[i];

		for (unsigned j = 0; j < statement->binding_count; j++)
			free((char *)(uintptr_t)statement->bindings[j].name);
		free(statement->bindings);
	}
	free(route->statements);
	for (unsigned i = 0; i < route->location_count; i++)
		free(route->location[i].text);
	free(route->location);
	free(route->template);
	free(route->name);
}

void
service_destroy(struct service *service)
{
	if (!service)
		return;
	for (unsigned i = 0; i < service->route_count; i++)
		destroy_route(&service->routes[i]);
	free(service->routes);
	if (service->tree)
		tree_destroy(service->tree);
	service_spec_fini(&service->spec);
	service_files_fini(&service->files);
	free(service);
}
