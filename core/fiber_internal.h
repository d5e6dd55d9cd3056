/* SPDX-License-Identifier: MIT */
/*
 * The inside of fibers: one fiber, and what a worker has of them. Included by
 * the scheduler's own files only.
 *
 *	fiber.c          beginning, yielding, waiting, waking
 *	fiber_stack.c    making fibers, the spare ones, memory
 *	fiber_timer.c    those that wait until some time
 *	fiber_fault.c    the report of a stack overflow
 *	fiber_context.c  the switch
 */
#ifndef CORE_FIBER_INTERNAL_H
#define CORE_FIBER_INTERNAL_H

#include "core/clock.h"
#include "core/fiber.h"
#include "core/fiber_context.h"

enum {
	/* Address space only. Wider than the frames of functions that touch
	 * no page on their way down, such as a library's. */
	FIBER_GUARD = 64 << 10,
	/* A spare stack keeps what most tasks touch, when it has not been
	 * used for a while... */
	SPARE_BYTES = 32 << 10,
	/* ...and so many are kept: half a MiB a worker at worst. */
	SPARE_KEPT = 16,
	/* More than those are unmapped in small parts, 5 us each, so that
	 * the end of a burst is no pause. */
	TRIM_BATCH = 16,
	NO_TIMER = -1,
};
/* How long a while is, and how soon the next part is trimmed. */
#define TRIM_NS NS_PER_S
#define TRIM_AGAIN_NS NS_PER_MS
/* Without memory for a stack, how soon to try again. */
#define STARVED_NS (10 * NS_PER_MS)

struct worker;

enum fiber_state {
	FIBER_SPARE,   /* has no task */
	FIBER_READY,   /* in the worker's FIFO */
	FIBER_RUNNING, /* what the worker does now */
	FIBER_WAITING, /* for a wake, or its time */
	FIBER_ENDED,   /* its task has returned just now */
};

/* Also the entry of a stack, which outlives the task: the next one runs on
 * the same fiber. */
struct fiber {
	/* Set when it is made, then never changed. */
	struct worker *worker;
	char *map; /* the guard, then the stack */

	/* The worker's own. */
	struct context context;
	struct fiber_task *task;
	const char *name;
	enum fiber_state state;
	unsigned tokens;    /* wakes that no wait has taken */
	uint64_t since_ns;  /* when it last went on */
	uint64_t until_ns;  /* of a wait */
	int timer;          /* its place in the heap, or NO_TIMER */
	unsigned place;     /* in fibers.all */
	bool untrimmed;     /* a spare one that was used since it was trimmed */
	struct fiber *next; /* ready, or spare */

	/* Atomic: wakes that are not in tokens yet. Added to by any thread;
	 * emptied by the worker, when it has found the fiber in its inbox. */
	alignas(CACHE_LINE) unsigned wakes;
	/* Whoever made wakes more than 0 pushes it; then the worker's. */
	ck_stack_entry_t link;
};

/* A worker's. */
struct fibers {
	/* The worker's own. */
	struct context home; /* its own stack */
	struct fiber *current;
	struct fiber *first, *last; /* ready, first in first out */
	struct fiber *spare;        /* last in first out: warm in the caches */
	unsigned spare_count;       /* of those, and how many of them were */
	unsigned unused;            /* never taken since the last trim */
	unsigned count;             /* of all */
	unsigned room;              /* in all and timers */
	struct fiber **all;         /* in no order */
	struct fiber **timers;      /* a heap, the earliest first */
	unsigned timer_count;
	/* Tasks that found no memory for a stack, linked, the oldest first. */
	struct task *starved, *starved_last;
	uint64_t starved_ns; /* when to try again, while there are some */
	uint64_t trim_ns;    /* when to trim; 0: nothing to trim */
	void *signal_stack;

	/* Atomic: pushed by any thread, taken whole by the worker. */
	alignas(CACHE_LINE) ck_stack_t inbox;
};

/* ---- fiber_stack.c ---- */

/* NULL: no memory. */
struct fiber *fiber_take(struct worker *worker) ON_WORKER;
/* Its task has ended. */
void fiber_give(struct worker *worker, struct fiber *fiber) ON_WORKER;
/* Gives back memory of spare fibers that nobody needed for a while, or a part
 * of it. */
void fiber_trim(struct worker *worker, uint64_t now) ON_WORKER;
/* The entry of each. */
void fiber_main(void *fiber);

/* ---- fiber_timer.c ---- */

void fiber_timer_add(struct fibers *fibers, struct fiber *fiber);
void fiber_timer_remove(struct fibers *fibers, struct fiber *fiber);

/* ---- fiber_fault.c ---- */

/* On the worker's thread, around everything. */
void fiber_fault_begin(struct fibers *fibers);
void fiber_fault_end(struct fibers *fibers);

#endif
