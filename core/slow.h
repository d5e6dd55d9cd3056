/* SPDX-License-Identifier: MIT */
/*
 * The slow lane: work that may block on the disk or hold a processor for long
 * and cannot be sliced. At most SLOW_THREADS threads of lower priority, made
 * on demand, ended after a while without work. No worker ever waits for them.
 */
#ifndef CORE_SLOW_H
#define CORE_SLOW_H

#include <ck_stack.h>

#include "core/base.h"
#include "core/err.h"

enum { SLOW_THREADS = 2 };

struct slow;
struct slow_job;

/* Embedded in an object of its owner. Held from slow_submit() until run(),
 * which may free it. Jobs run in the order in which they came. */
struct slow_job {
	void (*run)(struct slow_job *job);
	/* The lane's. */
	ck_stack_entry_t link;
};

MUST_CHECK enum err slow_create(struct slow **out);
/* Runs what waits, then ends the threads. */
void slow_destroy(struct slow *slow);

/* Before the first job: how long a thread stays without one, instead of 10 s.
 * For tests. */
void slow_set_idle(struct slow *slow, uint64_t idle_ns);

/* Any thread; never blocks. ERR_NOMEM: no thread could be made and there is
 * none; the job was not taken. */
MUST_CHECK enum err slow_submit(struct slow *slow, struct slow_job *job);
/* When nobody submits any more: waits until the last job has run. */
void slow_settle(const struct slow *slow);
/* Jobs that wait or run. */
unsigned slow_waiting(const struct slow *slow);
/* On a slow thread: its index, below SLOW_THREADS. Asserts elsewhere. */
unsigned slow_index(void);
bool slow_on_thread(void);

#endif
