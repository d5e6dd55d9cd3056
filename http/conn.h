/* SPDX-License-Identifier: MIT */
/*
 * Connections of a shard, and their deadlines.
 *
 * libmicrohttpd has only an idle timer, which a client defeats by a byte now
 * and then. Each phase of a request has a deadline of its own instead, looked
 * at once a second by the shard's holder, to whom all of this belongs.
 */
#ifndef HTTP_CONN_H
#define HTTP_CONN_H

#include <sys/socket.h>

#include "core/clock.h"
#include "core/config.h"
#include "core/sched.h"

struct MHD_Connection;
struct request;
struct shard;

enum conn_phase {
	CONN_IDLE,     /* before a request line is complete */
	CONN_HEADERS,  /* from there to the end of the headers */
	CONN_BODY,     /* needs 1 KiB of progress */
	CONN_WORKING,  /* ours to end */
	CONN_REPLYING, /* until the reply was taken; needs progress */
};

struct conn {
	struct parcel parcel; /* on its way from the acceptor */
	struct shard *shard;
	struct MHD_Connection *mhd; /* NULL until libmicrohttpd has it */
	struct conn *next, *prev;
	int fd;
	enum conn_phase phase;
	bool local;        /* the peer is on this machine */
	bool trusted;      /* it may administrate: see listener.h */
	bool lingering;    /* answered; what comes is dropped */
	bool shut;         /* its deadline came */
	bool resting;      /* suspended within a stream: see stream_wake() */
	uint64_t since_ns; /* of the phase, or of its last progress */
	uint64_t progress; /* bytes since then; of a reply: see sent_mark() */
	socklen_t address_len;
	/* Room for IPv6; a unix peer has no address. */
	struct sockaddr_storage_in6 {
		sa_family_t family;
		char data[26];
	} address;

	/* While it is watched: whom it waits for, and since when. */
	struct request *request; /* NULL: it is not watched */
	struct conn *newer, *older;
	uint64_t watched_ns;
};

struct conn_list {
	struct conn *first;
	unsigned count;
	/* Those that are watched, by time. */
	struct conn *newest, *oldest;
};

void conn_list_init(struct conn_list *list);
void conn_list_add(struct conn_list *list, struct conn *conn);
void conn_list_remove(struct conn_list *list, struct conn *conn);
/* Shuts down what is over its deadline; draining: also what is idle. */
void conn_list_sweep(struct conn_list *list, const struct config *config,
		     uint64_t now_ns, bool draining);

/*
 * A connection that waits for us is not read from, so nobody would notice that
 * its client left. It is watched meanwhile: conn_list_find_gone() calls
 * gone(request) for each that was watched for WATCH_NS and whose client has
 * closed, or at least will send nothing more, which counts as closed. It is
 * watched no more then.
 */
#define WATCH_NS (250 * NS_PER_MS)
void conn_watch(struct conn_list *list, struct conn *conn,
		struct request *request);
/* No matter whether it is watched. */
void conn_unwatch(struct conn_list *list, struct conn *conn);
void conn_list_find_gone(struct conn_list *list, uint64_t now_ns,
			 void (*gone)(struct request *request));

/* From its address: loopback, or a socket in the file system. */
bool conn_is_local(const struct conn *conn);

static inline void
conn_phase(struct conn *conn, enum conn_phase phase, uint64_t now_ns)
{
	conn->phase = phase;
	conn->since_ns = now_ns;
	conn->progress = 0;
}

/* n bytes of a body came. */
void conn_progress(struct conn *conn, size_t n);
/* Writes an answer to the socket and lets what still comes be dropped. */
void conn_answer(struct conn *conn, struct bytes text);
/* n bytes came after the answer. False: enough, close. */
bool conn_linger(struct conn *conn, size_t n);

#endif
