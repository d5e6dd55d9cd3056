/* SPDX-License-Identifier: MIT */
/* What a reply is does not depend on the pieces that it comes in; and what
 * comes after it is left alone. */
#include "tools/bench/response.h"

#include "tests/fuzz/fuzz_main.h"

struct reading {
	enum response_state state, closed;
	size_t used;
	unsigned status;
	bool closes;
};

static struct reading
read_pieces(const uint8_t *data, size_t size, bool to_head, size_t piece)
{
	struct reading reading = { .state = RESPONSE_MORE };
	struct response response;

	response_begin(&response, to_head);
	while (reading.used < size && reading.state == RESPONSE_MORE) {
		size_t left = size - reading.used, used;
		size_t some = left < piece ? left : piece;
		/* Of its own, so that a sanitizer sees one byte more. */
		char *copy = malloc(some);

		if (!copy)
			abort();
		memcpy(copy, data + reading.used, some);
		reading.state = response_read(&response, copy, some, &used);
		free(copy);
		FUZZ_CHECK(used <= some);
		FUZZ_CHECK(used == some || reading.state != RESPONSE_MORE);
		reading.used += used;
	}
	reading.closed = response_closed(&response);
	reading.status = response.status;
	reading.closes = response.closes;
	return reading;
}

static void
check_same(const struct reading *a, const struct reading *b)
{
	FUZZ_CHECK(a->state == b->state);
	/* How far into a malformed one it is seen is of no matter. */
	if (a->state == RESPONSE_MALFORMED)
		return;
	FUZZ_CHECK(a->used == b->used);
	FUZZ_CHECK(a->status == b->status);
	FUZZ_CHECK(a->closes == b->closes);
	FUZZ_CHECK(a->closed == b->closed);
}

static void
check(const uint8_t *data, size_t size, bool to_head)
{
	struct reading whole = read_pieces(data, size, to_head, SIZE_MAX);
	struct reading bytes = read_pieces(data, size, to_head, 1);
	struct reading some = read_pieces(data, size, to_head, 13);

	check_same(&whole, &bytes);
	check_same(&whole, &some);
	if (whole.state == RESPONSE_DONE)
		FUZZ_CHECK(whole.status >= 200 && whole.status < 600);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check(data, size, false);
	check(data, size, true);
	return 0;
}

FUZZ_SEEDS(30000, SEED("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
	   SEED("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
		"5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\nA: b\r\n\r\nHTTP"),
	   SEED("HTTP/1.0 204 No Content\r\nConnection: keep-alive\r\n\r\n"),
	   SEED("HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 404 Not\r\n"
		"Connection: a, close\r\n\r\nuntil the end"),
	   SEED("HTTP/1.1 200 "
		"0123456789012345678901234567890123456789012345678901234567890"
		"1234567890123456789012345678901234567890123456789012345678901"
		"\r\nContent-Length: 18446744073709551615\r\n\r\nx"));
