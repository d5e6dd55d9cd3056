/* SPDX-License-Identifier: MIT */
/* Catalogs: finding a service, and when an old catalog may go. */
#include <stdlib.h>

#include "http/service/service.h"
#include "tests/tap.h"
#include "tests/waiting.h"

enum { WORKERS = 4 };

static struct tenant tenants[4] = {
	{ .name = "a" },
	{ .name = "b" },
	{ .name = "b2" },
	{ .name = "c" },
};
static struct config config;
static struct local *locals;
static struct server server;

static struct service *
make_service(unsigned tenant, uint64_t version)
{
	struct service *service = calloc(1, sizeof(*service));

	service->tenant = &tenants[tenant];
	service->version = version;
	service->checksum = ~version;
	return service;
}

static void
set_up(void)
{
	locals = aligned_alloc(CACHE_LINE, WORKERS * sizeof(*locals));
	memset(locals, 0, WORKERS * sizeof(*locals));
	for (unsigned i = 0; i < WORKERS; i++) {
		locals[i].server = &server;
		locals[i].index = i;
	}
	server.config = &config;
	server.locals = locals;
	server.catalog = NULL;
}

static void
publish(struct service *service, const char *name)
{
	catalog_publish(&server,
			catalog_create(WORKERS, server.catalog, service, name));
}

static void
destroy_all(void)
{
	struct catalog *catalog = server.catalog, *older;

	for (; catalog; catalog = older) {
		older = catalog->older;
		catalog_destroy(catalog);
	}
	free(locals);
}

/* ---- one thread ---------------------------------------------------------- */

static const struct service *
find(const char *name)
{
	return catalog_find(server.catalog, bytes_of(name));
}

static void
services_are_found_by_name(void)
{
	set_up();
	ok(!catalog_find(NULL, bytes_of("a")), "without a catalog none is");
	publish(NULL, "");
	ok(!find("a"), "in an empty one neither");
	publish(make_service(2, 1), "b2");
	publish(make_service(0, 1), "a");
	publish(make_service(3, 1), "c");
	publish(make_service(1, 1), "b");
	is_u64(server.catalog->count, 4, "four are there");
	is_u64(server.catalog->generation, 5, "in the fifth catalog");
	for (unsigned i = 0; i < ARRAY_LEN(tenants); i++)
		ok(find(tenants[i].name) &&
			   find(tenants[i].name)->tenant == &tenants[i],
		   "%s", tenants[i].name);
	ok(!find("") && !find("b1") && !find("b22") && !find("d"),
	   "no other is");
	publish(make_service(1, 2), "b");
	is_u64(find("b")->version, 2, "a new version takes the place");
	is_u64(server.catalog->count, 4, "of the old one");
	publish(NULL, "b");
	ok(!find("b") && find("b2") && find("a"), "one is taken out");
	destroy_all();
	for (unsigned i = 0; i < ARRAY_LEN(tenants); i++)
		is_u64(tenants[i].versions, 0, "no version is left");
}

static void
a_catalog_in_use_is_not_put_down(void)
{
	struct catalog *old;

	set_up();
	publish(make_service(0, 1), "a");
	old = server.catalog;
	catalog_take_up(&locals[1]);
	ok(locals[1].catalog == old, "a worker takes it up");
	publish(make_service(0, 2), "a");
	ok(!catalog_is_put_down(&server, old), "it uses the old one");
	catalog_hold(&locals[1], old);
	catalog_put_down(&locals[1]);
	ok(catalog_is_put_down(&server, old), "until its run ends");
	ok(!catalog_is_unused(old), "a request has it on");
	catalog_take_up(&locals[1]);
	ok(locals[1].catalog == server.catalog, "the next run uses the new");
	catalog_put_down(&locals[1]);
	catalog_hold_other(old);
	catalog_release(&locals[2], old);
	ok(!catalog_is_unused(old), "then other work has it");
	catalog_release_other(&server, old);
	ok(catalog_is_unused(old), "until that ends");
	destroy_all();
}

static void
a_shared_service_lives_as_long_as_one_catalog(void)
{
	struct catalog *first, *second;

	set_up();
	publish(make_service(0, 1), "a");
	first = server.catalog;
	publish(make_service(1, 1), "b");
	second = server.catalog;
	is_u64(tenants[0].versions, 1, "one version, in two catalogs");
	second->older = NULL;
	catalog_destroy(first);
	is_u64(tenants[0].versions, 1, "one goes, the version stays");
	is_u64(find("a")->version, 1, "and is found");
	destroy_all();
}

/* ---- a crowd ------------------------------------------------------------- */

/* Requests on their way from one worker to another. */
static struct {
	pthread_mutex_t lock;
	struct {
		struct catalog *catalog;
		const struct service *service;
	} list[64];
	unsigned count;
} held = { .lock = PTHREAD_MUTEX_INITIALIZER };

static unsigned stop;
static uint64_t runs, bad;

static void
look(const struct service *service)
{
	/* A destroyed one has other numbers, or the sanitizer sees it. */
	if (service->checksum != ~service->version)
		ck_pr_inc_64(&bad);
}

/* Ends a request that began anywhere. */
static void
end_one(struct local *local)
{
	struct catalog *catalog = NULL;
	const struct service *service = NULL;

	pthread_mutex_lock(&held.lock);
	if (held.count) {
		held.count--;
		catalog = held.list[held.count].catalog;
		service = held.list[held.count].service;
	}
	pthread_mutex_unlock(&held.lock);
	if (!catalog)
		return;
	look(service);
	catalog_release(local, catalog);
}

static void
begin_one(struct local *local)
{
	struct catalog *catalog = local->catalog;
	const struct service *service = catalog_find(catalog, bytes_of("a"));
	bool kept = false;

	look(service);
	catalog_hold(local, catalog);
	pthread_mutex_lock(&held.lock);
	if (held.count < ARRAY_LEN(held.list)) {
		held.list[held.count].catalog = catalog;
		held.list[held.count++].service = service;
		kept = true;
	}
	pthread_mutex_unlock(&held.lock);
	if (!kept)
		catalog_release(local, catalog);
}

static void *
work(void *arg)
{
	struct local *local = arg;
	uint64_t seen = 0;

	while (!ck_pr_load_uint(&stop)) {
		catalog_take_up(local);
		if (local->catalog->generation < seen)
			ck_pr_inc_64(&bad);
		seen = local->catalog->generation;
		begin_one(local);
		end_one(local);
		catalog_put_down(local);
		ck_pr_inc_64(&runs);
	}
	return NULL;
}

static unsigned
reap(void)
{
	struct catalog **place = &server.catalog->older, *old;
	unsigned count = 0;

	while ((old = *place)) {
		if (!catalog_is_put_down(&server, old) ||
		    !catalog_is_unused(old)) {
			place = &old->older;
			continue;
		}
		*place = old->older;
		catalog_destroy(old);
		count++;
	}
	return count;
}

static void
old_catalogs_go_when_nobody_has_them(void)
{
	unsigned rounds = (unsigned)tap_rounds("CATALOG_ROUNDS", 3000);
	unsigned reaped = 0;
	pthread_t threads[WORKERS];

	set_up();
	publish(make_service(0, 1), "a");
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_create(&threads[i], NULL, work, &locals[i]);
	while (!ck_pr_load_64(&runs))
		sched_yield();
	for (unsigned i = 0; i < rounds; i++) {
		publish(make_service(0, i + 2), "a");
		reaped += reap();
		if (i % 64 == 0)
			sched_yield();
	}
	ck_pr_store_uint(&stop, 1);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	is_u64(bad, 0, "nobody saw one that was destroyed, or went back");
	ok(reaped > 0, "%u of %u were destroyed under way", reaped, rounds);
	ok(runs > 0, "in %llu runs", (unsigned long long)runs);
	while (held.count)
		end_one(&locals[0]);
	reaped += reap();
	is_u64(reaped, rounds, "and all at the end");
	destroy_all();
}

int
main(void)
{
	services_are_found_by_name();
	a_catalog_in_use_is_not_put_down();
	a_shared_service_lives_as_long_as_one_catalog();
	old_catalogs_go_when_nobody_has_them();
	return tap_done();
}
