/* SPDX-License-Identifier: MIT */
/*
 * The start and the end of the workers, and what users call. How it works is
 * in worker.c and docs/architecture/scheduler.md.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/worker.h"

/* 256: deeper queues are no use when a task takes a microsecond and up, and
 * what does not fit goes to the injector. */
enum { RING_SIZE = 256 };
/* Where long statements use all processors, who waits for one waits three or
 * four of these. Shorter ones than the kernel's shortest are no use. */
#define SLICE_NS (100 * NS_PER_US)

/* ---- building ----------------------------------------------------------- */

static unsigned
processors(void)
{
	cpu_set_t set;
	int count;

	CPU_ZERO(&set);
	/* Fails where there are more than 1024 processors. */
	if (sched_getaffinity(0, sizeof(set), &set))
		return WORKERS_MAX;
	count = CPU_COUNT(&set);
	return count < WORKERS_MAX ? (unsigned)count : WORKERS_MAX;
}

static enum err
worker_init(struct worker *worker, struct sched *sched, unsigned index,
	    unsigned ring_size)
{
	enum err err;

	*worker = (struct worker){
		.sched = sched,
		.index = index,
		.lead = NO_LEAD,
	};
	fibers_init(worker);
	worker->random = (index + 1) * UINT64_C(0x9e3779b97f4a7c15);
	worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (worker->epoll_fd < 0)
		return err_from_errno(errno);
	err = seats_init(worker);
	if (!err)
		err = runq_init(&worker->queue, ring_size);
	if (err)
		close(worker->epoll_fd);
	return err;
}

static void
worker_fini(struct worker *worker)
{
	runq_fini(&worker->queue);
	fibers_fini(worker);
	seats_fini(worker);
	free(worker->watched);
	close(worker->epoll_fd);
}

/* worker_count counts those that are built. */
static enum err
build_workers(struct sched *sched, unsigned count, unsigned ring_size)
{
	enum err err = parking_init(&sched->parking, count);

	if (err)
		return err;
	for (unsigned i = 0; i < count; i++) {
		err = worker_init(&sched->workers[i], sched, i, ring_size);
		if (err)
			return err;
		sched->worker_count++;
	}
	return ERR_OK;
}

static void *
zeroed(size_t size)
{
	void *memory = aligned_alloc(CACHE_LINE, size);

	return memory ? memset(memory, 0, size) : NULL;
}

enum err
sched_create(struct sched **out, const struct sched_options *options)
{
	unsigned count = options->workers ? options->workers : processors();
	unsigned ring_size =
		options->ring_size ? options->ring_size : RING_SIZE;
	struct sched *sched;
	enum err err;

	if (count > WORKERS_MAX || ring_size < 2 ||
	    (ring_size & (ring_size - 1)))
		return ERR_BAD;
	sched = zeroed(sizeof(*sched));
	if (!sched)
		return ERR_NOMEM;
	sched->slice_ns = options->slice_ns ? options->slice_ns : SLICE_NS;
	injector_init(&sched->injector);
	sched->workers = zeroed(count * sizeof(*sched->workers));
	err = sched->workers ? build_workers(sched, count, ring_size)
			     : ERR_NOMEM;
	if (err) {
		sched_destroy(sched);
		return err;
	}
	*out = sched;
	return ERR_OK;
}

void
sched_destroy(struct sched *sched)
{
	assert(sched->started == 0);
	for (unsigned i = 0; i < sched->worker_count; i++)
		worker_fini(&sched->workers[i]);
	parking_fini(&sched->parking);
	free(sched->workers);
	free(sched->sources);
	free(sched);
}

unsigned
sched_workers(const struct sched *sched)
{
	return sched->worker_count;
}

static enum err
seat_everywhere(struct sched *sched, struct source *source)
{
	enum err err = ERR_OK;

	for (unsigned i = 0; !err && i < sched->worker_count; i++)
		err = seats_add(&sched->workers[i], source);
	return err;
}

enum err
sched_add_source(struct sched *sched, struct source *source)
{
	size_t size = (sched->source_count + 1) * sizeof(*sched->sources);
	struct source **sources = realloc(sched->sources, size);
	enum err err;

	assert(sched->started == 0);
	if (!sources)
		return ERR_NOMEM;
	sched->sources = sources;
	source->sched = sched;
	source->home = sched->next_home;
	err = source->shared ? seat_everywhere(sched, source)
			     : seats_add(&sched->workers[source->home], source);
	if (err)
		return err;
	sources[sched->source_count++] = source;
	if (!source->shared)
		sched->next_home = (sched->next_home + 1) % sched->worker_count;
	return ERR_OK;
}

/* ---- running ------------------------------------------------------------ */

static enum err
start_worker(struct worker *worker)
{
	size_t room = worker->sched->source_count + 2;
	int rc;

	worker->watched = calloc(room, sizeof(*worker->watched));
	if (!worker->watched)
		return ERR_NOMEM;
	rc = pthread_create(&worker->thread, NULL, worker_main, worker);
	return err_from_errno(rc);
}

enum err
sched_start(struct sched *sched, void (*begin)(void *arg, unsigned index),
	    void (*end)(void *arg, unsigned index), void *arg)
{
	enum err err = ERR_OK;
	sigset_t all, before;

	assert(sched->started == 0 && !sched->begin);
	sched->begin = begin;
	sched->end = end;
	sched->arg = arg;
	/* Signals are for the main thread; the workers inherit the mask. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; !err && i < sched->worker_count; i++) {
		err = start_worker(&sched->workers[i]);
		sched->started += !err;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		sched_stop(sched);
	return err;
}

void
sched_stop(struct sched *sched)
{
	ck_pr_store_uint(&sched->stopping, 1);
	/* A bell that rings too early is heard late, but never lost. */
	parking_wake_all(&sched->parking);
	while (sched->started > 0)
		pthread_join(sched->workers[--sched->started].thread, NULL);
}

unsigned
sched_worker_index(void)
{
	return worker_self()->index;
}

bool
sched_on_worker(void)
{
	return worker_is_self();
}

void
sched_stats(const struct sched *sched, unsigned worker,
	    struct sched_stats *stats)
{
	const struct sched_stats *from;

	assert(worker < sched->worker_count);
	from = &sched->workers[worker].stats;
	*stats = (struct sched_stats){
		.tasks = ck_pr_load_64(&from->tasks),
		.stolen = ck_pr_load_64(&from->stolen),
		.sources_helped = ck_pr_load_64(&from->sources_helped),
		.source_runs = ck_pr_load_64(&from->source_runs),
		.parks = ck_pr_load_64(&from->parks),
		.polls = ck_pr_load_64(&from->polls),
		.wakes = ck_pr_load_64(&from->wakes),
		.overflows = ck_pr_load_64(&from->overflows),
		.queue_wait_ns = ck_pr_load_64(&from->queue_wait_ns),
		.queue_wait_max_ns = ck_pr_load_64(&from->queue_wait_max_ns),
		.busy_ns = ck_pr_load_64(&from->busy_ns),
		.fibers = ck_pr_load_64(&from->fibers),
		.fibers_ended = ck_pr_load_64(&from->fibers_ended),
		.fiber_yields = ck_pr_load_64(&from->fiber_yields),
		.fiber_waits = ck_pr_load_64(&from->fiber_waits),
		.fiber_stacks = ck_pr_load_64(&from->fiber_stacks),
	};
}
