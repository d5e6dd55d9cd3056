/* SPDX-License-Identifier: MIT */
/*
 * A row as a line of NDJSON, {"id":1,"name":"Ann"}: its members in their
 * order, also where names come twice, and numbers as they are written.
 */
#ifndef TOOLS_SQL_ROW_H
#define TOOLS_SQL_ROW_H

#include "core/base.h"

/* Goes over the members: *rest begins at the brace, and each is taken off its
 * front, raw. False: there are no more, and then row_ended() tells whether all
 * of it was read. */
MUST_CHECK bool row_member(struct bytes *rest, struct bytes *name,
			   struct bytes *value);
bool row_ended(struct bytes rest);

#endif
