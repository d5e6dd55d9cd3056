/* SPDX-License-Identifier: MIT */
#include "http/sql/care.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "core/buffer.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/slow.h"
#include "http/service/service.h"

enum {
	/* A power of two, above what a table holds. */
	SLOTS = 2048,
	/* Slow statements that wait to be looked at. More come only when
	 * everything is slow, and then the lane has better things to do. */
	LOOKS_MAX = 4,
	PLAN_MAX = 16 << 10,
	READER_WAIT_S = 1,
	PLAN_S = 1, /* some take a planner minutes */
	LOOK_US = 1000,
};

/* One worker's. Slots are atomic: set once. An entry is filled before it is
 * published, then only the counters change: by their worker, with plain
 * stores. */
struct table {
	struct care_statement *slots[SLOTS];
	unsigned routes, others;
	struct care_statement rest[2]; /* of routes, of others */
};

/* A slow statement on its way. */
struct look {
	struct slow_job job;
	struct care *care;
	struct care_slow slow;
	struct sql_text text; /* of slow.text; data NULL: it was cut */
	struct sql *sql;
	struct catalog *catalog;
};

struct care {
	struct server *server;
	unsigned workers;
	uint64_t slow_ns;      /* 0: none is slow */
	struct table **tables; /* one a worker; atomic: made when it counts
				  first */
	/* Atomic: looks that wait, and how many statements had none. */
	unsigned looks;
	uint64_t skipped;

	pthread_mutex_t lock;
	/* Under the lock: a ring. */
	struct care_slow slow[CARE_SLOW];
	uint64_t slow_count; /* ever */
};

/* ---- life ---------------------------------------------------------------- */

enum err
care_create(struct server *server, struct care **out)
{
	struct care *care = calloc(1, sizeof(*care));

	if (!care)
		return ERR_NOMEM;
	care->server = server;
	care->workers = sched_workers(server->sched);
	care->slow_ns = server->config->slow_ms * NS_PER_MS;
	care->tables = calloc(care->workers, sizeof(*care->tables));
	if (!care->tables) {
		free(care);
		return ERR_NOMEM;
	}
	pthread_mutex_init(&care->lock, NULL);
	*out = care;
	return ERR_OK;
}

static void
free_entry(struct care_statement *entry)
{
	free((char *)(uintptr_t)entry->database);
	free((char *)(uintptr_t)entry->route);
	free((char *)(uintptr_t)entry->text.text.data);
	free(entry);
}

static void
free_slow(struct care_slow *slow)
{
	free(slow->database);
	free(slow->route);
	free(slow->text);
	free(slow->plan);
}

void
care_destroy(struct care *care)
{
	for (unsigned i = 0; i < care->workers; i++) {
		struct table *table = care->tables[i];

		for (unsigned j = 0; table && j < SLOTS; j++)
			if (table->slots[j])
				free_entry(table->slots[j]);
		free(table);
	}
	for (unsigned i = 0; i < CARE_SLOW; i++)
		free_slow(&care->slow[i]);
	pthread_mutex_destroy(&care->lock);
	free(care->tables);
	free(care);
}

void
care_wait(const struct care *care)
{
	while (ck_pr_load_uint(&care->looks))
		usleep(LOOK_US);
	ck_pr_fence_acquire();
}

uint64_t
care_id(const char *database, const char *route, const struct sql_text *text)
{
	uint64_t hash =
		XXH3_64bits_withSeed(database, strlen(database), text->hash);

	return route ? XXH3_64bits_withSeed(route, strlen(route), hash) : hash;
}

/* ---- counting ------------------------------------------------------------ */

/* The text as it is kept: cut between characters. */
static size_t
kept_length(struct bytes text)
{
	const unsigned char *at = text.data;
	size_t len = text.len;

	if (len <= CARE_TEXT_MAX)
		return len;
	len = CARE_TEXT_MAX;
	while (len && (at[len] & 0xC0) == 0x80)
		len--;
	return len;
}

/* A NUL stands behind it; an empty one has memory too. */
static char *
copy_bytes(const void *data, size_t len)
{
	char *copy = malloc(len + 1);

	if (!copy)
		return NULL;
	memcpy(copy, data, len);
	copy[len] = '\0';
	return copy;
}

static struct care_statement *
make_entry(const struct care_run *run)
{
	struct care_statement *statement = calloc(1, sizeof(*statement));
	char *text;

	if (!statement)
		return NULL;
	statement->id = run->id;
	statement->text = *run->text;
	statement->text.text.len = kept_length(run->text->text);
	statement->cut = statement->text.text.len < run->text->text.len;
	text = copy_bytes(run->text->text.data, statement->text.text.len);
	statement->text.text.data = text;
	statement->database = strdup(run->database);
	statement->route = run->route ? strdup(run->route) : NULL;
	if (text && statement->database && (statement->route || !run->route))
		return statement;
	free_entry(statement);
	return NULL;
}

static struct table *
own_table(struct care *care, unsigned worker)
{
	struct table *table = care->tables[worker];

	if (table)
		return table;
	table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	for (unsigned i = 0; i < ARRAY_LEN(table->rest); i++)
		table->rest[i] = (struct care_statement){
			.id = i,
			.database = "*",
			.text = { .text = { "", 0 } },
		};
	table->rest[0].route = "*";
	HANDS_OVER(table);
	/* Pairs with the load in care_statements(). */
	ck_pr_fence_store();
	ck_pr_store_ptr(&care->tables[worker], table);
	return table;
}

/* The statement's entry, made if there is room for it; else the one for the
 * rest of its kind. */
static struct care_statement *
find_entry(struct table *table, const struct care_run *run)
{
	unsigned *count = run->route ? &table->routes : &table->others;
	unsigned max = run->route ? CARE_ROUTES : CARE_OTHERS;
	unsigned slot = (unsigned)run->id & (SLOTS - 1);
	struct care_statement *entry;

	while ((entry = table->slots[slot])) {
		if (entry->id == run->id)
			return entry;
		slot = (slot + 1) & (SLOTS - 1);
	}
	entry = *count < max ? make_entry(run) : NULL;
	if (!entry)
		return &table->rest[!run->route];
	++*count;
	HANDS_OVER(entry);
	/* Pairs with the load in care_statements(): who sees the entry sees
	 * what is in it. */
	ck_pr_fence_store();
	ck_pr_store_ptr(&table->slots[slot], entry);
	return entry;
}

static void look_at(struct care *care, const struct care_run *run) ON_WORKER;

void
care_count(const struct care_run *run)
{
	struct local *local = local_self();
	struct care *care = local->server->care;
	struct table *table = care ? own_table(care, local->index) : NULL;
	struct care_statement *statement;

	if (!table)
		return;
	statement = find_entry(table, run);
	counter_add(&statement->calls, 1);
	counter_add(&statement->rows, run->rows);
	counter_add(&statement->total_ns, run->ns);
	if (run->ns > statement->max_ns)
		ck_pr_store_64(&statement->max_ns, run->ns);
	if (care->slow_ns && run->ns >= care->slow_ns)
		look_at(care, run);
}

/* ---- slow ones ----------------------------------------------------------- */

static void
free_look(struct look *look)
{
	free_slow(&look->slow);
	free(look);
}

static void
log_slow(struct care *care, const struct care_slow *slow)
{
	char quoted[1024];

	if (!slow->route)
		return;
	log_warn("slow statement database=%s route=\"%s\" ms=%llu rows=%llu "
		 "skipped=%llu sql=%s",
		 slow->database, slow->route,
		 (unsigned long long)(slow->ns / NS_PER_MS),
		 (unsigned long long)slow->rows,
		 (unsigned long long)ck_pr_fas_64(&care->skipped, 0),
		 log_quote(quoted, sizeof(quoted),
			   (struct bytes){ slow->text, slow->text_len }));
}

/* What cannot be planned any more is shown without a plan. */
static void
find_plan(struct look *look)
{
	struct sql_error error;
	struct buffer plan;
	enum err err;
	struct sql_reader *reader = sql_reader_take(
		look->sql, clock_mono_ns() + READER_WAIT_S * NS_PER_S, &err);

	if (!reader)
		return;
	sql_prepare_until(reader, clock_mono_ns() + PLAN_S * NS_PER_S);
	buffer_init(&plan, PLAN_MAX);
	if (!sql_plan(reader, &look->text, &plan, &error) && !plan.err)
		look->slow.plan =
			copy_bytes(plan.data ? plan.data : "", plan.len);
	buffer_fini(&plan);
	sql_reader_give(reader);
}

static void
keep(struct care *care, struct look *look)
{
	struct care_slow *place;

	pthread_mutex_lock(&care->lock);
	place = &care->slow[care->slow_count++ % CARE_SLOW];
	free_slow(place);
	*place = look->slow;
	memset(&look->slow, 0, sizeof(look->slow));
	pthread_mutex_unlock(&care->lock);
}

/* On a slow thread. */
static void
run_look(struct slow_job *job)
{
	struct look *look = CONTAINER_OF(job, struct look, job);
	struct care *care = look->care;

	TAKES_OVER(look);
	if (look->text.text.data)
		find_plan(look);
	catalog_release_other(care->server, look->catalog);
	log_slow(care, &look->slow);
	keep(care, look);
	free_look(look);
	ck_pr_dec_uint(&care->looks);
}

static struct look *
make_look(struct care *care, const struct care_run *run)
{
	struct look *look = calloc(1, sizeof(*look));
	struct care_slow *slow;

	if (!look)
		return NULL;
	slow = &look->slow;
	look->care = care;
	look->sql = run->sql;
	look->job.run = run_look;
	slow->time_ms = clock_wall_ms();
	slow->ns = run->ns;
	slow->rows = run->rows;
	slow->text_len = kept_length(run->text->text);
	slow->text = copy_bytes(run->text->text.data, slow->text_len);
	slow->database = strdup(run->database);
	slow->route = run->route ? strdup(run->route) : NULL;
	if (!slow->text || !slow->database || (run->route && !slow->route)) {
		free_look(look);
		return NULL;
	}
	if (slow->text_len == run->text->text.len) {
		look->text = *run->text;
		look->text.text.data = slow->text;
	}
	return look;
}

static void
look_at(struct care *care, const struct care_run *run)
{
	struct look *look = NULL;

	if (ck_pr_faa_uint(&care->looks, 1) < LOOKS_MAX)
		look = make_look(care, run);
	if (look) {
		/* The database may be a service's, which is closed when no
		 * request has it. */
		look->catalog = run->catalog;
		catalog_hold_other(look->catalog);
		HANDS_OVER(look);
		if (!slow_submit(care->server->slow, &look->job))
			return;
		catalog_release_other(care->server, look->catalog);
		free_look(look);
	}
	ck_pr_dec_uint(&care->looks);
	ck_pr_inc_64(&care->skipped);
}

void
care_slow_list(struct care *care,
	       void (*see)(void *arg, const struct care_slow *slow), void *arg)
{
	uint64_t last, count;

	pthread_mutex_lock(&care->lock);
	last = care->slow_count;
	count = last < CARE_SLOW ? last : CARE_SLOW;
	for (uint64_t i = 1; i <= count; i++)
		see(arg, &care->slow[(last - i) % CARE_SLOW]);
	pthread_mutex_unlock(&care->lock);
}

/* ---- adding up ----------------------------------------------------------- */

struct sums {
	struct care_statement *list;
	unsigned count, capacity;
};

/* A copy with counters as they are at this moment. */
static bool
add_sum(struct sums *sums, const struct care_statement *statement)
{
	struct care_statement *sum;

	if (sums->count == sums->capacity) {
		unsigned capacity = sums->capacity ? sums->capacity * 2 : 256;
		struct care_statement *list =
			realloc(sums->list, capacity * sizeof(*list));

		if (!list)
			return false;
		sums->list = list;
		sums->capacity = capacity;
	}
	sum = &sums->list[sums->count++];
	sum->id = statement->id;
	sum->database = statement->database;
	sum->route = statement->route;
	sum->text = statement->text;
	sum->cut = statement->cut;
	sum->calls = ck_pr_load_64(&statement->calls);
	sum->rows = ck_pr_load_64(&statement->rows);
	sum->total_ns = ck_pr_load_64(&statement->total_ns);
	sum->max_ns = ck_pr_load_64(&statement->max_ns);
	return true;
}

static bool
add_table(struct sums *sums, const struct table *table)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		struct care_statement *entry = ck_pr_load_ptr(&table->slots[i]);

		if (!entry)
			continue;
		/* Pairs with the store in find_entry(). */
		ck_pr_fence_load();
		TAKES_OVER(entry);
		if (!add_sum(sums, entry))
			return false;
	}
	for (unsigned i = 0; i < ARRAY_LEN(table->rest); i++)
		if (ck_pr_load_64(&table->rest[i].calls) &&
		    !add_sum(sums, &table->rest[i]))
			return false;
	return true;
}

static int
by_id(const void *a, const void *b)
{
	const struct care_statement *one = a, *other = b;

	return (one->id > other->id) - (one->id < other->id);
}

static int
by_time(const void *a, const void *b)
{
	const struct care_statement *one = a, *other = b;

	return (one->total_ns < other->total_ns) -
	       (one->total_ns > other->total_ns);
}

/* Those of several workers as one. */
static void
merge(struct sums *sums)
{
	unsigned kept = 0;

	qsort(sums->list, sums->count, sizeof(*sums->list), by_id);
	for (unsigned i = 0; i < sums->count; i++) {
		struct care_statement *from = &sums->list[i];
		struct care_statement *into = &sums->list[kept ? kept - 1 : 0];

		if (!kept || into->id != from->id) {
			sums->list[kept++] = *from;
			continue;
		}
		into->calls += from->calls;
		into->rows += from->rows;
		into->total_ns += from->total_ns;
		if (from->max_ns > into->max_ns)
			into->max_ns = from->max_ns;
	}
	sums->count = kept;
}

enum err
care_statements(struct care *care, unsigned max, struct care_statement **list,
		unsigned *count)
{
	struct sums sums = { 0 };

	for (unsigned i = 0; i < care->workers; i++) {
		struct table *table = ck_pr_load_ptr(&care->tables[i]);

		if (!table)
			continue;
		/* Pairs with the store in own_table(). */
		ck_pr_fence_load();
		TAKES_OVER(table);
		if (!add_table(&sums, table)) {
			free(sums.list);
			return ERR_NOMEM;
		}
	}
	if (sums.count) {
		merge(&sums);
		qsort(sums.list, sums.count, sizeof(*sums.list), by_time);
	}
	*list = sums.list;
	*count = sums.count < max ? sums.count : max;
	return ERR_OK;
}
