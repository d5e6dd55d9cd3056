/* SPDX-License-Identifier: MIT */
#include "http/conn.h"

#include <linux/sockios.h>
#include <linux/tcp.h> /* the C library's has no tcpi_bytes_acked */
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>

enum {
	/* A body that makes less progress than this in a body_timeout is one
	 * of a client that wants to hold a connection. */
	BODY_PROGRESS = 1024,
	/* What is read after an answer that came before the end of the body:
	 * a client that has not looked by then does not. */
	LINGER_BYTES = 64 << 20,
	LINGER_MS = 2000,
};

void
conn_list_init(struct conn_list *list)
{
	*list = (struct conn_list){ .first = NULL };
}

void
conn_list_add(struct conn_list *list, struct conn *conn)
{
	conn->prev = NULL;
	conn->next = list->first;
	if (list->first)
		list->first->prev = conn;
	list->first = conn;
	list->count++;
}

void
conn_list_remove(struct conn_list *list, struct conn *conn)
{
	if (conn->prev)
		conn->prev->next = conn->next;
	else
		list->first = conn->next;
	if (conn->next)
		conn->next->prev = conn->prev;
	list->count--;
	conn_unwatch(list, conn);
}

/* ---- who left ----------------------------------------------------------- */

void
conn_watch(struct conn_list *list, struct conn *conn, struct request *request)
{
	conn_unwatch(list, conn);
	conn->request = request;
	conn->watched_ns = clock_coarse_ns();
	conn->newer = NULL;
	conn->older = list->newest;
	if (list->newest)
		list->newest->newer = conn;
	else
		list->oldest = conn;
	list->newest = conn;
}

void
conn_unwatch(struct conn_list *list, struct conn *conn)
{
	if (!conn->request)
		return;
	if (conn->newer)
		conn->newer->older = conn->older;
	else
		list->newest = conn->older;
	if (conn->older)
		conn->older->newer = conn->newer;
	else
		list->oldest = conn->newer;
	conn->request = NULL;
}

/* gone() may end the connection's watch, and only this one's. */
static void
look_at(struct conn_list *list, struct conn **conns, struct pollfd *fds,
	unsigned count, void (*gone)(struct request *request))
{
	if (!count || poll(fds, count, 0) <= 0)
		return;
	for (unsigned i = 0; i < count; i++) {
		struct request *request = conns[i]->request;

		if (!fds[i].revents)
			continue;
		conn_unwatch(list, conns[i]);
		gone(request);
	}
}

void
conn_list_find_gone(struct conn_list *list, uint64_t now_ns,
		    void (*gone)(struct request *request))
{
	enum { AT_ONCE = 64 };
	struct pollfd fds[AT_ONCE];
	struct conn *conns[AT_ONCE], *conn = list->oldest, *newer;
	unsigned count = 0;

	for (; conn && now_ns >= conn->watched_ns + WATCH_NS; conn = newer) {
		newer = conn->newer;
		fds[count] =
			(struct pollfd){ .fd = conn->fd, .events = POLLRDHUP };
		conns[count++] = conn;
		if (count < AT_ONCE)
			continue;
		look_at(list, conns, fds, count, gone);
		count = 0;
	}
	look_at(list, conns, fds, count, gone);
}

bool
conn_is_local(const struct conn *conn)
{
	static const char v6_loopback[16] = { [15] = 1 };
	static const char v4_in_v6[12] = { [10] = (char)0xFF, (char)0xFF };
	/* Behind the port; with IPv6 also behind the flow's label. */
	const char *v4 = conn->address.data + 2;
	const char *v6 = conn->address.data + 6;

	switch (conn->address.family) {
	case AF_UNIX:
		return true;
	case AF_INET:
		return v4[0] == 127;
	case AF_INET6:
		return !memcmp(v6, v6_loopback, sizeof(v6_loopback)) ||
		       (!memcmp(v6, v4_in_v6, sizeof(v4_in_v6)) &&
			v6[12] == 127);
	}
	return false;
}

/* ---- deadlines ---------------------------------------------------------- */

/* Milliseconds that the connection may be in its phase. */
static uint64_t
allowed_ms(const struct conn *conn, const struct config *config, bool draining)
{
	if (conn->lingering)
		return LINGER_MS;
	switch (conn->phase) {
	case CONN_IDLE:
		return draining ? 0 : config->idle_timeout_ms;
	case CONN_HEADERS:
		return config->header_timeout_ms;
	case CONN_BODY:
		return config->body_timeout_ms;
	case CONN_WORKING:
		break;
	case CONN_REPLYING:
		return config->write_timeout_ms;
	}
	return UINT64_MAX;
}

/*
 * libmicrohttpd does not say how far it is with a reply, but the kernel tells
 * what the peer's has acknowledged. Of a unix socket it tells only how much
 * waits there, which is now and then the same for a client that reads, but not
 * for many looks on end. What fails leaves the 0.
 */
static uint64_t
sent_mark(const struct conn *conn)
{
	struct tcp_info info = { .tcpi_bytes_acked = 0 };
	socklen_t len = sizeof(info);
	int waits = 0;

	if (conn->address.family != AF_UNIX) {
		getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &len);
		return info.tcpi_bytes_acked;
	}
	ioctl(conn->fd, SIOCOUTQ, &waits);
	return (uint64_t)waits;
}

/* A reply that goes on begins its time anew; so does its first look, which has
 * nothing to compare with. Short replies are gone before there is one. */
static void
look_at_reply(struct conn *conn, uint64_t now_ns)
{
	uint64_t mark;

	if (conn->phase != CONN_REPLYING || conn->lingering || conn->shut)
		return;
	mark = sent_mark(conn);
	if (mark == conn->progress)
		return;
	conn->progress = mark;
	conn->since_ns = now_ns;
}

void
conn_list_sweep(struct conn_list *list, const struct config *config,
		uint64_t now_ns, bool draining)
{
	for (struct conn *conn = list->first; conn; conn = conn->next) {
		uint64_t allowed = allowed_ms(conn, config, draining);

		look_at_reply(conn, now_ns);
		if (conn->shut || allowed == UINT64_MAX ||
		    now_ns < conn->since_ns + allowed * NS_PER_MS)
			continue;
		conn->shut = true;
		shutdown(conn->fd, SHUT_RDWR);
	}
}

void
conn_progress(struct conn *conn, size_t n)
{
	conn->progress += n;
	if (conn->progress >= BODY_PROGRESS)
		conn_phase(conn, conn->phase, clock_coarse_ns());
}

void
conn_answer(struct conn *conn, struct bytes text)
{
	ssize_t sent;

	/* Nothing was sent on this request before, so it fits the socket's
	 * buffer; where it does not, the client is not reading anyway. */
	sent = send(conn->fd, text.data, text.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(conn->fd, SHUT_WR);
	conn->lingering = sent == (ssize_t)text.len;
	conn_phase(conn, conn->phase, clock_coarse_ns());
}

bool
conn_linger(struct conn *conn, size_t n)
{
	conn->progress += n;
	return conn->lingering && conn->progress < LINGER_BYTES;
}
