/* SPDX-License-Identifier: MIT */
/*
 * The inside of profiles. Included by core/profile*.c only.
 */
#ifndef CORE_PROFILE_INTERNAL_H
#define CORE_PROFILE_INTERNAL_H

#include <setjmp.h>
#include <signal.h>
#include <time.h>

#include "core/profile.h"

enum {
	/* Deeper stacks lose their outermost functions. SQLite's deepest, with
	 * our limits, in tests/test_sql_depth.c are deeper: those are cut. */
	PROFILE_DEPTH = 128,
	/* 128 KiB a thread: 100 of the deepest samples, which is twice as many
	 * as come in PROFILE_COLLECT_MS at the highest rate. */
	RECORDER_WORDS = 1 << 14,
	THREAD_NAME_MAX = 16, /* what the kernel keeps */
};

/*
 * One thread's samples in one profile: a ring of words. The thread's handler
 * writes, profile_collect() reads.
 *
 * A sample: depth | kind << 16 | weight << 32, the route's pointer, then depth
 * addresses, the innermost first.
 */
struct recorder {
	/* Set before it is published, then never changed. */
	struct recorder *next;
	char name[THREAD_NAME_MAX];
	uint64_t *words;

	/* Under the lock of profile.c. */
	timer_t timer;

	/* Atomic: written by the handler. */
	alignas(CACHE_LINE) uint64_t head; /* words written */
	uint64_t dropped;                  /* samples, by weight */

	/* Atomic: written by who collects. */
	alignas(CACHE_LINE) uint64_t tail; /* words read */
};

/* A registered thread's own, in its thread-local memory. */
struct profiled {
	/* Under the lock. */
	struct profiled *next, **previous;
	char name[THREAD_NAME_MAX];
	clockid_t clock;
	pid_t tid;

	/* Atomic: written under the lock, read by the thread's handler. */
	struct recorder *recorder;
	/* Atomic: the handler uses the recorder. */
	unsigned busy;

	/* The thread's handlers'. */
	volatile sig_atomic_t unwinding;
	jmp_buf jump;
};

extern _Thread_local struct profiled profile_thread;

struct profile {
	unsigned hz;
	/* Atomic: pushed under the lock, read by who collects. */
	struct recorder *recorders;

	/* Who collects. */
	uint64_t samples, dropped;
	struct fold {
		uint64_t *words; /* of all stacks */
		size_t len, room;
		uint32_t *slots; /* a hash table of places in words */
		size_t slot_count, used;
		char (*names)[THREAD_NAME_MAX];
		unsigned name_count;
	} fold;
};

/* ---- profile_sample.c ---- */

/* SIGPROF's handler stays; those of faults are taken away again. */
void sample_install(void);
void sample_uninstall(void);

/* ---- profile_fold.c ---- */

void fold_take(struct profile *profile, struct recorder *recorder);
void fold_fini(struct fold *fold);

/* ---- profile_symbol.c ---- */

struct symbols;

/* NULL: no memory. */
struct symbols *symbols_open(void);
void symbols_close(struct symbols *symbols);
/* "kv_get", or "libsqlite3.so.0+0x1a2b0" where the function has no name.
 * Until symbols_close(). called: the address is one that a call returns to. */
const char *symbols_name(struct symbols *symbols, uintptr_t address,
			 bool called);

#endif
