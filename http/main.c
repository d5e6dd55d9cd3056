/* SPDX-License-Identifier: MIT */
/*
 * jackdawd: reads the options, starts the daemon, waits for signals, and ends
 * it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/profile.h"
#include "http/daemon.h"
#include "http/listener.h"
#include "http/options.h"
#include "http/service/deploy.h"
#include "http/shard.h"
#include "storage/kv.h"
#include "storage/sql.h"

enum {
	/* From a failed sync to the end: failed requests are answered and
	 * probes see /readyz red; a supervisor restarts us within a second. */
	FAULT_LINGER_MS = 400,
};

/* ---- draining ----------------------------------------------------------- */

/* Requests that are worked on, also those whose client has left: a fiber or a
 * slow thread has them. */
static bool
is_busy(const struct server *server)
{
	uint64_t begun = 0, ended = 0;

	for (unsigned i = 0; i < sched_workers(server->sched); i++) {
		begun += ck_pr_load_64(&server->locals[i].begun);
		ended += ck_pr_load_64(&server->locals[i].ended);
	}
	return begun != ended;
}

static bool
is_drained(const struct server *server)
{
	for (unsigned i = 0; i < server_store_count(server); i++)
		if (lane_waiting(kv_lane(server->stores[i])))
			return false;
	for (unsigned i = 0; i < server->database_count; i++)
		if (lane_waiting(sql_lane(server->databases[i])))
			return false;
	if (ck_pr_load_64(&server->connections))
		return false;
	/* Without connections no request begins any more. */
	ck_pr_fence_load();
	/* A load of services is no request. */
	return !is_busy(server) && deploys_are_idle(server->deploys);
}

static void
begin_drain(struct server *server)
{
	ck_pr_store_uint(&server->draining, 1);
	for (unsigned i = 0; i < server->listener_count; i++)
		listener_stop(&server->listeners[i]);
	for (unsigned i = 0; i < server->shard_count; i++)
		source_wake(shard_source(server->shards[i]));
}

/* The next signal within ms; 0: none came. */
static int
wait_signal(const sigset_t *signals, uint64_t ms)
{
	struct timespec wait = { (time_t)(ms / 1000),
				 (long)(ms % 1000) * 1000000 };
	int number;

	do
		number = sigtimedwait(signals, NULL, &wait);
	while (number < 0 && errno == EINTR);
	return number < 0 ? 0 : number;
}

/* True: everything ended in time. Ends early at a failed sync. */
static bool
drain(struct daemon *daemon, const sigset_t *signals)
{
	uint64_t end =
		clock_mono_ns() + daemon->config.drain_timeout_ms * NS_PER_MS;

	begin_drain(&daemon->server);
	while (!is_drained(&daemon->server) &&
	       !server_faulty(&daemon->server) && clock_mono_ns() < end) {
		int number = wait_signal(signals, 10);

		if (number == SIGTERM || number == SIGINT) {
			log_warn("stopping at once");
			_exit(0); /* acknowledged writes are on disk */
		}
	}
	return is_drained(&daemon->server);
}

/* ---- running ------------------------------------------------------------ */

static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void
end_faulty(void)
{
	const struct timespec linger = { .tv_nsec = FAULT_LINGER_MS * 1000000 };

	/* Not until the next signal: another store may fail with the first. */
	nanosleep(&linger, NULL);
	log_error("exit: acknowledged writes are on disk, the rest was "
		  "answered 500");
	_exit(1);
}

/* All signals are blocked before the first thread is made, and taken here. */
static int
run(struct daemon *daemon, const sigset_t *signals)
{
	bool drained;

	for (;;) {
		int number;

		if (sigwait(signals, &number))
			continue;
		if (number == SIGNAL_FAULT)
			end_faulty();
		if (number != SIGHUP)
			break;
		deploys_reload(daemon->server.deploys);
	}
	log_info("draining");
	drained = drain(daemon, signals);
	if (server_faulty(&daemon->server))
		end_faulty();
	if (!drained) {
		log_warn("requests were cut off connections=%llu deploying=%s",
			 (unsigned long long)ck_pr_load_64(
				 &daemon->server.connections),
			 deploys_are_idle(daemon->server.deploys) ? "no"
								  : "yes");
		_exit(0);
	}
	sched_stop(daemon->server.sched);
	daemon_take_down(daemon);
	log_info("stopped");
	return 0;
}

/* --check-config and --dump-config */
static int
check(struct config *config, bool dump)
{
	enum err err = dump ? config_print(config, STDOUT_FILENO) : ERR_OK;

	if (err)
		fprintf(stderr, "jackdawd: standard output: %s\n",
			err_text(err));
	config_fini(config);
	return err ? 1 : 0;
}

int
main(int argc, char **argv)
{
	static struct daemon daemon;
	struct options options = { 0 };
	sigset_t signals;
	int status = options_parse(argc, argv, &options);

	if (status >= 0)
		return status;
	if (config_load(&daemon.config, options.config_path, options.sets,
			options.set_count, daemon.message,
			sizeof(daemon.message))) {
		fprintf(stderr, "jackdawd: %s\n", daemon.message);
		return 1;
	}
	if (options.check || options.dump)
		return check(&daemon.config, options.dump);
	log_begin();
	log_set_level(daemon.config.log_level);
	raise_descriptor_limit();
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGNAL_FAULT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	/* A write that fails says so by its return. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	action_begin();
	daemon.main_thread = pthread_self();
	profile_thread_begin("main");
	if (!daemon_start(&daemon)) {
		log_error("cannot start: %s", daemon.message);
		daemon_take_down(&daemon);
		return 1;
	}
	return run(&daemon, &signals);
}
