/* SPDX-License-Identifier: MIT */
#include "http/shard.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/profile.h"
#include "http/conn.h"
#include "http/intake.h"
#include "http/reply.h"
#include "http/service/run.h"
#include "http/service/service.h"

enum {
	/* What a stream's body is collected to before its action runs. */
	STREAM_CHUNK = 64 << 10,
	/* A shard's: its held requests cost each run 3 us at most. */
	HELD_MAX = 32,
	/* libmicrohttpd takes 128 events at once; some are not connections. */
	WAIT_CONNS_MAX = 100,
};
#define HELD_TICK_NS (2 * NS_PER_MS)

struct shard {
	struct source source;
	struct server *server;

	/* The holder's. */
	struct MHD_Daemon *daemon;
	struct conn_list conns;
	struct conn *adding; /* ours until libmicrohttpd says that it began */
	unsigned held;       /* requests that wait without being suspended */
	unsigned work;       /* requests answered in this run */
	uint64_t sweep_ns;   /* when deadlines are looked at next */
	uint64_t watch_ns;   /* and who left */
	bool draining;       /* as the last sweep saw it */
	bool waiting;        /* in wait_run(), and nothing has come yet */

	/* Atomic: given to it by acceptors, taken off by the holder. */
	alignas(CACHE_LINE) unsigned connections;
};

/* ---- connections -------------------------------------------------------- */

static void
count_connection(struct shard *shard, int change)
{
	ck_pr_add_uint(&shard->connections, (unsigned)change);
	ck_pr_add_64(&shard->server->connections, (uint64_t)(int64_t)change);
}

static void
on_connection(void *cls, struct MHD_Connection *connection, void **context,
	      enum MHD_ConnectionNotificationCode code)
{
	struct shard *shard = cls;
	struct conn *conn = *context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		conn = shard->adding;
		shard->adding = NULL;
		conn->mhd = connection;
		conn->local = conn_is_local(conn);
		conn->since_ns = clock_mono_ns();
		conn_list_add(&shard->conns, conn);
		*context = conn;
		return;
	}
	conn_list_remove(&shard->conns, conn);
	count_connection(shard, -1);
	free(conn);
}

/* A connection that an acceptor gave us. */
static void
open_conn(struct parcel *parcel)
{
	struct conn *conn = CONTAINER_OF(parcel, struct conn, parcel);
	struct shard *shard = conn->shard;

	TAKES_OVER(conn);
	shard->adding = conn;
	/* On an error libmicrohttpd has closed the socket. It may have begun
	 * the connection and ended it again: then conn is gone. */
	if (!MHD_add_connection(shard->daemon, conn->fd,
				(const struct sockaddr *)&conn->address,
				conn->address_len))
		log_warn("connection refused error=\"%s\"", strerror(errno));
	if (shard->adding) {
		shard->adding = NULL;
		count_connection(shard, -1);
		free(conn);
	}
	shard->work++;
}

void
shard_give(struct shard *shard, struct conn *conn)
{
	conn->shard = shard;
	conn->parcel.open = open_conn;
	count_connection(shard, 1);
	HANDS_OVER(conn);
	source_post(&shard->source, &conn->parcel);
	source_wake(&shard->source);
}

/* ---- requests ----------------------------------------------------------- */

static struct conn *
conn_of(struct MHD_Connection *connection)
{
	return MHD_get_connection_info(connection,
				       MHD_CONNECTION_INFO_SOCKET_CONTEXT)
		->socket_context;
}

void
shard_begin_work(struct shard *shard)
{
	if (!shard->waiting)
		return;
	shard->waiting = false;
	sched_awake();
	/* While it waited it had no catalog, which may have been freed. */
	catalog_take_up(local_self());
}

/* The request line has come: before libmicrohttpd takes the target apart. */
static void *
on_target(void *cls, const char *target,
	  struct MHD_Connection *connection) ON_WORKER
{
	struct shard *shard = cls;
	struct conn *conn = conn_of(connection);
	struct request *request;

	shard_begin_work(shard);
	request = request_begin(local_self(), bytes_of(target ? target : ""));
	if (!request)
		return NULL;
	request->conn = conn;
	request->shard = shard;
	request->trusted = conn->trusted;
	conn_phase(conn, CONN_HEADERS, request->started_ns);
	request_foresee(request);
	return request;
}

/* We decode on our own: what is a separator and what was encoded is lost
 * otherwise. */
static size_t
leave_encoded(void *cls, struct MHD_Connection *connection, char *text)
{
	return strlen(text);
}

static void
let_go(struct request *request)
{
	if (request->held)
		request->shard->held--;
	request->held = request->ready = false;
	conn_unwatch(&request->shard->conns, request->conn);
}

static void
on_completed(void *cls, struct MHD_Connection *connection, void **context,
	     enum MHD_RequestTerminationCode code) ON_WORKER
{
	struct shard *shard = cls;
	struct request *request = *context;
	struct local *local = local_self();
	uint64_t now = clock_mono_ns();
	enum action_index action;

	shard_begin_work(shard);
	if (!request)
		return;
	action = request->action->index;
	counter_add(
		&local->requests[action][request->status
						 ? status_index(request->status)
						 : STATUS_GONE],
		1);
	histogram_add(&local->duration[action], now - request->started_ns);
	if (request->route)
		service_count(request, now - request->started_ns);
	conn_phase(request->conn, CONN_IDLE, now);
	let_go(request);
	if (request->frame)
		frame_give(&local->frames, request->frame);
	request->conn->resting = false;
	request->conn = NULL;
	/* Who works on it, and reads this now and then, may stop. */
	ck_pr_store_uint(&request->cancelled, 1);
	*context = NULL;
	shard->work++;
	request_release(request);
}

/*
 * A request that waits is held or suspended. Held, it stays where it is:
 * libmicrohttpd calls the handler again in every MHD_run(), which costs a
 * tenth of a microsecond each time, until it is ready. Suspended, it costs
 * nothing meanwhile, but three system calls to leave epoll and come back.
 * So a few are held, those beyond are suspended, and those that wait for
 * seconds; a body that has not come whole can only be stopped by suspending.
 */
static void
hold_or_suspend(struct request *request, struct MHD_Connection *connection)
{
	struct shard *shard = request->shard;

	conn_watch(&shard->conns, request->conn, request);
	if (request->body_complete && !request->slow_wait &&
	    shard->held < HELD_MAX) {
		request->held = true;
		shard->held++;
	} else {
		MHD_suspend_connection(connection);
	}
}

static void
run_action(struct request *request, struct MHD_Connection *connection)
{
	conn_phase(request->conn, CONN_WORKING, request->started_ns);
	profile_mark_set(PROFILE_REQUEST, request_label(request));
	request->action->run(request);
	profile_mark_set(PROFILE_SOURCE, NULL);
	if (request->state == REQUEST_WAITING)
		hold_or_suspend(request, connection);
}

/* Answers, or waits for more. */
static void
finish(struct request *request)
{
	profile_mark_set(PROFILE_REQUEST, request_label(request));
	request->finish(request);
	profile_mark_set(PROFILE_SOURCE, NULL);
}

/* Its work is done; it may wait for the next. */
static void
go_on_held(struct request *request, struct MHD_Connection *connection)
{
	let_go(request);
	finish(request);
	if (request->state == REQUEST_WAITING)
		hold_or_suspend(request, connection);
}

static void
count_body(struct request *request, size_t n) ON_WORKER
{
	counter_add(&local_self()->body_bytes, n);
	conn_progress(request->conn, n);
}

/* What the chunk has no room for comes again. */
static void
on_stream_piece(struct request *request, struct MHD_Connection *connection,
		const char *data, size_t *len) ON_WORKER
{
	size_t chunk =
		request->stream_chunk ? request->stream_chunk : STREAM_CHUNK;
	size_t room = request->body_len < chunk ? chunk - request->body_len : 0;
	size_t take = *len < room ? *len : room;
	enum err err;

	err = request_body_add(request, data, take, UINT64_MAX);
	if (!err) {
		count_body(request, take);
		*len -= take;
	}
	request->stream_err = err;
	if (err || request->body_len >= chunk)
		run_action(request, connection);
}

static void
on_body_piece(struct request *request, struct MHD_Connection *connection,
	      const char *data, size_t *len) ON_WORKER
{
	enum err err;

	if (request->action->body == BODY_STREAM) {
		on_stream_piece(request, connection, data, len);
		return;
	}
	count_body(request, *len);
	err = request_body_add(request, data, *len, request_body_max(request));
	if (err)
		reply_cut(request, err);
	*len = 0;
}

static void
on_complete(struct request *request,
	    struct MHD_Connection *connection) ON_WORKER
{
	bool routed = request->action->index != ACTION_NONE;

	request->body_complete = true;
	if (routed || request_route(request))
		run_action(request, connection);
}

/* What libmicrohttpd calls for each request: once when the headers are
 * there, for each piece of the body, and once when all is there. */
static enum MHD_Result
on_request(void *cls, struct MHD_Connection *connection, const char *url,
	   const char *method, const char *version, const char *data,
	   size_t *len, void **context) ON_WORKER
{
	struct request *request = *context;

	shard_begin_work(cls);
	if (!request)
		return MHD_NO; /* there was no memory for it */
	switch (request->state) {
	case REQUEST_HEAD:
		sched_slice_over();
		intake_head(request, connection, method, version);
		break;
	case REQUEST_BODY:
		if (*len)
			on_body_piece(request, connection, data, len);
		else
			on_complete(request, connection);
		break;
	case REQUEST_WAITING:
		/* Held, or the rest of a buffer, which comes again after the
		 * resume. */
		if (!request->ready)
			return MHD_YES;
		go_on_held(request, connection);
		break;
	case REQUEST_ANSWERED:
		*len = 0;
		break;
	case REQUEST_CUT:
		/* What still comes is read, so that closing does not reset
		 * the connection before the client has read its answer. */
		if (!*len || !conn_linger(request->conn, *len))
			return MHD_NO;
		*len = 0;
		return MHD_YES;
	}
	return request->state == REQUEST_CUT && !request->conn->lingering
		       ? MHD_NO
		       : MHD_YES;
}

void
shard_queue(struct request *request, unsigned status,
	    struct MHD_Response *response)
{
	struct conn *conn = request->conn;

	if (MHD_queue_response(conn->mhd, status, response)) {
		conn_phase(conn, CONN_REPLYING, clock_coarse_ns());
		return;
	}
	/* Only without memory: the connection is closed. */
	request->state = REQUEST_CUT;
}

void
shard_go_on(struct request *request)
{
	request->shard->work++;
	if (request->held) {
		/* The handler is called again by the MHD_run() that follows. */
		request->ready = true;
		return;
	}
	finish(request);
	if (request->state == REQUEST_WAITING)
		return;
	/* A stream's next piece: it is the client's turn again. */
	if (request->state == REQUEST_BODY)
		conn_phase(request->conn, CONN_BODY, clock_coarse_ns());
	conn_unwatch(&request->shard->conns, request->conn);
	MHD_resume_connection(request->conn->mhd);
}

/* ---- streams that wait -------------------------------------------------- */

void
shard_rest(struct request *request)
{
	struct conn *conn = request->conn;

	conn->resting = true;
	conn_phase(conn, CONN_WORKING, clock_coarse_ns());
	conn_watch(&request->shard->conns, conn, request);
	MHD_suspend_connection(conn->mhd);
}

void
shard_end_rest(struct request *request)
{
	struct conn *conn = request->conn;

	if (!conn || !conn->resting)
		return;
	conn->resting = false;
	conn_phase(conn, CONN_REPLYING, clock_coarse_ns());
	conn_unwatch(&request->shard->conns, conn);
	MHD_resume_connection(conn->mhd);
	request->shard->work++;
}

/* Nobody will read what it waits for. A stream is asked once more, and ends;
 * everything else ends when its work is done. */
static void
on_gone(struct request *request)
{
	ck_pr_store_uint(&request->cancelled, 1);
	shard_end_rest(request);
}

static void
find_gone(struct shard *shard, uint64_t now)
{
	if (!shard->conns.oldest || now < shard->watch_ns)
		return;
	conn_list_find_gone(&shard->conns, now, on_gone);
	shard->watch_ns = now + WATCH_NS;
}

/* ---- the source --------------------------------------------------------- */

/* While requests are held the daemon always says so; then whoever did
 * something may have left something. */
static bool
wants_run(struct shard *shard)
{
	MHD_UNSIGNED_LONG_LONG timeout;

	if (shard->held)
		return shard->work > 0;
	return MHD_get_timeout(shard->daemon, &timeout) && timeout == 0;
}

/* Deadlines, once a second: shutdown() makes the connection readable, and
 * libmicrohttpd closes it. */
static void
sweep(struct shard *shard, uint64_t now)
{
	bool draining = server_draining(shard->server);

	/* The first look after draining began is at once. */
	if (now < shard->sweep_ns && draining == shard->draining)
		return;
	shard->draining = draining;
	/* Draining, what becomes idle is closed soon. */
	shard->sweep_ns = now + (draining ? NS_PER_S / 20 : NS_PER_S);
	conn_list_sweep(&shard->conns, shard->server->config, now, draining);
}

static void
give_back_snapshots(struct local *local)
{
	for (unsigned i = 0; i < server_store_count(local->server); i++) {
		if (local->reads_used & (1u << i))
			kv_read_reset(local->reads[i]);
	}
	local->reads_used = 0;
}

/* What follows a look at the sockets. */
static void
end_run(struct shard *shard, struct source_run *result) ON_WORKER
{
	struct local *local = local_self();

	catalog_put_down(local);
	give_back_snapshots(local);
	sweep(shard, clock_coarse_ns());
	result->work = shard->work;
	result->again = wants_run(shard);
	if (shard->conns.count)
		result->tick_ns = shard->sweep_ns + CLOCK_COARSE_LAG_NS;
	if (shard->conns.oldest && shard->watch_ns < shard->sweep_ns)
		result->tick_ns = shard->watch_ns + CLOCK_COARSE_LAG_NS;
	/* What wants_run() cannot know, such as the rest of a long reply. */
	if (shard->held)
		result->tick_ns = clock_mono_ns() + HELD_TICK_NS;
}

static void
run(struct source *source, struct source_run *result) ON_WORKER
{
	struct shard *shard = CONTAINER_OF(source, struct shard, source);

	shard->work = 0;
	catalog_take_up(local_self());
	source_open_parcels(source);
	find_gone(shard, clock_coarse_ns());
	MHD_run(shard->daemon);
	end_run(shard, result);
}

/*
 * libmicrohttpd waits by itself, but not where requests are held, whose
 * handlers it would call over and over, and not well where a wait may bring as
 * many events as it takes at once: it then waits again, and the first lot with
 * it.
 */
static void
wait_run(struct source *source, int timeout_ms,
	 struct source_run *result) ON_WORKER
{
	struct shard *shard = CONTAINER_OF(source, struct shard, source);

	shard->work = 0;
	shard->waiting = true;
	if (shard->held || shard->conns.count > WAIT_CONNS_MAX) {
		struct pollfd pollfd = { .fd = source->fd, .events = POLLIN };

		(void)poll(&pollfd, 1, timeout_ms);
		timeout_ms = 0;
	}
	MHD_run_wait(shard->daemon, timeout_ms);
	shard->waiting = false;
	find_gone(shard, clock_coarse_ns());
	end_run(shard, result);
}

/* ---- life --------------------------------------------------------------- */

static struct MHD_Daemon *
start_daemon(struct shard *shard)
{
	unsigned limit = (unsigned)shard->server->config->max_connections;

	return MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET |
			MHD_ALLOW_SUSPEND_RESUME |
			MHD_USE_SUPPRESS_DATE_NO_CLOCK, /* see put_date() */
		0, NULL, NULL, on_request, shard,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_SIZE,
		MHD_OPTION_CONNECTION_LIMIT, limit,
		/* An answer of libmicrohttpd's own has two heads. At 0 a bad
		 * Content-Length gets one; at 1 a missing Host too, and a blank
		 * in the target gets none at all, where the guard has a good
		 * answer to both. */
		MHD_OPTION_STRICT_FOR_CLIENT, 0,
		MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
		MHD_OPTION_URI_LOG_CALLBACK, on_target, shard,
		MHD_OPTION_UNESCAPE_CALLBACK, leave_encoded, NULL,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, shard,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, shard,
		MHD_OPTION_END);
}

enum err
shard_create(struct server *server, struct shard **out)
{
	struct shard *shard = aligned_alloc(CACHE_LINE, sizeof(*shard));

	if (!shard)
		return ERR_NOMEM;
	memset(shard, 0, sizeof(*shard));
	shard->server = server;
	conn_list_init(&shard->conns);
	shard->daemon = start_daemon(shard);
	if (!shard->daemon) {
		free(shard);
		return err_from_errno(errno);
	}
	shard->source.fd =
		MHD_get_daemon_info(shard->daemon, MHD_DAEMON_INFO_EPOLL_FD)
			->epoll_fd;
	shard->source.run = run;
	shard->source.wait = wait_run;
	*out = shard;
	return ERR_OK;
}

void
shard_destroy(struct shard *shard)
{
	/* Answers that came after the workers had ended. */
	source_open_parcels(&shard->source);
	MHD_run(shard->daemon);
	MHD_run(shard->daemon);
	MHD_stop_daemon(shard->daemon);
	free(shard);
}

struct source *
shard_source(struct shard *shard)
{
	return &shard->source;
}

struct server *
shard_server(const struct shard *shard)
{
	return shard->server;
}

unsigned
shard_connections(const struct shard *shard)
{
	return ck_pr_load_uint(&shard->connections);
}
