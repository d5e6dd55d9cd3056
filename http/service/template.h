/* SPDX-License-Identifier: MIT */
/*
 * The template of a path: "/orders/{id}/files/{path...}".
 *
 * Segments are literal, {name}, or, as the last one, {name...}. A literal is
 * made of the characters that stand in a path unencoded (RFC 3986, section
 * 3.3, pchar without pct-encoded); "." and ".." are none, since clients take
 * them out. A name is [a-z][a-z0-9_]*. "/" alone has no segment.
 */
#ifndef HTTP_SERVICE_TEMPLATE_H
#define HTTP_SERVICE_TEMPLATE_H

#include "core/base.h"

enum {
	TEMPLATE_SEGMENTS_MAX = 16,
	TEMPLATE_LITERAL_MAX = 100, /* bytes of a literal */
	TEMPLATE_NAME_MAX = 64,     /* bytes of a parameter's name */
};

enum template_kind { TEMPLATE_LITERAL, TEMPLATE_PARAMETER, TEMPLATE_REST };

struct template_part {
	enum template_kind kind;
	struct bytes text; /* the literal, or the parameter's name */
};

/* Borrows from the text. */
struct template
{
	unsigned count;
	struct template_part parts[TEMPLATE_SEGMENTS_MAX];
};

/* False: reason says why not. */
MUST_CHECK bool template_parse(struct template *template, struct bytes text,
			       char *reason, size_t reason_size);

#endif
