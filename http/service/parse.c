/* SPDX-License-Identifier: MIT */
#include "http/service/parse.h"

#include <stdio.h>
#include <stdlib.h>

#include "http/service/lex.h"
#include "http/service/parse_internal.h"

/* ---- small things -------------------------------------------------------- */

char *
bytes_copy(struct bytes bytes)
{
	char *copy = malloc(bytes.len + 1);

	if (!copy)
		return NULL;
	if (bytes.len > 0)
		memcpy(copy, bytes.data, bytes.len);
	copy[bytes.len] = '\0';
	return copy;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

struct bytes
bytes_trim(struct bytes bytes)
{
	const char *at = bytes.data;

	while (bytes.len > 0 && is_blank(at[bytes.len - 1]))
		bytes.len--;
	while (bytes.len > 0 && is_blank(*at)) {
		at++;
		bytes.len--;
	}
	return (struct bytes){ at, bytes.len };
}

void *
array_reserve(void *items, unsigned count, size_t size)
{
	if (count & (count - 1))
		return items;
	return realloc(items, (count ? count * (size_t)2 : 1) * size);
}

bool
parameter_is_reserved(struct bytes name)
{
	return bytes_listed("auth_subject request_id body", name);
}

/* ---- the end ------------------------------------------------------------- */

void
route_spec_fini(struct route_spec *route)
{
	for (unsigned i = 0; i < route->statement_count; i++)
		free(route->statements[i].text);
	for (unsigned i = 0; i < route->optional_count; i++) {
		const struct sql_value *value = &route->optionals[i].otherwise;

		if (value->kind == SQL_TEXT)
			free((void *)value->bytes.data);
		free(route->optionals[i].name);
	}
	free(route->statements);
	free(route->path);
	free(route->type);
	free(route->location);
	free(route->summary);
}

void
settings_fini(struct service_settings *settings)
{
	/* A list that was given again may have been longer before. */
	for (unsigned i = 0; i < CONFIG_STORES_MAX; i++)
		free(settings->stores[i]);
	for (unsigned i = 0; i < settings->own_store_count; i++)
		free(settings->own_stores[i].name);
	*settings = (struct service_settings){ 0 };
}

void
service_spec_fini(struct service_spec *spec)
{
	for (unsigned i = 0; i < spec->route_count; i++)
		route_spec_fini(&spec->routes[i]);
	settings_fini(&spec->settings);
	free(spec->routes);
	free(spec->migrations);
	*spec = (struct service_spec){ 0 };
}

/* ---- migrations ---------------------------------------------------------- */

static const char migrations_dir[] = "migrations/";

/* "0001_init.sql": four digits or more. */
static bool
migration_number(const char *name, uint64_t *number)
{
	size_t digits = strspn(name, "0123456789");
	size_t len = strspn(name + digits, "abcdefghijklmnopqrstuvwxyz"
					   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					   "0123456789_-");

	if (digits < 4 || digits > 18 || name[digits] != '_' || len < 2 ||
	    strcmp(name + digits + len, ".sql") != 0)
		return false;
	*number = strtoull(name, NULL, 10);
	return true;
}

/* Does it say anything? SQLite itself takes an open comment for one that ends
 * with the file, and the next statement would be lost in it. */
static void
check_migration(const struct service_file *file, struct complaints *complaints)
{
	struct lex_token token;
	bool empty = true;
	struct lex lex;

	lex_begin(&lex, (struct bytes){ file->data, file->len });
	do {
		lex_next(&lex, &token);
		empty &= token.kind != LEX_TEXT && token.kind != LEX_OPEN;
		if (token.kind == LEX_OPEN)
			complain(complaints, file->path, token.line,
				 "%s without an end", token.what);
	} while (token.kind != LEX_END);
	if (empty)
		complain(complaints, file->path, 0,
			 "a migration without a statement");
}

static void
add_migration(struct service_spec *spec, const struct service_file *file,
	      struct complaints *complaints)
{
	const char *name = file->path + strlen(migrations_dir);
	struct sql_migration *list;
	uint64_t number;

	if (!migration_number(name, &number)) {
		complain(complaints, file->path, 0,
			 "a migration is called NNNN_name.sql: four digits or "
			 "more, \"_\", and letters, digits, \"_\" or \"-\"");
		return;
	}
	check_migration(file, complaints);
	list = array_reserve(spec->migrations, spec->migration_count,
			     sizeof(*list));
	if (!list) {
		complain(complaints, file->path, 0, "%s", err_text(ERR_NOMEM));
		return;
	}
	spec->migrations = list;
	list[spec->migration_count++] =
		(struct sql_migration){ .name = name,
					.text = { file->data, file->len } };
}

/* Names were checked. */
static uint64_t
number_of(const struct sql_migration *migration)
{
	return strtoull(migration->name, NULL, 10);
}

static int
compare_migrations(const void *left, const void *right)
{
	const struct sql_migration *a = left, *b = right;
	uint64_t number_a = number_of(a), number_b = number_of(b);

	if (number_a != number_b)
		return number_a < number_b ? -1 : 1;
	return strcmp(a->name, b->name);
}

/* By number: 9999 comes before 10000, which the files' order does not know. */
static void
sort_migrations(struct service_spec *spec, struct complaints *complaints)
{
	const struct sql_migration *list = spec->migrations;

	if (spec->migration_count == 0)
		return;
	qsort(spec->migrations, spec->migration_count, sizeof(*list),
	      compare_migrations);
	for (unsigned i = 1; i < spec->migration_count; i++) {
		char path[SERVICE_PATH_MAX + 1];

		if (number_of(&list[i]) != number_of(&list[i - 1]))
			continue;
		snprintf(path, sizeof(path), "%s%s", migrations_dir,
			 list[i].name);
		complain(complaints, path, 0, "%s has the same number",
			 list[i - 1].name);
	}
}

/* ---- routes -------------------------------------------------------------- */

/* A route as the tree tells it from others: with its parameters' names taken
 * out. */
struct shape {
	struct route_spec *route;
	char *text;
};

static char *
shape_text(const char *path)
{
	struct template template;
	char reason[256], *text = malloc(strlen(path) + 1), *at = text;

	/* A shape is not longer than its template: a name has a letter. */
	if (!text || !template_parse(&template, bytes_of(path), reason,
				     sizeof(reason))) {
		free(text);
		return NULL;
	}
	for (unsigned i = 0; i < template.count; i++) {
		const struct template_part *part = &template.parts[i];

		*at++ = '/';
		if (part->kind == TEMPLATE_LITERAL)
			at = mempcpy(at, part->text.data, part->text.len);
		else
			*at++ = part->kind == TEMPLATE_REST ? '}' : '{';
	}
	*at = '\0';
	return text;
}

static int
compare_shapes(const void *left, const void *right)
{
	const struct shape *a = left, *b = right;
	int order;

	if (a->route->method != b->route->method)
		return a->route->method < b->route->method ? -1 : 1;
	order = strcmp(a->text, b->text);
	if (order)
		return order;
	/* In the order of the files. */
	return a->route < b->route ? -1 : a->route > b->route;
}

static bool
same_shape(const struct shape *a, const struct shape *b)
{
	return a->route->method == b->route->method &&
	       !strcmp(a->text, b->text);
}

/* Complains of those that another one was before, and marks them: without a
 * path. */
static void
mark_duplicates(struct shape *shapes, unsigned count,
		struct complaints *complaints)
{
	const struct shape *first = shapes;

	if (count > 0)
		qsort(shapes, count, sizeof(*shapes), compare_shapes);
	for (unsigned i = 1; i < count; i++) {
		struct route_spec *route = shapes[i].route;

		if (!same_shape(first, &shapes[i])) {
			first = &shapes[i];
			continue;
		}
		complain(complaints, route->file, route->line,
			 "%s %s is %s %s, which is in %s:%u already",
			 method_name(route->method), route->path,
			 method_name(first->route->method), first->route->path,
			 first->route->file, first->route->line);
		free(route->path);
		route->path = NULL;
	}
}

static void
remove_marked(struct service_spec *spec)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < spec->route_count; i++) {
		if (spec->routes[i].path)
			spec->routes[kept++] = spec->routes[i];
		else
			route_spec_fini(&spec->routes[i]);
	}
	spec->route_count = kept;
}

static void
check_duplicates(struct service_spec *spec, struct complaints *complaints)
{
	struct shape *shapes = calloc(spec->route_count + 1, sizeof(*shapes));
	bool good = shapes != NULL;
	unsigned count = 0;

	for (; good && count < spec->route_count; count++) {
		shapes[count].route = &spec->routes[count];
		shapes[count].text = shape_text(spec->routes[count].path);
		good = shapes[count].text != NULL;
	}
	if (good)
		mark_duplicates(shapes, count, complaints);
	else
		complain(complaints, NULL, 0, "%s", err_text(ERR_NOMEM));
	while (count > 0)
		free(shapes[--count].text);
	free(shapes);
	remove_marked(spec);
}

/* Paths are written without the service's name, locations with it. */
static void
hint_at_prefixes(const struct service_spec *spec, const char *name,
		 struct complaints *complaints)
{
	size_t len = strlen(name);

	for (unsigned i = 0; i < spec->route_count; i++) {
		const struct route_spec *route = &spec->routes[i];
		const char *path = route->path;

		if (!strncmp(path + 1, name, len) &&
		    (path[1 + len] == '/' || path[1 + len] == '\0'))
			complain_hint(complaints, route->file, route->line,
				      "paths are below the service's name: "
				      "this is /%s%s",
				      name, path);
	}
}

/* ---- all of it ----------------------------------------------------------- */

static bool
is_settings(const struct service_file *file)
{
	return !strcmp(file->path, "service.conf");
}

void
service_parse(struct service_spec *spec, const struct service_files *files,
	      struct complaints *complaints)
{
	unsigned errors = complaints->errors;

	*spec = (struct service_spec){ 0 };
	service_parse_settings(&spec->settings,
			       service_files_find(files, "service.conf"),
			       complaints);
	for (unsigned i = 0; i < files->count; i++) {
		const struct service_file *file = &files->files[i];

		if (!strncmp(file->path, migrations_dir,
			     strlen(migrations_dir)))
			add_migration(spec, file, complaints);
		else if (!is_settings(file))
			service_parse_routes(spec, file, complaints);
	}
	sort_migrations(spec, complaints);
	check_duplicates(spec, complaints);
	hint_at_prefixes(spec, files->name, complaints);
	if (spec->route_count == 0 && complaints->errors == errors)
		complain(complaints, NULL, 0, "the service has no route");
	complaints_sort(complaints);
}
