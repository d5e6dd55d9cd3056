/* SPDX-License-Identifier: MIT */
/*
 * A profile as tables, and as JSON.
 */
#include <limits.h>
#include <stdio.h>

#include "core/json.h"
#include "tools/out.h"
#include "tools/profile/stacks.h"
#include "tools/table.h"

enum { FUNCTIONS_SHOWN = 30 };

/* ---- tables -------------------------------------------------------------- */

static void
add_time(struct table *table, const struct stacks *stacks, uint64_t samples)
{
	char text[32];

	snprintf(text, sizeof(text), "%.2f s",
		 (double)samples / (double)stacks->hz);
	table_cell(table, bytes_of(text), ALIGN_RIGHT);
	snprintf(text, sizeof(text), "%.1f%%",
		 stacks->samples
			 ? 100.0 * (double)samples / (double)stacks->samples
			 : 0.0);
	table_cell(table, bytes_of(text), ALIGN_RIGHT);
}

static bool
add_columns(struct table *table, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!table_column(table, bytes_of(names[i])))
			return false;
	return true;
}

static bool
print_functions(const struct stacks *stacks, uint64_t limit)
{
	static const char *const names[] = { "SELF", "%", "TOTAL", "%",
					     "FUNCTION" };
	struct table table;
	struct sums sums;
	bool good = sums_make(&sums, stacks, STACKS_LABELS, UINT_MAX);

	table_init(&table, terminal_width());
	good = good && add_columns(&table, names, ARRAY_LEN(names));
	for (size_t i = 0; good && i < sums.count && i < limit; i++) {
		add_time(&table, stacks, sums.list[i].self);
		add_time(&table, stacks, sums.list[i].total);
		table_cell(&table, sums.list[i].name, ALIGN_LEFT);
	}
	good = good && table_end(&table);
	table_fini(&table);
	sums_fini(&sums);
	return good;
}

/* By one of the labels. */
static bool
print_label(const struct stacks *stacks, unsigned label, const char *title)
{
	const char *const names[] = { "TIME", "%", title };
	struct table table;
	struct sums sums;
	bool good = sums_make(&sums, stacks, label, label);

	putchar('\n');
	table_init(&table, terminal_width());
	good = good && add_columns(&table, names, ARRAY_LEN(names));
	for (size_t i = 0; good && i < sums.count; i++) {
		add_time(&table, stacks, sums.list[i].total);
		table_cell(&table, stacks_route(sums.list[i].name), ALIGN_LEFT);
	}
	good = good && table_end(&table);
	table_fini(&table);
	sums_fini(&sums);
	return good;
}

bool
summary_text(const struct stacks *stacks, uint64_t limit)
{
	double seconds = (double)stacks->ms / 1000;
	double cpu = (double)stacks->samples / (double)stacks->hz;

	text_begin();
	printf("%.1f s, %llu samples: %.2f s of processor time, %.2f "
	       "processors\n\n",
	       seconds, (unsigned long long)stacks->samples, cpu,
	       seconds > 0 ? cpu / seconds : 0);
	return print_functions(stacks, limit ? limit : FUNCTIONS_SHOWN) &&
	       print_label(stacks, 1, "ROUTE") &&
	       print_label(stacks, 2, "KIND") &&
	       print_label(stacks, 0, "THREAD");
}

/* ---- JSON ---------------------------------------------------------------- */

/* Names are UTF-8, unless a file's symbols are not. */
static void
put_text(struct json *json, struct bytes text)
{
	json_text(json, json_is_utf8(text) ? text : bytes_of("?"));
}

static bool
put_sums(struct json *json, const struct stacks *stacks, const char *name,
	 unsigned first, unsigned last)
{
	bool functions = first >= STACKS_LABELS;
	struct sums sums;
	bool good = sums_make(&sums, stacks, first, last);

	json_name(json, name);
	json_array_begin(json);
	for (size_t i = 0; good && i < sums.count; i++) {
		json_object_begin(json);
		json_name(json, "name");
		put_text(json, stacks_route(sums.list[i].name));
		if (functions) {
			json_name(json, "self");
			json_u64(json, sums.list[i].self);
		}
		json_name(json, functions ? "total" : "samples");
		json_u64(json, sums.list[i].total);
		json_object_end(json);
	}
	json_array_end(json);
	sums_fini(&sums);
	return good;
}

static void
put_stack(struct json *json, const struct stack *stack)
{
	struct bytes route = stacks_route(stack->frames[1]);

	json_object_begin(json);
	json_name(json, "samples");
	json_u64(json, stack->samples);
	json_name(json, "thread");
	put_text(json, stack->frames[0]);
	json_name(json, "route");
	if (route.len < stack->frames[1].len)
		put_text(json, route);
	else
		json_none(json);
	json_name(json, "kind");
	put_text(json, stack->frames[2]);
	json_name(json, "functions");
	json_array_begin(json);
	for (unsigned i = STACKS_LABELS; i < stack->depth; i++)
		put_text(json, stack->frames[i]);
	json_array_end(json);
	json_object_end(json);
}

static void
put_number(struct json *json, const char *name, uint64_t number)
{
	json_name(json, name);
	json_u64(json, number);
}

bool
summary_json(const struct stacks *stacks)
{
	struct buffer out;
	struct json json;
	bool good;

	buffer_init(&out, SIZE_MAX / 2);
	json_begin(&json, &out);
	json_object_begin(&json);
	put_number(&json, "hz", stacks->hz);
	put_number(&json, "ms", stacks->ms);
	put_number(&json, "samples", stacks->samples);
	put_number(&json, "dropped", stacks->dropped);
	good = put_sums(&json, stacks, "functions", STACKS_LABELS, UINT_MAX) &&
	       put_sums(&json, stacks, "routes", 1, 1) &&
	       put_sums(&json, stacks, "kinds", 2, 2) &&
	       put_sums(&json, stacks, "threads", 0, 0);
	json_name(&json, "stacks");
	json_array_begin(&json);
	for (size_t i = 0; i < stacks->count; i++)
		put_stack(&json, &stacks->list[i]);
	json_array_end(&json);
	json_object_end(&json);
	buffer_add_str(&out, "\n");
	if (good && out.err)
		say("%s", err_text(out.err));
	else if (good)
		out_bytes((struct bytes){ out.data, out.len });
	good = good && !out.err;
	buffer_fini(&out);
	return good;
}
