/* SPDX-License-Identifier: MIT */
#include "tools/bench/sender.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "tools/bench/response.h"
#include "tools/bench/peer.h"
#include "tools/bench/template.h"

enum {
	/* Replies are read into one buffer a thread, and not kept: large enough
	 * that a large one is few calls, small enough for the second cache. */
	READ_SIZE = 256 << 10,
	/* Full buffers in a row from one connection. */
	READ_TURNS = 16,
	EVENTS_MAX = 256,
};
/* How often deadlines and the stop flag are looked at. */
static const uint64_t tick_ns = 50 * NS_PER_MS;
/* A connection that failed is not tried again at once: a server that is away
 * would be asked as fast as we can. */
static const uint64_t retry_ns = 10 * NS_PER_MS;
/* For all connections at the start. */
static const uint64_t connect_ns = 10 * NS_PER_S;

enum link_state {
	LINK_DOWN, /* no descriptor; opened again at retry_at */
	LINK_CONNECTING,
	LINK_FREE,
	LINK_SENDING, /* a part of the request is still here */
	LINK_WAITING,
};

/* A connection, with the request that it carries. */
struct link {
	int fd;
	enum link_state state;
	bool in_ring; /* of the free ones */
	bool counted; /* its request began within the window */
	unsigned kind;
	uint64_t key;
	size_t sent;
	uint64_t start_ns; /* from where latency counts */
	uint64_t sent_ns; /* from where its deadline, or connecting's, counts */
	uint64_t retry_at;
	struct response response;
};

enum part { PART_CONNECT, PART_WARMUP, PART_WINDOW, PART_DRAIN };

struct sender {
	struct run *run;
	const struct plan *plan;
	unsigned index;
	int epoll;
	enum part part;
	uint64_t cpu_begin_ns;

	struct link *links;
	unsigned link_count;
	unsigned down, busy; /* links that are down; that carry a request */
	/* Free links, first in first out, so that all are used; open loop. */
	struct link **free_ring;
	unsigned free_first, free_count;
	uint64_t free_since_ns; /* when it last stopped being empty */

	struct template *templates; /* one a kind */
	uint64_t next;    /* of this thread's requests; in a closed loop
			   * counted anew from the window on */
	uint64_t share;   /* of --requests; UINT64_MAX without */
	double gap_ns;    /* of the whole schedule */
	uint64_t next_ns; /* when the next one is due; open loop */
	uint64_t tick_at;
	uint64_t alive_ns; /* when not all links were down */

	struct tally *tally;
	/* Since the beginning; written here, read by anyone. */
	struct sender_so_far so_far;
	char *buffer;
};

static void begin_requests(struct sender *sender, uint64_t now_ns);

static bool
is_open_loop(const struct sender *sender)
{
	return sender->run->rate > 0;
}

static uint64_t
thread_cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec;
}

/* ---- counting ------------------------------------------------------------ */

static void
count_error(struct sender *sender, struct link *link)
{
	ck_pr_store_64(&sender->so_far.errors, sender->so_far.errors + 1);
	if (!link->counted)
		return;
	sender->tally->errors++;
	sender->tally->kinds[link->kind].errors++;
}

static void
count_reply(struct sender *sender, struct link *link, uint64_t now_ns)
{
	struct tally *tally = sender->tally;
	unsigned status = link->response.status;

	ck_pr_store_64(&sender->so_far.replies, sender->so_far.replies + 1);
	if (sender->part == PART_WINDOW && now_ns < sender->run->end_ns)
		tally->replies++;
	if (link->counted) {
		struct tally_kind *kind = &tally->kinds[link->kind];

		tally->requests++;
		tally->statuses[status]++;
		kind->requests++;
		spread_add(&kind->latency, now_ns - link->start_ns);
	}
	if (!sender->plan->expected[status])
		count_error(sender, link);
}

/* ---- links --------------------------------------------------------------- */

static bool
is_busy(const struct link *link)
{
	return link->state == LINK_SENDING || link->state == LINK_WAITING;
}

static bool
watch(struct sender *sender, struct link *link, int operation, uint32_t events)
{
	struct epoll_event event = {
		/* Once for each arrival, not as long as something is there:
		 * one look of the kernel less for each reply. */
		.events = events | EPOLLIN | EPOLLRDHUP | EPOLLET,
		.data.ptr = link,
	};

	return epoll_ctl(sender->epoll, operation, link->fd, &event) == 0;
}

/* Also of events that have been reported. */
static void
watch_again(struct sender *sender, struct link *link)
{
	bool watched = watch(sender, link, EPOLL_CTL_MOD,
			     link->state == LINK_SENDING ? EPOLLOUT : 0);

	assert(watched); /* only a new one needs memory */
}

static void
set_state(struct sender *sender, struct link *link, enum link_state state)
{
	sender->busy -= is_busy(link);
	sender->down -= link->state == LINK_DOWN;
	link->state = state;
	sender->busy += is_busy(link);
	sender->down += link->state == LINK_DOWN;
}

static void
set_down(struct sender *sender, struct link *link, uint64_t retry_at)
{
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
	link->retry_at = retry_at;
	set_state(sender, link, LINK_DOWN);
}

static void
connect_failed(struct sender *sender, struct link *link, int error,
	       uint64_t now_ns)
{
	set_down(sender, link, now_ns + retry_ns);
	/* The queue of a Unix socket is full: somebody is there. */
	if (error == EAGAIN || sender->part != PART_WINDOW)
		return;
	sender->tally->troubles[TROUBLE_CONNECT]++;
	sender->tally->errors++;
	ck_pr_store_64(&sender->so_far.errors, sender->so_far.errors + 1);
}

static void
open_link(struct sender *sender, struct link *link, uint64_t now_ns)
{
	link->fd = peer_open(sender->plan);
	if (link->fd < 0) {
		connect_failed(sender, link, errno, now_ns);
		return;
	}
	link->sent_ns = now_ns;
	set_state(sender, link, LINK_CONNECTING);
	if (!watch(sender, link, EPOLL_CTL_ADD, EPOLLOUT))
		connect_failed(sender, link, errno, now_ns);
}

static void
set_free(struct sender *sender, struct link *link, uint64_t now_ns)
{
	unsigned at = sender->free_first + sender->free_count;

	set_state(sender, link, LINK_FREE);
	if (link->in_ring)
		return;
	link->in_ring = true;
	if (at >= sender->link_count)
		at -= sender->link_count;
	sender->free_ring[at] = link;
	if (sender->free_count++ == 0)
		sender->free_since_ns = now_ns;
}

/* NULL: none. The ring may hold links that the server has closed since. */
static struct link *
take_free(struct sender *sender)
{
	while (sender->free_count > 0) {
		struct link *link = sender->free_ring[sender->free_first];

		sender->free_count--;
		if (++sender->free_first == sender->link_count)
			sender->free_first = 0;
		link->in_ring = false;
		if (link->state == LINK_FREE)
			return link;
	}
	return NULL;
}

/* The request that link carries is lost, and its connection with it. */
static void
link_failed(struct sender *sender, struct link *link, enum trouble trouble,
	    uint64_t now_ns)
{
	if (link->counted)
		sender->tally->troubles[trouble]++;
	/* One that was given up took at least so long. The others say nothing
	 * of how long a reply takes. */
	if (link->counted && trouble == TROUBLE_TIMEOUT)
		spread_add(&sender->tally->kinds[link->kind].latency,
			   now_ns - link->start_ns);
	count_error(sender, link);
	set_down(sender, link, now_ns + retry_ns);
}

static void
reopen(struct sender *sender, struct link *link, uint64_t now_ns)
{
	if (sender->part == PART_WINDOW)
		sender->tally->reconnects++;
	set_down(sender, link, now_ns);
	if (sender->part != PART_DRAIN)
		open_link(sender, link, now_ns);
}

/* ---- sending ------------------------------------------------------------- */

static void
send_rest(struct sender *sender, struct link *link, uint64_t now_ns)
{
	/* The same bytes as before: a key makes the request, so the part that
	 * is still to be sent need not be kept. */
	struct bytes request =
		template_make(&sender->templates[link->kind], link->key);
	const char *data = request.data;
	ssize_t n = send(link->fd, data + link->sent, request.len - link->sent,
			 MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN) {
		link_failed(sender, link, TROUBLE_CLOSED, now_ns);
		return;
	}
	if (n > 0) {
		link->sent += (size_t)n;
		if (sender->part == PART_WINDOW)
			sender->tally->bytes_out += (size_t)n;
	}
	if ((link->sent < request.len) == (link->state == LINK_SENDING))
		return;
	set_state(sender, link,
		  link->sent < request.len ? LINK_SENDING : LINK_WAITING);
	watch_again(sender, link);
}

static void
begin_request(struct sender *sender, struct link *link, uint64_t number,
	      uint64_t start_ns, uint64_t now_ns)
{
	struct pick pick = plan_pick(sender->plan, number);

	link->kind = pick.kind;
	link->key = pick.key;
	link->sent = 0;
	link->start_ns = start_ns;
	link->sent_ns = now_ns;
	link->counted = sender->part == PART_WINDOW &&
			start_ns >= sender->run->window_ns;
	response_begin(&link->response, sender->plan->kinds[pick.kind].is_head);
	set_state(sender, link, LINK_WAITING);
	send_rest(sender, link, now_ns);
}

/* The number of this thread's i-th request among those of all. */
static uint64_t
number_of(const struct sender *sender, uint64_t i)
{
	return i * sender->run->threads + sender->index;
}

/* Requests begin. */
static bool
sends(const struct sender *sender)
{
	return sender->part == PART_WARMUP || sender->part == PART_WINDOW;
}

static void
begin_window(struct sender *sender)
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
	       sender->next_ns < sender->run->end_ns && sends(sender) &&
	       (link = take_free(sender))) {
		now_ns = clock_mono_ns();
		if (sender->next_ns >= sender->run->window_ns &&
		    sender->part == PART_WARMUP)
			begin_window(sender);
		count_late(sender, now_ns);
		begin_request(sender, link, number_of(sender, sender->next),
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
	begin_request(sender, link, number, now_ns, now_ns);
}

/* A link has become free: what it does next. */
static void
link_free(struct sender *sender, struct link *link, uint64_t now_ns)
{
	set_free(sender, link, now_ns);
	begin_requests(sender, now_ns);
}

static void
begin_requests(struct sender *sender, uint64_t now_ns)
{
	struct link *link;

	if (is_open_loop(sender)) {
		begin_due(sender, now_ns);
		return;
	}
	while (sends(sender) && sender->next < sender->share &&
	       now_ns < sender->run->end_ns && (link = take_free(sender)))
		begin_next(sender, link, now_ns);
}

/* ---- receiving ----------------------------------------------------------- */

static void
reply_done(struct sender *sender, struct link *link, bool is_closed,
	   uint64_t now_ns)
{
	/* A reply to half a request: the rest of it would be taken for the
	 * next one. */
	bool half = link->state == LINK_SENDING;

	count_reply(sender, link, now_ns);
	if (link->response.closes || is_closed || half)
		reopen(sender, link, now_ns);
	else
		link_free(sender, link, now_ns);
}

/* False: nothing more is to be read now. */
static bool
received(struct sender *sender, struct link *link, size_t len, bool is_closed)
{
	uint64_t now_ns = clock_mono_ns();
	size_t used;

	if (sender->part == PART_WINDOW)
		sender->tally->bytes_in += len;
	if (!is_busy(link)) {
		/* Nobody asked. The request that it answers is none of ours. */
		link->counted = false;
		link_failed(sender, link, TROUBLE_MALFORMED, now_ns);
		return false;
	}
	switch (response_read(&link->response, sender->buffer, len, &used)) {
	case RESPONSE_MORE:
		return len == READ_SIZE || is_closed;
	case RESPONSE_DONE:
		if (used == len) {
			reply_done(sender, link, is_closed, now_ns);
			return false;
		}
		break;
	case RESPONSE_MALFORMED:
		break;
	}
	link_failed(sender, link, TROUBLE_MALFORMED, now_ns);
	return false;
}

static void
peer_closed(struct sender *sender, struct link *link)
{
	uint64_t now_ns = clock_mono_ns();

	/* An idle one: not at once, lest a server that closes all that come be
	 * asked as fast as we can. */
	if (!is_busy(link))
		set_down(sender, link, now_ns + retry_ns);
	else if (response_closed(&link->response) == RESPONSE_DONE)
		reply_done(sender, link, true, now_ns);
	else
		link_failed(sender, link, TROUBLE_CLOSED, now_ns);
}

static void
receive(struct sender *sender, struct link *link, bool is_closed)
{
	for (unsigned turn = 0; turn < READ_TURNS; turn++) {
		ssize_t n = recv(link->fd, sender->buffer, READ_SIZE, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			peer_closed(sender, link);
			return;
		}
		if (!received(sender, link, (size_t)n, is_closed))
			return;
	}
	/* There is more, and others wait: be told again. */
	watch_again(sender, link);
}

static void
connected(struct sender *sender, struct link *link)
{
	int error = peer_opened(link->fd);
	uint64_t now_ns = clock_mono_ns();

	if (error) {
		connect_failed(sender, link, error, now_ns);
		return;
	}
	/* No longer of when it can be written to. */
	watch_again(sender, link);
	link_free(sender, link, now_ns);
}

static void
link_event(struct sender *sender, struct link *link, uint32_t events)
{
	const uint32_t gone = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

	switch (link->state) {
	case LINK_DOWN: /* closed since the event was reported */
		break;
	case LINK_CONNECTING:
		if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
			connected(sender, link);
		break;
	case LINK_SENDING:
		if (events & EPOLLOUT)
			send_rest(sender, link, clock_mono_ns());
		if (link->fd < 0)
			break;
		/* fall through */
	case LINK_FREE:
	case LINK_WAITING:
		if (events & (EPOLLIN | gone))
			receive(sender, link, events & gone);
		break;
	}
}

/* ---- the loop ------------------------------------------------------------ */

static void
begin_drain(struct sender *sender, uint64_t now_ns)
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
		begin_window(sender);
		begin_requests(sender, now_ns);
	}
	if (!sends(sender) || (now_ns < run->end_ns && !has_all(sender) &&
			       !ck_pr_load_uint(&run->stop)))
		return;
	/* What could have been sent in time is sent, late as it is. */
	if (is_open_loop(sender))
		begin_due(sender, now_ns);
	begin_drain(sender, now_ns);
}

/* With --requests nothing else ends a run whose server has gone. */
static void
give_up(struct sender *sender, uint64_t now_ns)
{
	if (sender->down < sender->link_count)
		sender->alive_ns = now_ns;
	else if (sender->run->end_ns == UINT64_MAX && sends(sender) &&
		 now_ns - sender->alive_ns > sender->plan->timeout_ns)
		begin_drain(sender, now_ns);
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
			open_link(sender, link, now_ns);
		break;
	case LINK_CONNECTING:
		if (is_overdue)
			connect_failed(sender, link, ETIMEDOUT, now_ns);
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
	sender->tick_at = now_ns + (sender->down ? retry_ns : tick_ns);
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
	if (is_open_loop(sender) && sends(sender) && sender->free_count > 0 &&
	    sender->next_ns < wake)
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
		begin_requests(sender, now_ns);
	}
}

/* ---- the thread ---------------------------------------------------------- */

static void
connect_all(struct sender *sender)
{
	uint64_t now_ns = clock_mono_ns(), end_ns = now_ns + connect_ns;

	for (unsigned i = 0; i < sender->link_count; i++)
		open_link(sender, &sender->links[i], now_ns);
	while (sender->free_count < sender->link_count && now_ns < end_ns &&
	       !ck_pr_load_uint(&sender->run->stop)) {
		now_ns = clock_mono_ns();
		tick(sender, now_ns);
		wait_for_events(sender, now_ns + retry_ns);
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
	sender->next_ns = due_ns(sender, 0);
	sender->tick_at = sender->run->begin_ns + tick_ns;
	change_part(sender, clock_mono_ns());
	begin_requests(sender, clock_mono_ns());
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
