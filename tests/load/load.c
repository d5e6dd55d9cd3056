/* SPDX-License-Identifier: MIT */
/*
 * Closed-loop load: every connection sends its next request when the reply to
 * its last one is complete. One thread, one epoll, one send and one receive a
 * request, so that it costs less than what it measures. Every reply's status
 * and length are checked; a wrong one is an error, not speed.
 *
 *   load [options] ADDRESS:PORT PATH
 *     -c N      connections (64)
 *     -s SECONDS | -n REQUESTS   when to stop (3 seconds)
 *     -k N      append a random key number below N to the path, 8 digits
 *     -q        with -k and -n: the numbers in order, each once
 *     -m METHOD (GET)
 *     -b BYTES  a body of so many bytes; -d TEXT: this body
 *     -H LINE   one more header line
 *     -e LIST   expected statuses, as "201,204" (200)
 *     -l BYTES  expected length of the reply's body
 *
 * Prints one line of name=value pairs. Exits with 1 when there were errors.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "tests/load/client.h"

enum {
	REPLY_MAX = 64 << 10, /* of a head; a body is only counted */
	PATH_MAX_LEN = 1024,
	STATUS_MAX = 8,
	SUB_BUCKETS = 16, /* of each power of two: 6% resolution */
};

static struct {
	struct sockaddr_in address;
	const char *path, *method, *header;
	unsigned connections;
	uint64_t deadline_ns, requests_max, keys;
	bool in_order, check_length;
	size_t length;
	unsigned statuses[STATUS_MAX], status_count;
	char *tail; /* of every request: headers and body */
	size_t tail_len;
} options = { .method = "GET",
	      .connections = 64,
	      .requests_max = UINT64_MAX,
	      .statuses = { 200 },
	      .status_count = 1 };

struct connection {
	int fd;
	uint64_t started_ns;
	char *out; /* what of the request is not sent yet */
	size_t out_len;
	char *request; /* room for the longest */
	size_t in_len; /* of the head, so far */
	size_t body_left;
	bool in_body;
	struct reply_head head;
	char in[REPLY_MAX + 1];
};

static struct {
	uint64_t started, finished, errors, unexpected[6];
	uint64_t latency[64 * SUB_BUCKETS];
	uint64_t latency_max;
} totals;

static uint64_t random_state = 88172645463325252;
static int poller;

static unsigned
bucket_of(uint64_t ns)
{
	unsigned log = 63 - (unsigned)__builtin_clzll(ns | SUB_BUCKETS);

	return (log - 4) * SUB_BUCKETS + (unsigned)(ns >> (log - 4));
}

static double
bucket_us(unsigned bucket)
{
	unsigned log = bucket / SUB_BUCKETS;

	if (log < 1)
		return bucket / 1e3;
	return (double)((uint64_t)(bucket % SUB_BUCKETS + SUB_BUCKETS)
			<< (log - 1)) /
	       1e3;
}

static double
percentile_us(double part)
{
	uint64_t want = (uint64_t)((double)totals.finished * part), seen = 0;

	for (unsigned i = 0; i < ARRAY_LEN(totals.latency); i++) {
		seen += totals.latency[i];
		if (seen > want)
			return bucket_us(i);
	}
	return (double)totals.latency_max / 1e3;
}

static bool
may_start(void)
{
	if (totals.started >= options.requests_max)
		return false;
	return !options.deadline_ns || clock_mono_ns() < options.deadline_ns;
}

static void
make_request(struct connection *connection)
{
	char *out = connection->request;
	uint64_t key;
	int len;

	if (options.keys) {
		key = options.in_order ? totals.started
				       : client_random(&random_state);
		len = sprintf(out, "%s %s%08llu", options.method, options.path,
			      (unsigned long long)(key % options.keys));
	} else {
		len = sprintf(out, "%s %s", options.method, options.path);
	}
	memcpy(out + len, options.tail, options.tail_len);
	connection->out = out;
	connection->out_len = (size_t)len + options.tail_len;
	connection->in_len = 0;
	connection->in_body = false;
}

static void
want_events(struct connection *connection, int op, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = connection };

	if (epoll_ctl(poller, op, connection->fd, &event))
		err(1, "epoll_ctl");
}

/* False: the connection is broken. */
static bool
send_rest(struct connection *connection)
{
	ssize_t n = send(connection->fd, connection->out, connection->out_len,
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN)
		return false;
	if (n > 0) {
		connection->out += n;
		connection->out_len -= (size_t)n;
	}
	if (connection->out_len)
		want_events(connection, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
	return true;
}

static bool
start_request(struct connection *connection)
{
	make_request(connection);
	totals.started++;
	connection->started_ns = clock_mono_ns();
	return send_rest(connection);
}

static void
open_connection(struct connection *connection)
{
	connection->fd = client_connect(&options.address, 0);
	if (connection->fd < 0)
		err(1, "connect");
	want_events(connection, EPOLL_CTL_ADD, EPOLLIN);
}

static bool
is_expected(unsigned status)
{
	for (unsigned i = 0; i < options.status_count; i++)
		if (options.statuses[i] == status)
			return true;
	return false;
}

static void
finish_request(struct connection *connection)
{
	const struct reply_head *head = &connection->head;
	uint64_t ns = clock_mono_ns() - connection->started_ns;

	totals.finished++;
	totals.latency[bucket_of(ns)]++;
	if (ns > totals.latency_max)
		totals.latency_max = ns;
	if (!is_expected(head->status)) {
		totals.errors++;
		totals.unexpected[head->status / 100 % 6]++;
	} else if (options.check_length && head->body_len != options.length) {
		totals.errors++;
	}
}

enum progress { WAITING, COMPLETE, BROKEN };

static enum progress
receive(struct connection *connection)
{
	char *to = connection->in + connection->in_len;
	size_t room = REPLY_MAX - connection->in_len;
	ssize_t n;

	if (connection->in_body) {
		to = connection->in;
		room = REPLY_MAX;
	}
	n = recv(connection->fd, to, room, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return WAITING;
	if (n <= 0)
		return BROKEN;
	if (!connection->in_body) {
		connection->in_len += (size_t)n;
		connection->in[connection->in_len] = 0;
		if (!client_parse_head(connection->in, &connection->head))
			return connection->in_len < REPLY_MAX ? WAITING
							      : BROKEN;
		connection->in_body = true;
		connection->body_left = connection->head.body_len;
		n = (ssize_t)(connection->in_len - connection->head.head_len);
	}
	if ((size_t)n > connection->body_left)
		return BROKEN; /* more than was asked for */
	connection->body_left -= (size_t)n;
	return connection->body_left ? WAITING : COMPLETE;
}

/* A broken connection costs an error and is opened again. False: it has no
 * more to do. */
static bool
serve_event(struct connection *connection, uint32_t events)
{
	enum progress progress = WAITING;

	if (events & EPOLLOUT) {
		want_events(connection, EPOLL_CTL_MOD, EPOLLIN);
		if (!send_rest(connection))
			progress = BROKEN;
	}
	if (progress == WAITING && events & ~(uint32_t)EPOLLOUT)
		progress = receive(connection);
	if (progress == WAITING)
		return true;
	if (progress == COMPLETE)
		finish_request(connection);
	while (may_start()) {
		if (progress == COMPLETE && start_request(connection))
			return true;
		totals.errors++;
		close(connection->fd);
		open_connection(connection);
		progress = COMPLETE;
	}
	if (progress == BROKEN)
		totals.errors++;
	close(connection->fd);
	return false;
}

static void
run(struct connection *connections)
{
	struct epoll_event events[128];
	unsigned running = 0;

	for (unsigned i = 0; i < options.connections && may_start(); i++) {
		open_connection(&connections[i]);
		if (!start_request(&connections[i]))
			errx(1, "the server refuses a first request");
		running++;
	}
	while (running) {
		int count =
			epoll_wait(poller, events, ARRAY_LEN(events), 10000);

		if (!count)
			errx(1, "no reply for 10 seconds");
		for (int i = 0; i < count; i++)
			running -= !serve_event(events[i].data.ptr,
						events[i].events);
	}
}

static void
make_tail(size_t body_len, const char *body)
{
	size_t size = 256 + strlen(options.header ? options.header : "");
	int len;

	if (body)
		body_len = strlen(body);
	options.tail = calloc(1, size + body_len);
	if (!options.tail)
		err(1, "a body of %zu bytes", body_len);
	len = sprintf(options.tail, " HTTP/1.1\r\nHost: load\r\n%s%s",
		      options.header ? options.header : "",
		      options.header ? "\r\n" : "");
	if (body_len || body)
		len += sprintf(options.tail + len, "Content-Length: %zu\r\n",
			       body_len);
	len += sprintf(options.tail + len, "\r\n");
	if (body)
		memcpy(options.tail + len, body, body_len);
	else
		memset(options.tail + len, 'x', body_len);
	options.tail_len = (size_t)len + body_len;
}

static void
parse_statuses(char *list)
{
	options.status_count = 0;
	for (char *word = strtok(list, ","); word; word = strtok(NULL, ","))
		if (options.status_count < STATUS_MAX)
			options.statuses[options.status_count++] =
				(unsigned)strtoul(word, NULL, 10);
}

static void
parse_options(int argc, char **argv)
{
	double seconds = 3;
	size_t body_len = 0;
	const char *body = NULL;
	int option;

	while ((option = getopt(argc, argv, "c:s:n:k:qm:b:d:H:e:l:")) != -1)
		switch (option) {
		case 'c':
			options.connections = (unsigned)atoi(optarg);
			break;
		case 's':
			seconds = atof(optarg);
			break;
		case 'n':
			options.requests_max = strtoull(optarg, NULL, 10);
			seconds = 0;
			break;
		case 'k':
			options.keys = strtoull(optarg, NULL, 10);
			break;
		case 'q':
			options.in_order = true;
			break;
		case 'm':
			options.method = optarg;
			break;
		case 'b':
			body_len = strtoul(optarg, NULL, 10);
			break;
		case 'd':
			body = optarg;
			break;
		case 'H':
			options.header = optarg;
			break;
		case 'e':
			parse_statuses(optarg);
			break;
		case 'l':
			options.check_length = true;
			options.length = strtoul(optarg, NULL, 10);
			break;
		default:
			exit(2);
		}
	if (argc - optind != 2 || strlen(argv[optind + 1]) > PATH_MAX_LEN)
		errx(2, "usage: load [options] ADDRESS:PORT PATH");
	options.address = client_address(argv[optind]);
	options.path = argv[optind + 1];
	if (seconds > 0)
		options.deadline_ns =
			clock_mono_ns() + (uint64_t)(seconds * 1e9);
	make_tail(body_len, body);
}

int
main(int argc, char **argv)
{
	struct connection *connections;
	uint64_t begin_ns;
	double seconds;

	parse_options(argc, argv);
	connections = calloc(options.connections, sizeof(*connections));
	if (!connections)
		err(1, "%u connections", options.connections);
	for (unsigned i = 0; i < options.connections; i++) {
		connections[i].request =
			malloc(PATH_MAX_LEN + 64 + options.tail_len);
		if (!connections[i].request)
			err(1, "%u connections", options.connections);
	}
	poller = epoll_create1(EPOLL_CLOEXEC);
	begin_ns = clock_mono_ns();
	run(connections);
	seconds = (double)(clock_mono_ns() - begin_ns) / 1e9;
	printf("requests=%llu seconds=%.3f rate=%.0f p50_us=%.1f p95_us=%.1f "
	       "p99_us=%.1f max_us=%.1f errors=%llu s4xx=%llu s5xx=%llu\n",
	       (unsigned long long)totals.finished, seconds,
	       (double)totals.finished / seconds, percentile_us(0.5),
	       percentile_us(0.95), percentile_us(0.99),
	       (double)totals.latency_max / 1e3,
	       (unsigned long long)totals.errors,
	       (unsigned long long)totals.unexpected[4],
	       (unsigned long long)totals.unexpected[5]);
	return totals.errors ? 1 : 0;
}
