/* SPDX-License-Identifier: MIT */
/*
 * HTTP to one server: the home of libcurl.
 */
#ifndef TOOLS_CLIENT_H
#define TOOLS_CLIENT_H

#include <signal.h>
#include <stdio.h>

#include "core/buffer.h"
#include "tools/endpoint.h"
#include "tools/outcome.h"
#include "tools/progress.h"

struct client;

/* A request. What is 0 or NULL is left out. */
struct request {
	const char *method;
	const char *target; /* from path_text() */
	const char *accept, *type, *if_match, *if_none_match;
	/* The body: bytes, or read from a descriptor until its end. */
	bool has_body;
	struct bytes body;
	bool has_source;
	int source;
	/* Where the body of a 2xx reply goes, instead of into the reply: to a
	 * file, or a piece at a time to a function. One that returns false has
	 * said why, and ends the request. */
	FILE *sink;
	bool (*on_data)(void *arg, struct bytes data);
	void *data_arg;
	/* Counts what passes from source or to sink. Required with those. */
	struct progress *progress;
	/* Instead of the client's own limit. */
	uint64_t timeout_ms;
	/* The connection is closed soon after this has become true; the request
	 * then ends with OUTCOME_ERROR, and nothing is said. */
	const volatile sig_atomic_t *cancel;
};

/* The caller runs reply_fini(). */
struct reply {
	long status;
	struct buffer body; /* of an error always, else where no sink is */
};

/* From --url, --socket, --timeout and the environment, which must live as
 * long. NULL: no memory. */
struct client *client_create(const struct options *options, enum place place);
void client_destroy(struct client *client);
/* "http://127.0.0.1:8080" or "unix:/path". */
const char *client_name(const struct client *client);

/* Sends, and returns OUTCOME_OK when a whole reply has come, whatever its
 * status; otherwise says what went wrong. Fills reply in any case. */
MUST_CHECK enum outcome client_send(struct client *client,
				    const struct request *request,
				    struct reply *reply);
/* The same, and a status that is not 2xx is an error that is said too. */
MUST_CHECK enum outcome client_call(struct client *client,
				    const struct request *request,
				    struct reply *reply);
/* A field of the last reply's head, NULL if absent. Until the next send. */
const char *client_header(struct client *client, const char *name);

void reply_fini(struct reply *reply);

#endif
