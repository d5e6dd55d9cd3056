/* SPDX-License-Identifier: MIT */
/*
 * What statements cost: all of them summed up, and the last slow ones.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/units.h"
#include "tools/answer.h"
#include "tools/command.h"
#include "tools/out.h"
#include "tools/table.h"

/* A line of SQL, and more than any terminal is wide. */
enum { SQL_SHOWN_MAX = 1 << 20 };

/* ---- the list ----------------------------------------------------------- */

/* The array of that name in the answer to target; NULL: see *outcome. The
 * caller decrefs. */
static json_t *
fetch(const struct call *call, const char *target, const char *name,
      enum outcome *outcome)
{
	struct request request = { .method = "GET", .target = target };
	json_t *answer = NULL, *list;
	struct reply reply;

	*outcome = client_call(call->client, &request, &reply);
	if (*outcome == OUTCOME_OK && reply.body.len > 0)
		answer = json_loadb(reply.body.data, reply.body.len,
				    JSON_ALLOW_NUL, NULL);
	list = json_incref(json_object_get(answer, name));
	if (*outcome == OUTCOME_OK && !json_is_array(list)) {
		say("the server's answer is not a list of statements");
		*outcome = OUTCOME_ERROR;
	}
	json_decref(answer);
	reply_fini(&reply);
	return list;
}

/* Takes away what is beyond --limit. */
static void
limit(const struct call *call, json_t *list)
{
	const char *text = call->options->text[OPTION_LIMIT];
	uint64_t most;

	if (!text || !units_u64(bytes_of(text), &most))
		return;
	while (json_array_size(list) > most)
		json_array_remove(list, json_array_size(list) - 1);
}

/* Most first. arg: a member's name. */
static int
compare(const void *a, const void *b, void *arg)
{
	json_int_t left = answer_integer(*(json_t *const *)a, arg);
	json_int_t right = answer_integer(*(json_t *const *)b, arg);

	return (left < right) - (left > right);
}

static const char *
sort_member(const char *sort)
{
	if (sort && !strcmp(sort, "max"))
		return "max_us";
	if (sort && (!strcmp(sort, "calls") || !strcmp(sort, "rows")))
		return sort;
	return "total_us";
}

/* A new list, NULL: no memory. */
static json_t *
sorted(json_t *list, const char *member)
{
	size_t count = json_array_size(list);
	json_t **items = calloc(count + 1, sizeof(json_t *));
	json_t *result = items ? json_array() : NULL;

	for (size_t i = 0; result && i < count; i++)
		items[i] = json_array_get(list, i);
	if (result)
		qsort_r(items, count, sizeof(json_t *), compare,
			(void *)member);
	for (size_t i = 0; result && i < count; i++)
		if (json_array_append(result, items[i]) != 0) {
			json_decref(result);
			result = NULL;
		}
	free(items);
	return result;
}

static void
print_json(const char *name, json_t *list)
{
	json_t *object = json_pack("{s:O}", name, list);

	if (object)
		json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(object);
}

/* ---- cells -------------------------------------------------------------- */

static void
add_duration(struct table *table, json_int_t us)
{
	char text[32];

	if (us < 1000)
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT " us", us);
	else if (us < 1000000)
		snprintf(text, sizeof(text), "%.1f ms", (double)us / 1e3);
	else
		snprintf(text, sizeof(text), "%.1f s", (double)us / 1e6);
	table_cell(table, bytes_of(text), ALIGN_RIGHT);
}

static void
add_text(struct table *table, const json_t *item, const char *name)
{
	const json_t *value = json_object_get(item, name);

	if (json_is_string(value))
		table_cell(table,
			   (struct bytes){ json_string_value(value),
					   json_string_length(value) },
			   ALIGN_LEFT);
	else
		table_cell(table, bytes_of("-"), ALIGN_LEFT);
}

static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The statement on one line: all blanks are one. */
static void
add_sql(struct table *table, const json_t *item)
{
	const char *sql = json_string_value(json_object_get(item, "sql"));
	struct buffer line;

	buffer_init(&line, SQL_SHOWN_MAX);
	while (sql && *sql) {
		if (!is_blank(*sql))
			buffer_add(&line, sql, 1);
		else if (line.len > 0 && !is_blank(sql[1]) && sql[1])
			buffer_add(&line, " ", 1);
		sql++;
	}
	table_cell(table, (struct bytes){ line.data, line.len }, ALIGN_LEFT);
	buffer_fini(&line);
}

/* Each line of text is a note. */
static void
add_notes(struct table *table, const char *text)
{
	while (text && *text) {
		size_t len = strcspn(text, "\n");

		table_note(table, (struct bytes){ text, len });
		text += len + (text[len] == '\n');
	}
}

/* ---- tables ------------------------------------------------------------- */

static void
add_statement(struct table *table, const json_t *item)
{
	const json_t *hint;
	size_t i;

	table_number(table, answer_integer(item, "calls"));
	add_duration(table, answer_integer(item, "total_us"));
	add_duration(table, answer_integer(item, "max_us"));
	table_number(table, answer_integer(item, "rows"));
	table_number(table, answer_integer(item, "hits"));
	add_text(table, item, "database");
	add_text(table, item, "route");
	add_sql(table, item);
	json_array_foreach(json_object_get(item, "hints"), i, hint)
		add_notes(table, json_string_value(hint));
}

static void
add_slow(struct table *table, const json_t *item)
{
	int64_t seconds = answer_integer(item, "time") / 1000;
	char time[HUMAN_TIME_SIZE];

	table_cell(table, bytes_of(human_time(time, seconds)), ALIGN_LEFT);
	add_duration(table, answer_integer(item, "us"));
	table_number(table, answer_integer(item, "rows"));
	add_text(table, item, "database");
	add_text(table, item, "route");
	add_sql(table, item);
	add_notes(table, json_string_value(json_object_get(item, "plan")));
}

static enum outcome
print_table(const json_t *list, const char *const *names, size_t count,
	    void (*add)(struct table *table, const json_t *item))
{
	struct table table;
	const json_t *item;
	bool good = true;
	size_t i;

	text_begin();
	table_init(&table, terminal_width());
	for (i = 0; i < count && good; i++)
		good = table_column(&table, bytes_of(names[i]));
	json_array_foreach(list, i, item) add(&table, item);
	good = table_end(&table) && good;
	table_fini(&table);
	return good ? OUTCOME_OK : OUTCOME_ERROR;
}

/* ---- the commands ------------------------------------------------------- */

enum outcome
statements_run(const struct call *call)
{
	static const char *const names[] = { "CALLS", "TOTAL",    "MAX",
					     "ROWS",  "HITS",     "DATABASE",
					     "ROUTE", "STATEMENT" };
	enum outcome outcome;
	json_t *list =
		fetch(call, "/v1/admin/statements", "statements", &outcome);
	json_t *most = NULL;

	if (outcome == OUTCOME_OK) {
		most = sorted(list,
			      sort_member(call->options->text[OPTION_SORT]));
		if (!most) {
			say("%s", err_text(ERR_NOMEM));
			outcome = OUTCOME_ERROR;
		}
	}
	limit(call, most);
	if (outcome == OUTCOME_OK && call->options->json)
		print_json("statements", most);
	else if (outcome == OUTCOME_OK)
		outcome = print_table(most, names, ARRAY_LEN(names),
				      add_statement);
	json_decref(most);
	json_decref(list);
	return outcome;
}

enum outcome
slow_run(const struct call *call)
{
	static const char *const names[] = { "TIME",     "TOOK",  "ROWS",
					     "DATABASE", "ROUTE", "STATEMENT" };
	enum outcome outcome;
	json_t *list = fetch(call, "/v1/admin/slow", "slow", &outcome);

	limit(call, list);
	if (outcome == OUTCOME_OK && call->options->json)
		print_json("slow", list);
	else if (outcome == OUTCOME_OK)
		outcome = print_table(list, names, ARRAY_LEN(names), add_slow);
	json_decref(list);
	return outcome;
}
