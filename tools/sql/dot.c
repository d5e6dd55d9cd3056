/* SPDX-License-Identifier: MIT */
#include "tools/sql/dot.h"

#include <stdio.h>

#include "tools/out.h"

static const char help[] =
	"SQL ends with `;` and may take several lines. Beside it:\n"
	"  .explain SQL       how the statement would be run\n"
	"  .help              this\n"
	"  .mode MODE         show results as table, json, ndjson or csv\n"
	"  .quit              leave, as ^D does\n"
	"  .schema [TABLE]    the statements that made the tables, or that one\n"
	"  .tables            the tables and views\n"
	"  .timer on|off      tell how long each statement took\n"
	"^C clears the line, or ends the statement that runs.\n";

/* ---- rows of text ------------------------------------------------------- */

static enum outcome
print_texts(const struct session *session, const char *sql, json_t *params,
	    const char *end, size_t *count)
{
	json_t *rows, *row;
	enum outcome outcome = session_rows(session, sql, params, &rows);
	size_t i;

	*count = 0;
	json_array_foreach(rows, i, row)
	{
		const json_t *text = json_array_get(row, 0);

		if (!json_is_string(text))
			continue;
		out_lines((struct bytes){ json_string_value(text),
					  json_string_length(text) });
		fputs(end, stdout);
		++*count;
	}
	json_decref(rows);
	return outcome;
}

static void
dot_tables(struct session *session, struct bytes argument)
{
	static const char sql[] =
		"SELECT name FROM sqlite_schema WHERE type IN ('table','view') "
		"AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
	size_t count;

	if (print_texts(session, sql, json_array(), "\n", &count) ==
		    OUTCOME_OK &&
	    count == 0)
		say("there are no tables");
}

static void
dot_schema(struct session *session, struct bytes argument)
{
	static const char all[] = "SELECT sql FROM sqlite_schema "
				  "WHERE sql IS NOT NULL ORDER BY rowid";
	static const char one[] =
		"SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL "
		"AND tbl_name = ?1 COLLATE NOCASE ORDER BY rowid";
	bool named = argument.len > 0;
	json_t *params =
		named ? json_pack("[s%]", argument.data, argument.len) : NULL;
	size_t count;

	if (named && !params)
		say("the name is not UTF-8");
	else if (print_texts(session, named ? one : all,
			     named ? params : json_array(), ";\n",
			     &count) == OUTCOME_OK &&
		 count == 0)
		say(named ? "there is no such table" : "there are no tables");
}

/* ---- settings ----------------------------------------------------------- */

static void
dot_help(struct session *session, struct bytes argument)
{
	fputs(help, stdout);
}

static void
dot_mode(struct session *session, struct bytes argument)
{
	if (argument.len == 0)
		printf("%s\n", form_name(session->form));
	else if (!form_find(argument, &session->form))
		say(".mode takes table, json, ndjson or csv");
}

static void
dot_timer(struct session *session, struct bytes argument)
{
	bool on = bytes_equal(argument, bytes_of("on"));

	if (on || bytes_equal(argument, bytes_of("off")))
		session->timer = on;
	else if (argument.len == 0)
		puts(session->timer ? "on" : "off");
	else
		say(".timer takes on or off");
}

static void
dot_explain(struct session *session, struct bytes argument)
{
	const char *data = argument.data;

	while (argument.len > 0 && data[argument.len - 1] == ';')
		argument.len--;
	if (argument.len == 0)
		say(".explain needs a statement");
	else if (session_explain(session, argument) != OUTCOME_OK)
		return; /* it was said why */
}

/* ---- lines -------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*run)(struct session *session, struct bytes argument);
} commands[] = {
	{ ".explain", dot_explain }, { ".help", dot_help },
	{ ".mode", dot_mode },       { ".schema", dot_schema },
	{ ".tables", dot_tables },   { ".timer", dot_timer },
};

static struct bytes
take_word(struct bytes *line)
{
	const char *begin = line->data, *end = begin + line->len, *at = begin;
	struct bytes word;

	while (at < end && *at != ' ' && *at != '\t')
		at++;
	word = (struct bytes){ begin, (size_t)(at - begin) };
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*line = (struct bytes){ at, (size_t)(end - at) };
	return word;
}

bool
dot_run(struct session *session, struct bytes line)
{
	struct bytes name = take_word(&line);

	if (bytes_listed(".quit .exit", name))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (!bytes_equal(name, bytes_of(commands[i].name)))
			continue;
		commands[i].run(session, line);
		return true;
	}
	say("no command %.*s: see .help", (int)name.len,
	    (const char *)name.data);
	return true;
}
