/* SPDX-License-Identifier: MIT */
#include "tools/bench/sender_internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/bench/peer.h"

/* Full buffers in a row from one connection. */
enum { READ_TURNS = 16 };

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
	sender->busy -= link_is_busy(link);
	sender->down -= link->state == LINK_DOWN;
	link->state = state;
	sender->busy += link_is_busy(link);
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

void
link_connect_failed(struct sender *sender, struct link *link, int error,
		    uint64_t now_ns)
{
	set_down(sender, link, now_ns + RETRY_NS);
	/* The queue of a Unix socket is full: somebody is there. */
	if (error == EAGAIN || sender->part != PART_WINDOW)
		return;
	sender->tally->troubles[TROUBLE_CONNECT]++;
	sender->tally->errors++;
	ck_pr_store_64(&sender->so_far.errors, sender->so_far.errors + 1);
}

void
link_open(struct sender *sender, struct link *link, uint64_t now_ns)
{
	link->fd = peer_open(sender->plan);
	if (link->fd < 0) {
		link_connect_failed(sender, link, errno, now_ns);
		return;
	}
	link->sent_ns = now_ns;
	set_state(sender, link, LINK_CONNECTING);
	if (!watch(sender, link, EPOLL_CTL_ADD, EPOLLOUT))
		link_connect_failed(sender, link, errno, now_ns);
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

/* The ring may hold links that the server has closed since. */
struct link *
link_take_free(struct sender *sender)
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

void
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
	set_down(sender, link, now_ns + RETRY_NS);
}

static void
reopen(struct sender *sender, struct link *link, uint64_t now_ns)
{
	if (sender->part == PART_WINDOW)
		sender->tally->reconnects++;
	set_down(sender, link, now_ns);
	if (sender->part != PART_DRAIN)
		link_open(sender, link, now_ns);
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

void
link_begin(struct sender *sender, struct link *link, uint64_t number,
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

/* ---- receiving ----------------------------------------------------------- */

/* A link has become free: what it does next. */
static void
link_free(struct sender *sender, struct link *link, uint64_t now_ns)
{
	set_free(sender, link, now_ns);
	schedule_go_on(sender, now_ns);
}

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
	if (!link_is_busy(link)) {
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
	if (!link_is_busy(link))
		set_down(sender, link, now_ns + RETRY_NS);
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
		link_connect_failed(sender, link, error, now_ns);
		return;
	}
	/* No longer of when it can be written to. */
	watch_again(sender, link);
	link_free(sender, link, now_ns);
}

void
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
