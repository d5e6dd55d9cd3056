/* SPDX-License-Identifier: MIT */
/*
 * What the load programs share: addresses, connections, the end of a reply.
 * A failure that is not the server's doing ends the program.
 */
#ifndef TESTS_LOAD_CLIENT_H
#define TESTS_LOAD_CLIENT_H

#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base.h"
#include "core/clock.h"

/* "127.0.0.1:8080" */
static inline struct sockaddr_in
client_address(const char *text)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	const char *colon = strrchr(text, ':');
	char host[64] = "";

	if (colon && (size_t)(colon - text) < sizeof(host))
		memcpy(host, text, (size_t)(colon - text));
	if (!colon || inet_pton(AF_INET, host, &address.sin_addr) != 1)
		errx(2, "'%s' is not address:port", text);
	address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	return address;
}

/* -1 where the server does not take the connection. receive_buffer 0: the
 * kernel's own. */
static inline int
client_connect(const struct sockaddr_in *address, int receive_buffer)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		err(1, "socket");
	if (receive_buffer)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer,
				 sizeof(receive_buffer));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (!connect(fd, (const struct sockaddr *)address, sizeof(*address)))
		return fd;
	close(fd);
	return -1;
}

/* Closes with a reset instead of an orderly end. */
static inline void
client_reset(int fd)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* The start of a reply. */
struct reply_head {
	unsigned status;
	size_t head_len; /* up to and with the empty line */
	size_t body_len; /* of Content-Length; 0 where there is none */
};

/* False: the head is not complete yet. data ends in a NUL. */
static inline bool
client_parse_head(const char *data, struct reply_head *head)
{
	const char *end = strstr(data, "\r\n\r\n");
	const char *length;

	if (!end || strncmp(data, "HTTP/1.1 ", 9))
		return false;
	head->status = (unsigned)strtoul(data + 9, NULL, 10);
	head->head_len = (size_t)(end + 4 - data);
	length = strcasestr(data, "\r\nContent-Length:");
	head->body_len =
		length && length < end ? strtoul(length + 17, NULL, 10) : 0;
	/* Its length is that of the body it does not have. */
	if (head->status == 304)
		head->body_len = 0;
	return true;
}

/* xorshift64*: good enough to pick keys, and cheap. The state is not 0. */
static inline uint64_t
client_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(0x2545F4914F6CDD1D);
}

#endif
