/* SPDX-License-Identifier: MIT */
/*
 * A client that leaves with a reset, at every phase of a request:
 *
 *   reset ADDRESS:PORT STORE COUNT SEED
 *
 * The store holds a large value under the key "big". Prints how often it left
 * in each phase.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "tests/load/client.h"

enum { TEXT_MAX = 16 << 10 };

static const char *store;
static uint64_t random_state;

static size_t
below(size_t bound)
{
	return (size_t)(client_random(&random_state) % bound);
}

/* Half of the time nothing: the reset then overtakes the server. */
static void
dawdle(void)
{
	struct timespec a_while = { .tv_nsec = (long)below(400) * 1000 };

	if (below(2))
		nanosleep(&a_while, NULL);
}

static void
send_bytes(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return; /* refused early: as good a moment to leave */
		data += n;
		len -= (size_t)n;
	}
}

__attribute__((format(printf, 2, 3))) static void
send_text(int fd, const char *format, ...)
{
	char text[TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	send_bytes(fd, text, strlen(text));
}

/* Reads at most len bytes, and waits a second at most for the first. */
static void
read_some(int fd, size_t len)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	char data[4096];

	while (len && poll(&ready, 1, 1000) == 1) {
		size_t want = len < sizeof(data) ? len : sizeof(data);
		ssize_t n = recv(fd, data, want, 0);

		if (n <= 0)
			return;
		len -= (size_t)n;
	}
}

static void
leave_in_headers(int fd)
{
	char text[256];
	int len = snprintf(text, sizeof(text),
			   "PUT /v1/kv/%s/reset HTTP/1.1\r\n"
			   "Host: reset\r\nContent-Type: text/plain\r\n"
			   "Content-Length: 100000\r\n\r\n",
			   store);

	send_bytes(fd, text, 1 + below((size_t)len - 1));
	dawdle();
}

static void
leave_in_body(int fd)
{
	static const char body[TEXT_MAX];

	send_text(fd,
		  "PUT /v1/kv/%s/reset HTTP/1.1\r\nHost: reset\r\n"
		  "Content-Length: %d\r\n\r\n",
		  store, TEXT_MAX);
	send_bytes(fd, body, below(TEXT_MAX));
	dawdle();
}

static void
leave_before_the_commit(int fd)
{
	send_text(fd,
		  "PUT /v1/kv/%s/reset/%zu HTTP/1.1\r\nHost: reset\r\n"
		  "Content-Length: 5\r\n\r\nvalue",
		  store, below(100));
	dawdle();
}

static void
leave_before_a_batch(int fd)
{
	static const char body[] = "[{\"put\":\"reset/a\",\"value\":\"1\"},"
				   "{\"incr\":\"reset/n\",\"by\":2},"
				   "{\"get\":\"reset/a\"}]";

	send_text(fd,
		  "POST /v1/kv/%s/?op=batch HTTP/1.1\r\nHost: reset\r\n"
		  "Content-Type: application/json\r\n"
		  "Content-Length: %zu\r\n\r\n%s",
		  store, strlen(body), body);
	dawdle();
}

static void
leave_in_reply(int fd)
{
	send_text(fd, "GET /v1/kv/%s/big HTTP/1.1\r\nHost: reset\r\n\r\n",
		  store);
	read_some(fd, below(TEXT_MAX));
	dawdle();
}

static void
leave_in_import(int fd)
{
	size_t lines = below(200);

	send_text(fd,
		  "PUT /v1/kv/%s/?op=import HTTP/1.1\r\nHost: reset\r\n"
		  "Content-Type: application/x-ndjson\r\n"
		  "Transfer-Encoding: chunked\r\n\r\n",
		  store);
	for (size_t i = 0; i < lines; i++)
		send_text(fd,
			  "31\r\n{\"key\":\"reset/import/%04zu\","
			  "\"value\":\"0123456789\"}\n\r\n",
			  i);
	if (below(2))
		send_text(fd, "0\r\n\r\n");
	dawdle();
}

static void
leave_in_export(int fd)
{
	send_text(fd,
		  "GET /v1/kv/%s/?op=export HTTP/1.1\r\nHost: reset\r\n\r\n",
		  store);
	read_some(fd, below(TEXT_MAX));
	dawdle();
}

static void
leave_in_scan(int fd)
{
	send_text(fd,
		  "GET /v1/kv/%s/?limit=200&values=1 HTTP/1.1\r\n"
		  "Host: reset\r\nAccept: application/x-ndjson\r\n\r\n",
		  store);
	read_some(fd, below(TEXT_MAX));
	dawdle();
}

static void
leave_while_idle(int fd)
{
	send_text(fd, "GET /livez HTTP/1.1\r\nHost: reset\r\n\r\n");
	read_some(fd, 1);
	dawdle();
}

/* Several requests in one segment, the second waits for a commit. */
static void
leave_in_pipeline(int fd)
{
	send_text(fd,
		  "GET /livez HTTP/1.1\r\nHost: reset\r\n\r\n"
		  "PUT /v1/kv/%s/reset/p HTTP/1.1\r\nHost: reset\r\n"
		  "Content-Length: 1\r\n\r\n1"
		  "GET /v1/kv/%s/big HTTP/1.1\r\nHost: reset\r\n\r\n",
		  store, store);
	dawdle();
}

/* An orderly end of our half first, then the reset. */
static void
leave_by_halves(int fd)
{
	leave_before_the_commit(fd);
	shutdown(fd, SHUT_WR);
	dawdle();
}

static const struct phase {
	const char *name;
	void (*leave)(int fd);
} phases[] = {
	{ "headers", leave_in_headers },
	{ "body", leave_in_body },
	{ "commit", leave_before_the_commit },
	{ "batch", leave_before_a_batch },
	{ "reply", leave_in_reply },
	{ "import", leave_in_import },
	{ "export", leave_in_export },
	{ "scan", leave_in_scan },
	{ "idle", leave_while_idle },
	{ "pipeline", leave_in_pipeline },
	{ "halves", leave_by_halves },
};

int
main(int argc, char **argv)
{
	unsigned long count, counts[ARRAY_LEN(phases)] = { 0 };
	struct sockaddr_in address;

	if (argc != 5)
		errx(2, "usage: reset ADDRESS:PORT STORE COUNT SEED");
	address = client_address(argv[1]);
	store = argv[2];
	count = strtoul(argv[3], NULL, 10);
	random_state = strtoull(argv[4], NULL, 10) * 2 + 1;
	for (unsigned long i = 0; i < count; i++) {
		size_t which = below(ARRAY_LEN(phases));
		/* A small buffer, so that a large reply does not fit. */
		int fd = client_connect(&address, 4096);

		if (fd < 0)
			err(1, "connect");
		phases[which].leave(fd);
		client_reset(fd);
		counts[which]++;
	}
	for (size_t i = 0; i < ARRAY_LEN(phases); i++)
		printf("%s=%lu ", phases[i].name, counts[i]);
	printf("\n");
	return 0;
}
