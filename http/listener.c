/* SPDX-License-Identifier: MIT */
#include "http/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/log.h"
#include "http/conn.h"
#include "http/shard.h"

enum {
	/* A run's share: enough for a burst, so few that the requests of
	 * others do not wait for it. */
	ACCEPT_MAX = 16,
	BACKLOG = 4096, /* the kernel cuts it to net.core.somaxconn */
	ADMIN_MODE = 0660,
};

/* ---- accepting ---------------------------------------------------------- */

static struct shard *
emptiest_shard(struct server *server)
{
	struct shard *best = server->shards[0];
	unsigned fewest = shard_connections(best);

	for (unsigned i = 1; i < server->shard_count; i++) {
		unsigned count = shard_connections(server->shards[i]);

		if (count < fewest) {
			best = server->shards[i];
			fewest = count;
		}
	}
	return best;
}

/* The peer's identity is its user id when it connected. */
static bool
is_trusted(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) &&
	       len == sizeof(peer) && (peer.uid == 0 || peer.uid == geteuid());
}

/* True: there may be more. */
static bool
accept_one(struct listener *listener, struct source_run *result)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (!conn) {
		result->pause = true;
		return false;
	}
	conn->fd = accept4(listener->fd, (struct sockaddr *)&address, &len,
			   SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (conn->fd < 0) {
		free(conn);
		/* Descriptors or memory are exhausted: the connection stays
		 * in the backlog, and to look again at once would spin. */
		result->pause = errno == EMFILE || errno == ENFILE ||
				errno == ENOBUFS || errno == ENOMEM;
		return errno == ECONNABORTED || errno == EINTR;
	}
	conn->address_len = (socklen_t)(len < sizeof(conn->address)
						? len
						: sizeof(conn->address));
	memcpy(&conn->address, &address, conn->address_len);
	conn->trusted = listener->admin && is_trusted(conn->fd);
	shard_give(emptiest_shard(listener->server), conn);
	result->work++;
	return true;
}

static void
run(struct source *source, struct source_run *result)
{
	struct listener *listener =
		CONTAINER_OF(source, struct listener, source);
	struct server *server = listener->server;

	result->tick_ns = UINT64_MAX;
	if (ck_pr_load_uint(&listener->stopped)) {
		result->pause = true;
		return;
	}
	for (unsigned i = 0; i < ACCEPT_MAX; i++) {
		if (ck_pr_load_64(&server->connections) >=
		    server->config->max_connections) {
			result->pause = true;
			return;
		}
		if (!accept_one(listener, result))
			return;
	}
}

/* ---- opening ------------------------------------------------------------ */

static enum err
say_errno(const char *address, char *message, size_t size)
{
	int number = errno;

	snprintf(message, size, "cannot listen on %s: %s%s", address,
		 strerror(number),
		 number == EADDRINUSE
			 ? " (another process listens there; choose another "
			   "address with --set listen=HOST:PORT)"
			 : "");
	return err_from_errno(number);
}

/* A socket file that nobody answers on is left over from a crash. */
static void
remove_stale(const struct sockaddr_un *address)
{
	struct stat info;
	int fd;

	if (lstat(address->sun_path, &info) || !S_ISSOCK(info.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) &&
	    errno == ECONNREFUSED)
		unlink(address->sun_path);
	close(fd);
}

/* mode 0: what the process's mask leaves. */
static int
bind_unix(struct listener *listener, const char *path, mode_t mode)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	remove_stale(&address);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	/* Linux takes a socket's mode for its file, so nobody can connect
	 * before it is set. The mask may take more away than is meant. */
	if ((mode && fchmod(fd, mode)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    (mode && chmod(path, mode)) || listen(fd, BACKLOG)) {
		close(fd);
		return -1;
	}
	listener->unix_path = strdup(path);
	return fd;
}

/* "host:port" or "[v6]:port", as the configuration has checked. */
static bool
split_address(const char *address, char *host, size_t size, const char **port)
{
	const char *colon = strrchr(address, ':');
	size_t len;

	if (!colon)
		return false;
	len = (size_t)(colon - address);
	if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
		address++;
		len -= 2;
	}
	if (len == 0 || len >= size)
		return false;
	memcpy(host, address, len);
	host[len] = '\0';
	*port = colon + 1;
	return true;
}

static int
bind_resolved(const struct addrinfo *info)
{
	int one = 1, fd;

	fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		    0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (info->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	/* Accepted sockets inherit it: a reply of two parts does not wait
	 * for the client's delayed acknowledgement. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(fd, info->ai_addr, info->ai_addrlen) || listen(fd, BACKLOG)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int
bind_tcp(const char *address)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *found;
	char host[256];
	const char *port;
	int fd;

	if (!split_address(address, host, sizeof(host), &port) ||
	    getaddrinfo(host, port, &hints, &found)) {
		errno = EINVAL;
		return -1;
	}
	fd = bind_resolved(found);
	freeaddrinfo(found);
	return fd;
}

static void
name_bound(const struct listener *listener, const char *address, char *bound,
	   size_t size)
{
	struct sockaddr_storage storage = { 0 };
	socklen_t len = sizeof(storage);
	char host[64], port[16];

	if (listener->unix_path ||
	    getsockname(listener->fd, (struct sockaddr *)&storage, &len) ||
	    getnameinfo((struct sockaddr *)&storage, len, host, sizeof(host),
			port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(bound, size, "%s", address);
	else
		snprintf(bound, size,
			 storage.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
			 host, port);
}

static void
set_source(struct listener *listener)
{
	listener->source.fd = listener->fd;
	listener->source.shared = true;
	listener->source.run = run;
}

enum err
listener_open(struct server *server, struct listener *listener,
	      const char *address, char *bound, size_t bound_size,
	      char *message, size_t message_size)
{
	memset(listener, 0, sizeof(*listener));
	listener->server = server;
	listener->fd = !strncmp(address, "unix:", 5)
			       ? bind_unix(listener, address + 5, 0)
			       : bind_tcp(address);
	if (listener->fd < 0)
		return say_errno(address, message, message_size);
	name_bound(listener, address, bound, bound_size);
	set_source(listener);
	return ERR_OK;
}

enum err
listener_open_admin(struct server *server, struct listener *listener,
		    const char *path, char *message, size_t message_size)
{
	memset(listener, 0, sizeof(*listener));
	listener->server = server;
	listener->admin = true;
	listener->fd = bind_unix(listener, path, ADMIN_MODE);
	if (listener->fd < 0)
		return say_errno(path, message, message_size);
	set_source(listener);
	return ERR_OK;
}

void
listener_stop(struct listener *listener)
{
	if (ck_pr_fas_uint(&listener->stopped, 1))
		return;
	/* Connects are refused from now on; the workers' accept4() fails. */
	shutdown(listener->fd, SHUT_RDWR);
	if (listener->unix_path)
		unlink(listener->unix_path);
}

void
listener_close(struct listener *listener)
{
	listener_stop(listener);
	close(listener->fd);
	free(listener->unix_path);
}
