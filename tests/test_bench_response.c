/* SPDX-License-Identifier: MIT */
#include "tools/bench/response.h"

#include "tests/tap.h"

/* Reads text in pieces of so many bytes. Returns how it ends, and in used how
 * many bytes it took. */
static enum response_state
read_in_pieces(struct response *response, const char *text, size_t len,
	       size_t piece, bool to_head, size_t *used)
{
	enum response_state state = RESPONSE_MORE;

	*used = 0;
	response_begin(response, to_head);
	while (*used < len && state == RESPONSE_MORE) {
		size_t some = len - *used < piece ? len - *used : piece, n;
		/* A copy: the parser may not look behind a piece. */
		char *copy = malloc(some);

		memcpy(copy, text + *used, some);
		state = response_read(response, copy, some, &n);
		free(copy);
		*used += n;
		if (state == RESPONSE_MORE && n != some)
			return RESPONSE_MALFORMED;
	}
	return state;
}

#define OK_HEAD "HTTP/1.1 200 OK\r\n"
#define FIFTY "01234567890123456789012345678901234567890123456789"

static const struct {
	const char *name, *text;
	bool to_head;
	enum response_state state;
	unsigned status;
	bool closes;
	size_t rest; /* bytes at the end that are not of this reply */
} cases[] = {
	{ "a length", OK_HEAD "Content-Length: 5\r\n\r\nhello", false,
	  RESPONSE_DONE, 200, false, 0 },
	{ "nothing behind it is taken",
	  OK_HEAD "Content-Length: 5\r\n\r\nhelloHTTP", false, RESPONSE_DONE,
	  200, false, 4 },
	{ "a body that is not whole", OK_HEAD "Content-Length: 5\r\n\r\nhell",
	  false, RESPONSE_MORE, 200, false, 0 },
	{ "no body at all", OK_HEAD "Content-Length: 0\r\n\r\n", false,
	  RESPONSE_DONE, 200, false, 0 },
	{ "any case, any blanks", OK_HEAD "cOnTENT-lengTH:\t 2  \r\n\r\nab",
	  false, RESPONSE_DONE, 200, false, 0 },
	{ "the same length twice",
	  OK_HEAD "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab", false,
	  RESPONSE_DONE, 200, false, 0 },
	{ "line ends without a carriage return",
	  "HTTP/1.1 404 Not Found\nContent-Length: 1\n\nx", false,
	  RESPONSE_DONE, 404, false, 0 },
	{ "no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false,
	  RESPONSE_DONE, 200, false, 0 },
	{ "204 has no body",
	  "HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", false,
	  RESPONSE_DONE, 204, false, 0 },
	{ "304 has none",
	  "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false,
	  RESPONSE_DONE, 304, false, 0 },
	{ "a reply to HEAD has none", OK_HEAD "Content-Length: 9\r\n\r\n", true,
	  RESPONSE_DONE, 200, false, 0 },
	{ "nor with chunks", OK_HEAD "Transfer-Encoding: chunked\r\n\r\n", true,
	  RESPONSE_DONE, 200, false, 0 },
	{ "close", OK_HEAD "Connection: close\r\nContent-Length: 0\r\n\r\n",
	  false, RESPONSE_DONE, 200, true, 0 },
	{ "close in a list",
	  OK_HEAD "Connection: te , Close\r\nContent-Length: 0\r\n\r\n", false,
	  RESPONSE_DONE, 200, true, 0 },
	{ "HTTP/1.0 closes", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
	  false, RESPONSE_DONE, 200, true, 0 },
	{ "unless it says that it does not",
	  "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"
	  "Content-Length: 0\r\n\r\n",
	  false, RESPONSE_DONE, 200, false, 0 },
	{ "until it is closed", OK_HEAD "\r\nanything", false, RESPONSE_MORE,
	  200, true, 0 },
	{ "chunks",
	  OK_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
		  "A;x=y\r\n0123456789\r\n0\r\n\r\n",
	  false, RESPONSE_DONE, 200, false, 0 },
	{ "chunks, a trailer, and more",
	  OK_HEAD "Transfer-Encoding: chunked\r\n\r\n000\r\nA: b\r\nC: d\r\n"
		  "\r\nX",
	  false, RESPONSE_DONE, 200, false, 1 },
	{ "chunks are the last coding",
	  OK_HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", false,
	  RESPONSE_DONE, 200, false, 0 },
	{ "another coding ends with the connection",
	  OK_HEAD "Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n", false,
	  RESPONSE_MORE, 200, true, 0 },
	{ "interim replies are passed over",
	  "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 Go on\r\n\r\n"
	  "HTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx",
	  false, RESPONSE_DONE, 201, false, 0 },
	{ "a long field is passed over",
	  OK_HEAD "C: " FIFTY FIFTY FIFTY FIFTY "\r\nContent-Length: 0\r\n\r\n",
	  false, RESPONSE_DONE, 200, false, 0 },
	{ "a long reason",
	  "HTTP/1.1 200 " FIFTY FIFTY FIFTY "\r\nContent-Length: 0\r\n\r\n",
	  false, RESPONSE_DONE, 200, false, 0 },
};

static const size_t pieces[] = { 1, 2, 3, 7, 16, 64, 1000 };

static void
replies_end_where_they_end(void)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = strlen(cases[i].text);
		bool good = true;

		for (size_t p = 0; p < ARRAY_LEN(pieces); p++) {
			struct response response;
			size_t used;
			enum response_state state = read_in_pieces(
				&response, cases[i].text, len, pieces[p],
				cases[i].to_head, &used);

			if (state == cases[i].state &&
			    used == len - cases[i].rest &&
			    response.status == cases[i].status &&
			    response.closes == cases[i].closes)
				continue;
			good = false;
			printf("# pieces of %zu: state %d, used %zu of %zu, "
			       "status %u, closes %d\n",
			       pieces[p], state, used, len, response.status,
			       response.closes);
		}
		ok(good, "%s", cases[i].name);
	}
}

static void
malformed_ones_are_known(void)
{
	static const char *const bad[] = {
		"\r\n\r\n",
		"HTTP/2 200 OK\r\n\r\n",
		"HTTP/1.x 200 OK\r\n\r\n",
		"HTTP/1.1 20 OK\r\n\r\n",
		"HTTP/1.1 2000 OK\r\n\r\n",
		"HTTP/1.1 099 OK\r\n\r\n",
		"HTTP/1.1 600 OK\r\n\r\n",
		"HTTP/1.1  200 OK\r\n\r\n",
		"HTTP/1.1 101 Switching\r\n\r\n",
		"Hello\r\n",
		OK_HEAD "no colon\r\n\r\n",
		OK_HEAD ": no name\r\n\r\n",
		OK_HEAD " folded: line\r\n\r\n",
		OK_HEAD "Content-Length : 1\r\n\r\nx",
		OK_HEAD "Content-Length: \r\n\r\n",
		OK_HEAD "Content-Length: -1\r\n\r\n",
		OK_HEAD "Content-Length: +1\r\n\r\n",
		OK_HEAD "Content-Length: 1x\r\n\r\n",
		OK_HEAD "Content-Length: 18446744073709551616\r\n\r\n",
		OK_HEAD "Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
		OK_HEAD "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"
			"\r\n",
		OK_HEAD "Transfer-Encoding: chunked\r\n"
			"Transfer-Encoding: gzip\r\n\r\n",
		OK_HEAD "Transfer-Encoding: chunked\r\n\r\n\r\n",
		OK_HEAD "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
		OK_HEAD "Transfer-Encoding: chunked\r\n\r\n5x\r\n",
		OK_HEAD "Transfer-Encoding: chunked\r\n\r\n"
			"10000000000000000\r\n",
		OK_HEAD "Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n",
		OK_HEAD "Content-Length: " FIFTY FIFTY FIFTY "\r\n\r\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		bool good = true;

		for (size_t p = 0; p < ARRAY_LEN(pieces); p++) {
			struct response response;
			size_t used;

			good &= read_in_pieces(&response, bad[i],
					       strlen(bad[i]), pieces[p], false,
					       &used) == RESPONSE_MALFORMED;
		}
		ok(good, "malformed %zu", i);
	}
}

/* A head that never ends is not read for ever, however it comes. */
static void
heads_have_a_bound(void)
{
	static char text[2 * RESPONSE_HEAD_MAX];
	static const char *const starts[] = {
		"HTTP/1.1 200 ",
		OK_HEAD "A: ",
		OK_HEAD "Transfer-Encoding: chunked\r\n\r\n1;",
		OK_HEAD "Transfer-Encoding: chunked\r\n\r\n0\r\nA: ",
	};

	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		struct response response;
		size_t used;

		memset(text, 'x', sizeof(text));
		memcpy(text, starts[i], strlen(starts[i]));
		ok(read_in_pieces(&response, text, sizeof(text), 1000, false,
				  &used) == RESPONSE_MALFORMED,
		   "an endless line %zu", i);
		for (size_t at = strlen(starts[i]); at + 6 < sizeof(text);
		     at += 6)
			memcpy(text + at, "\r\nA: b", 6);
		ok(read_in_pieces(&response, text, sizeof(text), 4096, false,
				  &used) == RESPONSE_MALFORMED,
		   "endless lines %zu", i);
	}
	for (size_t at = 0; at + 25 < sizeof(text); at += 25)
		memcpy(text + at, "HTTP/1.1 100 Go ahead\r\n\r\n", 25);
	{
		struct response response;
		size_t used;

		ok(read_in_pieces(&response, text, sizeof(text), 5000, false,
				  &used) == RESPONSE_MALFORMED,
		   "endless interim replies");
	}
}

static void
a_close_may_end_a_body(void)
{
	static const struct {
		const char *text;
		bool done;
	} ends[] = {
		{ "", false },
		{ OK_HEAD, false },
		{ OK_HEAD "\r\n", true },
		{ OK_HEAD "\r\nsome", true },
		{ OK_HEAD "Content-Length: 5\r\n\r\nsome", false },
		{ OK_HEAD "Transfer-Encoding: chunked\r\n\r\n0\r\n", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		struct response response;
		size_t used;

		(void)read_in_pieces(&response, ends[i].text,
				     strlen(ends[i].text), 5, false, &used);
		ok((response_closed(&response) == RESPONSE_DONE) ==
			   ends[i].done,
		   "closed after %zu bytes", strlen(ends[i].text));
	}
}

int
main(void)
{
	replies_end_where_they_end();
	malformed_ones_are_known();
	heads_have_a_bound();
	a_close_may_end_a_body();
	return tap_done();
}
