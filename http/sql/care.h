/* SPDX-License-Identifier: MIT */
/*
 * Query care: what each statement costs, and which were slow.
 *
 * Each worker counts in a table of its own; who asks adds them up. A table
 * holds CARE_ROUTES statements of routes and CARE_OTHERS of /v1/sql, which
 * may come with literals and so without end; what comes beyond is counted
 * together. An entry stays for as long as the process runs.
 *
 * A statement that took longer than limits.slow is kept with its plan, the
 * last CARE_SLOW of them, and logged where it is a route's: /v1/sql may have
 * values of a client in its text.
 */
#ifndef HTTP_SQL_CARE_H
#define HTTP_SQL_CARE_H

#include "http/server.h"
#include "storage/sql.h"

enum {
	CARE_ROUTES = 1000,
	CARE_OTHERS = 250,
	CARE_TEXT_MAX = 4096, /* bytes of a statement that are kept */
	CARE_SLOW = 100,
	/* A scan of fewer rows is nothing to speak of: about 100 us. */
	CARE_SCAN_ROWS = 1000,
};

struct care;

MUST_CHECK enum err care_create(struct server *server, struct care **out);
/* After the workers have ended: until no slow statement is looked at any
 * more. Before the databases are closed. */
void care_wait(const struct care *care);
/* After the slow lane has ended. */
void care_destroy(struct care *care);

/* The statement's number: the same in all workers and over deploys. route is
 * "GET /shop/orders/{id}"; NULL: /v1/sql. */
uint64_t care_id(const char *database, const char *route,
		 const struct sql_text *text);

/* One execution. All is borrowed for the call. */
struct care_run {
	uint64_t id; /* care_id() */
	const char *database;
	const char *route; /* NULL: /v1/sql */
	const struct sql_text *text;
	struct sql *sql;
	struct catalog *catalog; /* the request's; NULL: sql is of the
				    configuration */
	uint64_t ns, rows;
};

/* Counts it, and has it looked at if it was slow. */
void care_count(const struct care_run *run) ON_WORKER;

/* ---- for who asks: any thread -------------------------------------------- */

struct care_statement {
	uint64_t id;
	/* Live as long as care. route NULL: /v1/sql. Those that had no place
	 * are one of database "*", without a text. */
	const char *database, *route;
	struct sql_text text;
	bool cut; /* text is only its beginning */
	uint64_t calls, rows, total_ns, max_ns;
};

/* The sums over all workers, most time first, at most max of them. The caller
 * frees the list. */
MUST_CHECK enum err care_statements(struct care *care, unsigned max,
				    struct care_statement **list,
				    unsigned *count);

struct care_slow {
	uint64_t time_ms; /* wall: when it ended */
	char *database, *route, *text, *plan;
	size_t text_len;
	uint64_t ns, rows;
};

/* Calls see() for each, newest first, under a lock; not on a worker. */
void care_slow_list(struct care *care,
		    void (*see)(void *arg, const struct care_slow *slow),
		    void *arg);

#endif
