/* SPDX-License-Identifier: MIT */
/*
 * Turns: what changes the deploys, one after the other, without a thread that
 * waits for its turn.
 *
 *	deploys_submit()          the job, on a slow thread
 *	  pushes the turn           takes the oldest turn, and runs it
 *	  counts it                 counts it out
 *	  it is the only one:       there are more:
 *	    submits the job           submits itself again
 *
 * So there is one job as long as the count is not 0, and what it does it does
 * alone. It goes behind the others of the slow lane after each turn, and one
 * of that lane's threads is never held by a deploy.
 *
 * A turn is pushed before it is counted: the job finds as many as were
 * counted, if not the same ones.
 */
#include <time.h>

#include "core/affinity.h"
#include "core/oldest_first.h"
#include "http/service/deploy_internal.h"

static struct deploys_turn *
take_oldest(struct deploys *deploys)
{
	ck_stack_entry_t *link;
	struct deploys_turn *turn;

	if (!deploys->backlog)
		deploys->backlog =
			oldest_first(ck_stack_batch_pop_upmc(&deploys->fresh));
	link = deploys->backlog;
	assert(link);
	deploys->backlog = link->next;
	turn = CONTAINER_OF(link, struct deploys_turn, link);
	TAKES_OVER(turn);
	return turn;
}

/* True: there are more, and the caller goes on with them. */
static bool
run_oldest(struct deploys *deploys, enum err err)
{
	struct deploys_turn *turn = take_oldest(deploys);

	turn->run(turn, err); /* which may free it */
	HANDS_OVER(&deploys->turns);
	/* A locked add is a full fence; pairs with deploys_submit() and
	 * deploys_are_idle(): who counts the next turn, or sees none, sees what
	 * this one has done. */
	ck_pr_fence_release();
	return ck_pr_faa_uint(&deploys->turns, -1u) > 1;
}

void
deploy_run_job(struct slow_job *job)
{
	struct deploys *deploys = CONTAINER_OF(job, struct deploys, job);

	TAKES_OVER(&deploys->turns);
	/* Where the job is not taken, which should not be, as this thread is
	 * there, they run here. */
	while (run_oldest(deploys, ERR_OK))
		if (!slow_submit(deploys->server->slow, job))
			return;
}

void
deploys_submit(struct deploys *deploys, struct deploys_turn *turn)
{
	enum err err;

	HANDS_OVER(turn);
	/* Its own store fence pairs with the exchange in take_oldest(). */
	ck_stack_push_upmc(&deploys->fresh, &turn->link);
	if (ck_pr_faa_uint(&deploys->turns, 1) > 0)
		return;
	/* Pairs with run_oldest(). */
	ck_pr_fence_acquire();
	TAKES_OVER(&deploys->turns);
	err = slow_submit(deploys->server->slow, &deploys->job);
	/* Nobody but us can tell them. */
	while (err && run_oldest(deploys, err))
		;
}

bool
deploys_are_idle(const struct deploys *deploys)
{
	if (ck_pr_load_uint(&deploys->turns))
		return false;
	/* Pairs with run_oldest(). */
	ck_pr_fence_acquire();
	TAKES_OVER((void *)(uintptr_t)&deploys->turns);
	return true;
}

void
deploys_wait_idle(const struct deploys *deploys)
{
	const struct timespec moment = { .tv_nsec = 1000000 };

	while (!deploys_are_idle(deploys))
		nanosleep(&moment, NULL);
}
