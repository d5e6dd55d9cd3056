/* SPDX-License-Identifier: MIT */
/*
 * What was pushed singly to a ck_stack and is taken from it whole, newest
 * first, turned round: so it is handled in the order in which it came.
 */
#ifndef CORE_OLDEST_FIRST_H
#define CORE_OLDEST_FIRST_H

#include <ck_stack.h>
#include <stddef.h>

/* newest: what ck_stack_batch_pop_upmc() gave, NULL for nothing. The chain is
 * the caller's; of an entry only its link is read and written. */
static inline ck_stack_entry_t *
oldest_first(ck_stack_entry_t *newest)
{
	ck_stack_entry_t *older = NULL;

	while (newest) {
		ck_stack_entry_t *next = newest->next;

		newest->next = older;
		older = newest;
		newest = next;
	}
	return older;
}

#endif
