/* SPDX-License-Identifier: MIT */
#include "core/injector.h"

#include "core/oldest_first.h"

static struct task *
task_of(ck_stack_entry_t *link)
{
	return link ? CONTAINER_OF(link, struct task, link) : NULL;
}

void
injector_init(struct injector *injector)
{
	memset(injector, 0, sizeof(*injector));
	ck_stack_init(&injector->fresh);
}

void
injector_push(struct injector *injector, struct task *task)
{
	HANDS_OVER(task);
	ck_stack_push_upmc(&injector->fresh, &task->link);
}

bool
injector_is_empty(const struct injector *injector)
{
	return !ck_pr_load_ptr(&injector->fresh.head) &&
	       !ck_pr_load_ptr(&injector->oldest);
}

bool
injector_is_ready(const struct injector *injector)
{
	return !injector_is_empty(injector) &&
	       !ck_pr_load_uint(&injector->taker);
}

/* Appends what was pushed since the last time, which is something. */
static void
gather(struct injector *injector)
{
	ck_stack_entry_t *link = ck_stack_batch_pop_upmc(&injector->fresh);
	struct task *newest = task_of(link);
	ck_stack_entry_t *oldest = oldest_first(link);

	assert(oldest);
	for (link = oldest; link; link = link->next) {
		TAKES_OVER(task_of(link));
		injector->count++;
	}
	if (injector->oldest)
		injector->newest->link.next = oldest;
	else
		ck_pr_store_ptr(&injector->oldest, task_of(oldest));
	injector->newest = newest;
}

static unsigned
take_oldest(struct injector *injector, struct task **tasks, unsigned max)
{
	struct task *task = injector->oldest;
	unsigned n = 0;

	while (task && n < max) {
		tasks[n++] = task;
		task = task_of(task->link.next);
	}
	ck_pr_store_ptr(&injector->oldest, task);
	injector->count -= n;
	return n;
}

unsigned
injector_take(struct injector *injector, struct task **tasks, unsigned max,
	      unsigned sharers)
{
	size_t share;
	unsigned n;

	if (injector_is_empty(injector) ||
	    !ck_pr_cas_uint(&injector->taker, 0, 1))
		return 0;
	ck_pr_fence_lock();
	TAKES_OVER(injector);
	if (ck_pr_load_ptr(&injector->fresh.head))
		gather(injector);
	share = injector->count / sharers + 1;
	n = take_oldest(injector, tasks, share < max ? (unsigned)share : max);
	HANDS_OVER(injector);
	ck_pr_fence_unlock();
	ck_pr_store_uint(&injector->taker, 0);
	/* Pairs with the one in parking_enter(): a worker that parks and still
	 * saw us taking is seen by the caller, who looks whether tasks are left
	 * and wakes it. Without it both could go on, and leave them there. */
	ck_pr_fence_memory();
	return n;
}
