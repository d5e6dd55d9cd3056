/* SPDX-License-Identifier: MIT */
#include "http/conn.h"

#include <microhttpd.h>

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
	list->first = NULL;
	list->count = 0;
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
}

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

void
conn_list_sweep(struct conn_list *list, const struct config *config,
		uint64_t now_ns, bool draining)
{
	for (struct conn *conn = list->first; conn; conn = conn->next) {
		uint64_t allowed = allowed_ms(conn, config, draining);

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
