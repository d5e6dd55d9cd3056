/* SPDX-License-Identifier: MIT */
/*
 * What a sender is, for the files that it is made of: link.c has the
 * connections and what is sent and received on them, schedule.c decides when
 * requests begin, sender.c has the thread and its loop. All of it belongs to
 * that thread.
 */
#ifndef TOOLS_BENCH_SENDER_INTERNAL_H
#define TOOLS_BENCH_SENDER_INTERNAL_H

#include "core/clock.h"
#include "tools/bench/response.h"
#include "tools/bench/sender.h"
#include "tools/bench/template.h"

enum {
	/* Replies are read into one buffer a thread, and not kept: large enough
	 * that a large one is few calls, small enough for the second cache. */
	READ_SIZE = 256 << 10,
};
/* A connection that failed is not tried again at once: a server that is away
 * would be asked as fast as we can. */
#define RETRY_NS (10 * NS_PER_MS)

enum link_state {
	LINK_DOWN, /* no descriptor; opened again at retry_at */
	LINK_CONNECTING,
	LINK_FREE,
	LINK_SENDING, /* a part of the request is still here */
	LINK_WAITING,
};

/* A connection, with the request that it carries. */
struct link {
	int fd;
	enum link_state state;
	bool in_ring; /* of the free ones */
	bool counted; /* its request began within the window */
	unsigned kind;
	uint64_t key;
	size_t sent;
	uint64_t start_ns; /* from where latency counts */
	uint64_t sent_ns; /* from where its deadline, or connecting's, counts */
	uint64_t retry_at;
	struct response response;
};

/* Of a run; requests begin in the middle two. */
enum part { PART_CONNECT, PART_WARMUP, PART_WINDOW, PART_DRAIN };

struct sender {
	struct run *run;
	const struct plan *plan;
	unsigned index;
	int epoll;
	enum part part;
	uint64_t cpu_begin_ns;

	struct link *links;
	unsigned link_count;
	unsigned down, busy; /* links that are down; that carry a request */
	/* Free links, first in first out, so that all are used; open loop. */
	struct link **free_ring;
	unsigned free_first, free_count;
	uint64_t free_since_ns; /* when it last stopped being empty */

	struct template *templates; /* one a kind */
	uint64_t next;    /* of this thread's requests; in a closed loop
			   * counted anew from the window on */
	uint64_t share;   /* of --requests; UINT64_MAX without */
	double gap_ns;    /* of the whole schedule */
	uint64_t next_ns; /* when the next one is due; open loop */
	uint64_t tick_at;
	uint64_t alive_ns; /* when not all links were down */

	struct tally *tally;
	/* Since the beginning; written here, read by anyone. */
	struct sender_so_far so_far;
	char *buffer;
};

static inline bool
is_open_loop(const struct sender *sender)
{
	return sender->run->rate > 0;
}

static inline bool
is_sending(const struct sender *sender)
{
	return sender->part == PART_WARMUP || sender->part == PART_WINDOW;
}

static inline bool
link_is_busy(const struct link *link)
{
	return link->state == LINK_SENDING || link->state == LINK_WAITING;
}

/* ---- link.c -------------------------------------------------------------- */

/* Begins to connect a link that is down. */
void link_open(struct sender *sender, struct link *link, uint64_t now_ns);
void link_connect_failed(struct sender *sender, struct link *link, int error,
			 uint64_t now_ns);
/* The request that link carries is lost, and its connection with it. */
void link_failed(struct sender *sender, struct link *link, enum trouble trouble,
		 uint64_t now_ns);
/* The one that has been free for longest, NULL if none is. */
struct link *link_take_free(struct sender *sender);
/* Sends the number-th request on a link that was taken. Its latency counts
 * from start_ns. */
void link_begin(struct sender *sender, struct link *link, uint64_t number,
		uint64_t start_ns, uint64_t now_ns);
/* What epoll says of it. */
void link_event(struct sender *sender, struct link *link, uint32_t events);

/* ---- schedule.c ---------------------------------------------------------- */

/* When the first request is due; the begin of the run is known. */
void schedule_begin(struct sender *sender);
/* Begins what is due and has a free link. */
void schedule_go_on(struct sender *sender, uint64_t now_ns);
/* The measured time begins; ends. */
void schedule_window(struct sender *sender);
void schedule_drain(struct sender *sender, uint64_t now_ns);

#endif
