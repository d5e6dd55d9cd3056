/* SPDX-License-Identifier: MIT */
#include "tools/bench/sender_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { EVENTS_MAX = 256 };

/* How often deadlines and the stop flag are looked at. */
static const uint64_t tick_ns = 50 * NS_PER_MS;
/* For all connections at the start. */
static const uint64_t connect_ns = 10 * NS_PER_S;

/* ---- the loop ------------------------------------------------------------ */

/* With --requests the window ends with the last reply. */
static bool
has_all(const struct sender *sender)
{
	return sender->part == PART_WINDOW && sender->next >= sender->share &&
	       sender->busy == 0;
}

static void
change_part(struct sender *sender, uint64_t now_ns)
{
	struct run *run = sender->run;

	if (sender->part == PART_WARMUP && now_ns >= run->window_ns) {
		schedule_window(sender);
		schedule_go_on(sender, now_ns);
	}
	if (!is_sending(sender) || (now_ns < run->end_ns && !has_all(sender) &&
				    !ck_pr_load_uint(&run->stop)))
		return;
	/* What could have been sent in time is sent, late as it is. */
	if (is_open_loop(sender))
		schedule_go_on(sender, now_ns);
	schedule_drain(sender, now_ns);
}

/* With --requests nothing else ends a run whose server has gone. */
static void
give_up(struct sender *sender, uint64_t now_ns)
{
	if (sender->down < sender->link_count)
		sender->alive_ns = now_ns;
	else if (sender->run->end_ns == UINT64_MAX && is_sending(sender) &&
		 now_ns - sender->alive_ns > sender->plan->timeout_ns)
		schedule_drain(sender, now_ns);
}

/* Its deadline, or the time to open it again. */
static void
tick_link(struct sender *sender, struct link *link, uint64_t now_ns)
{
	/* Requests that were sent since now_ns was read are in its future. */
	bool is_overdue = now_ns > link->sent_ns + sender->plan->timeout_ns;

	switch (link->state) {
	case LINK_DOWN:
		if (now_ns >= link->retry_at && sender->part != PART_DRAIN)
			link_open(sender, link, now_ns);
		break;
	case LINK_CONNECTING:
		if (is_overdue)
			link_connect_failed(sender, link, ETIMEDOUT, now_ns);
		break;
	case LINK_FREE:
		break;
	case LINK_SENDING:
	case LINK_WAITING:
		if (is_overdue)
			link_failed(sender, link, TROUBLE_TIMEOUT, now_ns);
		break;
	}
}

static void
tick(struct sender *sender, uint64_t now_ns)
{
	give_up(sender, now_ns);
	sender->tick_at = now_ns + (sender->down ? RETRY_NS : tick_ns);
	for (unsigned i = 0; i < sender->link_count; i++)
		tick_link(sender, &sender->links[i], now_ns);
}

/* When something is to be done even if nothing comes. */
static uint64_t
wake_ns(const struct sender *sender)
{
	uint64_t wake = sender->tick_at;

	if (sender->part == PART_WARMUP && sender->run->window_ns < wake)
		wake = sender->run->window_ns;
	if (sender->part == PART_WINDOW && sender->run->end_ns < wake)
		wake = sender->run->end_ns;
	if (is_open_loop(sender) && is_sending(sender) &&
	    sender->free_count > 0 && sender->next_ns < wake)
		wake = sender->next_ns;
	return wake;
}

/* A timeout in nanoseconds, which epoll_wait() does not have. */
static int
wait_ns(int epoll, struct epoll_event events[EVENTS_MAX], uint64_t left_ns)
{
	struct timespec left = { .tv_sec = (time_t)(left_ns / NS_PER_S),
				 .tv_nsec = (long)(left_ns % NS_PER_S) };
	struct pollfd ready = { .fd = epoll, .events = POLLIN };
	int n = epoll_pwait2(epoll, events, EVENTS_MAX, &left, NULL);

	if (n >= 0 || errno != ENOSYS)
		return n;
	/* A kernel before 5.11, or valgrind. */
	if (ppoll(&ready, 1, &left, NULL) <= 0)
		return 0;
	return epoll_wait(epoll, events, EVENTS_MAX, 0);
}

static void
wait_for_events(struct sender *sender, uint64_t until_ns)
{
	struct epoll_event events[EVENTS_MAX];
	uint64_t now_ns = clock_mono_ns();
	int n = wait_ns(sender->epoll, events,
			until_ns > now_ns ? until_ns - now_ns : 0);

	for (int i = 0; i < n; i++)
		link_event(sender, events[i].data.ptr, events[i].events);
}

static bool
is_over(const struct sender *sender)
{
	return sender->part == PART_DRAIN &&
	       (sender->busy == 0 || ck_pr_load_uint(&sender->run->stop) > 1);
}

static void
send_and_receive(struct sender *sender)
{
	while (!is_over(sender)) {
		uint64_t now_ns;

		wait_for_events(sender, wake_ns(sender));
		now_ns = clock_mono_ns();
		change_part(sender, now_ns);
		if (now_ns >= sender->tick_at)
			tick(sender, now_ns);
		schedule_go_on(sender, now_ns);
	}
}

/* ---- the thread ---------------------------------------------------------- */

static void
connect_all(struct sender *sender)
{
	uint64_t now_ns = clock_mono_ns(), end_ns = now_ns + connect_ns;

	for (unsigned i = 0; i < sender->link_count; i++)
		link_open(sender, &sender->links[i], now_ns);
	while (sender->free_count < sender->link_count && now_ns < end_ns &&
	       !ck_pr_load_uint(&sender->run->stop)) {
		now_ns = clock_mono_ns();
		tick(sender, now_ns);
		wait_for_events(sender, now_ns + RETRY_NS);
	}
}

static void
sleep_until(uint64_t ns)
{
	struct timespec until = { .tv_sec = (time_t)(ns / NS_PER_S),
				  .tv_nsec = (long)(ns % NS_PER_S) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) ==
	       EINTR)
		;
}

void *
sender_run(void *arg)
{
	struct sender *sender = arg;
	uint64_t one = 1;

	/* 50 us is the kernel's default: three gaps of a usual rate. */
	prctl(PR_SET_TIMERSLACK, 1UL);
	connect_all(sender);
	sender->part = PART_WARMUP;
	pthread_barrier_wait(&sender->run->connected);
	pthread_barrier_wait(&sender->run->begun);
	sleep_until(sender->run->begin_ns);
	schedule_begin(sender);
	sender->tick_at = sender->run->begin_ns + tick_ns;
	change_part(sender, clock_mono_ns());
	schedule_go_on(sender, clock_mono_ns());
	send_and_receive(sender);
	/* Cannot fail: it is far from full. */
	if (write(sender->run->done, &one, sizeof(one)) < 0)
		abort();
	return NULL;
}

static bool
make_templates(struct sender *sender)
{
	const struct plan *plan = sender->plan;

	for (unsigned i = 0; i < plan->kind_count; i++) {
		struct request_parts parts = plan_parts(plan, &plan->kinds[i]);

		if (template_init(&sender->templates[i], &parts, plan->keys))
			return false;
	}
	return true;
}

struct sender *
sender_create(struct run *run, unsigned index)
{
	const struct plan *plan = run->plan;
	struct sender *sender = calloc(1, sizeof(*sender));
	unsigned links = plan->connections / run->threads +
			 (index < plan->connections % run->threads);

	if (!sender)
		return NULL;
	sender->run = run;
	sender->plan = plan;
	sender->index = index;
	sender->share = UINT64_MAX;
	sender->gap_ns = run->rate ? (double)NS_PER_S / (double)run->rate : 0;
	sender->epoll = epoll_create1(EPOLL_CLOEXEC);
	sender->links = calloc(links, sizeof(*sender->links));
	sender->free_ring = calloc(links, sizeof(*sender->free_ring));
	sender->templates = calloc(plan->kind_count, sizeof(struct template));
	sender->tally = tally_create(plan->kind_count);
	sender->buffer = malloc(READ_SIZE);
	if (sender->epoll < 0 || !sender->links || !sender->free_ring ||
	    !sender->templates || !sender->tally || !sender->buffer ||
	    !make_templates(sender)) {
		sender_destroy(sender);
		return NULL;
	}
	sender->link_count = sender->down = links;
	for (unsigned i = 0; i < links; i++)
		sender->links[i].fd = -1;
	return sender;
}

void
sender_destroy(struct sender *sender)
{
	if (!sender)
		return;
	for (unsigned i = 0; i < sender->link_count; i++)
		if (sender->links[i].fd >= 0)
			close(sender->links[i].fd);
	for (unsigned i = 0; sender->templates && i < sender->plan->kind_count;
	     i++)
		template_fini(&sender->templates[i]);
	if (sender->epoll >= 0)
		close(sender->epoll);
	free(sender->links);
	free(sender->free_ring);
	free(sender->templates);
	free(sender->tally);
	free(sender->buffer);
	free(sender);
}

unsigned
sender_connected(const struct sender *sender)
{
	unsigned count = 0;

	for (unsigned i = 0; i < sender->link_count; i++)
		count += sender->links[i].state == LINK_FREE;
	return count;
}

const struct tally *
sender_tally(const struct sender *sender)
{
	return sender->tally;
}

void
sender_so_far(const struct sender *sender, struct sender_so_far *sum,
	      struct spread *latency)
{
	sum->replies += ck_pr_load_64(&sender->so_far.replies);
	sum->errors += ck_pr_load_64(&sender->so_far.errors);
	for (unsigned i = 0; i < sender->plan->kind_count; i++)
		spread_merge(latency, &sender->tally->kinds[i].latency);
}
