/* SPDX-License-Identifier: MIT */
/*
 * The slow lane. SLOW_JOBS sets how many jobs the crowd submits.
 */
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "core/slow.h"
#include "tests/tap.h"
#include "tests/waiting.h"

static struct slow *
new_slow(uint64_t idle_ns)
{
	struct slow *slow = NULL;
	enum err err = slow_create(&slow);

	assert(!err);
	if (idle_ns)
		slow_set_idle(slow, idle_ns);
	return slow;
}

static void
submit(struct slow *slow, struct slow_job *job)
{
	enum err err = slow_submit(slow, job);

	assert(!err);
}

/* How many threads this process has. */
static unsigned
threads(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	unsigned count = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Threads: %u", &count) == 1)
			break;
	}
	if (file)
		fclose(file);
	return count;
}

static bool
threads_become(unsigned count)
{
	uint64_t deadline = clock_mono_ns() + DEADLINE_NS;

	while (threads() != count) {
		if (clock_mono_ns() > deadline)
			return false;
		sleep_ms(1);
	}
	return true;
}

struct job {
	struct slow_job job;
	uint64_t begun, ended; /* atomic */
	uint64_t go;           /* atomic: it may end */
	unsigned index;
	unsigned order; /* how many began before it */
	int priority, policy;
	bool blocked, named;
};

static struct job *
job_of(struct slow_job *job)
{
	return CONTAINER_OF(job, struct job, job);
}

static void
bump(uint64_t *counter)
{
	ck_pr_fence_release();
	ck_pr_inc_64(counter);
}

/* Atomic: how many have begun. */
static unsigned begun;

static void
wait_for_go(struct slow_job *link)
{
	struct job *job = job_of(link);

	job->order = ck_pr_faa_uint(&begun, 1);
	job->index = slow_index();
	bump(&job->begun);
	(void)wait_for_count(&job->go, 1);
	bump(&job->ended);
}

static void
look_around(struct slow_job *link)
{
	struct job *job = job_of(link);
	char name[16], expected[16];
	sigset_t blocked;

	snprintf(expected, sizeof(expected), "slow-%u", slow_index());
	pthread_getname_np(pthread_self(), name, sizeof(name));
	job->named = !strcmp(name, expected) && slow_on_thread();
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	job->blocked =
		sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGHUP);
	job->priority = getpriority(PRIO_PROCESS, 0);
	job->policy = sched_getscheduler(0);
	bump(&job->ended);
}

static void
its_threads_are_humble(void)
{
	struct slow *slow = new_slow(0);
	struct job job = { .job.run = look_around };
	int own = getpriority(PRIO_PROCESS, 0);
	sigset_t blocked;

	submit(slow, &job.job);
	ok(wait_for_count(&job.ended, 1), "a job runs");
	ok(job.named, "on a thread with a name");
	ok(job.blocked, "that takes no signals");
	ok(job.priority == (own < 9 ? own + 10 : 19),
	   "and has a lower priority (%d)", job.priority);
	ok(job.policy == SCHED_BATCH, "as a batch");
	ok(getpriority(PRIO_PROCESS, 0) == own && !slow_on_thread(),
	   "this thread has none of it");
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	ok(!sigismember(&blocked, SIGTERM), "nor its mask");
	slow_destroy(slow);
}

static void
threads_come_on_demand_and_go(void)
{
	unsigned before = threads();
	struct slow *slow = new_slow(100 * NS_PER_MS);
	struct job jobs[2] = { { .job.run = wait_for_go },
			       { .job.run = wait_for_go } };

	is_u64(threads(), before, "none before the first job");
	submit(slow, &jobs[0].job);
	ok(wait_for_count(&jobs[0].begun, 1), "it runs");
	is_u64(threads(), before + 1, "one thread for one job");
	submit(slow, &jobs[1].job);
	ok(wait_for_count(&jobs[1].begun, 1), "another runs beside it");
	is_u64(slow_waiting(slow), 2, "both are counted");
	ok(jobs[0].index != jobs[1].index && jobs[0].index < SLOW_THREADS &&
		   jobs[1].index < SLOW_THREADS,
	   "on a thread of its own");
	bump(&jobs[0].go);
	bump(&jobs[1].go);
	ok(threads_become(before), "they end when there is nothing to do");
	is_u64(slow_waiting(slow), 0, "nothing is counted");
	jobs[0].job.run = look_around;
	submit(slow, &jobs[0].job);
	ok(wait_for_count(&jobs[0].ended, 2), "and come again");
	slow_destroy(slow);
	is_u64(threads(), before, "until the lane is destroyed");
}

/* While a thread is there for it, a job makes no other. */
static void
an_idle_thread_is_used_again(void)
{
	unsigned before = threads();
	struct slow *slow = new_slow(0);
	struct job job = { .job.run = look_around };
	bool good = true;

	for (unsigned i = 1; good && i <= 50; i++) {
		uint64_t deadline = clock_mono_ns() + DEADLINE_NS;

		submit(slow, &job.job);
		good = wait_for_count(&job.ended, i);
		while (slow_waiting(slow) > 0 && clock_mono_ns() < deadline)
			sched_yield();
	}
	ok(good, "50 jobs, one after the other");
	is_u64(threads(), before + 1, "have one thread");
	slow_destroy(slow);
}

static void
jobs_begin_in_order_two_at_a_time(void)
{
	enum { JOBS = 40 };
	struct slow *slow = new_slow(0);
	struct job jobs[JOBS] = { 0 };
	bool in_order = true, good = true;

	begun = 0;
	for (int i = 0; i < JOBS; i++) {
		jobs[i].job.run = wait_for_go;
		submit(slow, &jobs[i].job);
	}
	is_u64(slow_waiting(slow), JOBS, "all are counted");
	for (int i = 0; good && i + 2 < JOBS; i++) {
		good = wait_for_count(&jobs[i + 1].begun, 1) &&
		       !ck_pr_load_64(&jobs[i + 2].begun);
		bump(&jobs[i].go);
		good &= wait_for_count(&jobs[i + 2].begun, 1);
	}
	ok(good, "two run, and when one ends, the next begins");
	bump(&jobs[JOBS - 2].go);
	bump(&jobs[JOBS - 1].go);
	slow_destroy(slow);
	for (int i = 0; i < JOBS; i++) {
		unsigned order = jobs[i].order;

		/* Two may pass each other between their queue and here. */
		in_order &=
			order + 1 >= (unsigned)i && order <= (unsigned)i + 1;
	}
	ok(in_order, "in the order in which they came");
}

static void
destroying_runs_what_waits(void)
{
	enum { JOBS = 100 };
	struct slow *slow = new_slow(0);
	struct job jobs[JOBS] = { 0 };
	uint64_t ended = 0;

	for (int i = 0; i < JOBS; i++) {
		jobs[i].job.run = look_around;
		submit(slow, &jobs[i].job);
	}
	slow_destroy(slow);
	for (int i = 0; i < JOBS; i++)
		ended += jobs[i].ended;
	is_u64(ended, JOBS, "all of it");
	slow_destroy(new_slow(0));
	ok(true, "a lane without any job can be destroyed");
}

static void
end_late(struct slow_job *link)
{
	sleep_ms(20);
	job_of(link)->ended = 1; /* plainly: what the settler may read */
}

static void
settling_waits_for_the_end_of_the_last(void)
{
	enum { JOBS = 3 };
	struct slow *slow = new_slow(0);
	struct job jobs[JOBS] = { 0 };
	uint64_t ended = 0;

	slow_settle(slow);
	for (int i = 0; i < JOBS; i++) {
		jobs[i].job.run = end_late;
		submit(slow, &jobs[i].job);
	}
	slow_settle(slow);
	for (int i = 0; i < JOBS; i++)
		ended += jobs[i].ended;
	is_u64(ended, JOBS, "all have ended");
	is_u64(slow_waiting(slow), 0, "and none waits");
	slow_destroy(slow);
}

/* ---- every job once ----------------------------------------------------- */

enum { SUBMITTERS = 4, EACH = 64 };
static struct {
	struct slow *slow;
	struct job jobs[SUBMITTERS][EACH];
	uint64_t rounds;
	uint64_t wrong; /* atomic */
} crowd;

static void
run_once(struct slow_job *link)
{
	bump(&job_of(link)->ended);
}

/* Bursts with pauses about as long as a thread stays idle. */
static void *
submit_bursts(void *argument)
{
	struct job *jobs = argument;

	for (uint64_t round = 1; round <= crowd.rounds; round++) {
		size_t burst = 1 + round * 5 % EACH;

		for (size_t i = 0; i < burst; i++)
			submit(crowd.slow, &jobs[i].job);
		for (size_t i = 0; i < burst; i++) {
			uint64_t ended = ++jobs[i].go; /* here: submits */

			if (!wait_for_count(&jobs[i].ended, ended) ||
			    ck_pr_load_64(&jobs[i].ended) != ended)
				ck_pr_inc_64(&crowd.wrong);
		}
		if (ck_pr_load_64(&crowd.wrong))
			break;
		usleep((useconds_t)(round * 13 % 300));
	}
	return NULL;
}

static void
each_job_of_a_crowd_runs_once(uint64_t rounds)
{
	pthread_t submitters[SUBMITTERS];

	crowd.slow = new_slow(100 * NS_PER_US);
	crowd.rounds = rounds;
	for (size_t i = 0; i < SUBMITTERS * EACH; i++)
		crowd.jobs[i / EACH][i % EACH].job.run = run_once;
	for (size_t i = 0; i < SUBMITTERS; i++)
		pthread_create(&submitters[i], NULL, submit_bursts,
			       crowd.jobs[i]);
	for (size_t i = 0; i < SUBMITTERS; i++)
		pthread_join(submitters[i], NULL);
	is_u64(crowd.wrong, 0, "by threads that come and go all the time");
	slow_destroy(crowd.slow);
}

/* One job at a time: each comes about when the last thread ends. */
static void
no_job_is_left_by_a_thread_that_ends(uint64_t rounds)
{
	struct slow *slow = new_slow(50 * NS_PER_US);
	struct job job = { .job.run = run_once };
	uint64_t round = 0;

	while (round < rounds) {
		submit(slow, &job.job);
		if (!wait_for_count(&job.ended, ++round))
			break;
		for (unsigned i = 0; i < round * 11 % 4096; i++)
			ck_pr_stall();
	}
	is_u64(round, rounds, "each runs");
	slow_destroy(slow);
}

/* ---- no thread ---------------------------------------------------------- */

/* In a child, which may have no more threads. */
static int
submit_without_threads(void)
{
	struct rlimit limit = { 0, 0 };
	struct slow *slow = new_slow(0);
	struct job first = { .job.run = wait_for_go }, second = first;

	/* Space for a thread's stack: root has no limit on their number. */
	if (getrlimit(RLIMIT_AS, &limit))
		return 2;
	limit.rlim_cur = 1 << 20;
	if (setrlimit(RLIMIT_AS, &limit))
		return 3;
	if (slow_submit(slow, &first.job) != ERR_NOMEM)
		return 4;
	if (slow_waiting(slow) != 0)
		return 5;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_AS, &limit))
		return 6;
	/* One is there: it will do. */
	if (slow_submit(slow, &first.job) || !wait_for_count(&first.begun, 1))
		return 7;
	limit.rlim_cur = 1 << 20;
	if (setrlimit(RLIMIT_AS, &limit))
		return 8;
	if (slow_submit(slow, &second.job))
		return 9;
	bump(&first.go);
	bump(&second.go);
	slow_destroy(slow);
	return second.ended == 1 ? 0 : 10;
}

static void
without_a_thread_the_job_is_not_taken(void)
{
	int status = 0;
	pid_t child;

#if defined(__SANITIZE_ADDRESS__) || defined(UNDER_TSAN)
	ok(true, "memory # SKIP the sanitizer needs all the address space");
	(void)child, (void)status, (void)submit_without_threads;
	return;
#endif
	child = fork();
	if (child == 0)
		_exit(submit_without_threads());
	waitpid(child, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	   "unless there is one (%d)",
	   WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

int
main(void)
{
	uint64_t rounds = tap_rounds("SLOW_JOBS", 20000 / SLOWER);

	without_a_thread_the_job_is_not_taken();
	its_threads_are_humble();
	threads_come_on_demand_and_go();
	an_idle_thread_is_used_again();
	jobs_begin_in_order_two_at_a_time();
	destroying_runs_what_waits();
	settling_waits_for_the_end_of_the_last();
	each_job_of_a_crowd_runs_once(rounds / 20);
	no_job_is_left_by_a_thread_that_ends(rounds / 2);
	return tap_done();
}
