/* SPDX-License-Identifier: MIT */
/* What statements cost: counting, adding up, and the slow ones. */
#include "core/log.h"
#include "core/slow.h"
#include "http/sql/care.h"
#include "tests/database.h"
#include "tests/tap.h"

enum { WORKERS = 2 };

static struct config config = { .slow_ms = 10, .cache_size = 1 << 20 };
static struct database database;
static struct server server;

static void
set_up(void)
{
	struct sched_options options = { .workers = WORKERS };

	need(!sched_create(&server.sched, &options), "no scheduler");
	server.config = &config;
	server.slow = database.slow;
	server.locals =
		aligned_alloc(CACHE_LINE, WORKERS * sizeof(*server.locals));
	memset(server.locals, 0, WORKERS * sizeof(*server.locals));
	need(!care_create(&server, &server.care), "no care");
}

static void
take_down(void)
{
	care_wait(server.care);
	/* The slow lane ends before: nothing of it is under way here. */
	care_destroy(server.care);
	for (unsigned i = 0; i < WORKERS; i++)
		local_fini(&server.locals[i]);
	free(server.locals);
	sched_destroy(server.sched);
	memset(&server, 0, sizeof(server));
}

/* As worker i. */
static void
count(unsigned i, const char *route, const char *text, uint64_t ns,
      uint64_t rows)
{
	struct sql_text sql;
	struct care_run run = {
		.database = "test",
		.route = route,
		.text = &sql,
		.sql = database.sql,
		.ns = ns,
		.rows = rows,
	};

	sql_text_init(&sql, bytes_of(text), SQL_ROUTE);
	run.id = care_id(run.database, route, &sql);
	local_begin(&server, i);
	care_count(&run);
	local_end(&server, i);
}

static struct care_statement *list;
static unsigned listed;

static void
ask(unsigned max)
{
	free(list);
	need(!care_statements(server.care, max, &list, &listed), "no memory");
}

static void
workers_are_added_up(void)
{
	set_up();
	ask(500);
	is_u64(listed, 0, "nothing was run");
	count(0, "GET /s/a", "SELECT 1", 100, 1);
	count(0, "GET /s/a", "SELECT 1", 200, 2);
	count(1, "GET /s/a", "SELECT 1", 300, 3);
	count(1, "GET /s/b", "SELECT 1", 50, 1);
	count(1, NULL, "SELECT 1", 700, 0);
	ask(500);
	is_u64(listed, 3, "three statements");
	ok(!list[0].route && list[0].total_ns == 700, "most time first");
	is_str(list[1].route, "GET /s/a", "then the next");
	is_u64(list[1].calls, 3, "calls");
	is_u64(list[1].rows, 6, "rows");
	is_u64(list[1].total_ns, 600, "time");
	is_u64(list[1].max_ns, 300, "the worst");
	is_str(list[1].database, "test", "database");
	ok(bytes_equal(list[1].text.text, bytes_of("SELECT 1")) && !list[1].cut,
	   "text");
	ask(2);
	is_u64(listed, 2, "no more than were asked for");
	take_down();
}

static void
long_texts_are_cut_between_characters(void)
{
	static char text[CARE_TEXT_MAX + 100];

	set_up();
	memset(text, ' ', sizeof(text) - 1);
	/* The cut would be within this one. */
	memcpy(text + CARE_TEXT_MAX - 1, "\xC3\xBC", 2);
	count(0, NULL, text, 1, 0);
	ask(500);
	ok(list[0].cut, "it is cut");
	is_u64(list[0].text.text.len, CARE_TEXT_MAX - 1,
	       "before the character");
	take_down();
}

static void
what_has_no_place_is_counted_together(void)
{
	uint64_t calls = 0;
	bool rest = false;
	char text[64];

	set_up();
	for (unsigned i = 0; i < CARE_OTHERS + 10; i++) {
		snprintf(text, sizeof(text), "SELECT %u", i);
		count(0, NULL, text, 1, 0);
	}
	count(0, "GET /s/a", "SELECT 0", 1, 0);
	ask(2000);
	is_u64(listed, CARE_OTHERS + 2, "the table is full");
	for (unsigned i = 0; i < listed; i++) {
		calls += list[i].calls;
		rest |= !strcmp(list[i].database, "*") && list[i].calls == 10;
	}
	ok(rest, "ten are counted together");
	is_u64(calls, CARE_OTHERS + 11, "none is lost");
	take_down();
}

static struct care_slow seen[CARE_SLOW + 1];
static unsigned seen_count;

static void
see(void *arg, const struct care_slow *slow)
{
	seen[seen_count++] = (struct care_slow){
		.database = strdup(slow->database),
		.route = slow->route ? strdup(slow->route) : NULL,
		.text = strdup(slow->text),
		.plan = slow->plan ? strdup(slow->plan) : NULL,
		.ns = slow->ns,
		.rows = slow->rows,
	};
}

static void
forget_seen(void)
{
	while (seen_count) {
		struct care_slow *slow = &seen[--seen_count];

		free(slow->database);
		free(slow->route);
		free(slow->text);
		free(slow->plan);
	}
}

static void
slow_ones_are_kept_with_their_plan(void)
{
	set_up();
	count(0, "GET /s/a", "SELECT a FROM t", 9 * NS_PER_MS, 1);
	care_wait(server.care);
	care_slow_list(server.care, see, NULL);
	is_u64(seen_count, 0, "below the limit it is not slow");
	count(0, "GET /s/a", "SELECT a FROM t", 10 * NS_PER_MS, 7);
	care_wait(server.care);
	count(1, NULL, "SELECT a FROM gone", NS_PER_S, 0);
	care_wait(server.care);
	care_slow_list(server.care, see, NULL);
	is_u64(seen_count, 2, "two are");
	ok(!seen[0].route && !seen[0].plan,
	   "the newest first, which has no plan any more");
	is_str(seen[1].route, "GET /s/a", "route");
	is_str(seen[1].text, "SELECT a FROM t", "text");
	is_u64(seen[1].ns, 10 * NS_PER_MS, "time");
	is_u64(seen[1].rows, 7, "rows");
	ok(seen[1].plan && strstr(seen[1].plan, "SCAN t"), "plan");
	forget_seen();
	take_down();
}

static void
the_last_ones_are_kept(void)
{
	char text[64];

	set_up();
	for (unsigned i = 0; i < CARE_SLOW + 5; i++) {
		snprintf(text, sizeof(text), "SELECT %u", i);
		count(0, "GET /s/a", text, NS_PER_S, 0);
		care_wait(server.care);
	}
	care_slow_list(server.care, see, NULL);
	is_u64(seen_count, CARE_SLOW, "as many as there is room for");
	is_str(seen[0].text, "SELECT 104", "from the newest");
	is_str(seen[CARE_SLOW - 1].text, "SELECT 5", "to the oldest");
	forget_seen();
	take_down();
}

static void
a_limit_of_0_is_none(void)
{
	config.slow_ms = 0;
	set_up();
	count(0, "GET /s/a", "SELECT 1", NS_PER_S, 0);
	care_wait(server.care);
	care_slow_list(server.care, see, NULL);
	is_u64(seen_count, 0, "nothing is slow");
	take_down();
	config.slow_ms = 10;
}

int
main(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	make_root();
	database_init(&database, "care.db");
	database.options.workers = WORKERS;
	database_open(&database);
	database_must(&database, "CREATE TABLE t(a)");
	workers_are_added_up();
	long_texts_are_cut_between_characters();
	what_has_no_place_is_counted_together();
	slow_ones_are_kept_with_their_plan();
	the_last_ones_are_kept();
	a_limit_of_0_is_none();
	free(list);
	database_close(&database);
	return tap_done();
}
