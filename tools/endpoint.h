/* SPDX-License-Identifier: MIT */
/*
 * Where a command finds its server.
 */
#ifndef TOOLS_ENDPOINT_H
#define TOOLS_ENDPOINT_H

#include "tools/options.h"

enum place {
	PLACE_SERVER, /* --url, --socket, $JACKDAW_URL, else the default URL */
	/* The admin socket: --socket, $JACKDAW_SOCKET, else ./data/admin.sock
	 * if it is there, else /var/lib/jackdaw/admin.sock; or --url. */
	PLACE_ADMIN,
	/* --socket is the admin socket. Without it, --url and $JACKDAW_URL it
	 * is that of PLACE_ADMIN where that is named or is there for us;
	 * otherwise as PLACE_SERVER. */
	PLACE_SQL,
};

/* Borrowed from the options, the environment or this program. */
struct endpoint {
	const char *url;    /* used only without a socket */
	const char *socket; /* NULL: TCP */
	bool is_admin;      /* the socket is the admin socket */
};

void endpoint_find(struct endpoint *endpoint, const struct options *options,
		   enum place place);

#endif
