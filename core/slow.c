/* SPDX-License-Identifier: MIT */
/*
 * The life of a job:
 *
 *	slow_submit()        a slow thread, under the lock
 *	   fresh  ------------>  backlog  ------------>  run
 *	(ck_stack,            (oldest first)
 *	 taken whole)
 *
 * Only slow threads take the lock, and they may wait. Submitting is a few
 * atomics, a thread that is made, or a system call that wakes one.
 *
 * Threads come and go. `jobs` counts what waits or runs. Both sides store
 * first and look second, with a full fence between:
 *
 *	somebody submits		a thread has had no job for long
 *	  counts the job		  gives up its seat
 *	  full fence			  full fence
 *	  looks at the seats		  looks at the count
 *
 * So either the submitter sees the seat free and makes a thread, or the
 * thread sees the job, takes its seat back, and waits for it. The same with
 * sleeping: a thread counts itself asleep, passes a fence, and looks at the
 * queue; a submitter pushes, rings, passes a fence, and looks who is asleep.
 */
#include "core/slow.h"

#include <ck_pr.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/affinity.h"
#include "core/clock.h"
#include "core/oldest_first.h"
#include "core/profile.h"

#define IDLE_NS (10 * NS_PER_S)
enum { NICER = 10 };

/*
 *	       submitter             the thread
 *	FREE ------------> STARTING -----------> TAKEN
 *	  ^ <----------------/                   |  ^
 *	  |    no thread                         v  |
 *	  +--------------------------------------+--+
 *	                   the thread: idle, or not
 */
enum seat_state { SEAT_FREE, SEAT_STARTING, SEAT_TAKEN };

struct seat {
	struct slow *slow;

	/* Atomic. Whoever moves it away from FREE has the rest. */
	unsigned state;
	pthread_t thread; /* that has it, or had it last */
	bool used;        /* there is or was one */
	pthread_t former; /* who had it before, for the next to join */
	bool has_former;
};

struct slow {
	struct seat seats[SLOW_THREADS];
	uint64_t idle_ns;

	/* Atomic: pushed by any thread, taken whole under the lock. */
	alignas(CACHE_LINE) ck_stack_t fresh;
	/* Atomic: that wait or run; by submitters and slow threads. */
	unsigned jobs;
	/* Atomic: a futex, rung by submitters. */
	uint32_t bell;
	/* Atomic: slow threads that sleep on it, or are about to. */
	unsigned sleepers;
	/* Atomic: set once. */
	unsigned closing;

	/* Under the lock. */
	alignas(CACHE_LINE) pthread_mutex_t lock;
	ck_stack_entry_t *backlog;
};

/* On a slow thread: its index and one more. */
static _Thread_local unsigned own_index;

static struct slow_job *
job_of(ck_stack_entry_t *link)
{
	return CONTAINER_OF(link, struct slow_job, link);
}

/* ---- sleeping ----------------------------------------------------------- */

static bool
has_news(const struct slow *slow)
{
	return ck_pr_load_ptr(&slow->fresh.head) ||
	       ck_pr_load_uint(&slow->closing);
}

/* False: idle_ns have passed. May return early. */
static bool
sleep_until_rung(struct slow *slow)
{
	struct timespec timeout = {
		.tv_sec = (time_t)(slow->idle_ns / NS_PER_S),
		.tv_nsec = (long)(slow->idle_ns % NS_PER_S),
	};
	uint32_t heard = ck_pr_load_32(&slow->bell);
	long rc = 0;

	ck_pr_inc_uint(&slow->sleepers);
	/* Pairs with the fence in ring(), see the top. Without it the push
	 * could be invisible to this look, and we to who pushed. */
	ck_pr_fence_memory();
	if (!has_news(slow))
		rc = syscall(SYS_futex, &slow->bell, FUTEX_WAIT_PRIVATE, heard,
			     &timeout, NULL, 0);
	if (rc != 0)
		rc = errno == ETIMEDOUT;
	ck_pr_dec_uint(&slow->sleepers);
	return rc == 0;
}

static void
ring(struct slow *slow, int sleepers)
{
	ck_pr_inc_32(&slow->bell);
	/* Pairs with the fence in sleep_until_rung(). */
	ck_pr_fence_memory();
	if (ck_pr_load_uint(&slow->sleepers) > 0)
		syscall(SYS_futex, &slow->bell, FUTEX_WAKE_PRIVATE, sleepers,
			NULL, NULL, 0);
}

/* ---- a slow thread ------------------------------------------------------ */

/* The oldest, or NULL. */
static struct slow_job *
take_job(struct slow *slow)
{
	ck_stack_entry_t *link;

	pthread_mutex_lock(&slow->lock);
	if (!slow->backlog)
		slow->backlog =
			oldest_first(ck_stack_batch_pop_upmc(&slow->fresh));
	link = slow->backlog;
	if (link)
		slow->backlog = link->next;
	pthread_mutex_unlock(&slow->lock);
	if (!link)
		return NULL;
	TAKES_OVER(job_of(link));
	return job_of(link);
}

static bool
take_seat(struct seat *seat, unsigned state)
{
	if (!ck_pr_cas_uint(&seat->state, SEAT_FREE, state))
		return false;
	/* Pairs with give_up_seat(): we see whose it was. */
	ck_pr_fence_lock();
	TAKES_OVER(seat);
	return true;
}

static void
give_up_seat(struct seat *seat)
{
	HANDS_OVER(seat);
	/* Pairs with take_seat(). */
	ck_pr_fence_unlock();
	ck_pr_store_uint(&seat->state, SEAT_FREE);
}

/* True: the seat is given up, and the thread must end. False: there is a job
 * after all, or will be in a moment. */
static bool
retire(struct seat *seat)
{
	give_up_seat(seat);
	/* Pairs with the fence in slow_submit(), see the top. */
	ck_pr_fence_memory();
	while (ck_pr_load_uint(&seat->slow->jobs) > 0) {
		if (take_seat(seat, SEAT_TAKEN))
			return false;
		/* Somebody else's thread has it now, and sees the job. */
		if (ck_pr_load_uint(&seat->state) == SEAT_TAKEN)
			return true;
		/* Or will not come to be, and nobody else would see it. */
		sched_yield();
	}
	return true;
}

static void
settle(struct seat *seat)
{
	struct sched_param param = { 0 };
	char name[16]; /* what the kernel keeps */

	own_index = (unsigned)(seat - seat->slow->seats) + 1;
	ck_pr_store_uint(&seat->state, SEAT_TAKEN);
	snprintf(name, sizeof(name), "slow-%u", own_index - 1);
	pthread_setname_np(pthread_self(), name);
	profile_thread_begin(name);
	/* Both are of this thread alone on Linux, and may be refused. */
	if (nice(NICER) == -1)
		errno = 0;
	(void)sched_setscheduler(0, SCHED_BATCH, &param);
	/* It gave up its seat before its end, which has come by now. */
	if (seat->has_former)
		pthread_join(seat->former, NULL);
}

static void *
work(void *argument)
{
	struct seat *seat = argument;
	struct slow *slow = seat->slow;

	settle(seat);
	for (;;) {
		struct slow_job *job = take_job(slow);

		if (job) {
			profile_mark_set(PROFILE_SLOW, NULL);
			job->run(job); /* which may free it */
			profile_mark_set(PROFILE_OTHER, NULL);
			HANDS_OVER(&slow->jobs);
			/* Pairs with slow_settle(): who sees 0 frees what the
			 * job has touched last. */
			ck_pr_fence_release();
			ck_pr_dec_uint(&slow->jobs);
		} else if (ck_pr_load_uint(&slow->closing)) {
			break;
		} else if (!sleep_until_rung(slow) && retire(seat)) {
			break;
		}
	}
	profile_thread_end();
	return NULL;
}

/* ---- submitting --------------------------------------------------------- */

/* The seat is ours. On failure it is free again. */
static bool
start_thread(struct seat *seat)
{
	sigset_t all, before;
	int rc;

	/* Signals are for the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	seat->former = seat->thread;
	seat->has_former = seat->used;
	seat->used = true;
	/* Writes the handle before the thread begins. */
	rc = pthread_create(&seat->thread, NULL, work, seat);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0) {
		seat->thread = seat->former;
		seat->used = seat->has_former;
		give_up_seat(seat);
	}
	return rc == 0;
}

/* How many seats are in a state. */
static unsigned
seats_in(const struct slow *slow, unsigned state)
{
	unsigned count = 0;

	for (unsigned i = 0; i < SLOW_THREADS; i++)
		count += ck_pr_load_uint(&slow->seats[i].state) == state;
	return count;
}

static struct seat *
find_seat(struct slow *slow)
{
	for (unsigned i = 0; i < SLOW_THREADS; i++) {
		if (take_seat(&slow->seats[i], SEAT_STARTING))
			return &slow->seats[i];
	}
	return NULL;
}

/* A thread for each of the jobs, as far as there are seats. False: there is
 * no thread at all. A thread that is there stays, for there is a job. */
static bool
staff(struct slow *slow, unsigned jobs)
{
	while (seats_in(slow, SEAT_TAKEN) < SLOW_THREADS &&
	       seats_in(slow, SEAT_TAKEN) < jobs) {
		struct seat *seat = find_seat(slow);

		if (seat)
			return start_thread(seat) ||
			       seats_in(slow, SEAT_TAKEN) > 0;
		if (seats_in(slow, SEAT_TAKEN) > 0)
			return true;
		/* Others make the first threads just now, and may fail. */
		sched_yield();
	}
	return true;
}

enum err
slow_submit(struct slow *slow, struct slow_job *job)
{
	unsigned jobs = ck_pr_faa_uint(&slow->jobs, 1) + 1;

	/* Pairs with the fence in retire(). */
	ck_pr_fence_memory();
	if (!staff(slow, jobs)) {
		ck_pr_dec_uint(&slow->jobs);
		return ERR_NOMEM;
	}
	HANDS_OVER(job);
	/* Its own store fence pairs with the exchange in take_job(). */
	ck_stack_push_upmc(&slow->fresh, &job->link);
	ring(slow, 1);
	return ERR_OK;
}

/* ---- the lane ----------------------------------------------------------- */

enum err
slow_create(struct slow **out)
{
	struct slow *slow = aligned_alloc(alignof(struct slow), sizeof(*slow));

	if (!slow)
		return ERR_NOMEM;
	memset(slow, 0, sizeof(*slow));
	ck_stack_init(&slow->fresh);
	pthread_mutex_init(&slow->lock, NULL);
	slow->idle_ns = IDLE_NS;
	for (unsigned i = 0; i < SLOW_THREADS; i++)
		slow->seats[i].slow = slow;
	*out = slow;
	return ERR_OK;
}

void
slow_destroy(struct slow *slow)
{
	ck_pr_store_uint(&slow->closing, 1);
	ring(slow, INT_MAX);
	for (unsigned i = 0; i < SLOW_THREADS; i++) {
		if (slow->seats[i].used)
			pthread_join(slow->seats[i].thread, NULL);
	}
	assert(slow_waiting(slow) == 0);
	pthread_mutex_destroy(&slow->lock);
	free(slow);
}

void
slow_settle(const struct slow *slow)
{
	const struct timespec moment = { .tv_nsec = 1000000 };

	while (slow_waiting(slow))
		nanosleep(&moment, NULL);
	/* Pairs with the fence in work(). */
	ck_pr_fence_acquire();
	TAKES_OVER((void *)(uintptr_t)&slow->jobs);
}

void
slow_set_idle(struct slow *slow, uint64_t idle_ns)
{
	slow->idle_ns = idle_ns;
}

unsigned
slow_waiting(const struct slow *slow)
{
	return ck_pr_load_uint(&slow->jobs);
}

unsigned
slow_index(void)
{
	assert(own_index > 0);
	return own_index - 1;
}

bool
slow_on_thread(void)
{
	return own_index > 0;
}
