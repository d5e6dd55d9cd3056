/* SPDX-License-Identifier: MIT */
/*
 * Who may run a source. The scheduler's side of struct source; what its
 * owners call is in sched.h, the states are in source.c.
 */
#ifndef CORE_SOURCE_H
#define CORE_SOURCE_H

#include "core/sched.h"

/* Any worker. False: another one holds it. */
MUST_CHECK bool source_try_hold(struct source *source) ON_WORKER;
/* Clears `notified`, then calls run(). */
void source_run_once(struct source *source,
		     struct source_run *result) ON_WORKER;
/* The home worker, or any worker for a shared source, lets go. */
void source_release(struct source *source) ON_WORKER;
/* Another worker lets go: the home worker shall run it once more, since it
 * does not know what was seen, and asked for, meanwhile. True: it was parked,
 * and this woke it. */
bool source_return(struct source *source) ON_WORKER;

bool source_is_held(const struct source *source);
/* Somebody woke it, and no run has begun since. */
bool source_is_notified(const struct source *source);
/* Its home worker must run it: notified or returned, and not held. */
bool source_is_wanted(const struct source *source);

#endif
