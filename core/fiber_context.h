/* SPDX-License-Identifier: MIT */
/*
 * A place in running code: a stack, and the registers that a function call
 * must keep. Switching to one costs a few nanoseconds and no system call,
 * which swapcontext(3) makes for the signal mask; all threads of ours keep
 * theirs. x86-64 and aarch64 have code of their own, others (and builds with
 * -DFIBER_UCONTEXT) use ucontext.
 *
 * One thread goes to and fro between its own context and those of its fibers.
 * The sanitizers are told about every step.
 */
#ifndef CORE_FIBER_CONTEXT_H
#define CORE_FIBER_CONTEXT_H

#include "core/base.h"

/* glibc's own switch is the one that keeps a shadow stack. */
#if !defined(FIBER_UCONTEXT) && !(defined(__CET__) && (__CET__ & 2)) && \
	(defined(__x86_64__) || defined(__aarch64__))
#define FIBER_ASSEMBLY 1
#else
#include <ucontext.h>
#endif

typedef void (*context_fn)(void *arg);

struct context {
#ifdef FIBER_ASSEMBLY
	void *sp; /* the registers are on the stack */
#else
	ucontext_t ucontext;
	context_fn entry;
	void *arg;
#endif
	/* The sanitizers'. */
	const void *bottom; /* of the stack; a thread's own: known once it has
			       switched to another */
	size_t size;
	void *fake_stack;
	void *tsan;
};

/* A thread's own: the place where it will leave. The calling thread's. */
void context_init_thread(struct context *context);
/* Of a new fiber: entry(arg) is called at the first switch to it. It must
 * call context_arrive() first, and never return. */
void context_init(struct context *context, void *stack, size_t size,
		  context_fn entry, void *arg);
/* Not of the running one. */
void context_fini(struct context *context);

/* Returns when somebody switches to `from` again. */
void context_switch(struct context *from, struct context *to);
/* The same; but no variable on the stack of `from` is used any more, except
 * those of callers that are not checked by the address sanitizer. */
void context_leave(struct context *from, struct context *to);
void context_arrive(struct context *from);

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif

#ifdef UNDER_ASAN
#define NOT_CHECKED __attribute__((no_sanitize_address))
#else
#define NOT_CHECKED
#endif

#endif
