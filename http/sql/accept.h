/* SPDX-License-Identifier: MIT */
/*
 * Which form of a result a client wants (RFC 9110, section 12.5.1).
 */
#ifndef HTTP_SQL_ACCEPT_H
#define HTTP_SQL_ACCEPT_H

#include "core/base.h"

enum accept { ACCEPT_JSON, ACCEPT_NDJSON, ACCEPT_CSV, ACCEPT_COUNT };

/*
 * The one with the highest q; of equal ones what is named more exactly, then
 * what is named first. JSON where there is no header, where it is malformed,
 * and where it has nothing that we make: an answer in JSON is of more use than
 * 406, and RFC 9110 leaves that to us.
 */
enum accept accept_choose(struct bytes header);
const char *accept_type(enum accept accept);

#endif
