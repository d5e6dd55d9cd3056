/* SPDX-License-Identifier: MIT */
/*
 * A request, from its first line to the end of its reply.
 *
 * It is counted by the connection it came on and by the work done for it
 * (a task, an item in a lane); whoever lets go last gives it back to the pool
 * of the worker it is on. All fields belong to the thread that holds the
 * shard, but for the time from request_wait() until its parcel is opened:
 * then they belong to the task or the lane that works on it.
 */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include "core/affinity.h"
#include "core/base.h"
#include "core/buffer.h"
#include "core/fiber.h"
#include "core/sched.h"
#include "core/slow.h"
#include "http/action.h"
#include "http/guard.h"
#include "http/server.h"
#include "storage/kv.h"
#include "storage/sql.h"

enum {
	/* Decoded keys, small bodies and reply heads of usual requests fit;
	 * what does not is malloc'd and freed with the request. */
	REQUEST_ARENA = 1536,
	REQUEST_PARAMETERS_MAX = 16,
	REQUEST_ID_MAX = 64,
	REQUEST_ID_OURS = 16,
	BODY_INLINE = 512,
	/* No store has this index. */
	TARGET_TAG = 0xFF,
	/* Bodies up to this are not counted in server->body_memory. */
	BODY_SMALL = 4096,
};

struct catalog;
struct kept_reply;
struct route;
struct service;

struct parameter {
	struct bytes name, value; /* decoded */
};

enum request_state {
	REQUEST_HEAD,     /* the request line was read */
	REQUEST_BODY,     /* accepted, the body comes */
	REQUEST_WAITING,  /* held or suspended: a task or a lane has it */
	REQUEST_ANSWERED, /* a reply was queued */
	REQUEST_CUT,      /* answered beside libmicrohttpd: what still comes
			     is read and dropped, then closed */
};

struct request {
	/* Cleared when it begins. */
	struct conn *conn; /* NULL when the client left */
	struct shard *shard;
	const struct action *action;
	enum request_state state;
	enum method method;
	enum resource resource;
	unsigned refs;
	bool http10;
	bool body_complete;
	bool slow_wait; /* the action's: it waits for seconds: not held */
	bool held;      /* waiting, and not suspended: see shard.c */
	bool ready;     /* held, and its parcel was opened */
	bool trusted;   /* the peer may administrate: see listener.h */
	/* Atomic: the client left while the request was waiting. Set by the
	 * shard's holder, read by who works on it. */
	unsigned cancelled;
	unsigned short status; /* of the reply; 0: none yet */
	uint64_t started_ns;

	struct bytes target; /* raw, in the arena; the byte before it is
				TARGET_TAG: with it, a key of the cache */
	struct bytes path;   /* raw, without the query */
	struct bytes query;  /* raw, after "?"; data NULL: none */
	unsigned parameter_count;

	/* Route. key begins one byte after key_tagged, whose first byte is
	 * the store's index: that is the cache's key. */
	unsigned store;
	struct kv *kv;
	struct sql *sql;   /* /v1/sql */
	struct bytes name; /* of a service: /v1/admin */
	/* A service's. The catalog is counted for as long as the request
	 * lives; so are service and route. */
	struct catalog *catalog;
	const struct service *service;
	const struct route *route;
	struct kept_reply *shared; /* what another request's run has made */
	struct bytes key, key_tagged;
	uint64_t hash; /* kv_hash() of the key */
	/* The hash that the cache will be asked for: of the key that the target
	 * seems to have, else of the target, as a reply's key. */
	uint64_t foreseen;
	struct bytes foreseen_key; /* raw; empty: of the target */

	/* Body so far; NULL: none. Malloc'd, or in the arena where its length
	 * is known and BODY_INLINE at most. */
	char *body;
	bool body_inline;
	size_t body_len, body_capacity;
	size_t stream_chunk; /* collect this much; 0: the usual */
	/* Why no more of a stream's body was taken: its action answers, since
	 * it knows what is done. */
	enum err stream_err;

	struct frame *frame; /* what it is answered with; its worker's */
	void *work;          /* of the action; freed by free_work(work) */
	void (*free_work)(void *work);
	void (*finish)(struct request *request); /* after waiting */
	struct overflow *overflow; /* arena blocks beyond the first */
	size_t arena_used;

	/* Not cleared. */
	struct request *next_free;
	struct headers headers;
	struct parameter parameters[REQUEST_PARAMETERS_MAX];
	char id[REQUEST_ID_MAX];
	unsigned id_len;
	struct task task;
	struct fiber_task fiber;
	struct slow_job slow;
	void (*go)(struct request *request); /* what these two run */
	task_fn go_task;                     /* what the task runs */
	struct parcel parcel;
	struct kv_op op;
	struct kv_write write;
	char arena[REQUEST_ARENA];
};

/* ---- life, called by the shard ------------------------------------------ */

/* From the pool; NULL: no memory. One reference, the connection's. */
struct request *request_begin(struct local *local,
			      struct bytes target) ON_WORKER;
void request_release(struct request *request) ON_WORKER;

/* When there is a target, and again when the headers are there: has what the
 * cache will be asked for brought near. A wrong guess does no harm. */
void request_foresee(struct request *request) ON_WORKER;
void request_foresee_entry(const struct request *request) ON_WORKER;

/* Guard passed: finds out what is asked for. Answers by itself, with false,
 * when that is nothing we have. */
MUST_CHECK bool request_route(struct request *request) ON_WORKER;

/* Largest body of the request's action, in bytes. */
uint64_t request_body_max(const struct request *request);
/* Keeps data. ERR_TOO_LARGE: beyond max. ERR_OVERLOADED: all bodies together
 * need more than limits.body_memory. */
MUST_CHECK enum err request_body_add(struct request *request, const void *data,
				     size_t len, uint64_t max) ON_WORKER;
/* Takes the first n bytes of the body away; for streams. */
void request_body_consume(struct request *request, size_t n);

/* "GET /shop/orders/{id}": of its route, or its action. Lives for ever. */
const char *request_label(const struct request *request);

/* ---- for actions -------------------------------------------------------- */

/* n bytes that live as long as the request, aligned for anything; NULL: no
 * memory. */
void *request_alloc(struct request *request, size_t n);

/* The decoded query parameter; data NULL: absent. */
struct bytes request_parameter(const struct request *request, const char *name);
/* One that is 1 or true, 0 or false; absent it is false. False: it is
 * something else. */
MUST_CHECK bool request_flag(const struct request *request, const char *name,
			     bool *out);
/* Decodes the query, of a service's request: others have it done. False:
 * answered. */
MUST_CHECK bool request_decode_query(struct request *request) ON_WORKER;
/* Decodes name=value&...; REQUEST_PARAMETERS_MAX at most. False: it is
 * malformed, or there are more. */
MUST_CHECK bool request_decode_pairs(struct request *request, struct bytes text,
				     struct parameter *parameters,
				     unsigned *count);

/*
 * The request will be answered later: it is held or suspended when the action
 * returns. Work goes on in run() as a task, or in the store's lane, and ends
 * by request_post(); the shard then calls finish(request) on a worker, which
 * answers, or waits again.
 */
void request_wait_task(struct request *request, task_fn run) ON_WORKER;
/* The same on a fiber, where run() may wait (core/fiber.h), and on a slow
 * thread. Both end by request_post(). */
void request_wait_fiber(struct request *request,
			void (*run)(struct request *)) ON_WORKER;
/* False: it was not taken, and is answered. */
MUST_CHECK bool request_wait_slow(struct request *request,
				  void (*run)(struct request *)) ON_WORKER;
/* From a task or fiber: it goes on on a slow thread. ERR_OK: the request is no
 * longer the caller's. */
MUST_CHECK enum err request_pass_slow(struct request *request,
				      void (*run)(struct request *));
/* From a slow thread: it goes on on a fiber. */
void request_pass_fiber(struct request *request, void (*run)(struct request *));
/* The request waits for whoever will call request_post(). */
void request_wait(struct request *request) ON_WORKER;
/* write's ops are set. False: it was not taken, and is answered. */
MUST_CHECK bool request_wait_write(struct request *request,
				   void (*finish)(struct request *)) ON_WORKER;
/* From a task: the same, and the task ends. On an error the request is still
 * the task's. */
MUST_CHECK enum err request_pass_write(struct request *request,
				       void (*finish)(struct request *));
/* From a task: back to the shard, which calls finish(). */
void request_post(struct request *request, void (*finish)(struct request *));
/* From a task that is not done: its rest runs behind the others. */
void request_again(struct request *request);

/* The database's lane, in the same way. */
MUST_CHECK bool request_wait_sql(struct request *request, struct sql *sql,
				 struct sql_write *write,
				 void (*finish)(struct request *)) ON_WORKER;
/* From a task or fiber; on an error the request is still the caller's. */
MUST_CHECK enum err request_pass_sql(struct request *request, struct sql *sql,
				     struct sql_write *write,
				     void (*finish)(struct request *));

static inline struct request *
request_of_task(struct task *task)
{
	return CONTAINER_OF(task, struct request, task);
}

#endif
