/* SPDX-License-Identifier: MIT */
/*
 * The server that is loaded, and connections to it.
 */
#ifndef TOOLS_BENCH_PEER_H
#define TOOLS_BENCH_PEER_H

#include "tools/bench/plan.h"

/* Fills in where the plan goes to. Says what is wrong. */
MUST_CHECK enum outcome peer_resolve(struct plan *plan,
				     const struct options *options);

/* Connects once and closes again: OUTCOME_UNREACHABLE, after saying so, where
 * nobody is there. */
MUST_CHECK enum outcome peer_probe(const struct plan *plan);

/* Begins a connection without waiting for it. Returns its descriptor, or -1
 * with errno. Once it is writable peer_opened() says how it went. */
int peer_open(const struct plan *plan);
/* 0, or an errno value. */
int peer_opened(int fd);

#endif
