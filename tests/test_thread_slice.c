/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/thread_slice.h"
#include "tests/tap.h"

/* As the kernel has it; 0: it keeps none for us. */
static uint64_t
slice(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime_ns, deadline_ns, period_ns;
	} attributes;

	return syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0)
		       ? 0
		       : attributes.runtime_ns;
}

int
main(void)
{
	int nice_before;

	errno = 0;
	(void)!nice(3);
	nice_before = getpriority(PRIO_PROCESS, 0);
	thread_set_slice(200000);
	ok(getpriority(PRIO_PROCESS, 0) == nice_before, "nice is kept");
	ok(sched_getscheduler(0) == SCHED_OTHER, "and the policy");
	if (slice() == 0) {
		ok(true, "# SKIP this kernel has its own slices");
		return tap_done();
	}
	is_u64(slice(), 200000, "the slice is what was asked for");
	return tap_done();
}
