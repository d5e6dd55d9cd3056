/* SPDX-License-Identifier: MIT */
#include "core/thread_slice.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Version 0 of the kernel's struct sched_attr. Its own header cannot stand
 * beside <sched.h>, and the C library has none of this. */
struct attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns, deadline_ns, period_ns;
};

void
thread_set_slice(uint64_t ns)
{
	struct attributes attributes;

	/* What is not changed stays as it is: nice above all. */
	if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) ||
	    attributes.policy != SCHED_OTHER)
		return;
	attributes.size = sizeof(attributes);
	attributes.flags = 0;
	attributes.runtime_ns = ns;
	(void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}
