/* SPDX-License-Identifier: MIT */
#include "tools/bench/load.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/clock.h"
#include "tools/bench/live.h"
#include "tools/bench/sender.h"
#include "tools/out.h"

/* A run while it runs. */
struct crew {
	struct run run;
	struct sender *senders[THREADS_MAX];
	pthread_t threads[THREADS_MAX];
	unsigned created, started;
	int signals; /* SIGINT and SIGTERM, which are blocked meanwhile */
	sigset_t mask_before;
};

/* ---- before -------------------------------------------------------------- */

/* Descriptors beside the connections: files, epolls, standard ones. */
enum { FILES_BESIDE = 64 };

static bool
allow_files(const struct plan *plan, unsigned threads)
{
	rlim_t wanted = (rlim_t)plan->connections + threads + FILES_BESIDE;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
		return true;
	if (limit.rlim_max < wanted) {
		say("--connections %u needs %llu open files, and the limit is "
		    "%llu: see ulimit -Hn",
		    plan->connections, (unsigned long long)wanted,
		    (unsigned long long)limit.rlim_max);
		return false;
	}
	limit.rlim_cur = wanted;
	if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
		return true;
	say("cannot raise the limit of open files: %s", strerror(errno));
	return false;
}

static bool
crew_init(struct crew *crew, const struct plan *plan, uint64_t rate)
{
	sigset_t ends;

	*crew = (struct crew){ 0 };
	crew->run.plan = plan;
	crew->run.rate = rate;
	crew->run.threads = plan_threads(plan, rate);
	pthread_barrier_init(&crew->run.connected, NULL, crew->run.threads + 1);
	pthread_barrier_init(&crew->run.begun, NULL, crew->run.threads + 1);
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &ends, &crew->mask_before);
	crew->signals = signalfd(-1, &ends, SFD_NONBLOCK | SFD_CLOEXEC);
	crew->run.done = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (crew->signals >= 0 && crew->run.done >= 0)
		return true;
	say("cannot begin: %s", strerror(errno));
	return false;
}

static void
crew_fini(struct crew *crew)
{
	for (unsigned i = 0; i < crew->created; i++)
		sender_destroy(crew->senders[i]);
	pthread_barrier_destroy(&crew->run.connected);
	pthread_barrier_destroy(&crew->run.begun);
	if (crew->signals >= 0)
		close(crew->signals);
	if (crew->run.done >= 0)
		close(crew->run.done);
	pthread_sigmask(SIG_SETMASK, &crew->mask_before, NULL);
}

static bool
create_senders(struct crew *crew)
{
	for (unsigned i = 0; i < crew->run.threads; i++) {
		crew->senders[i] = sender_create(&crew->run, i);
		if (!crew->senders[i]) {
			say("%s", err_text(ERR_NOMEM));
			return false;
		}
		crew->created++;
	}
	return true;
}

static bool
start_threads(struct crew *crew)
{
	for (; crew->started < crew->created; crew->started++) {
		unsigned i = crew->started;
		int error = pthread_create(&crew->threads[i], NULL, sender_run,
					   crew->senders[i]);

		if (error) {
			/* Those that run wait for it at a barrier. */
			say("cannot start thread %u: %s", i + 1,
			    strerror(error));
			exit(OUTCOME_ERROR);
		}
	}
	return true;
}

/* ---- meanwhile ----------------------------------------------------------- */

static void
begin_all(struct crew *crew)
{
	struct run *run = &crew->run;
	unsigned count = 0;

	pthread_barrier_wait(&run->connected);
	for (unsigned i = 0; i < crew->created; i++)
		count += sender_connected(crew->senders[i]);
	if (count < run->plan->connections)
		say("only %u of %u connections could be opened", count,
		    run->plan->connections);
	/* A little later, when all threads have passed the barrier. */
	run->begin_ns = clock_mono_ns() + NS_PER_MS;
	run->window_ns = run->begin_ns + run->plan->warmup_ns;
	run->end_ns = run->plan->requests
			      ? UINT64_MAX
			      : run->window_ns + run->plan->duration_ns;
	pthread_barrier_wait(&run->begun);
}

/* Once: ends early. Twice: at once. */
static void
take_signals(struct crew *crew)
{
	struct signalfd_siginfo info;

	while (read(crew->signals, &info, sizeof(info)) > 0)
		ck_pr_store_uint(&crew->run.stop, crew->run.stop + 1);
}

static void
wait_for_all(struct crew *crew, struct live *live)
{
	struct pollfd ready[] = {
		{ .fd = crew->signals, .events = POLLIN },
		{ .fd = crew->run.done, .events = POLLIN },
	};
	uint64_t done = 0, n;

	while (done < crew->started) {
		/* Drawn when a second is over. */
		poll(ready, ARRAY_LEN(ready), live_wait_ms(live));
		take_signals(crew);
		if (read(crew->run.done, &n, sizeof(n)) > 0)
			done += n;
		live_draw(live, &crew->run, crew->senders);
	}
	live_end(live);
}

/* ---- after --------------------------------------------------------------- */

static enum outcome
collect(struct load *load, const struct crew *crew)
{
	const struct plan *plan = crew->run.plan;

	load->rate = crew->run.rate;
	load->threads = crew->run.threads;
	load->interrupted = crew->run.stop > 0;
	load->tally = tally_create(plan->kind_count);
	load->latency = calloc(1, sizeof(*load->latency));
	if (!load->tally || !load->latency) {
		say("%s", err_text(ERR_NOMEM));
		load_fini(load);
		return OUTCOME_ERROR;
	}
	for (unsigned i = 0; i < crew->created; i++)
		tally_merge(load->tally, sender_tally(crew->senders[i]));
	tally_latency(load->tally, load->latency);
	return OUTCOME_OK;
}

enum outcome
load_run(struct load *load, const struct plan *plan, uint64_t rate)
{
	enum outcome outcome = OUTCOME_ERROR;
	struct live *live;
	struct crew crew;

	*load = (struct load){ 0 };
	/* First of all: it makes room for what follows. */
	if (!allow_files(plan, plan_threads(plan, rate)))
		return OUTCOME_ERROR;
	live = live_create();
	if (!live) {
		say("%s", err_text(ERR_NOMEM));
		return OUTCOME_ERROR;
	}
	if (crew_init(&crew, plan, rate) && create_senders(&crew) &&
	    start_threads(&crew)) {
		begin_all(&crew);
		wait_for_all(&crew, live);
		for (unsigned i = 0; i < crew.started; i++)
			pthread_join(crew.threads[i], NULL);
		outcome = collect(load, &crew);
	}
	crew_fini(&crew);
	live_destroy(live);
	return outcome;
}

void
load_fini(struct load *load)
{
	free(load->tally);
	free(load->latency);
	*load = (struct load){ 0 };
}
