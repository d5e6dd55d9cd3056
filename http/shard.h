/* SPDX-License-Identifier: MIT */
/*
 * A shard: some of the connections, as a source of the scheduler.
 *
 * It is a libmicrohttpd daemon in external epoll mode, without a listening
 * socket and without a thread. Whoever holds the source calls into it, nobody
 * else does. libmicrohttpd's types stay behind this header and reply.h.
 */
#ifndef HTTP_SHARD_H
#define HTTP_SHARD_H

#include "core/affinity.h"
#include "core/sched.h"
#include "http/request.h"
#include "http/server.h"

struct conn;
struct MHD_Response;

MUST_CHECK enum err shard_create(struct server *server, struct shard **out);
/* After the scheduler has stopped: nobody holds it any more. */
void shard_destroy(struct shard *shard);
struct source *shard_source(struct shard *shard);
/* Any thread. */
struct server *shard_server(const struct shard *shard);
/* Any thread. */
unsigned shard_connections(const struct shard *shard);

/* First in all that libmicrohttpd calls: its wait may end with it. Cheap when
 * called again. */
void shard_begin_work(struct shard *shard) ON_WORKER;
/* Queues what was built for the request, in its handler or while it is
 * suspended. */
void shard_queue(struct request *request, unsigned status,
		 struct MHD_Response *response) ON_WORKER;
/* The waiting request's work is done: has finish() called. */
void shard_go_on(struct request *request) ON_WORKER;
/* Within its stream: nothing more is there for now. Until shard_end_rest(),
 * which does nothing where it rests no more. */
void shard_rest(struct request *request);
void shard_end_rest(struct request *request);

/* Any thread. Gives it a connection that was just accepted. */
void shard_give(struct shard *shard, struct conn *conn);

#endif
