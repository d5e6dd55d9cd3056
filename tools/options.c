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

static bool
is_number(const char *text)
{
	uint64_t number;

	return units_u64(bytes_of(text), &number);
}

static bool
is_size(const char *text)
{
	uint64_t size;

	return units_size(bytes_of(text), &size);
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
	{ OPTION_CONNECTIONS, is_count, "a number above 0" },
	{ OPTION_THREADS, is_count, "a number above 0" },
	{ OPTION_DURATION, is_duration, "a duration such as 500ms, 30s or 5m" },
	{ OPTION_WARMUP, is_lifetime, "a duration such as 0s or 500ms" },
	{ OPTION_REQUESTS, is_count, "a number above 0" },
	{ OPTION_RATE, is_count, "requests per second, a number above 0" },
	{ OPTION_BODY_SIZE, is_size, "a size such as 512 or 64K" },
	{ OPTION_KEYS, is_count, "a number above 0" },
	{ OPTION_SEED, is_number, "a number" },
};

static const enum option_name rivals[][2] = {
	{ OPTION_URL, OPTION_SOCKET },
	{ OPTION_VALUE, OPTION_FILE },
	{ OPTION_EXECUTE, OPTION_FILE },
	{ OPTION_BODY, OPTION_BODY_SIZE },
	{ OPTION_DURATION, OPTION_REQUESTS },
	{ OPTION_RATE, OPTION_REQUESTS },
	{ OPTION_FIND_RATE, OPTION_REQUESTS },
	{ OPTION_REQUEST, OPTION_METHOD },
	{ OPTION_REQUEST, OPTION_BODY },
	{ OPTION_REQUEST, OPTION_BODY_SIZE },
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

/* A colon first, then each letter, with a colon if it has an argument. */
enum { LETTERS_SIZE = 1 + 2 * OPTION_COUNT + 1 };

static void
short_options(char letters[LETTERS_SIZE])
{
	*letters++ = ':';
	for (int i = 0; i < OPTION_COUNT; i++) {
		if (!table[i].letter)
			continue;
		*letters++ = table[i].letter;
		if (table[i].argument)
			*letters++ = ':';
	}
	*letters = '\0';
}

/* More than one option begins with the word. */
static bool
is_ambiguous(const char *word)
{
	size_t len = strcspn(word, "=");
	unsigned count = 0;

	for (int i = 0; i < OPTION_COUNT; i++)
		count += !strncmp(table[i].text, word, len);
	return count > 1;
}

/* What getopt_long() did not take. Of a letter, which may stand among others,
 * and of an option whose argument is wrong it tells which; a long one that it
 * does not know is the word. */
static bool
refuse(int found, const char *word)
{
	char letter[] = { '-', (char)optopt, '\0' };
	const char *option = optopt >= LONG_BASE
				     ? option_long(optopt - LONG_BASE)
			     : optopt ? letter
				      : word;

	if (found == ':')
		say("%s needs an argument", option);
	else if (optopt >= LONG_BASE)
		say("%s takes no argument", option);
	else if (!optopt && is_ambiguous(word))
		say("%s is the beginning of several options", option);
	else
		say("unknown option %s", option);
	return false;
}

static bool
collect(struct options *options, int argc, char **argv)
{
	struct option longs[OPTION_COUNT + 1];
	char letters[LETTERS_SIZE];
	int found;

	long_options(longs);
	short_options(letters);
	opterr = 0;
	while ((found = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		int name = name_of(found);

		if (name < 0)
			return refuse(found, argv[optind - 1]);
		options->text[name] = optarg ? optarg : "";
		options->given[options->given_count++] =
			(struct option_given){ (enum option_name)name,
					       options->text[name] };
	}
	options->words = argv + optind;
	options->word_count = (unsigned)(argc - optind);
	return true;
}

/* At least as many as options are given: "-hVy" are three. */
static size_t
letters_max(int argc, char **argv)
{
	size_t sum = 1;

	for (int i = 0; i < argc; i++)
		sum += strlen(argv[i]);
	return sum;
}

bool
options_parse(struct options *options, int argc, char **argv)
{
	*options = (struct options){ 0 };
	options->given =
		calloc(letters_max(argc, argv), sizeof(*options->given));
	if (!options->given) {
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
	free(options->given);
}

const char *
options_next(const struct options *options, enum option_name name, unsigned *at)
{
	while (*at < options->given_count) {
		const struct option_given *given = &options->given[(*at)++];

		if (given->name == name)
			return given->text;
	}
	return NULL;
}
