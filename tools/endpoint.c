/* SPDX-License-Identifier: MIT */
#include "tools/endpoint.h"

#include <stdlib.h>
#include <unistd.h>

static const char default_url[] = "http://127.0.0.1:8080";

/* Where jackdawd has its admin socket: started by hand in this folder, or as
 * the system's service. */
static const char near_socket[] = "./data/admin.sock";
static const char system_socket[] = "/var/lib/jackdaw/admin.sock";

/* NULL also for an empty one. */
static const char *
environment(const char *name)
{
	const char *text = getenv(name);

	return text && *text ? text : NULL;
}

/* $JACKDAW_URL may name a socket as the configuration of the server does. */
static void
set_url(struct endpoint *endpoint, const char *url)
{
	static const char scheme[] = "unix:";

	endpoint->url = url;
	if (!strncmp(url, scheme, sizeof(scheme) - 1))
		endpoint->socket = url + sizeof(scheme) - 1;
}

static void
set_admin(struct endpoint *endpoint, const char *socket)
{
	endpoint->socket = socket;
	endpoint->is_admin = true;
}

/* One that is there but not for us is no reason to fail where there is
 * another way in. One that nobody listens on any more is: the way in behind
 * it could lead to another server. */
static const char *
usable_socket(void)
{
	if (access(near_socket, R_OK | W_OK) == 0)
		return near_socket;
	if (access(system_socket, R_OK | W_OK) == 0)
		return system_socket;
	return NULL;
}

void
endpoint_find(struct endpoint *endpoint, const struct options *options,
	      enum place place)
{
	const char *url = options->text[OPTION_URL];
	const char *socket = options->text[OPTION_SOCKET];
	bool admin = place != PLACE_SERVER;

	*endpoint = (struct endpoint){ .url = default_url };
	if (!url && place != PLACE_ADMIN)
		url = environment("JACKDAW_URL");
	if (admin && !socket && !url)
		socket = environment("JACKDAW_SOCKET");
	if (!url && !socket && place == PLACE_SQL)
		socket = usable_socket();
	if (!url && !socket && place == PLACE_ADMIN)
		socket = access(near_socket, F_OK) == 0 ? near_socket
							: system_socket;
	if (socket && admin)
		set_admin(endpoint, socket);
	else if (socket)
		endpoint->socket = socket;
	else if (url)
		set_url(endpoint, url);
}
