/* SPDX-License-Identifier: MIT */
/*
 * The handler of the timers' signal: unwinds the interrupted stack into the
 * thread's recorder.
 *
 * It allocates nothing and takes no lock. backtrace(3) loads libgcc_s when it
 * is called for the first time, which sample_install() does; from then on the
 * unwinder finds its tables through _dl_find_object(3), which is made for
 * signal handlers (glibc 2.35, gcc 12).
 *
 * Where a function's tables are wrong (there is assembly with none, or with
 * mistakes) the unwinder may follow a pointer to nowhere. A profile must not
 * end the process: such a fault jumps back into the handler, and that sample
 * has the interrupted function only. All other faults go to who handled them
 * before.
 *
 * The handler runs on the thread's stack for signals where it has one: a
 * worker's, since a fiber may be near the end of its own (fiber_fault.c).
 * Calls that a signal interrupts go on (SA_RESTART) or, those that wait for a
 * time, are in loops that look again.
 */
#include <ck_pr.h>
#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <ucontext.h>

#include "core/fiber_context.h"
#include "core/profile_internal.h"

_Thread_local struct profile_mark profile_mark;
_Thread_local struct profiled profile_thread;

static const int fault_signals[] = { SIGSEGV, SIGBUS };
/* Who handles faults otherwise. Written before the first signal is sent. */
static struct sigaction fault_actions[ARRAY_LEN(fault_signals)];

enum {
	/* The handler itself, and the kernel's frame below it. */
	HANDLER_FRAMES = 8,
	FRAMES_MAX = PROFILE_DEPTH + HANDLER_FRAMES,
};

/* ---- unwinding ----------------------------------------------------------- */

static void *
interrupted_at(const ucontext_t *context)
{
#if defined(__x86_64__)
	return (void *)(uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	return (void *)(uintptr_t)context->uc_mcontext.pc;
#else
	(void)context;
	return NULL;
#endif
}

/* Returns how many; 0 after a fault. */
NOT_CHECKED static int
unwind(void **frames)
{
	struct profiled *thread = &profile_thread;
	volatile int count = 0;

	thread->unwinding = 1;
	if (!_setjmp(thread->jump))
		count = backtrace(frames, FRAMES_MAX);
	else
		count = 0;
	thread->unwinding = 0;
	return count;
}

/* The first of the interrupted thread's own. */
static int
skip_handler(void *const *frames, int count, const void *at)
{
	for (int i = 0; i < count; i++)
		if (frames[i] == at)
			return i;
	return count;
}

/* ---- storing ------------------------------------------------------------- */

static void
put(struct recorder *recorder, uint64_t *head, uint64_t word)
{
	recorder->words[(*head)++ % RECORDER_WORDS] = word;
}

static void
store(struct recorder *recorder, void *const *frames, unsigned depth,
      unsigned weight)
{
	uint64_t head = ck_pr_load_64(&recorder->head);
	uint64_t used = head - ck_pr_load_64(&recorder->tail);

	if (used + 2 + depth > RECORDER_WORDS) {
		ck_pr_store_64(&recorder->dropped, recorder->dropped + weight);
		return;
	}
	/* Pairs with the fence in fold_take(): it has read what we write
	 * over. */
	ck_pr_fence_load_store();
	put(recorder, &head,
	    depth | (uint64_t)profile_mark.kind << 16 | (uint64_t)weight << 32);
	put(recorder, &head, (uintptr_t)profile_mark.route);
	for (unsigned i = 0; i < depth; i++)
		put(recorder, &head, (uintptr_t)frames[i]);
	/* Pairs with the fence in fold_take(): who sees the head sees the
	 * sample. */
	ck_pr_fence_store();
	ck_pr_store_64(&recorder->head, head);
}

static void
sample(struct recorder *recorder, const ucontext_t *context, unsigned weight)
{
	void *frames[FRAMES_MAX];
	void *at = interrupted_at(context);
	int count = unwind(frames);
	int first = skip_handler(frames, count, at);
	unsigned depth = (unsigned)(count - first);

	if (depth == 0) {
		frames[0] = at;
		first = 0;
		depth = 1;
	}
	store(recorder, frames + first,
	      depth < PROFILE_DEPTH ? depth : PROFILE_DEPTH, weight);
}

/* ---- signals ------------------------------------------------------------- */

/* What came while the thread was not running, or between two of the kernel's
 * ticks, is one signal that counts for all. */
static void
on_timer(int number, siginfo_t *info, void *context)
{
	struct profiled *thread = &profile_thread;
	struct recorder *recorder;
	int kept = errno;

	(void)number;
	ck_pr_store_uint(&thread->busy, 1);
	/* Pairs with the fence in detach_locked(): either we see that the
	 * recorder is gone, or it sees us busy and waits. */
	ck_pr_fence_memory();
	recorder = ck_pr_load_ptr(&thread->recorder);
	if (recorder && info->si_code == SI_TIMER)
		sample(recorder, context, 1 + (unsigned)info->si_overrun);
	ck_pr_fence_release();
	ck_pr_store_uint(&thread->busy, 0);
	errno = kept;
}

static void
let_through(int number)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

NOT_CHECKED static void
on_fault(int number, siginfo_t *info, void *context)
{
	struct profiled *thread = &profile_thread;

	(void)context;
	if (thread->unwinding) {
		thread->unwinding = 0;
		let_through(number);
		longjmp(thread->jump, 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(fault_signals); i++)
		if (fault_signals[i] == number)
			sigaction(number, &fault_actions[i], NULL);
	/* The instruction faults again, unless somebody sent the signal. */
	if (info->si_code <= 0)
		(void)raise(number);
}

static void
install(int number, void (*handler)(int, siginfo_t *, void *),
	struct sigaction *before)
{
	struct sigaction action = { .sa_sigaction = handler,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK |
						SA_RESTART };

	/* Of other signals only faults come in between. */
	sigfillset(&action.sa_mask);
	for (size_t i = 0; i < ARRAY_LEN(fault_signals); i++)
		sigdelset(&action.sa_mask, fault_signals[i]);
	sigaction(number, &action, before);
}

void
sample_install(void)
{
	void *frames[1];

	(void)backtrace(frames, ARRAY_LEN(frames));
	for (size_t i = 0; i < ARRAY_LEN(fault_signals); i++)
		install(fault_signals[i], on_fault, &fault_actions[i]);
	install(SIGPROF, on_timer, NULL);
}

void
sample_uninstall(void)
{
	for (size_t i = 0; i < ARRAY_LEN(fault_signals); i++) {
		struct sigaction now;

		/* Somebody may have come after us. */
		if (!sigaction(fault_signals[i], NULL, &now) &&
		    now.sa_sigaction == on_fault)
			sigaction(fault_signals[i], &fault_actions[i], NULL);
	}
}
