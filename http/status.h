/* SPDX-License-Identifier: MIT */
/*
 * HTTP statuses that we send, and the stable problem codes that go with them.
 */
#ifndef HTTP_STATUS_H
#define HTTP_STATUS_H

#include <stdbool.h>

#include "core/err.h"

/* number, title (RFC 9110's phrase), default code. */
#define STATUS_LIST(X) \
	X(200, "OK", "") \
	X(201, "Created", "") \
	X(202, "Accepted", "") \
	X(204, "No Content", "") \
	X(206, "Partial Content", "") \
	X(301, "Moved Permanently", "") \
	X(302, "Found", "") \
	X(303, "See Other", "") \
	X(304, "Not Modified", "") \
	X(307, "Temporary Redirect", "") \
	X(308, "Permanent Redirect", "") \
	X(400, "Bad Request", "bad_request") \
	X(401, "Unauthorized", "unauthenticated") \
	X(402, "Payment Required", "payment_required") \
	X(403, "Forbidden", "forbidden") \
	X(404, "Not Found", "not_found") \
	X(405, "Method Not Allowed", "method_not_allowed") \
	X(409, "Conflict", "conflict") \
	X(410, "Gone", "gone") \
	X(412, "Precondition Failed", "precondition_failed") \
	X(413, "Content Too Large", "too_large") \
	X(414, "URI Too Long", "too_large") \
	X(415, "Unsupported Media Type", "unsupported_media_type") \
	X(416, "Range Not Satisfiable", "range_not_satisfiable") \
	X(422, "Unprocessable Content", "constraint") \
	X(429, "Too Many Requests", "rate_limited") \
	X(431, "Request Header Fields Too Large", "too_large") \
	X(500, "Internal Server Error", "storage_fault") \
	X(501, "Not Implemented", "not_implemented") \
	X(503, "Service Unavailable", "overloaded") \
	X(504, "Gateway Timeout", "deadline") \
	X(507, "Insufficient Storage", "storage_full")

/* Dense indices, for counters. STATUS_GONE counts requests whose client left
 * before it had an answer. */
enum status_index {
#define STATUS_ENUM(number, title, code) STATUS_##number,
	STATUS_LIST(STATUS_ENUM)
#undef STATUS_ENUM
		STATUS_GONE,
	STATUS_COUNT
};

struct status {
	unsigned number;
	const char *title, *code;
};

/* Is it one that a route or fail() may choose? */
bool status_is_known(unsigned number);
/* Asserts that the number is in the list. */
enum status_index status_index(unsigned number);
const struct status *status_at(enum status_index index);

/* What an error of the store is for the client, and its code. */
unsigned http_status(enum err err, const char **code);

#endif
