/* SPDX-License-Identifier: MIT */
/*
 * A count of those who hold an object that threads share. It begins at 1, for
 * who made it.
 */
#ifndef CORE_REFS_H
#define CORE_REFS_H

#include <ck_pr.h>

#include "core/affinity.h"
#include "core/base.h"

/* By somebody who holds it, or knows of one who does meanwhile. */
static inline void
refs_take(unsigned *refs)
{
	ck_pr_inc_uint(refs);
}

/* True: nobody else holds the object, which is the caller's to free. */
MUST_CHECK static inline bool
refs_drop(unsigned *refs, void *object)
{
	bool last;

	HANDS_OVER(object);
	/* Pairs with the fence below on another thread: whoever is last sees
	 * that the others are done with it. */
	ck_pr_fence_release();
	ck_pr_dec_uint_zero(refs, &last);
	if (!last)
		return false;
	ck_pr_fence_acquire();
	TAKES_OVER(object);
	return true;
}

#endif
