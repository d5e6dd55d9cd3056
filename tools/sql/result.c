/* SPDX-License-Identifier: MIT */
#include "tools/sql/result.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "core/base64.h"
#include "tools/answer.h"
#include "tools/out.h"
#include "tools/sql/row.h"

enum {
	/* A row of the server's is much less, also as JSON. */
	LINE_BYTES_MAX = 512 << 20,
	/* Of a BLOB. */
	BLOB_SHOWN = 16,
};

/* ---- cells ------------------------------------------------------------------
 */

/* x'00ff' or x'00ff..' and its size. */
static bool
add_blob(struct table *table, struct bytes base64)
{
	unsigned char *data = malloc(base64_decoded_max(base64.len));
	struct buffer text;
	size_t len;
	bool good = data && base64_decode(base64, data, &len);

	buffer_init(&text, 4 * BLOB_SHOWN + 64);
	if (good) {
		buffer_add_str(&text, "x'");
		for (size_t i = 0; i < len && i < BLOB_SHOWN; i++)
			buffer_addf(&text, "%02x", data[i]);
		buffer_add_str(&text, len > BLOB_SHOWN ? "..'" : "'");
		if (len > BLOB_SHOWN)
			buffer_addf(&text, " (%zu bytes)", len);
		table_cell(table, (struct bytes){ text.data, text.len },
			   ALIGN_LEFT);
	}
	buffer_fini(&text);
	free(data);
	return good;
}

static bool
add_decoded(struct table *table, struct bytes raw)
{
	json_t *value = json_loadb(raw.data, raw.len,
				   JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	const json_t *base64 = json_object_get(value, "base64");
	bool good = true;

	if (json_is_string(value))
		table_cell(table, answer_text(value), ALIGN_LEFT);
	else if (json_is_string(base64))
		good = add_blob(table, answer_text(base64));
	else
		good = false;
	json_decref(value);
	return good;
}

static bool
is_number(struct bytes raw)
{
	const char *data = raw.data;
	size_t at = 0, sign = data[0] == '-';

	while (at < raw.len && data[at] && strchr("0123456789+-.eE", data[at]))
		at++;
	return at == raw.len && sign < raw.len && data[sign] >= '0' &&
	       data[sign] <= '9';
}

/* Numbers are printed as they came, exactly. */
static bool
add_cell(struct table *table, struct bytes raw)
{
	const char *data = raw.data;

	if (*data == '"' && !memchr(data, '\\', raw.len))
		table_cell(table, (struct bytes){ data + 1, raw.len - 2 },
			   ALIGN_LEFT);
	else if (*data == '"' || *data == '{')
		return add_decoded(table, raw);
	else if (bytes_listed("true false", raw))
		table_cell(table, raw, ALIGN_LEFT);
	else if (bytes_equal(raw, bytes_of("null")))
		table_cell(table, bytes_of("NULL"), ALIGN_COLUMN);
	else if (is_number(raw))
		table_cell(table, raw, ALIGN_RIGHT);
	else
		return false;
	return true;
}

/* ---- rows --------------------------------------------------------------- */

static bool
malformed(void)
{
	say("the server's answer is not the result of a statement");
	return false;
}

static bool
add_column(struct table *table, struct bytes raw)
{
	json_t *name = json_loadb(raw.data, raw.len,
				  JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	bool good = name || malformed();

	if (good && !table_column(table, answer_text(name))) {
		say("the result has more than %d columns", TABLE_COLUMNS_MAX);
		good = false;
	}
	json_decref(name);
	return good;
}

/* The first row tells the columns. */
static bool
add_columns(struct table *table, struct bytes row)
{
	struct bytes rest = row, name, value;

	while (row_member(&rest, &name, &value))
		if (!add_column(table, name))
			return false;
	return true;
}

static unsigned
count_members(struct bytes row)
{
	struct bytes rest = row, name, value;
	unsigned count = 0;

	while (row_member(&rest, &name, &value))
		count++;
	return row_ended(rest) ? count : 0;
}

/* What is no whole row is not begun. */
static bool
add_row(struct table *table, struct bytes row)
{
	struct bytes rest = row, name, value;
	unsigned count = count_members(row);

	if (count == 0)
		return malformed();
	if (table->columns == 0 && !add_columns(table, row))
		return false;
	if (count != table->columns)
		return malformed();
	while (row_member(&rest, &name, &value))
		if (!add_cell(table, value))
			return malformed();
	return true;
}

/* ---- results ------------------------------------------------------------ */

/* What changes the schema changes no rows, and says nothing of them. */
static bool
begins_with_schema_word(struct bytes sql)
{
	static const char *const words[] = { "create", "drop",    "alter",
					     "pragma", "analyze", "reindex" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t len = strlen(words[i]);

		if (sql.len >= len && !strncasecmp(sql.data, words[i], len))
			return true;
	}
	return false;
}

void
result_init(struct result *result, const struct session *session,
	    struct bytes sql)
{
	*result = (struct result){
		.session = session,
		.tells_changes = !begins_with_schema_word(sql),
	};
	table_init(&result->table, 0);
	buffer_init(&result->line, LINE_BYTES_MAX);
}

void
result_fini(struct result *result)
{
	table_fini(&result->table);
	buffer_fini(&result->line);
}

static bool
add_line(struct result *result)
{
	struct bytes line = { result->line.data, result->line.len };

	return add_row(&result->table, line);
}

/* A line is a row when another comes behind it. */
static bool
take_lines(struct result *result, struct bytes data, bool rows)
{
	const char *at = data.data, *end = at + data.len;

	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		const char *next = stop ? stop + 1 : end;

		if (result->complete) {
			if (rows && !add_line(result))
				return false;
			buffer_clear(&result->line);
		}
		buffer_add(&result->line, at, (size_t)(next - at));
		result->complete = stop;
		at = next;
	}
	if (result->line.err)
		say("a row of the result: %s", err_text(result->line.err));
	return !result->line.err;
}

bool
result_data(void *arg, struct bytes data)
{
	struct result *result = arg;
	bool rows = result->session->form == FORM_TABLE;
	bool more;

	if (!rows)
		out_bytes(data);
	more = take_lines(result, data, rows);
	/* Each piece is shown when it comes. */
	if (fflush(stdout) == 0 && out_works())
		return more;
	out_failed(errno);
	return false;
}

static void
print_count(int64_t count, const char *what)
{
	printf("%" PRId64 " row%s%s\n", count, count == 1 ? "" : "s", what);
}

/* {"end":true,"rows":2,"changes":1} */
static void
tell_counts(const struct result *result, const json_t *end)
{
	const json_t *changes = json_object_get(end, "changes");
	json_int_t count = json_integer_value(changes);

	if (changes && (result->tells_changes || count))
		print_count(count, " changed");
	else if (result->session->talks && !changes)
		print_count((int64_t)result->table.rows, "");
	if (json_is_true(json_object_get(end, "truncated")))
		say("there are more rows than --limit");
}

/* {"error":...} ends lines that failed on their way. A row that has a column
 * of that name has no problem in it. */
static enum outcome
end_failed(const json_t *error)
{
	char *raw = json_dumps(error, JSON_COMPACT);
	enum outcome outcome = OUTCOME_ERROR;

	if (raw)
		outcome = answer_error(bytes_of(raw));
	free(raw);
	return outcome;
}

static enum outcome
end_lines(const struct result *result)
{
	const struct buffer *line = &result->line;
	json_t *end = line->len ? json_loadb(line->data, line->len,
					     JSON_ALLOW_NUL, NULL)
				: NULL;
	const json_t *error = json_object_get(end, "error");
	enum outcome outcome = OUTCOME_OK;

	if (json_is_string(json_object_get(error, "code"))) {
		outcome = end_failed(error);
	} else if (!json_is_true(json_object_get(end, "end"))) {
		say("the result ends early");
		outcome = OUTCOME_ERROR;
	} else if (result->session->form == FORM_TABLE) {
		tell_counts(result, end);
	}
	json_decref(end);
	return outcome;
}

/* Standard output may be a terminal: what it shows next begins a line. */
static void
end_line(const struct result *result)
{
	if (result->session->form != FORM_TABLE && result->line.len > 0 &&
	    !result->complete)
		putchar('\n');
}

enum outcome
result_end(struct result *result)
{
	enum form form = result->session->form;

	end_line(result);
	if (form == FORM_TABLE && !table_end(&result->table))
		return OUTCOME_ERROR;
	if (form == FORM_TABLE || form == FORM_NDJSON)
		return end_lines(result);
	return OUTCOME_OK;
}

void
result_break(struct result *result)
{
	end_line(result);
	if (!table_end(&result->table))
		return; /* one complaint is enough */
}
