/* SPDX-License-Identifier: MIT */
/*
 * The parts of jackdawd: made and joined, and taken down in reverse order. The
 * one module that knows all others. Main's thread only.
 */
#ifndef HTTP_DAEMON_H
#define HTTP_DAEMON_H

#include <limits.h>
#include <pthread.h>
#include <signal.h>

#include "core/config.h"
#include "http/server.h"

enum {
	/* What main_thread is sent, blocked there, when a store has failed. */
	SIGNAL_FAULT = SIGUSR2,
};

/* Zeroed, then config and main_thread are set before daemon_start(). */
struct daemon {
	struct config config;
	struct server server;
	int lock_fd; /* held until the process ends */
	pthread_t main_thread;
	char message[PATH_MAX + 256];
};

/* All of it serves; or false, with a sentence in message: then what was made
 * is for daemon_take_down(). */
MUST_CHECK bool daemon_start(struct daemon *daemon);
/* After a start that failed, or once the scheduler has stopped. Frees the
 * configuration too. */
void daemon_take_down(struct daemon *daemon);

#endif
