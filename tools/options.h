/* SPDX-License-Identifier: MIT */
/*
 * The command line. Options may stand anywhere, before the command or after;
 * each is kept as the text that it came with.
 */
#ifndef TOOLS_OPTIONS_H
#define TOOLS_OPTIONS_H

#include "core/base.h"

/* name, long form, short form or 0, what its argument is (NULL: none) */
#define OPTION_LIST(X) \
	X(URL, "url", 0, "URL") \
	X(SOCKET, "socket", 0, "PATH") \
	X(STORE, "store", 's', "STORE") \
	X(OUTPUT, "output", 'o', "FORM") \
	X(TIMEOUT, "timeout", 0, "DURATION") \
	X(HELP, "help", 'h', NULL) \
	X(VERSION, "version", 'V', NULL) \
	X(TTL, "ttl", 0, "DURATION") \
	X(TYPE, "type", 0, "TYPE") \
	X(IF_MATCH, "if-match", 0, "ETAG") \
	X(IF_NONE_MATCH, "if-none-match", 0, "ETAG") \
	X(VALUE, "value", 0, "TEXT") \
	X(FILE, "file", 'f', "FILE") \
	X(BY, "by", 0, "N") \
	X(INITIAL, "initial", 0, "N") \
	X(PREFIX, "prefix", 0, "P") \
	X(START, "start", 0, "KEY") \
	X(END, "end", 0, "KEY") \
	X(REVERSE, "reverse", 0, NULL) \
	X(LIMIT, "limit", 'n', "N") \
	X(CURSOR, "cursor", 0, "CURSOR") \
	X(VALUES, "values", 0, NULL) \
	X(ALL, "all", 0, NULL) \
	X(EXECUTE, "execute", 'e', "SQL") \
	X(NAME, "name", 0, "NAME") \
	X(PURGE, "purge", 0, NULL) \
	X(YES, "yes", 'y', NULL) \
	X(SORT, "sort", 0, "total|max|calls|rows") \
	X(CONNECTIONS, "connections", 'c', "N") \
	X(THREADS, "threads", 't', "N") \
	X(DURATION, "duration", 'd', "DURATION") \
	X(WARMUP, "warmup", 0, "DURATION") \
	X(REQUESTS, "requests", 0, "N") \
	X(RATE, "rate", 'r', "R") \
	X(METHOD, "method", 'm', "METHOD") \
	X(HEADER, "header", 'H', "HEADER") \
	X(BODY, "body", 0, "TEXT|@FILE") \
	X(BODY_SIZE, "body-size", 0, "SIZE") \
	X(REQUEST, "request", 0, "KIND") \
	X(REQUEST_HEADER, "request-header", 0, "'I HEADER'") \
	X(KEYS, "keys", 0, "N") \
	X(ZIPF, "zipf", 0, "S") \
	X(SEED, "seed", 0, "N") \
	X(EXPECT, "expect", 0, "LIST") \
	X(FIND_RATE, "find-rate", 0, "pN=LIMIT")

enum option_name {
#define OPTION_ENUM(name, text, letter, argument) OPTION_##name,
	OPTION_LIST(OPTION_ENUM)
#undef OPTION_ENUM
		OPTION_COUNT
};

/* A set of options. */
typedef uint64_t option_mask;
#define OPTION_BIT(name) ((option_mask)1 << OPTION_##name)
static_assert(OPTION_COUNT <= 64, "an option_mask has a bit for each");
enum { OPTION_GLOBAL_LAST = OPTION_VERSION }; /* so far, for any command */

struct options {
	/* The argument, "" for one that takes none, NULL where not given; the
	 * last one where it was given more than once. */
	const char *text[OPTION_COUNT];
	/* All that were given, in order: see options_next(). */
	struct option_given {
		enum option_name name;
		const char *text;
	} * given;
	unsigned given_count;
	bool json;           /* --output json */
	uint64_t timeout_ms; /* 0: not given */
	/* What is no option, in order. */
	char **words;
	unsigned word_count;
};

/* Fills options from the command line; says what is wrong with it. The caller
 * runs options_fini() in any case. */
MUST_CHECK bool options_parse(struct options *options, int argc, char **argv);
void options_fini(struct options *options);

/* For an option that may be repeated: its next argument, NULL after the last.
 *	for (unsigned at = 0; (text = options_next(options, name, &at));) */
const char *options_next(const struct options *options, enum option_name name,
			 unsigned *at);

/* "--ttl", and the text that stands for its argument or NULL. */
const char *option_long(enum option_name name);
const char *option_argument(enum option_name name);

#endif
