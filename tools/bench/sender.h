/* SPDX-License-Identifier: MIT */
/*
 * One thread of the generator, with its share of the connections.
 *
 * Closed loop: a connection sends its next request when the reply to the last
 * one has come. Open loop: the schedule says when each request begins, and a
 * request whose time has come waits in the schedule until a connection is
 * free; its latency counts from the time in the schedule, so a server that
 * stalls is charged with every request that should have been sent meanwhile
 * (the "coordinated omission" that Gil Tene's wrk2 showed how to avoid). With
 * T threads, thread t has the requests t, t + T, t + 2T... of one schedule
 * with equal gaps.
 *
 * A run has three parts: the warm-up, the window that is measured, and the
 * drain, in which nothing is sent and what is on its way is waited for.
 */
#ifndef TOOLS_BENCH_SENDER_H
#define TOOLS_BENCH_SENDER_H

#include <pthread.h>

#include "tools/bench/plan.h"
#include "tools/bench/tally.h"

/* What the threads of a run share. */
struct run {
	const struct plan *plan;
	uint64_t rate; /* 0: closed loop */
	unsigned threads;
	pthread_barrier_t connected, begun;
	/* Set between the two barriers. */
	uint64_t begin_ns, window_ns, end_ns; /* the last is UINT64_MAX where
					       * requests are counted */
	/* Set by the main thread, read by all: 1 ends the run early, 2 does not
	 * even wait for what is on its way. */
	unsigned stop;
	int done; /* an eventfd: each thread adds 1 when it is through */
};

/* Borrows run; index is below run->threads. NULL: no memory. */
struct sender *sender_create(struct run *run, unsigned index);
void sender_destroy(struct sender *sender);
/* The thread: connects, passes both barriers, sends, drains. arg is a struct
 * sender. */
void *sender_run(void *arg);

/* After the first barrier: connections that could be opened. */
unsigned sender_connected(const struct sender *sender);
/* When the thread has ended; borrowed. */
const struct tally *sender_tally(const struct sender *sender);

/* Any thread, any time: what has come since the beginning of the run, and,
 * added to latency, how long what has been measured took. */
struct sender_so_far {
	uint64_t replies, errors;
};
void sender_so_far(const struct sender *sender, struct sender_so_far *sum,
		   struct spread *latency);

#endif
