/* SPDX-License-Identifier: MIT */
/*
 * Either side says that it waits before it looks for the last time; the other
 * one moves its count before it looks whether somebody waits. So one of them
 * sees the other. Whoever takes the flag back decides: the other side wakes,
 * once for each flag that it took; the waiting side itself goes on without.
 *
 *	writer                          reader
 *	writer_waits = 1                taken += n
 *	fence                           fence
 *	room? then take the flag back   writer_waits taken? then wake
 *
 * A flag that the other side has taken means a wake that has come or will come
 * for certain, and it must be waited for: it would be taken for another one
 * later, or reach a fiber that has ended.
 */
#include "http/sql/relay.h"

#include <ck_pr.h>
#include <errno.h>
#include <stdlib.h>

#include "core/clock.h"
#include "http/reply.h"

enum {
	/* The writer is woken when so much is free: half, so that it does not
	 * run for each small piece that the socket takes. */
	ROOM_MIN = RELAY_SIZE / 2,
};
/* A client that left while nobody reads is noticed after this time. */
#define LOOK_NS (250 * NS_PER_MS)

enum err
relay_init(struct relay *relay, struct request *request)
{
	memset(relay, 0, sizeof(*relay));
	buffer_init(&relay->last, 0);
	relay->ring = malloc(RELAY_SIZE);
	if (!relay->ring)
		return ERR_NOMEM;
	if (sem_init(&relay->wakes, 0, 0)) {
		free(relay->ring);
		return ERR_NOMEM;
	}
	relay->request = request;
	relay->fiber = fiber_self();
	return ERR_OK;
}

void
relay_fini(struct relay *relay)
{
	buffer_fini(&relay->last);
	sem_destroy(&relay->wakes);
	free(relay->ring);
}

/* ---- waiting ------------------------------------------------------------ */

static bool
sem_wait_until(sem_t *sem, uint64_t until_ns)
{
	struct timespec at = { (time_t)(until_ns / NS_PER_S),
			       (long)(until_ns % NS_PER_S) };
	int rc;

	do
		rc = until_ns == UINT64_MAX
			     ? sem_wait(sem)
			     : sem_clockwait(sem, CLOCK_MONOTONIC, &at);
	while (rc && errno == EINTR);
	return !rc;
}

static bool
wait_until(struct relay *relay, uint64_t until_ns)
{
	return relay->fiber ? fiber_wait(until_ns)
			    : sem_wait_until(&relay->wakes, until_ns);
}

static void
wake_writer(struct relay *relay)
{
	if (!ck_pr_load_uint(&relay->writer_waits) ||
	    !ck_pr_fas_uint(&relay->writer_waits, 0))
		return;
	if (relay->fiber)
		fiber_wake(relay->fiber);
	else
		sem_post(&relay->wakes);
}

static void
wake_reader(struct relay *relay)
{
	if (ck_pr_load_uint(&relay->reader_waits) &&
	    ck_pr_fas_uint(&relay->reader_waits, 0))
		stream_wake(relay->request);
}

/* ---- the writer --------------------------------------------------------- */

static size_t
room(const struct relay *relay)
{
	return RELAY_SIZE -
	       (size_t)(relay->written - ck_pr_load_64(&relay->taken));
}

static bool
nobody_reads(const struct relay *relay)
{
	return ck_pr_load_uint(&relay->closed) ||
	       ck_pr_load_uint(&relay->request->cancelled);
}

/* Until there is room, nobody reads any more, or a while is over. */
static void
wait_for_room(struct relay *relay, uint64_t until_ns)
{
	uint64_t look_ns = clock_mono_ns() + LOOK_NS;

	ck_pr_store_uint(&relay->writer_waits, 1);
	/* Pairs with the fences in relay_more() and relay_close(): see the top.
	 * Without it a ring that was emptied meanwhile would not be seen, and
	 * nobody would wake us. */
	ck_pr_fence_memory();
	if (room(relay) < ROOM_MIN && !nobody_reads(relay) &&
	    wait_until(relay, look_ns < until_ns ? look_ns : until_ns))
		return;
	if (!ck_pr_cas_uint(&relay->writer_waits, 1, 0))
		wait_until(relay, UINT64_MAX);
}

static size_t
put(struct relay *relay, const char *text, size_t len)
{
	size_t at = (size_t)(relay->written % RELAY_SIZE);
	size_t n = room(relay), first = RELAY_SIZE - at;

	if (n > len)
		n = len;
	if (first > n)
		first = n;
	/* Pairs with the reader's fence before it moves `taken`: it has read
	 * what we write over. */
	TAKES_OVER(&relay->taken);
	ck_pr_fence_acquire();
	memcpy(relay->ring + at, text, first);
	memcpy(relay->ring, text + first, n - first);
	HANDS_OVER(&relay->written);
	/* Pairs with the load in relay_more(): who sees the count sees the
	 * bytes. */
	ck_pr_fence_release();
	ck_pr_store_64(&relay->written, relay->written + n);
	return n;
}

/* Less than all: there is no room for the rest, or nobody reads. */
static size_t
put_and_tell(struct relay *relay, const char *text, size_t len)
{
	size_t n = room(relay) ? put(relay, text, len) : 0;

	/* Pairs with the fence in is_empty(). */
	ck_pr_fence_memory();
	wake_reader(relay);
	return n;
}

enum err
relay_write(struct relay *relay, struct buffer *text, uint64_t until_ns)
{
	enum err err = ERR_OK;
	size_t done = 0;

	for (;;) {
		if (nobody_reads(relay)) {
			err = ERR_CANCELLED;
			break;
		}
		done += put_and_tell(relay, text->data + done,
				     text->len - done);
		if (done == text->len)
			break;
		if (clock_mono_ns() >= until_ns) {
			err = ERR_DEADLINE;
			break;
		}
		wait_for_room(relay, until_ns);
	}
	buffer_consume(text, done);
	return err;
}

void
relay_end(struct relay *relay, struct buffer *last, bool cut)
{
	relay->last = *last;
	buffer_init(last, last->max);
	relay->cut = cut || relay->last.err;
	HANDS_OVER(&relay->ended);
	/* Pairs with the load in relay_more(), as `written` does. */
	ck_pr_fence_release();
	ck_pr_store_uint(&relay->ended, 1);
	/* Pairs with the fence in is_empty(). */
	ck_pr_fence_memory();
	wake_reader(relay);
}

/* ---- the reader --------------------------------------------------------- */

static size_t
waiting(const struct relay *relay)
{
	return (size_t)(ck_pr_load_64(&relay->written) - relay->taken);
}

/* True: the connection rests, a wake will come. */
static bool
is_empty(struct relay *relay)
{
	ck_pr_store_uint(&relay->reader_waits, 1);
	/* Pairs with the fences in relay_write() and relay_end(): see the
	 * top. Without it what was written meanwhile would not be seen, and
	 * nobody would wake us. */
	ck_pr_fence_memory();
	if (!waiting(relay) && !ck_pr_load_uint(&relay->ended))
		return true;
	return !ck_pr_cas_uint(&relay->reader_waits, 1, 0);
}

static size_t
take(struct relay *relay, char *out, size_t n)
{
	size_t at = (size_t)(relay->taken % RELAY_SIZE);
	size_t first = RELAY_SIZE - at;

	if (first > n)
		first = n;
	TAKES_OVER(&relay->written);
	/* Pairs with put(). */
	ck_pr_fence_acquire();
	memcpy(out, relay->ring + at, first);
	memcpy(out + first, relay->ring, n - first);
	HANDS_OVER(&relay->taken);
	/* Pairs with the load of `taken` in put(): it must not write over what
	 * we still read. */
	ck_pr_fence_release();
	ck_pr_store_64(&relay->taken, relay->taken + n);
	/* Pairs with the fence in wait_for_room(). */
	ck_pr_fence_memory();
	if (RELAY_SIZE - waiting(relay) >= ROOM_MIN)
		wake_writer(relay);
	return n;
}

static ptrdiff_t
take_last(struct relay *relay, char *out, size_t size)
{
	size_t left;

	TAKES_OVER(&relay->ended);
	left = relay->last.len - relay->last_sent;
	if (!left)
		return relay->cut ? STREAM_CUT : 0;
	if (left > size)
		left = size;
	memcpy(out, relay->last.data + relay->last_sent, left);
	relay->last_sent += left;
	return (ptrdiff_t)left;
}

ptrdiff_t
relay_more(void *arg, char *out, size_t size)
{
	struct relay *relay = arg;
	/* Before the count: what is ended writes no more. */
	bool ended = ck_pr_load_uint(&relay->ended);
	size_t n;

	ck_pr_fence_load();
	n = waiting(relay);
	if (n)
		return (ptrdiff_t)take(relay, out, n < size ? n : size);
	if (ended)
		return take_last(relay, out, size);
	/* After this look there is something, most likely: once more. */
	return is_empty(relay) ? STREAM_LATER : relay_more(arg, out, size);
}

void
relay_close(void *arg)
{
	struct relay *relay = arg;

	ck_pr_store_uint(&relay->closed, 1);
	/* Pairs with the fence in wait_for_room(). */
	ck_pr_fence_memory();
	wake_writer(relay);
}
