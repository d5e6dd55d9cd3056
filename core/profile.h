/* SPDX-License-Identifier: MIT */
/*
 * A CPU profile of this process, from inside.
 *
 * While one is taken every thread that said profile_thread_begin() has a timer
 * on its own CPU time; the timer's signal interrupts the thread, whose stack
 * is unwound and stored, with the thread's name and its mark: the kind of work
 * that it does, and for which route. See docs/decisions/021.
 *
 * While none is taken there are two plain stores for each mark, and nothing
 * else.
 *
 *	profile.c         threads, timers, beginning and ending
 *	profile_sample.c  the signal's handler
 *	profile_fold.c    what was sampled, summed up, and as text
 *	profile_symbol.c  from addresses to names
 */
#ifndef CORE_PROFILE_H
#define CORE_PROFILE_H

#include "core/base.h"
#include "core/buffer.h"
#include "core/err.h"

/* name, text */
#define PROFILE_KIND_LIST(X) \
	X(OTHER, "other")         /* main; a thread's start and end */ \
	X(SCHEDULER, "scheduler") /* a worker between two of the following */ \
	X(POLL, "poll")           /* about to wait, or just back */ \
	X(SOURCE, "source")       /* HTTP: libmicrohttpd, accepting */ \
	X(REQUEST, "request")     /* a request in place */ \
	X(TASK, "task") \
	X(FIBER, "fiber") \
	X(COMMIT, "commit") /* a committer's batches */ \
	X(UPKEEP, "upkeep") /* its checkpoints, expiry, eviction */ \
	X(SLOW, "slow")     /* a job on a slow thread */

enum profile_kind {
#define PROFILE_ENUM(name, text) PROFILE_##name,
	PROFILE_KIND_LIST(PROFILE_ENUM)
#undef PROFILE_ENUM
		PROFILE_KINDS
};

enum {
	PROFILE_HZ_MAX = 1000,
	/* Room for the samples of so long; then they are dropped. */
	PROFILE_COLLECT_MS = 50,
};

/* ---- marks --------------------------------------------------------------- */

/* Its thread's own, read by the handler on the same thread. */
struct profile_mark {
	volatile enum profile_kind kind;
	const char *volatile route; /* NULL: none. From profile_label(), or a
				       constant: it must never be freed. */
};

/* The program is one executable: its address is a constant distance. */
extern _Thread_local struct profile_mark profile_mark
	__attribute__((tls_model("local-exec")));

/* What the calling thread does from now on. */
static inline void
profile_mark_set(enum profile_kind kind, const char *route)
{
	profile_mark.kind = kind;
	profile_mark.route = route;
}

/* A copy of text that lives for ever, the same one for the same text. NULL: no
 * memory. Any thread; takes a lock. */
const char *profile_label(const char *text);

/* ---- threads ------------------------------------------------------------- */

/* On a thread, first and last of all it does: from then on, until then, it is
 * profiled under this name. */
void profile_thread_begin(const char *name);
void profile_thread_end(void);

/* ---- a profile ----------------------------------------------------------- */

struct profile;

struct profile_figures {
	uint64_t samples; /* each is 1/hz seconds of CPU time */
	uint64_t dropped; /* of these: not stored, there was no room */
};

/* False: not in this build, whose sanitizer defers signals. */
bool profile_is_possible(void);

/* Not from a worker: the first one loads a library. ERR_LOCKED: another one is
 * being taken. */
MUST_CHECK enum err profile_begin(struct profile **out, unsigned hz);
/* Takes over what was sampled. One thread at a time, each PROFILE_COLLECT_MS
 * or sooner. */
void profile_collect(struct profile *profile);
/* Ends the sampling, and collects for the last time. */
void profile_end(struct profile *profile);
/* After profile_end(). */
void profile_destroy(struct profile *profile);

void profile_figures(const struct profile *profile,
		     struct profile_figures *figures);

/*
 * After profile_end(), not from a worker: it reads files. Folded stacks, a
 * line each, in order:
 *
 *	worker-0;route GET /shop/orders/{id};fiber;service_run;sqlite3_step 42
 *
 * the thread, the route or "no route", the kind, the functions from the
 * outermost to the innermost, and the number of samples. A line that does not
 * fit is left out, and its samples are dropped ones from then on.
 */
void profile_write(struct profile *profile, struct buffer *out);

#endif
