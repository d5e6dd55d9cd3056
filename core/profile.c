/* SPDX-License-Identifier: MIT */
/*
 * Threads that are profiled, and the profile that is taken of them.
 *
 * A thread's timer runs on the thread's own CPU time and signals that thread,
 * so a thread that waits is left alone, and no thread gets the samples of
 * another.
 */
#include "core/profile.h"

#include <ck_pr.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/affinity.h"
#include "core/clock.h"
#include "core/profile_internal.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* Taken when a thread begins or ends and when a profile does, for some
 * microseconds. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Under the lock. */
static struct profiled *threads;
static struct profile *running;

bool
profile_is_possible(void)
{
#ifdef UNDER_TSAN
	return false;
#else
	return true;
#endif
}

/* ---- attaching ----------------------------------------------------------- */

static struct recorder *
make_recorder(const struct profiled *thread)
{
	struct recorder *recorder =
		aligned_alloc(alignof(struct recorder), sizeof(*recorder));

	if (!recorder)
		return NULL;
	*recorder = (struct recorder){ .next = NULL };
	memcpy(recorder->name, thread->name, sizeof(recorder->name));
	/* What is not used of it takes no memory. */
	recorder->words = calloc(RECORDER_WORDS, sizeof(*recorder->words));
	if (recorder->words)
		return recorder;
	free(recorder);
	return NULL;
}

static void
free_recorder(struct recorder *recorder)
{
	free(recorder->words);
	free(recorder);
}

static enum err
start_timer(const struct profiled *thread, struct recorder *recorder,
	    unsigned hz)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID,
				  .sigev_signo = SIGPROF };
	struct itimerspec times = { .it_interval.tv_sec = hz == 1 };

	if (hz > 1)
		times.it_interval.tv_nsec = (long)(NS_PER_S / hz);
	times.it_value = times.it_interval;
	event.sigev_notify_thread_id = thread->tid;
	/* EAGAIN: the user has too many signals in queues. */
	if (timer_create(thread->clock, &event, &recorder->timer))
		return errno == EAGAIN ? ERR_OVERLOADED : err_from_errno(errno);
	if (!timer_settime(recorder->timer, 0, &times, NULL))
		return ERR_OK;
	timer_delete(recorder->timer);
	return err_from_errno(errno);
}

static enum err
attach_locked(struct profile *profile, struct profiled *thread)
{
	struct recorder *recorder = make_recorder(thread);
	enum err err;

	if (!recorder)
		return ERR_NOMEM;
	err = start_timer(thread, recorder, profile->hz);
	if (err) {
		free_recorder(recorder);
		return err;
	}
	recorder->next = profile->recorders;
	/* Pairs with the load in profile_collect(), and with the handler's: who
	 * sees the recorder sees what is in it. */
	ck_pr_fence_store();
	ck_pr_store_ptr(&profile->recorders, recorder);
	ck_pr_store_ptr(&thread->recorder, recorder);
	return ERR_OK;
}

/* On return the thread's handler does not use the recorder any more. */
static void
detach_locked(struct profiled *thread)
{
	struct recorder *recorder = thread->recorder;

	if (!recorder)
		return;
	timer_delete(recorder->timer);
	ck_pr_store_ptr(&thread->recorder, NULL);
	/* Pairs with the fence in on_timer(). */
	ck_pr_fence_memory();
	while (ck_pr_load_uint(&thread->busy))
		sched_yield();
	/* What it wrote is seen by who collects. */
	ck_pr_fence_acquire();
}

/* ---- threads ------------------------------------------------------------- */

static void
set_mask(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	if (how == SIG_UNBLOCK) {
		/* See profile_sample.c. */
		sigaddset(&set, SIGSEGV);
		sigaddset(&set, SIGBUS);
	}
	pthread_sigmask(how, &set, NULL);
}

void
profile_thread_begin(const char *name)
{
	struct profiled *thread = &profile_thread;

	if (!profile_is_possible() || thread->previous)
		return;
	snprintf(thread->name, sizeof(thread->name), "%s", name);
	thread->tid = gettid();
	if (pthread_getcpuclockid(pthread_self(), &thread->clock))
		return;
	pthread_mutex_lock(&lock);
	thread->next = threads;
	thread->previous = &threads;
	if (threads)
		threads->previous = &thread->next;
	threads = thread;
	/* Without memory this one is missing in the profile. */
	if (running && attach_locked(running, thread))
		errno = 0;
	pthread_mutex_unlock(&lock);
	set_mask(SIG_UNBLOCK);
}

void
profile_thread_end(void)
{
	struct profiled *thread = &profile_thread;

	if (!thread->previous)
		return;
	set_mask(SIG_BLOCK);
	pthread_mutex_lock(&lock);
	detach_locked(thread);
	*thread->previous = thread->next;
	if (thread->next)
		thread->next->previous = thread->previous;
	thread->previous = NULL;
	pthread_mutex_unlock(&lock);
}

/* ---- a profile ----------------------------------------------------------- */

static void
stop_locked(struct profile *profile)
{
	if (running != profile)
		return;
	for (struct profiled *thread = threads; thread; thread = thread->next)
		detach_locked(thread);
	sample_uninstall();
	running = NULL;
}

static enum err
start_locked(struct profile *profile)
{
	enum err err = ERR_OK;

	if (running)
		return ERR_LOCKED;
	running = profile;
	sample_install();
	for (struct profiled *thread = threads; thread && !err;
	     thread = thread->next)
		err = attach_locked(profile, thread);
	if (err)
		stop_locked(profile);
	return err;
}

enum err
profile_begin(struct profile **out, unsigned hz)
{
	struct profile *profile = calloc(1, sizeof(*profile));
	enum err err;

	assert(hz >= 1 && hz <= PROFILE_HZ_MAX && profile_is_possible());
	if (!profile)
		return ERR_NOMEM;
	profile->hz = hz;
	pthread_mutex_lock(&lock);
	err = start_locked(profile);
	pthread_mutex_unlock(&lock);
	if (err)
		profile_destroy(profile);
	else
		*out = profile;
	return err;
}

void
profile_collect(struct profile *profile)
{
	struct recorder *recorder = ck_pr_load_ptr(&profile->recorders);

	for (; recorder; recorder = recorder->next)
		fold_take(profile, recorder);
}

void
profile_end(struct profile *profile)
{
	pthread_mutex_lock(&lock);
	stop_locked(profile);
	pthread_mutex_unlock(&lock);
	profile_collect(profile);
}

void
profile_destroy(struct profile *profile)
{
	struct recorder *recorder, *next;

	for (recorder = profile->recorders; recorder; recorder = next) {
		next = recorder->next;
		free_recorder(recorder);
	}
	fold_fini(&profile->fold);
	free(profile);
}

void
profile_figures(const struct profile *profile, struct profile_figures *figures)
{
	*figures =
		(struct profile_figures){ profile->samples, profile->dropped };
	for (const struct recorder *recorder =
		     ck_pr_load_ptr(&profile->recorders);
	     recorder; recorder = recorder->next) {
		uint64_t dropped = ck_pr_load_64(&recorder->dropped);

		figures->samples += dropped;
		figures->dropped += dropped;
	}
}
