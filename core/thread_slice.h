/* SPDX-License-Identifier: MIT */
/*
 * How long the kernel lets a thread run before it looks who else is there.
 */
#ifndef CORE_THREAD_SLICE_H
#define CORE_THREAD_SLICE_H

#include <stdint.h>

/*
 * The calling thread: slices of ns, within 100 us and 100 ms. Its share of the
 * processors stays what it is; it gets, and leaves, them more often. Linux 6.12
 * and later (EEVDF; sched_runtime of sched_setattr(2)). Others, and sandboxes
 * that forbid it, go on with their own, usually 3 ms.
 */
void thread_set_slice(uint64_t ns);

#endif
