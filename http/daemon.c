/* SPDX-License-Identifier: MIT */
#include "http/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/slow.h"
#include "http/listener.h"
#include "http/service/deploy.h"
#include "http/service/flight.h"
#include "http/service/replies.h"
#include "http/shard.h"
#include "http/sql/care.h"
#include "storage/kv.h"
#include "storage/sequence.h"
#include "storage/sql.h"

enum {
	/* Scans, exports, and statements that look into the store, at the same
	 * time, beside one snapshot a worker. Connections of databases keep
	 * theirs only in the first half. */
	SNAPSHOTS_EXTRA = 512,
};

/* ---- making the parts --------------------------------------------------- */

static bool
fail(struct daemon *daemon, const char *what, enum err err)
{
	snprintf(daemon->message, sizeof(daemon->message), "%s: %s", what,
		 err_text(err));
	return false;
}

static bool
say(struct daemon *daemon, const char *what, const char *path)
{
	snprintf(daemon->message, sizeof(daemon->message), "%s %s: %s", what,
		 path, strerror(errno));
	return false;
}

static bool
make_folders(struct daemon *daemon, const char *path)
{
	char copy[PATH_MAX];

	if ((size_t)snprintf(copy, sizeof(copy), "%s", path) >= sizeof(copy)) {
		errno = ENAMETOOLONG;
		return say(daemon, "cannot make", path);
	}
	for (char *slash = strchr(copy + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0750) && errno != EEXIST)
			return say(daemon, "cannot make", copy);
		*slash = '/';
	}
	if (mkdir(copy, 0750) && errno != EEXIST)
		return say(daemon, "cannot make", copy);
	return true;
}

/* One daemon a folder: the lock goes with the process, however it ends. */
static bool
lock_data(struct daemon *daemon)
{
	const char *dir = daemon->config.data_dir;
	char path[PATH_MAX];

	if (!make_folders(daemon, dir))
		return false;
	snprintf(path, sizeof(path), "%s/lock", dir);
	daemon->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (daemon->lock_fd < 0)
		return say(daemon, "cannot open", path);
	if (!flock(daemon->lock_fd, LOCK_EX | LOCK_NB))
		return true;
	if (errno != EWOULDBLOCK)
		return say(daemon, "cannot lock", path);
	snprintf(daemon->message, sizeof(daemon->message),
		 "another jackdawd is using %s", dir);
	return false;
}

/* On a committer, once for each store that failed. */
static void
on_fault(void *arg, const char *name)
{
	struct daemon *daemon = arg;

	log_error("store failed, going down store=%s", name);
	ck_pr_store_uint(&daemon->server.faulty, 1);
	pthread_kill(daemon->main_thread, SIGNAL_FAULT);
}

static bool
open_sequence(struct daemon *daemon)
{
	struct server *server = &daemon->server;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/sequence", daemon->config.data_dir);
	if (!sequence_open(&server->sequence, path) &&
	    !sequence_take(server->sequence, 1, &server->boot))
		return true;
	snprintf(daemon->message, sizeof(daemon->message),
		 "%s is damaged or cannot be written", path);
	return false;
}

static bool
open_stores(struct daemon *daemon)
{
	struct server *server = &daemon->server;
	const struct config *config = &daemon->config;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/kv", config->data_dir);
	if (!make_folders(daemon, path))
		return false;
	for (unsigned i = 0; i < config->store_count; i++) {
		const struct config_store *store = &config->stores[i];
		struct kv_options options = {
			.name = store->name,
			.dir = path,
			.is_volatile = store->is_volatile,
			.max_size = store->max_size,
			.default_ttl_ms = store->ttl_ms,
			.readers =
				sched_workers(server->sched) + SNAPSHOTS_EXTRA,
			.max_age_ns = config->queue_age_ms * NS_PER_MS,
			.sequence = daemon->server.sequence,
			.on_fault = on_fault,
			.on_fault_arg = daemon,
		};

		snprintf(path, sizeof(path), "%s/kv/%s", config->data_dir,
			 store->name);
		if (kv_open(&server->stores[i], &options, daemon->message,
			    sizeof(daemon->message)))
			return false;
		server->store_count++;
	}
	return true;
}

static bool
open_database(struct daemon *daemon, const struct config_database *database)
{
	struct server *server = &daemon->server;
	char path[PATH_MAX];
	struct sql_options options = {
		.name = database->name,
		.path = path,
		.max_size = database->max_size,
		.workers = sched_workers(server->sched),
		.max_age_ns = daemon->config.queue_age_ms * NS_PER_MS,
		.sequence = server->sequence,
		.slow = server->slow,
		.stores = server->stores,
		.store_count = server->store_count,
		.on_fault = on_fault,
		.on_fault_arg = daemon,
	};

	snprintf(path, sizeof(path), "%s/sql/%s.db", daemon->config.data_dir,
		 database->name);
	if (sql_open(&server->databases[server->database_count], &options,
		     daemon->message, sizeof(daemon->message)))
		return false;
	server->database_count++;
	return true;
}

static bool
open_databases(struct daemon *daemon)
{
	const struct config *config = &daemon->config;
	enum err err = slow_create(&daemon->server.slow);
	char path[PATH_MAX];

	if (err)
		return fail(daemon, "the slow lane", err);
	snprintf(path, sizeof(path), "%s/sql", config->data_dir);
	if (!make_folders(daemon, path))
		return false;
	for (unsigned i = 0; i < config->database_count; i++)
		if (!open_database(daemon, &config->databases[i]))
			return false;
	return true;
}

static bool
make_services(struct daemon *daemon)
{
	struct server *server = &daemon->server;
	char path[PATH_MAX];
	enum err err;

	server->flights = flights_create();
	server->lengths = reply_lengths_create();
	if (!server->flights || !server->lengths)
		return fail(daemon, "services", ERR_NOMEM);
	snprintf(path, sizeof(path), "%s/replies", daemon->config.data_dir);
	if (!make_folders(daemon, path) ||
	    shared_replies_create(&server->shared_replies, server, path,
				  daemon->message, sizeof(daemon->message)))
		return false;
	err = care_create(server, &server->care);
	if (err)
		return fail(daemon, "statistics", err);
	err = deploys_create(server, &server->deploys);
	if (err)
		return fail(daemon, "services", err);
	/* What is wrong with one was logged; the others are served. */
	(void)deploys_load(server->deploys);
	return true;
}

static bool
make_shards(struct daemon *daemon)
{
	struct server *server = &daemon->server;
	/* One a worker, which waits in it. */
	unsigned count = sched_workers(server->sched);
	enum err err;

	server->shards = calloc(count, sizeof(*server->shards));
	if (!server->shards)
		return fail(daemon, "shards", ERR_NOMEM);
	for (unsigned i = 0; i < count; i++) {
		err = shard_create(server, &server->shards[i]);
		if (err)
			return fail(daemon, "cannot make a shard", err);
		server->shard_count++;
		err = sched_add_source(server->sched,
				       shard_source(server->shards[i]));
		if (err)
			return fail(daemon, "cannot poll a shard", err);
	}
	return true;
}

static bool
poll_listener(struct daemon *daemon, struct listener *listener)
{
	enum err err;

	daemon->server.listener_count++;
	err = sched_add_source(daemon->server.sched, &listener->source);
	if (err)
		return fail(daemon, "cannot poll a listener", err);
	return true;
}

/* A data folder may be too deep for a socket in it: only one that was asked
 * for is missed. */
static bool
open_admin(struct daemon *daemon, struct listener *listener)
{
	struct server *server = &daemon->server;
	const char *asked = daemon->config.admin_socket;
	char path[PATH_MAX];
	enum err err;

	if (asked && !*asked)
		return true;
	if (asked)
		snprintf(path, sizeof(path), "%s", asked);
	else
		snprintf(path, sizeof(path), "%s/admin.sock",
			 daemon->config.data_dir);
	err = listener_open_admin(server, listener, path, daemon->message,
				  sizeof(daemon->message));
	if (err && asked)
		return false;
	if (err) {
		log_warn("no administration: %s", daemon->message);
		return true;
	}
	log_info("administration socket=%s", path);
	return poll_listener(daemon, listener);
}

static bool
open_listeners(struct daemon *daemon)
{
	struct server *server = &daemon->server;
	const struct config *config = &daemon->config;
	char bound[256];

	server->listeners =
		aligned_alloc(CACHE_LINE, (config->listen_count + 1) *
						  sizeof(*server->listeners));
	if (!server->listeners)
		return fail(daemon, "listeners", ERR_NOMEM);
	for (unsigned i = 0; i < config->listen_count; i++) {
		struct listener *listener = &server->listeners[i];

		if (listener_open(server, listener, config->listen[i], bound,
				  sizeof(bound), daemon->message,
				  sizeof(daemon->message)))
			return false;
		if (!poll_listener(daemon, listener))
			return false;
		log_info("listening address=%s", bound);
	}
	return open_admin(daemon, &server->listeners[config->listen_count]);
}

bool
daemon_start(struct daemon *daemon)
{
	struct server *server = &daemon->server;
	struct sched_options options = {
		.workers = daemon->config.workers,
		.slice_ns = daemon->config.slice_ms * NS_PER_MS,
	};
	unsigned services;
	enum err err;

	server->config = &daemon->config;
	server->on_fault = on_fault;
	server->on_fault_arg = daemon;
	server->started_ms = clock_wall_ms();
	if (!lock_data(daemon))
		return false;
	err = sched_create(&server->sched, &options);
	if (err)
		return fail(daemon, "cannot make the scheduler", err);
	server->locals =
		aligned_alloc(CACHE_LINE, sched_workers(server->sched) *
						  sizeof(*server->locals));
	if (!server->locals)
		return fail(daemon, "workers", ERR_NOMEM);
	memset(server->locals, 0,
	       sched_workers(server->sched) * sizeof(*server->locals));
	if (!open_sequence(daemon) || !open_stores(daemon) ||
	    !open_databases(daemon) || !make_services(daemon) ||
	    !make_shards(daemon) || !open_listeners(daemon))
		return false;
	/* Somebody may deploy as soon as they run. */
	services = deploys_count(server->deploys);
	err = sched_start(server->sched, local_begin, local_end, server);
	if (err)
		return fail(daemon, "cannot start the workers", err);
	log_info("ready version=%s workers=%u stores=%u databases=%u "
		 "services=%u data_dir=%s",
		 VERSION, sched_workers(server->sched),
		 server_store_count(server), server->database_count, services,
		 daemon->config.data_dir);
	return true;
}

/* ---- taking them down --------------------------------------------------- */

/* A parcel is posted to its shard before that is woken: a request may have
 * ended while its committer or its slow thread is between the two. */
static void
settle(struct server *server)
{
	for (unsigned i = 0; i < server_store_count(server); i++)
		lane_settle(kv_lane(server->stores[i]));
	for (unsigned i = 0; i < server->database_count; i++)
		sql_settle(server->databases[i]);
	if (server->deploys)
		deploys_settle(server->deploys);
	if (server->slow)
		slow_settle(server->slow);
}

void
daemon_take_down(struct daemon *daemon)
{
	struct server *server = &daemon->server;
	unsigned workers = server->sched ? sched_workers(server->sched) : 0;

	if (workers && server->locals)
		local_begin(server, 0);
	settle(server);
	for (unsigned i = 0; i < server->shard_count; i++)
		shard_destroy(server->shards[i]);
	free(server->shards);
	for (unsigned i = 0; i < server->listener_count; i++)
		listener_close(&server->listeners[i]);
	free(server->listeners);
	for (unsigned i = 0; server->locals && i < workers; i++)
		local_fini(&server->locals[i]);
	if (server->deploys)
		deploys_destroy(server->deploys);
	if (server->shared_replies)
		shared_replies_destroy(server->shared_replies);
	flights_destroy(server->flights);
	reply_lengths_destroy(server->lengths);
	for (unsigned i = 0; i < server->database_count; i++)
		sql_close(server->databases[i]);
	if (server->slow)
		slow_destroy(server->slow);
	if (server->care)
		care_destroy(server->care);
	for (unsigned i = 0; i < server->store_count; i++)
		kv_close(server->stores[i]);
	if (daemon->server.sequence)
		sequence_close(daemon->server.sequence);
	if (server->sched)
		sched_destroy(server->sched);
	free(server->locals);
	config_fini(&daemon->config);
}
