/* SPDX-License-Identifier: MIT */
/*
 * Holds idle keep-alive connections, each of which was served once:
 *
 *   idle ADDRESS:PORT COUNT [PATH]
 *
 * Prints "ready" when all stand, keeps them until its standard input ends,
 * then asks once more on every hundredth and prints "alive N of M".
 */
#include <stdio.h>
#include <sys/resource.h>

#include "tests/load/client.h"

static char request[512];

/* Sends the request and reads the whole reply. */
static bool
ask(int fd)
{
	char data[4097];
	size_t len = 0;
	struct reply_head head;
	ssize_t n;

	if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		return false;
	do {
		n = recv(fd, data + len, sizeof(data) - 1 - len, 0);
		if (n <= 0)
			return false;
		len += (size_t)n;
		data[len] = 0;
	} while (!client_parse_head(data, &head) ||
		 len < head.head_len + head.body_len);
	return head.status == 200;
}

static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		err(1, "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in address;
	unsigned count, asked = 0, alive = 0;
	int *fds;

	if (argc < 3 || argc > 4)
		errx(2, "usage: idle ADDRESS:PORT COUNT [PATH]");
	snprintf(request, sizeof(request),
		 "GET %s HTTP/1.1\r\nHost: idle\r\n\r\n",
		 argc > 3 ? argv[3] : "/livez");
	address = client_address(argv[1]);
	count = (unsigned)atoi(argv[2]);
	fds = calloc(count, sizeof(*fds));
	if (!fds)
		err(1, "%u connections", count);
	raise_descriptor_limit();
	for (unsigned i = 0; i < count; i++) {
		fds[i] = client_connect(&address, 0);
		if (fds[i] < 0)
			err(1, "connection %u", i);
		if (!ask(fds[i]))
			errx(1, "connection %u is not served", i);
	}
	printf("ready\n");
	fflush(stdout);
	while (getchar() != EOF)
		continue;
	for (unsigned i = 0; i < count; i += 100, asked++)
		alive += ask(fds[i]);
	printf("alive %u of %u\n", alive, asked);
	return 0;
}
