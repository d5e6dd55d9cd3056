/* SPDX-License-Identifier: MIT */
/*
 * The report of a stack overflow. The handler runs on a stack of its own,
 * writes one line when the fault lies in the guard of the fiber that runs,
 * and lets the instruction fault again with the default action: the signal,
 * the core and its registers are those of the overflow. Every other fault
 * passes through it without a trace.
 *
 * Sanitizers have handlers of their own, with better reports; there it is
 * not installed.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>

#include "core/log.h"
#include "core/worker.h"

#if !defined(UNDER_ASAN) && !defined(UNDER_TSAN)

/* log_error() takes less than half of it; the kernel needs room for all
 * registers, which some processors have more of than others. */
enum { REPORT_BYTES = 32 << 10, NAME_MAX_QUOTED = 512 };

static size_t
signal_stack_size(void)
{
	return REPORT_BYTES + getauxval(AT_MINSIGSTKSZ);
}

static void
report(const struct fiber *fiber)
{
	char name[NAME_MAX_QUOTED];

	log_error("stack overflow task=%s worker=%u",
		  log_quote(name, sizeof(name),
			    bytes_of(fiber->name ? fiber->name : "")),
		  fiber->worker->index);
}

static bool
is_in_guard(const struct fiber *fiber, const char *address)
{
	return address >= fiber->map && address < fiber->map + FIBER_GUARD;
}

static void
handle(int number, siginfo_t *info, void *unused)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	const struct fiber *fiber = fiber_self();

	(void)unused;
	sigaction(number, &action, NULL);
	if (info->si_code <= 0) {
		/* Somebody sent it: it does not come again by itself. */
		(void)raise(number);
		return;
	}
	if (fiber && is_in_guard(fiber, info->si_addr))
		report(fiber);
}

static void
install(void)
{
	static const int numbers[] = { SIGSEGV, SIGBUS };
	struct sigaction action = { .sa_sigaction = handle,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		(void)sigaction(numbers[i], &action, NULL);
}

void
fiber_fault_begin(struct fibers *fibers)
{
	static pthread_once_t installed = PTHREAD_ONCE_INIT;
	stack_t stack = { .ss_size = signal_stack_size() };
	sigset_t faults;

	stack.ss_sp = fibers->signal_stack = malloc(stack.ss_size);
	if (!stack.ss_sp || sigaltstack(&stack, NULL))
		return; /* no report, but the same end */
	pthread_once(&installed, install);
	/* A fault whose signal is blocked kills without a handler. */
	sigemptyset(&faults);
	sigaddset(&faults, SIGSEGV);
	sigaddset(&faults, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &faults, NULL);
}

void
fiber_fault_end(struct fibers *fibers)
{
	stack_t none = { .ss_flags = SS_DISABLE };

	sigaltstack(&none, NULL);
	free(fibers->signal_stack);
	fibers->signal_stack = NULL;
}

#else

void
fiber_fault_begin(struct fibers *fibers)
{
	(void)fibers;
}

void
fiber_fault_end(struct fibers *fibers)
{
	(void)fibers;
}

#endif
