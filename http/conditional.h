/* SPDX-License-Identifier: MIT */
/*
 * Conditional and range requests (RFC 9110, sections 13 and 14).
 */
#ifndef HTTP_CONDITIONAL_H
#define HTTP_CONDITIONAL_H

#include "core/base.h"
#include "http/guard.h"
#include "storage/kv.h"

/* Reads an If-Match (strong) or If-None-Match header for the store. Tags that
 * are not ours match nothing. NULL, or what is wrong with it. */
const char *condition_parse(struct bytes header, bool strong,
			    struct kv_condition *condition);

/* What stands between the quotes of a tag; 0: not one of ours. */
uint64_t etag_parse(struct bytes text);

/* Both of a write's; the same answer. */
const char *conditions_parse(const struct headers *headers,
			     struct kv_condition *if_match,
			     struct kv_condition *if_none_match);

/* What the preconditions of a GET make of what is there. */
enum verdict {
	VERDICT_SEND,
	VERDICT_NOT_MODIFIED, /* 304 */
	VERDICT_FAILED,       /* 412 */
	VERDICT_MALFORMED,    /* 400 */
};
enum verdict conditions_judge(const struct headers *headers, uint64_t seq,
			      uint64_t modified_ms);

/* The same where there is a tag and no date. */
enum verdict conditions_judge_tag(const struct headers *headers, uint64_t tag);

/* The one byte range of a Range header on a value of size bytes. */
enum range {
	RANGE_NONE, /* no Range, several, another unit, or If-Range is not
		       the tag of seq: all of it */
	RANGE_SOME,
	RANGE_OUTSIDE, /* 416 */
};
enum range range_parse(const struct headers *headers, uint64_t seq, size_t size,
		       size_t *first, size_t *last);

#endif
