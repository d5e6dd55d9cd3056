/* SPDX-License-Identifier: MIT */
#include "tools/bench/sender_internal.h"

static uint64_t
thread_cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec;
}

/* The number of this thread's i-th request among those of all. */
static uint64_t
number_of(const struct sender *sender, uint64_t i)
{
	return i * sender->run->threads + sender->index;
}

void
schedule_window(struct sender *sender)
{
	sender->part = PART_WINDOW;
	sender->cpu_begin_ns = thread_cpu_ns();
	/* The schedule of an open loop goes on; here a new count begins. */
	if (!is_open_loop(sender)) {
		uint64_t all = sender->plan->requests;
		unsigned threads = sender->run->threads;

		sender->next = 0;
		if (all > 0)
			sender->share =
				all / threads + (sender->index < all % threads);
	}
}

/* ---- the open loop ------------------------------------------------------- */

static uint64_t
due_ns(const struct sender *sender, uint64_t i)
{
	return sender->run->begin_ns +
	       (uint64_t)((double)number_of(sender, i) * sender->gap_ns);
}

static void
count_late(struct sender *sender, uint64_t now_ns)
{
	uint64_t could_ns = sender->next_ns > sender->free_since_ns
				    ? sender->next_ns
				    : sender->free_since_ns;

	if (sender->next_ns >= sender->run->window_ns)
		spread_add(&sender->tally->late,
			   now_ns > could_ns ? now_ns - could_ns : 0);
}

static void
begin_due(struct sender *sender, uint64_t now_ns)
{
	struct link *link;

	while (sender->next_ns <= now_ns &&
	       sender->next_ns < sender->run->end_ns && is_sending(sender) &&
	       (link = link_take_free(sender))) {
		now_ns = clock_mono_ns();
		if (sender->next_ns >= sender->run->window_ns &&
		    sender->part == PART_WARMUP)
			schedule_window(sender);
		count_late(sender, now_ns);
		link_begin(sender, link, number_of(sender, sender->next),
			   sender->next_ns, now_ns);
		sender->next_ns = due_ns(sender, ++sender->next);
	}
}

/* What was due in the window and not sent: as long as it has waited, it would
 * have taken, and more. */
static void
count_unsent(struct sender *sender, uint64_t end_ns)
{
	struct tally *tally = sender->tally;

	for (; sender->next_ns < end_ns;
	     sender->next_ns = due_ns(sender, ++sender->next)) {
		struct pick pick;

		if (sender->next_ns < sender->run->window_ns)
			continue;
		pick = plan_pick(sender->plan, number_of(sender, sender->next));
		tally->unsent++;
		spread_add(&tally->kinds[pick.kind].latency,
			   end_ns - sender->next_ns);
	}
}

/* ---- the closed loop ----------------------------------------------------- */

static void
begin_next(struct sender *sender, struct link *link, uint64_t now_ns)
{
	/* The numbers of the warm-up are not those of the window, of which the
	 * first is 0 however long the warm-up was. */
	const uint64_t warmup = UINT64_C(1) << 63;
	uint64_t number = number_of(sender, sender->next);

	if (sender->part == PART_WARMUP)
		number |= warmup;
	sender->next++;
	link_begin(sender, link, number, now_ns, now_ns);
}

void
schedule_go_on(struct sender *sender, uint64_t now_ns)
{
	struct link *link;

	if (is_open_loop(sender)) {
		begin_due(sender, now_ns);
		return;
	}
	while (is_sending(sender) && sender->next < sender->share &&
	       now_ns < sender->run->end_ns && (link = link_take_free(sender)))
		begin_next(sender, link, now_ns);
}

/* ---- begin and end ------------------------------------------------------- */

void
schedule_begin(struct sender *sender)
{
	sender->next_ns = due_ns(sender, 0);
}

void
schedule_drain(struct sender *sender, uint64_t now_ns)
{
	uint64_t end_ns =
		now_ns < sender->run->end_ns ? now_ns : sender->run->end_ns;

	if (sender->part == PART_WINDOW) {
		sender->tally->cpu_ns = thread_cpu_ns() - sender->cpu_begin_ns;
		sender->tally->window_ns = end_ns - sender->run->window_ns;
	}
	sender->part = PART_DRAIN;
	if (is_open_loop(sender))
		count_unsent(sender, end_ns);
}
