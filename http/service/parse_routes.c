/* SPDX-License-Identifier: MIT */
/*
 * One .sql file: routes, their options, their statements.
 *
 * What looks like the line of a route and is none, or like an option in a
 * place where none is read, is said: as a plain comment it would go unnoticed,
 * and its statements would become those of the route before.
 */
#include <stdlib.h>

#include "http/service/lex.h"
#include "http/service/parse_internal.h"

struct reader {
	struct service_spec *spec;
	const struct service_file *file;
	struct complaints *complaints;

	/* The last of spec's; NULL: before the first, or behind the line of
	 * one that cannot be. */
	struct route_spec *route;
	bool dropped; /* what is wrong with it was said, it is not kept */
	bool ignored; /* text without a route was complained of */
	struct options options;
	unsigned option_line; /* where the next may stand; 0: nowhere */

	/* The statement in hand, from its first token to its last. */
	const char *begin, *end;
	unsigned line;
};

/* ---- statements ---------------------------------------------------------- */

static void
add_statement(struct reader *reader, struct bytes text)
{
	struct route_spec *route = reader->route;
	struct route_statement *statements;
	char *copy;

	if (route->statement_count == ROUTE_STATEMENTS_MAX) {
		complain(reader->complaints, reader->file->path, reader->line,
			 "a route has more than %d statements",
			 ROUTE_STATEMENTS_MAX);
		return;
	}
	if (text.len > SQL_TEXT_MAX) {
		complain(reader->complaints, reader->file->path, reader->line,
			 "a statement has more than %d KiB",
			 SQL_TEXT_MAX / 1024);
		reader->dropped = true;
		return;
	}
	statements = array_reserve(route->statements, route->statement_count,
				   sizeof(*statements));
	if (statements)
		route->statements = statements;
	copy = statements ? bytes_copy(text) : NULL;
	if (!copy) {
		complain(reader->complaints, reader->file->path, reader->line,
			 "%s", err_text(ERR_NOMEM));
		reader->dropped = true;
		return;
	}
	statements[route->statement_count++] = (struct route_statement){
		.text = copy, .len = text.len, .line = reader->line
	};
}

static void
end_statement(struct reader *reader)
{
	struct bytes text = { reader->begin,
			      (size_t)(reader->end - reader->begin) };

	/* Between two semicolons there may be nothing. */
	if (reader->begin)
		add_statement(reader, text);
	reader->begin = reader->end = NULL;
}

static void
take_text(struct reader *reader, const struct lex_token *token)
{
	if (!reader->route) {
		if (!reader->ignored)
			complain(reader->complaints, reader->file->path,
				 token->line,
				 "a statement before the first route: "
				 "`-- GET /path` stands above it");
		reader->ignored = true;
		return;
	}
	if (token->kind == LEX_SEMICOLON) {
		end_statement(reader);
		return;
	}
	if (!reader->begin) {
		reader->begin = token->text.data;
		reader->line = token->line;
	}
	reader->end = (const char *)token->text.data + token->text.len;
}

/* ---- routes -------------------------------------------------------------- */

static void
end_options(struct reader *reader)
{
	if (reader->option_line)
		options_finish(&reader->options);
	reader->option_line = 0;
}

static void
end_route(struct reader *reader)
{
	struct route_spec *route = reader->route;

	if (!route)
		return;
	end_options(reader);
	end_statement(reader);
	if (route->statement_count == 0 && !reader->dropped)
		complain(reader->complaints, reader->file->path, route->line,
			 "%s %s has no statement", method_name(route->method),
			 route->path);
	reader->route = NULL;
	if (reader->dropped) {
		route_spec_fini(route);
		reader->spec->route_count--;
	}
	reader->dropped = false;
}

static void
check_path(struct reader *reader, struct bytes path, unsigned line)
{
	struct template template;
	char reason[256];

	reader->dropped =
		!template_parse(&template, path, reason, sizeof(reason));
	if (reader->dropped) {
		complain(reader->complaints, reader->file->path, line, "%s",
			 reason);
		return;
	}
	for (unsigned i = 0; i < template.count; i++) {
		struct bytes name = template.parts[i].text;

		if (template.parts[i].kind != TEMPLATE_LITERAL &&
		    parameter_is_reserved(name))
			complain(reader->complaints, reader->file->path, line,
				 "{%.*s}: the server sets this parameter",
				 (int)name.len, (const char *)name.data);
	}
}

static void
add_route(struct reader *reader, enum method method, struct bytes path,
	  unsigned line)
{
	struct service_spec *spec = reader->spec;
	struct route_spec *routes =
		array_reserve(spec->routes, spec->route_count, sizeof(*routes));
	char *copy = bytes_copy(path);

	if (routes)
		spec->routes = routes;
	if (!routes || !copy) {
		complain(reader->complaints, reader->file->path, line, "%s",
			 err_text(ERR_NOMEM));
		free(copy);
		return;
	}
	reader->route = &routes[spec->route_count++];
	*reader->route = (struct route_spec){
		.file = reader->file->path,
		.line = line,
		.method = method,
		.path = copy,
	};
	reader->options = (struct options){
		.route = reader->route,
		.complaints = reader->complaints,
	};
	reader->option_line = line + 1;
}

/* NULL: a route may have it. Otherwise why not. */
static const char *
parse_method(struct bytes word, enum method *method)
{
	char text[16] = "";

	if (word.len < sizeof(text))
		memcpy(text, word.data, word.len);
	*method = method_parse(text);
	switch (*method) {
	case METHOD_GET:
	case METHOD_PUT:
	case METHOD_DELETE:
	case METHOD_POST:
	case METHOD_PATCH:
	case METHOD_QUERY:
		return NULL;
	case METHOD_HEAD:
		return "HEAD is answered wherever GET is";
	case METHOD_OPTIONS:
		return "OPTIONS is answered by the server";
	case METHOD_OTHER:
		break;
	}
	return "a route's method is GET, POST, PUT, PATCH, DELETE or QUERY, "
	       "in capitals";
}

/* The line of a route begins another one, whatever it is worth. */
static void
begin_route(struct reader *reader, struct bytes word, struct bytes path,
	    unsigned line)
{
	const char *file = reader->file->path, *reason;
	enum method method;

	end_route(reader);
	reader->ignored = true;
	reason = parse_method(word, &method);
	if (reason) {
		complain(reader->complaints, file, line, "%.*s: %s",
			 (int)(word.len < 20 ? word.len : 20),
			 (const char *)word.data, reason);
		return;
	}
	if (memchr(path.data, ' ', path.len) ||
	    memchr(path.data, '\t', path.len)) {
		complain(reader->complaints, file, line,
			 "the line of a route is `-- %.*s /path`, and nothing "
			 "behind it",
			 (int)word.len, (const char *)word.data);
		return;
	}
	if (reader->spec->route_count == SERVICE_ROUTES_MAX) {
		complain(reader->complaints, file, line,
			 "the service has more than %d routes",
			 SERVICE_ROUTES_MAX);
		return;
	}
	check_path(reader, path, line);
	add_route(reader, method, path, line);
}

/* ---- comments ------------------------------------------------------------ */

static bool
is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* A method, in whatever case? */
static bool
is_method(struct bytes word)
{
	static const char *const names[] = {
		"get",  "head",  "put",   "delete",
		"post", "patch", "query", "options"
	};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (word.len == strlen(names[i]) &&
		    !strncasecmp(word.data, names[i], word.len))
			return true;
	return false;
}

/* "-- WORD /path": a word in capitals, or a method in any case. */
static bool
header_split(struct bytes comment, struct bytes *word, struct bytes *path)
{
	struct bytes text = bytes_trim((struct bytes){
		(const char *)comment.data + 2, comment.len - 2 });
	const char *at = text.data;
	size_t upper = 0, len = 0, blanks = 0;

	while (len < text.len && !is_blank(at[len]))
		upper += is_upper(at[len++]);
	while (len + blanks < text.len && is_blank(at[len + blanks]))
		blanks++;
	if (blanks == 0 || at[len + blanks] != '/')
		return false;
	*word = (struct bytes){ at, len };
	*path = (struct bytes){ at + len + blanks, text.len - len - blanks };
	return (upper == len && len > 0) || is_method(*word);
}

/* "-- GET orders": a method in capitals and one word. */
static bool
lacks_slash(struct bytes comment)
{
	struct bytes text = bytes_trim((struct bytes){
		(const char *)comment.data + 2, comment.len - 2 });
	const char *at = text.data;
	size_t len = 0, end;

	while (len < text.len && is_upper(at[len]))
		len++;
	end = len;
	while (end < text.len && is_blank(at[end]))
		end++;
	if (end == len || !is_method((struct bytes){ at, len }))
		return false;
	while (end < text.len && !is_blank(at[end]))
		end++;
	return end == text.len;
}

/* The server does not read it, the reader of the file may think so. */
static void
hint_at_comment(struct reader *reader, const struct lex_token *token)
{
	struct bytes name, value;

	if (token->begins_line && lacks_slash(token->text))
		complain_hint(reader->complaints, reader->file->path,
			      token->line,
			      "this is a comment: the path of a route begins "
			      "with \"/\"");
	if (token->indented && header_split(token->text, &name, &value))
		complain_hint(reader->complaints, reader->file->path,
			      token->line,
			      "this is a comment: a route begins at the "
			      "beginning of its line");
	if ((token->indented || token->begins_line) && reader->route &&
	    !reader->begin && reader->route->statement_count == 0 &&
	    option_split(token->text, &name, &value) && option_is_known(name))
		complain_hint(reader->complaints, reader->file->path,
			      token->line,
			      "this is a comment: options stand right below "
			      "the line of their route, at the beginning of a "
			      "line");
}

static void
take_comment(struct reader *reader, const struct lex_token *token)
{
	struct bytes name, value;

	if (token->begins_line && header_split(token->text, &name, &value)) {
		begin_route(reader, name, value, token->line);
	} else if (token->begins_line && token->line == reader->option_line &&
		   option_split(token->text, &name, &value)) {
		options_take(&reader->options, token->line, name, value);
		reader->option_line++;
	} else {
		end_options(reader);
		hint_at_comment(reader, token);
	}
}

/* ---- the file ------------------------------------------------------------ */

static void
take_token(struct reader *reader, const struct lex_token *token)
{
	switch (token->kind) {
	case LEX_LINE_COMMENT:
		take_comment(reader, token);
		return;
	case LEX_BLOCK_COMMENT:
		end_options(reader);
		return;
	case LEX_SEMICOLON:
	case LEX_TEXT:
		end_options(reader);
		take_text(reader, token);
		return;
	case LEX_OPEN:
		complain(reader->complaints, reader->file->path, token->line,
			 "%s without an end", token->what);
		end_options(reader);
		reader->begin = NULL;
		reader->dropped = reader->route != NULL;
		return;
	case LEX_END:
		end_route(reader);
		return;
	}
}

void
service_parse_routes(struct service_spec *spec, const struct service_file *file,
		     struct complaints *complaints)
{
	struct reader reader = {
		.spec = spec,
		.file = file,
		.complaints = complaints,
	};
	unsigned errors = complaints->errors, count = spec->route_count;
	struct lex_token token;
	struct lex lex;

	lex_begin(&lex, (struct bytes){ file->data, file->len });
	do {
		lex_next(&lex, &token);
		take_token(&reader, &token);
	} while (token.kind != LEX_END);
	if (spec->route_count == count && complaints->errors == errors)
		complain(complaints, file->path, 0,
			 "the file has no route: `-- GET /path` begins one");
}
