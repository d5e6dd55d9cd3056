/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the parser know of each other.
 */
#ifndef HTTP_SERVICE_PARSE_INTERNAL_H
#define HTTP_SERVICE_PARSE_INTERNAL_H

#include "http/service/parse.h"

/* ---- options of a route: parse_options.c --------------------------------- */

enum option {
	OPTION_REPLY,
	OPTION_STATUS,
	OPTION_TYPE,
	OPTION_LOCATION,
	OPTION_CACHE,
	OPTION_OPTIONAL,
	OPTION_TIMEOUT,
	OPTION_MAX_ROWS,
	OPTION_SUMMARY,
	OPTION_COUNT
};

/* Of one route, while they are read. */
struct options {
	struct route_spec *route;
	struct complaints *complaints;
	enum option option; /* in hand */
	unsigned line;
	unsigned lines[OPTION_COUNT]; /* of each; 0: not given */
	bool failed;                  /* something was complained of */
};

/* "-- name: value": does the comment look like an option? name and value are
 * without blanks around them. */
bool option_split(struct bytes comment, struct bytes *name,
		  struct bytes *value);
bool option_is_known(struct bytes name);
/* Complains of what is wrong. */
void options_take(struct options *options, unsigned line, struct bytes name,
		  struct bytes value);
/* When all are there: what fits together, and defaults. */
void options_finish(struct options *options);

/* ---- the parts of `optional`: parse_optional.c --------------------------- */

/* "a=1, b='x', c": appends to the route's. */
void optional_take(struct options *options, const char *value);
/* About the option in hand. */
void option_complain(struct options *options, const char *format, ...)
	PRINTF(2, 3);

/* ---- parse.c --------------------------------------------------------------
 */

void route_spec_fini(struct route_spec *route);
void settings_fini(struct service_settings *settings);

/* ---- small things -------------------------------------------------------- */

/* A copy with a NUL behind. NULL: no memory. */
char *bytes_copy(struct bytes bytes);
/* Without blanks at both ends. */
struct bytes bytes_trim(struct bytes bytes);
/* items, with room for one more than count, perhaps elsewhere. NULL: no memory,
 * and items are where they were. Nobody keeps the capacity: it is 1, 2, 4 and
 * so on, so that only a full array is moved. */
void *array_reserve(void *items, unsigned count, size_t size);
/* auth_subject, request_id or body: set by the server, whatever a client
 * sends. */
bool parameter_is_reserved(struct bytes name);

#endif
