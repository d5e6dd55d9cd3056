/* SPDX-License-Identifier: MIT */
/*
 * A profile as the client has it: folded stacks, and sums over them.
 */
#ifndef TOOLS_PROFILE_STACKS_H
#define TOOLS_PROFILE_STACKS_H

#include "core/buffer.h"

enum { STACKS_LABELS = 3 }; /* thread, route, kind: before the functions */

/* One line. */
struct stack {
	struct bytes *frames; /* labels, then functions from the outermost */
	unsigned depth;       /* of labels and functions */
	uint64_t samples;
};

struct stacks {
	/* Of the whole profile, as the server says it; hz is 0 where it says
	 * nothing: then samples is the sum of the list's. */
	uint64_t hz, ms, samples, dropped;
	/* Frames of each that are no functions: STACKS_LABELS of a server; a
	 * file of another program may have the process alone. */
	unsigned labels;
	struct stack *list;
	size_t count;
	struct bytes *frames; /* of all */
};

/* text must live as long. False, after saying so: it is no profile. The caller
 * runs stacks_fini() in any case. */
MUST_CHECK bool stacks_parse(struct stacks *stacks, struct bytes text);
void stacks_fini(struct stacks *stacks);

/* A name and its samples: a function's, a route's, a thread's, a kind's. */
struct sum {
	struct bytes name;
	uint64_t self;  /* it was the innermost */
	uint64_t total; /* it was somewhere in the stack */
	size_t last;    /* the stack that was counted last, and 1 */
};

struct sums {
	struct sum *list; /* the most first */
	size_t count;
	uint32_t *slots; /* a hash table of places in it, and 1 */
	size_t slot_count;
};

/* By the frames from first to last (UINT_MAX: all from first on). Those with
 * most self are first where there are functions, else with most total. False,
 * after saying so: no memory. The caller runs sums_fini() in any case. */
MUST_CHECK bool sums_make(struct sums *sums, const struct stacks *stacks,
			  unsigned first, unsigned last);
void sums_fini(struct sums *sums);

/* "GET /shop/orders/{id}" of "route GET /shop/orders/{id}". */
struct bytes stacks_route(struct bytes label);
/* As strcmp(). */
int name_compare(struct bytes a, struct bytes b);

/* ---- what is made of it -------------------------------------------------- */

/* Each: false, after saying so: no memory. */
MUST_CHECK bool summary_text(const struct stacks *stacks, uint64_t limit);
MUST_CHECK bool summary_json(const struct stacks *stacks);
/* A flame graph: a page of its own, without scripts. */
MUST_CHECK bool flame_write(const struct stacks *stacks);

#endif
