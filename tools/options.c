/* SPDX-License-Identifier: MIT */
#include "tools/options.h"

#include <getopt.h>
#include <stdlib.h>

#include "core/err.h"
#include "core/units.h"
#include "tools/out.h"

static const struct {
	const char *text; /* with its two dashes */
	char letter;
	const char *argument;
} table[OPTION_COUNT] = {
#define OPTION_ROW(name, text, letter, argument) \
	{ "--" text, letter, argument },
	OPTION_LIST(OPTION_ROW)
#undef OPTION_ROW
};

const char *
option_long(enum option_name name)
{
	return table[name].text;
}

const char *
option_argument(enum option_name name)
{
	return table[name].argument;
}

/* Values that getopt_long() returns: option_name above any letter. */
enum { LONG_BASE = 256 };

static int
name_of(int found)
{
	if (found >= LONG_BASE)
		return found - LONG_BASE;
	for (int i = 0; i < OPTION_COUNT; i++)
		if (table[i].letter && table[i].letter == found)
			return i;
	return -1;
}

static bool
is_duration(const char *text)
{
	uint64_t ms;

	return units_duration_ms(bytes_of(text), &ms) && ms > 0;
}

/* 0s: never, in a store that has a time to live of its own. */
static bool
is_lifetime(const char *text)
{
	uint64_t ms;

	return units_duration_ms(bytes_of(text), &ms);
}

static bool
is_integer(const char *text)
{
	int64_t number;

	return units_i64(bytes_of(text), &number);
}

static bool
is_count(const char *text)
{
	uint64_t number;

	return units_u64(bytes_of(text), &number) && number > 0;
}

/* A header's value: it may not end the header. */
static bool
is_header(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

/* Not empty: libcurl would leave the field out, and the condition with it. */
static bool
is_tag(const char *text)
{
	return *text && is_header(text);
}

static bool
is_sort(const char *text)
{
	return bytes_listed("total max calls rows", bytes_of(text));
}

static const struct {
	enum option_name name;
	bool (*good)(const char *text);
	const char *wanted;
} checks[] = {
	{ OPTION_TIMEOUT, is_duration, "a duration such as 500ms, 30s or 5m" },
	{ OPTION_TTL, is_lifetime, "a duration such as 500ms, 30s or 5m" },
	{ OPTION_BY, is_integer, "a 64-bit integer" },
	{ OPTION_INITIAL, is_integer, "a 64-bit integer" },
	{ OPTION_LIMIT, is_count, "a number above 0" },
	{ OPTION_TYPE, is_header, "a media type without control characters" },
	{ OPTION_IF_MATCH, is_tag, "an entity tag" },
	{ OPTION_IF_NONE_MATCH, is_tag, "an entity tag" },
	{ OPTION_SORT, is_sort, "total, max, calls or rows" },
};

static const enum option_name rivals[][2] = {
	{ OPTION_URL, OPTION_SOCKET },
	{ OPTION_VALUE, OPTION_FILE },
	{ OPTION_EXECUTE, OPTION_FILE },
};

static bool
check_rivals(const struct options *options)
{
	for (size_t i = 0; i < ARRAY_LEN(rivals); i++) {
		const enum option_name *pair = rivals[i];

		if (!options->text[pair[0]] || !options->text[pair[1]])
			continue;
		say("choose one of %s and %s", option_long(pair[0]),
		    option_long(pair[1]));
		return false;
	}
	return true;
}

static bool
check_arguments(const struct options *options)
{
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		const char *text = options->text[checks[i].name];

		if (!text || checks[i].good(text))
			continue;
		say("%s takes %s, not '%s'", option_long(checks[i].name),
		    checks[i].wanted, text);
		return false;
	}
	return true;
}

static void
long_options(struct option *out)
{
	for (int i = 0; i < OPTION_COUNT; i++)
		out[i] = (struct option){
			.name = table[i].text + 2,
			.has_arg = table[i].argument ? required_argument
						     : no_argument,
			.val = LONG_BASE + i,
		};
	out[OPTION_COUNT] = (struct option){ 0 };
}

static bool
collect(struct options *options, int argc, char **argv)
{
	struct option longs[OPTION_COUNT + 1];
	int found;

	long_options(longs);
	opterr = 0;
	while ((found = getopt_long(argc, argv, ":s:o:f:n:e:hVy", longs,
				    NULL)) != -1) {
		int name = name_of(found);

		if (found == ':') {
			say("%s needs an argument", argv[optind - 1]);
			return false;
		}
		if (name < 0) {
			say("unknown option %s", argv[optind - 1]);
			return false;
		}
		options->text[name] = optarg ? optarg : "";
		if (name == OPTION_EXECUTE)
			options->execute[options->execute_count++] = optarg;
	}
	options->words = argv + optind;
	options->word_count = (unsigned)(argc - optind);
	return true;
}

bool
options_parse(struct options *options, int argc, char **argv)
{
	*options = (struct options){ 0 };
	/* More than are given. */
	options->execute = calloc((size_t)argc + 1, sizeof(*options->execute));
	if (!options->execute) {
		say("%s", err_text(ERR_NOMEM));
		return false;
	}
	if (!collect(options, argc, argv) || !check_arguments(options) ||
	    !check_rivals(options))
		return false;
	options->json = options->text[OPTION_OUTPUT] &&
			!strcmp(options->text[OPTION_OUTPUT], "json");
	/* check_arguments() has seen that it is good. */
	if (options->text[OPTION_TIMEOUT] &&
	    !units_duration_ms(bytes_of(options->text[OPTION_TIMEOUT]),
			       &options->timeout_ms))
		return false;
	return true;
}

void
options_fini(struct options *options)
{
	free(options->execute);
}
