/* SPDX-License-Identifier: MIT */
/*
 * Counts what threads share, in a build of its own (MODE=sharing).
 *
 * The compiler's thread sanitizer calls a function for every access to memory
 * that may be shared. Here those functions look for no races: they keep, for
 * each line of 64 bytes and each thread, how often the thread used the line,
 * from where in the code, and how often it would have had to fetch it from
 * another processor's cache. That is what sharing costs, and what no clock on
 * a machine of two processors can tell.
 *
 *	directory   line -> threads that have it in their cache. A processor's
 *	            cache without an end, one a thread: a line is fetched only
 *	            because somebody else wrote it.
 *	uses        a table a thread: what it did with each line
 *	sites       within a use: the places in the code
 *
 * Accesses of one thread to one line that follow within STAY accesses are one
 * stay: the line is there meanwhile. Stays depend on the code alone, fetches
 * on who was quicker; the report has both, and sharing.t asserts on what the
 * first bound the second to.
 *
 * Only what happens in a window counts: the file SHARING_CONTROL is mapped,
 * and its first word is the window's number, 0 outside of any. At exit lines
 * that two threads used and one wrote are written to SHARING_REPORT.
 *
 * Seen is what is compiled for this build: our code and Concurrency Kit's.
 * Other libraries are not, nor the C library, but for the four functions that
 * copy and compare, which our code calls by way of this file.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
	LINE_SHIFT = 6,
	LINE_BYTES = 1 << LINE_SHIFT,
	STAY = 64,
	SITES = 16,
	THREADS_MAX = 48, /* bits of a directory's entry */
	USES = 1 << 17,   /* of a thread */
	SLOTS = 2 * USES, /* power of two */
	ENTRIES = 1 << 24,
};
/* In an entry: was written since it is watched. */
#define WRITTEN (UINT64_C(1) << 63)

struct site {
	uintptr_t at;
	unsigned reads, writes, fetches;
};

struct use {
	uintptr_t line; /* its number */
	unsigned window;
	unsigned reads, writes; /* stays without and with a write */
	unsigned fetches;
	bool wrote; /* in the present stay */
	uint64_t last;
	uint64_t bytes_read, bytes_written;
	struct site sites[SITES]; /* the last one: all others too */
};

struct thread {
	unsigned index;
	char name[16];
	uint64_t accesses;
	uint64_t lost; /* the table was full */
	struct use *uses;
	unsigned use_count;
	unsigned *slots; /* a hash table of them: index + 1; 0: free */
};

static volatile uint64_t no_window;
static volatile uint64_t *window = &no_window;
static uint64_t *directory;
static struct thread threads[THREADS_MAX];
static unsigned thread_count;
static __thread struct thread *self;

/* ---- tables ------------------------------------------------------------- */

/* Zeroed; touched pages alone are memory. */
static void *
map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	return memory;
}

static struct thread *
begin_thread(void)
{
	unsigned index = __atomic_fetch_add(&thread_count, 1, __ATOMIC_RELAXED);
	struct thread *thread;

	if (index >= THREADS_MAX)
		abort();
	thread = &threads[index];
	thread->index = index;
	prctl(PR_GET_NAME, thread->name);
	thread->uses = map(USES * sizeof(*thread->uses));
	thread->slots = map(SLOTS * sizeof(*thread->slots));
	self = thread;
	return thread;
}

static unsigned
hash_of(uintptr_t line, unsigned in)
{
	return (unsigned)((line * 31 + in) * UINT64_C(0x9e3779b97f4a7c15) >>
			  32);
}

/* NULL: the table is full. */
static struct use *
find_use(struct thread *thread, uintptr_t line, unsigned in)
{
	unsigned slot = hash_of(line, in) % SLOTS;
	struct use *use;

	for (; thread->slots[slot]; slot = (slot + 1) % SLOTS) {
		use = &thread->uses[thread->slots[slot] - 1];
		if (use->line == line && use->window == in)
			return use;
	}
	if (thread->use_count == USES)
		return NULL;
	use = &thread->uses[thread->use_count++];
	thread->slots[slot] = thread->use_count;
	use->line = line;
	use->window = in;
	return use;
}

static struct site *
find_site(struct use *use, uintptr_t at)
{
	unsigned i = 0;

	while (i < SITES - 1 && use->sites[i].at && use->sites[i].at != at)
		i++;
	if (!use->sites[i].at)
		use->sites[i].at = at;
	return &use->sites[i];
}

/* ---- one access --------------------------------------------------------- */

/* True: the line had to be fetched, or taken from others that have it. */
static bool
look_up(uintptr_t line, unsigned thread, bool writes)
{
	uint64_t *entry = &directory[(line ^ line >> 24) % ENTRIES];
	uint64_t mine = UINT64_C(1) << thread;
	uint64_t old = __atomic_load_n(entry, __ATOMIC_RELAXED), new;

	do {
		if (writes)
			new = mine | WRITTEN;
		else
			new = old | mine;
		if (new == old)
			return false;
	} while (!__atomic_compare_exchange_n(
		entry, &old, new, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	if (writes)
		return old & ~(mine | WRITTEN);
	return (old & WRITTEN) && (old & ~WRITTEN);
}

static uint64_t
bytes_mask(uintptr_t from, size_t size)
{
	unsigned shift = from % LINE_BYTES;

	return (size < 64 ? (UINT64_C(1) << size) - 1 : UINT64_MAX) << shift;
}

static void
count(struct thread *thread, struct use *use, uintptr_t at, bool writes)
{
	struct site *site = find_site(use, at);
	bool stays = (use->reads || use->writes) &&
		     thread->accesses - use->last < STAY;

	if (!stays) {
		use->wrote = false;
		use->reads++;
	}
	if (writes && !use->wrote) {
		use->wrote = true;
		use->reads--;
		use->writes++;
	}
	use->last = thread->accesses;
	if (writes)
		site->writes++;
	else
		site->reads++;
	if (look_up(use->line, thread->index, writes)) {
		use->fetches++;
		site->fetches++;
	}
}

static void
access_line(struct thread *thread, uintptr_t from, size_t size, uintptr_t at,
	    bool writes)
{
	struct use *use =
		find_use(thread, from >> LINE_SHIFT, (unsigned)*window);

	if (!use) {
		thread->lost++;
		return;
	}
	if (writes)
		use->bytes_written |= bytes_mask(from, size);
	else
		use->bytes_read |= bytes_mask(from, size);
	count(thread, use, at, writes);
}

static void
access_memory(const void *memory, size_t size, void *at, bool writes)
{
	uintptr_t from = (uintptr_t)memory, end = from + size;
	struct thread *thread = self;

	if (!*window || !size)
		return;
	if (!thread)
		thread = begin_thread();
	thread->accesses++;
	while (from < end) {
		uintptr_t next = (from | (LINE_BYTES - 1)) + 1;

		access_line(thread, from, (next < end ? next : end) - from,
			    (uintptr_t)at, writes);
		from = next;
	}
}

/* ---- what the compiler calls -------------------------------------------- */

#define CALLER __builtin_return_address(0)

#define ACCESS(name, size, writes) \
	void __tsan_##name(void *memory); \
	void __tsan_##name(void *memory) \
	{ \
		access_memory(memory, size, CALLER, writes); \
	}
#define ACCESSES(size) \
	ACCESS(read##size, size, false) \
	ACCESS(write##size, size, true) \
	ACCESS(unaligned_read##size, size, false) \
	ACCESS(unaligned_write##size, size, true)
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

#define RANGE(name, writes) \
	void __tsan_##name(void *memory, unsigned long size); \
	void __tsan_##name(void *memory, unsigned long size) \
	{ \
		access_memory(memory, size, CALLER, writes); \
	}
RANGE(read_range, false)
RANGE(write_range, true)

/* An update that fails has taken the line all the same. */
#define UPDATE(bits, type, name) \
	type __tsan_atomic##bits##_##name(type *word, type value, int order); \
	type __tsan_atomic##bits##_##name(type *word, type value, int order) \
	{ \
		access_memory(word, sizeof(*word), CALLER, true); \
		return __atomic_##name(word, value, __ATOMIC_SEQ_CST); \
	}
#define COMPARE(bits, type, strength) \
	int __tsan_atomic##bits##_compare_exchange_##strength( \
		type *word, type *seen, type value, int good, int bad); \
	int __tsan_atomic##bits##_compare_exchange_##strength( \
		type *word, type *seen, type value, int good, int bad) \
	{ \
		access_memory(word, sizeof(*word), CALLER, true); \
		return __atomic_compare_exchange_n(word, seen, value, false, \
						   __ATOMIC_SEQ_CST, \
						   __ATOMIC_SEQ_CST); \
	}
/* clang's: returns what was there. */
#define COMPARE_VALUE(bits, type) \
	type __tsan_atomic##bits##_compare_exchange_val( \
		type *word, type seen, type value, int good, int bad); \
	type __tsan_atomic##bits##_compare_exchange_val( \
		type *word, type seen, type value, int good, int bad) \
	{ \
		access_memory(word, sizeof(*word), CALLER, true); \
		__atomic_compare_exchange_n(word, &seen, value, false, \
					    __ATOMIC_SEQ_CST, \
					    __ATOMIC_SEQ_CST); \
		return seen; \
	}
#define ATOMICS(bits, type) \
	type __tsan_atomic##bits##_load(const type *word, int order); \
	type __tsan_atomic##bits##_load(const type *word, int order) \
	{ \
		access_memory(word, sizeof(*word), CALLER, false); \
		return __atomic_load_n(word, __ATOMIC_SEQ_CST); \
	} \
	void __tsan_atomic##bits##_store(type *word, type value, int order); \
	void __tsan_atomic##bits##_store(type *word, type value, int order) \
	{ \
		access_memory(word, sizeof(*word), CALLER, true); \
		__atomic_store_n(word, value, __ATOMIC_SEQ_CST); \
	} \
	type __tsan_atomic##bits##_exchange(type *word, type value, \
					    int order); \
	type __tsan_atomic##bits##_exchange(type *word, type value, int order) \
	{ \
		access_memory(word, sizeof(*word), CALLER, true); \
		return __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST); \
	} \
	UPDATE(bits, type, fetch_add) \
	UPDATE(bits, type, fetch_sub) \
	UPDATE(bits, type, fetch_and) \
	UPDATE(bits, type, fetch_or) \
	UPDATE(bits, type, fetch_xor) \
	COMPARE(bits, type, strong) \
	COMPARE(bits, type, weak) \
	COMPARE_VALUE(bits, type)
ATOMICS(8, uint8_t)
ATOMICS(16, uint16_t)
ATOMICS(32, uint32_t)
ATOMICS(64, uint64_t)

void __tsan_atomic_thread_fence(int order);
void
__tsan_atomic_thread_fence(int order)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* By way of the linker's --wrap. */
void *__real_memcpy(void *to, const void *from, size_t size);
void *__wrap_memcpy(void *to, const void *from, size_t size);
void *
__wrap_memcpy(void *to, const void *from, size_t size)
{
	access_memory(from, size, CALLER, false);
	access_memory(to, size, CALLER, true);
	return __real_memcpy(to, from, size);
}

void *__real_memmove(void *to, const void *from, size_t size);
void *__wrap_memmove(void *to, const void *from, size_t size);
void *
__wrap_memmove(void *to, const void *from, size_t size)
{
	access_memory(from, size, CALLER, false);
	access_memory(to, size, CALLER, true);
	return __real_memmove(to, from, size);
}

void *__real_memset(void *to, int byte, size_t size);
void *__wrap_memset(void *to, int byte, size_t size);
void *
__wrap_memset(void *to, int byte, size_t size)
{
	access_memory(to, size, CALLER, true);
	return __real_memset(to, byte, size);
}

int __real_memcmp(const void *a, const void *b, size_t size);
int __wrap_memcmp(const void *a, const void *b, size_t size);
int
__wrap_memcmp(const void *a, const void *b, size_t size)
{
	access_memory(a, size, CALLER, false);
	access_memory(b, size, CALLER, false);
	return __real_memcmp(a, b, size);
}

/* Of no interest here. */
#define NOTHING(name, ...) \
	void __tsan_##name(__VA_ARGS__); \
	void __tsan_##name(__VA_ARGS__) \
	{ \
	}
NOTHING(init, void)
NOTHING(func_entry, void *caller)
NOTHING(func_exit, void)
NOTHING(acquire, void *memory)
NOTHING(release, void *memory)
NOTHING(destroy_fiber, void *fiber)
NOTHING(switch_to_fiber, void *fiber, unsigned flags)

/* A fiber stays with its thread, so it is no one of its own. */
void *__tsan_get_current_fiber(void);
void *
__tsan_get_current_fiber(void)
{
	return NULL;
}

void *__tsan_create_fiber(unsigned flags);
void *
__tsan_create_fiber(unsigned flags)
{
	return NULL;
}

/* ---- the report --------------------------------------------------------- */

struct sharers {
	uintptr_t line;
	unsigned window;
	uint64_t users, writers;
};

enum { SHARERS = 1 << 21 };

static struct sharers *
sharers_of(struct sharers *all, const struct use *use)
{
	unsigned i = hash_of(use->line, use->window);
	struct sharers *sharers;

	do
		sharers = &all[i++ % SHARERS];
	while (sharers->line &&
	       (sharers->line != use->line || sharers->window != use->window));
	sharers->line = use->line;
	sharers->window = use->window;
	return sharers;
}

static void
note_sharers(struct sharers *all, const struct thread *thread)
{
	for (unsigned i = 0; i < thread->use_count; i++) {
		const struct use *use = &thread->uses[i];
		struct sharers *sharers = sharers_of(all, use);

		sharers->users |= UINT64_C(1) << thread->index;
		if (use->writes)
			sharers->writers |= UINT64_C(1) << thread->index;
	}
}

static void
write_use(FILE *out, const struct thread *thread, const struct use *use)
{
	fprintf(out, "use %u %zx %u %u %u %u %llx %llx", use->window,
		(size_t)use->line << LINE_SHIFT, thread->index, use->reads,
		use->writes, use->fetches, (unsigned long long)use->bytes_read,
		(unsigned long long)use->bytes_written);
	for (unsigned i = 0; i < SITES && use->sites[i].at; i++)
		fprintf(out, " %zx:%u:%u:%u", (size_t)use->sites[i].at,
			use->sites[i].reads, use->sites[i].writes,
			use->sites[i].fetches);
	fputc('\n', out);
}

static void
write_thread(FILE *out, struct sharers *all, const struct thread *thread)
{
	fprintf(out, "thread %u %s %llu %llu\n", thread->index, thread->name,
		(unsigned long long)thread->accesses,
		(unsigned long long)thread->lost);
	for (unsigned i = 0; i < thread->use_count; i++) {
		const struct use *use = &thread->uses[i];
		const struct sharers *sharers = sharers_of(all, use);

		if (sharers->writers && (sharers->users & (sharers->users - 1)))
			write_use(out, thread, use);
	}
}

/* No other thread of ours runs any more. */
__attribute__((destructor)) static void
report(void)
{
	const char *path = getenv("SHARING_REPORT");
	FILE *out = path && thread_count ? fopen(path, "w") : NULL;
	struct sharers *all;

	window = &no_window;
	if (!out)
		return;
	all = map(SHARERS * sizeof(*all));
	for (unsigned i = 0; i < thread_count; i++)
		note_sharers(all, &threads[i]);
	for (unsigned i = 0; i < thread_count; i++)
		write_thread(out, all, &threads[i]);
	fputs("end\n", out);
	fclose(out);
}

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("SHARING_CONTROL");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *mapped;

	directory = map(ENTRIES * sizeof(*directory));
	if (fd < 0)
		return;
	mapped = mmap(NULL, sizeof(*window), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (mapped != MAP_FAILED)
		window = mapped;
}
