/* SPDX-License-Identifier: MIT */
/*
 * The first look at a request: when its headers are there, and before any of
 * its body. On the worker that holds its shard.
 */
#ifndef HTTP_INTAKE_H
#define HTTP_INTAKE_H

#include "http/request.h"

struct MHD_Connection;

enum {
	/*
	 * A connection's memory: request line, headers, their parsed form and
	 * the reply's head. libmicrohttpd clears all of it for each request,
	 * so its default of 32 KiB would cost a first-level cache each time.
	 */
	POOL_SIZE = 8 << 10,
};

void intake_head(struct request *request, struct MHD_Connection *connection,
		 const char *method, const char *version) ON_WORKER;

#endif
