/* SPDX-License-Identifier: MIT */
/*
 * A listening socket, as a source that all workers share: who sees it ready
 * accepts a few connections and gives each to the shard with the fewest.
 */
#ifndef HTTP_LISTENER_H
#define HTTP_LISTENER_H

#include "core/sched.h"
#include "http/server.h"

struct listener {
	struct source source;
	struct server *server;
	int fd;
	char *unix_path; /* unlinked at the end; NULL: not a unix socket */
	bool admin; /* its peers may administrate: see listener_open_admin() */
	unsigned stopped; /* atomic: set by main, read by workers */
};

/* address as in the configuration. bound gets what was bound, the port
 * filled in; message a sentence on an error. */
MUST_CHECK enum err listener_open(struct server *server,
				  struct listener *listener,
				  const char *address, char *bound,
				  size_t bound_size, char *message,
				  size_t message_size);
/*
 * The administrator's socket, a file: only its owner and group may connect,
 * and only root and the daemon's own user, as the kernel names them, are
 * trusted (conn->trusted). Everything else works on it as well.
 */
MUST_CHECK enum err listener_open_admin(struct server *server,
					struct listener *listener,
					const char *path, char *message,
					size_t message_size);
/* Any thread, more than once: nobody connects from now on. */
void listener_stop(struct listener *listener);
/* After the scheduler has stopped. */
void listener_close(struct listener *listener);

#endif
