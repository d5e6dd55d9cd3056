/* SPDX-License-Identifier: MIT */
/*
 * kv scan: keys in order, a page at a time. The server ends a page where it
 * likes, such as when it has become large, so a limit may take several.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "core/units.h"
#include "tools/answer.h"
#include "tools/command.h"
#include "tools/out.h"
#include "tools/path.h"

/* Where no --limit is given. */
enum { LIMIT_USUAL = 100 };

struct scan {
	const struct call *call;
	json_t *page; /* {"items":[...],"next":cursor or null} */
	uint64_t limit;
	uint64_t pages, printed;
};

static const char *
next_cursor(const struct scan *scan)
{
	return json_string_value(json_object_get(scan->page, "next"));
}

static enum outcome
say_unreadable(void)
{
	say("the server's answer is not a page of items");
	return OUTCOME_ERROR;
}

/* ---- printing ---------------------------------------------------------- */

/* A string, or {"base64":"..."} where the bytes are not UTF-8. */
static bool
print_bytes(const json_t *value)
{
	const json_t *base64 = json_object_get(value, "base64");

	if (json_is_string(value)) {
		out_field(answer_text(value));
		return true;
	}
	return json_is_string(base64) && out_field_base64(answer_text(base64));
}

static bool
print_text(const struct scan *scan, const json_t *item)
{
	const json_t *value = json_object_get(item, "value");

	if (!print_bytes(json_object_get(item, "key")))
		return false;
	if (scan->call->options->text[OPTION_VALUES]) {
		putchar('\t');
		/* "value":"text", or "base64":"..." beside the key. */
		if (!print_bytes(value ? value : item))
			return false;
	}
	putchar('\n');
	return true;
}

static bool
print_json(const struct scan *scan, const json_t *item)
{
	fputs(scan->printed ? ",\n" : "\n", stdout);
	/* Standard output's own errors are found by out_works(). */
	return json_dumpf(item, stdout, JSON_COMPACT) == 0 || !out_works();
}

static enum outcome
print_page(struct scan *scan)
{
	const json_t *items = json_object_get(scan->page, "items");
	bool json = scan->call->options->json;
	const json_t *item;
	size_t i;

	if (!json_is_array(items))
		return say_unreadable();
	if (json && scan->pages++ == 0)
		fputs("{\"items\":[", stdout);
	json_array_foreach(items, i, item)
	{
		bool good =
			json ? print_json(scan, item) : print_text(scan, item);

		if (!good)
			return say_unreadable();
		scan->printed++;
	}
	return OUTCOME_OK;
}

/* ---- pages ------------------------------------------------------------- */

/* Of the next page: with --all of each, otherwise what is still wanted. */
static uint64_t
page_limit(const struct scan *scan)
{
	return scan->call->options->text[OPTION_ALL]
		       ? scan->limit
		       : scan->limit - scan->printed;
}

static void
page_path(const struct scan *scan, struct buffer *path)
{
	static const enum option_name passed[] = {
		OPTION_PREFIX,
		OPTION_START,
		OPTION_END,
	};
	const char *const *text = scan->call->options->text;
	const char *cursor = next_cursor(scan);
	char limit[24];

	snprintf(limit, sizeof(limit), "%" PRIu64, page_limit(scan));
	path_kv(path, scan->call->store, "");
	for (size_t i = 0; i < ARRAY_LEN(passed); i++)
		path_query(path, option_long(passed[i]) + 2, text[passed[i]]);
	path_query(path, "limit", limit);
	path_query(path, "reverse", text[OPTION_REVERSE] ? "1" : NULL);
	path_query(path, "values", text[OPTION_VALUES] ? "1" : NULL);
	path_query(path, "cursor", cursor ? cursor : text[OPTION_CURSOR]);
}

static enum outcome
fetch_page(struct scan *scan)
{
	struct request request = { .method = "GET",
				   .accept = "application/json" };
	enum outcome outcome = OUTCOME_ERROR;
	struct reply reply = { 0 };
	struct buffer path;

	page_path(scan, &path);
	request.target = path_text(&path);
	if (request.target)
		outcome = client_call(scan->call->client, &request, &reply);
	buffer_fini(&path);
	json_decref(scan->page);
	scan->page = NULL;
	if (outcome == OUTCOME_OK && reply.body.len)
		scan->page = json_loadb(reply.body.data, reply.body.len,
					JSON_ALLOW_NUL, NULL);
	reply_fini(&reply);
	return outcome;
}

static bool
has_more(const struct scan *scan)
{
	if (!next_cursor(scan))
		return false;
	return scan->call->options->text[OPTION_ALL] ||
	       scan->printed < scan->limit;
}

/* That there are more keys cannot be seen from those that were printed. */
static void
end_text(const struct scan *scan)
{
	const char *cursor = next_cursor(scan);

	/* With --all it is only standard output that has failed. */
	if (cursor && !scan->call->options->text[OPTION_ALL])
		say("there are more keys: --all lists them, or --cursor %s",
		    cursor);
}

static void
end_json(const struct scan *scan)
{
	json_t *next = json_object_get(scan->page, "next");

	fputs("\n],\"next\":", stdout);
	if (!next || json_dumpf(next, stdout, JSON_ENCODE_ANY) != 0)
		fputs("null", stdout);
	fputs("}\n", stdout);
}

enum outcome
scan_run(const struct call *call)
{
	const char *limit = call->options->text[OPTION_LIMIT];
	struct scan scan = { .call = call };
	enum outcome outcome;

	/* options_parse() has seen that it is a number above 0. */
	if (!limit || !units_u64(bytes_of(limit), &scan.limit))
		scan.limit = LIMIT_USUAL;
	do {
		outcome = fetch_page(&scan);
		if (outcome == OUTCOME_OK)
			outcome = print_page(&scan);
	} while (outcome == OUTCOME_OK && has_more(&scan) && out_works());
	if (outcome == OUTCOME_OK && call->options->json)
		end_json(&scan);
	else if (outcome == OUTCOME_OK)
		end_text(&scan);
	json_decref(scan.page);
	return outcome;
}
