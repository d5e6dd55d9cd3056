/* SPDX-License-Identifier: MIT */
/*
 * Counts the allocations of a process from outside it: LD_PRELOAD this, name
 * a file in MALLOC_COUNT_FILE, and read two 64-bit counters from the file
 * whenever you like: allocations (malloc, calloc, realloc, memalign) and
 * frees. The file is mapped, so counting makes no system call.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The C library's own, under the names that a preload can call through. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *old);

struct counters {
	uint64_t allocations, frees;
};

/* Counted into until the file is mapped. */
static struct counters before;
static struct counters *counters = &before;

__attribute__((constructor)) static void
map_counters(void)
{
	const char *path = getenv("MALLOC_COUNT_FILE");
	int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
	void *map;

	if (fd < 0)
		return;
	if (!ftruncate(fd, sizeof(*counters))) {
		map = mmap(NULL, sizeof(*counters), PROT_READ | PROT_WRITE,
			   MAP_SHARED, fd, 0);
		if (map != MAP_FAILED)
			counters = map;
	}
	close(fd);
}

/* Plain sums from many threads: nothing is ordered by them. */
static void
count_allocation(void)
{
	__atomic_fetch_add(&counters->allocations, 1, __ATOMIC_RELAXED);
}

void *
malloc(size_t size)
{
	count_allocation();
	return __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	count_allocation();
	return __libc_calloc(count, size);
}

void *
realloc(void *old, size_t size)
{
	count_allocation();
	return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size);

void *
memalign(size_t alignment, size_t size)
{
	count_allocation();
	return __libc_memalign(alignment, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int
posix_memalign(void **out, size_t alignment, size_t size)
{
	void *memory = memalign(alignment, size);

	if (!memory)
		return ENOMEM;
	*out = memory;
	return 0;
}

void
free(void *old)
{
	if (old)
		__atomic_fetch_add(&counters->frees, 1, __ATOMIC_RELAXED);
	__libc_free(old);
}
