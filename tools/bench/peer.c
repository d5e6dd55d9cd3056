/* SPDX-License-Identifier: MIT */
#include "tools/bench/peer.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/units.h"
#include "tools/endpoint.h"
#include "tools/out.h"

/* ---- connections --------------------------------------------------------- */

int
peer_open(const struct plan *plan)
{
	int family = plan->address.ss_family, one = 1;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (const void *)&plan->address, plan->address_len) &&
	    errno != EINPROGRESS) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

int
peer_opened(int fd)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len))
		return errno;
	return error;
}

/* 0, or an errno value. */
static int
try_peer(const struct plan *plan)
{
	int fd = peer_open(plan), error, n;
	struct pollfd ready = { .fd = fd, .events = POLLOUT };

	/* A Unix socket whose queue is full has somebody there. */
	if (fd < 0)
		return errno == EAGAIN ? 0 : errno;
	n = poll(&ready, 1, (int)(plan->timeout_ns / NS_PER_MS));
	error = n == 0 ? ETIMEDOUT : n < 0 ? errno : peer_opened(fd);
	close(fd);
	return error;
}

enum outcome
peer_probe(const struct plan *plan)
{
	int error = try_peer(plan);

	if (!error)
		return OUTCOME_OK;
	say("cannot connect to %s: %s", plan->name, strerror(error));
	return OUTCOME_UNREACHABLE;
}

/* ---- where it is -------------------------------------------------------- */

static enum outcome
resolve_socket(struct plan *plan, const char *path)
{
	struct sockaddr_un *address = (void *)&plan->address;

	if (!*path || strlen(path) >= sizeof(address->sun_path)) {
		say("'%s' is no path of a socket: it has 1 to %zu bytes", path,
		    sizeof(address->sun_path) - 1);
		return OUTCOME_USAGE;
	}
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, strlen(path) + 1);
	plan->address_len = sizeof(*address);
	snprintf(plan->name, sizeof(plan->name), "unix:%s", path);
	snprintf(plan->host, sizeof(plan->host), "localhost");
	return OUTCOME_OK;
}

/* Larger ones getaddrinfo() would take modulo 65536. */
static bool
is_port(struct bytes text)
{
	uint64_t number;

	return units_u64(text, &number) && number >= 1 && number <= UINT16_MAX;
}

/* "http://HOST[:PORT][/]" into name (without brackets) and port. */
static bool
split_url(const char *url, char name[256], char port[8], const char **authority,
	  size_t *authority_len)
{
	static const char scheme[] = "http://";
	const char *at = url + sizeof(scheme) - 1, *end;
	size_t len, name_len;

	if (strncmp(url, scheme, sizeof(scheme) - 1))
		return false;
	len = strcspn(at, "/?#@");
	if (at[len] && strcmp(at + len, "/"))
		return false;
	*authority = at;
	*authority_len = len;
	if (*at == '[') {
		end = memchr(at, ']', len);
		if (!end)
			return false;
		name_len = (size_t)(end - ++at);
		end++;
	} else {
		end = memchr(at, ':', len);
		if (!end)
			end = at + len;
		name_len = (size_t)(end - at);
	}
	len -= (size_t)(end - *authority);
	if (name_len == 0 || name_len >= 256 || len > 6 ||
	    (len > 0 && *end != ':') ||
	    (len > 1 && !is_port((struct bytes){ end + 1, len - 1 })))
		return false;
	memcpy(name, at, name_len);
	name[name_len] = '\0';
	snprintf(port, 8, "%.*s", len > 1 ? (int)len - 1 : 2,
		 len > 1 ? end + 1 : "80");
	return true;
}

/* The first at which somebody is, or the last: "localhost" may be ::1 and
 * 127.0.0.1, and the server at one of them. */
static void
choose_address(struct plan *plan, const struct addrinfo *found)
{
	for (; found; found = found->ai_next) {
		memcpy(&plan->address, found->ai_addr, found->ai_addrlen);
		plan->address_len = found->ai_addrlen;
		if (!found->ai_next || try_peer(plan) == 0)
			return;
	}
}

static enum outcome
resolve_url(struct plan *plan, const char *url)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	char name[256], port[8];
	const char *authority;
	size_t len;
	int rc;

	if (!split_url(url, name, port, &authority, &len)) {
		say("bench takes a URL of the form http://HOST:PORT, not '%s'",
		    url);
		return OUTCOME_USAGE;
	}
	rc = getaddrinfo(name, port, &hints, &found);
	if (rc) {
		say("cannot connect to %s: %s", url, gai_strerror(rc));
		return OUTCOME_UNREACHABLE;
	}
	choose_address(plan, found);
	freeaddrinfo(found);
	snprintf(plan->host, sizeof(plan->host), "%.*s", (int)len, authority);
	snprintf(plan->name, sizeof(plan->name), "http://%.*s", (int)len,
		 authority);
	return OUTCOME_OK;
}

enum outcome
peer_resolve(struct plan *plan, const struct options *options)
{
	struct endpoint endpoint;

	endpoint_find(&endpoint, options, PLACE_SERVER);
	if (endpoint.socket)
		return resolve_socket(plan, endpoint.socket);
	return resolve_url(plan, endpoint.url);
}
