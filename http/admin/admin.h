/* SPDX-License-Identifier: MIT */
/*
 * The administrator's API, /v1/admin/...: answered on the admin socket only,
 * which route.c looks at before anything else of it.
 *
 * Its work is done on slow threads: it waits for the disk and for databases.
 * What concerns services is done in the deploys' turns.
 */
#ifndef HTTP_ADMIN_ADMIN_H
#define HTTP_ADMIN_ADMIN_H

#include "core/json.h"
#include "http/reply.h"
#include "http/request.h"

/* "name": text or null. */
void admin_put_text(struct json *json, const char *name, const char *text);
void admin_put_number(struct json *json, const char *name, uint64_t number);
/* 200 with what the buffer holds, or its error. */
void admin_send(struct request *request, struct buffer *body) ON_WORKER;

#endif
