/* SPDX-License-Identifier: MIT */
/*
 * All services at one moment: see service.h for who may use one, and until
 * when.
 */
#include <stdlib.h>

#include "core/sched.h"
#include "http/service/service.h"

static int
compare_names(struct bytes a, struct bytes b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len ? memcmp(a.data, b.data, len) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static const char *
name_of(const struct service *service)
{
	return service->tenant->name;
}

const struct service *
catalog_find(const struct catalog *catalog, struct bytes name)
{
	unsigned low = 0, high = catalog ? catalog->count : 0;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;
		struct service *service = catalog->services[middle];
		int order = compare_names(name, bytes_of(name_of(service)));

		if (order == 0)
			return service;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static void
add(struct catalog *catalog, struct service *service)
{
	catalog->services[catalog->count++] = service;
	service->tenant->versions += !service->catalogs;
	service->catalogs++;
}

/* The old list in order, with service in its place, without name. */
static void
fill(struct catalog *catalog, const struct catalog *old,
     struct service *service, const char *name)
{
	for (unsigned i = 0; old && i < old->count; i++) {
		struct service *other = old->services[i];
		int order = strcmp(name_of(other), name);

		if (order > 0 && service) {
			add(catalog, service);
			service = NULL;
		}
		if (order != 0)
			add(catalog, other);
	}
	if (service)
		add(catalog, service);
}

struct catalog *
catalog_create(unsigned workers, const struct catalog *old,
	       struct service *service, const char *name)
{
	size_t size = sizeof(struct catalog) +
		      (workers + 1) * sizeof(struct catalog_users);
	struct catalog *catalog = aligned_alloc(CACHE_LINE, size);

	if (!catalog)
		return NULL;
	memset(catalog, 0, size);
	catalog->services =
		calloc(old ? old->count + 1 : 1, sizeof(struct service *));
	if (!catalog->services) {
		free(catalog);
		return NULL;
	}
	catalog->workers = workers;
	catalog->generation = old ? old->generation + 1 : 1;
	fill(catalog, old, service, name);
	return catalog;
}

void
catalog_destroy(struct catalog *catalog)
{
	for (unsigned i = 0; i < catalog->count; i++) {
		struct service *service = catalog->services[i];

		if (--service->catalogs)
			continue;
		service->tenant->versions--;
		service_destroy(service);
	}
	free(catalog->services);
	free(catalog);
}

void
catalog_publish(struct server *server, struct catalog *catalog)
{
	catalog->older = ck_pr_load_ptr(&server->catalog);
	HANDS_OVER(catalog);
	/* Who sees the pointer sees what it points to. */
	ck_pr_fence_store();
	ck_pr_store_ptr(&server->catalog, catalog);
	/* (1), pairs with catalog_take_up(). */
	ck_pr_fence_memory();
}

bool
catalog_is_put_down(const struct server *server, const struct catalog *catalog)
{
	for (unsigned i = 0; i < catalog->workers; i++)
		if (ck_pr_load_ptr(&server->locals[i].catalog) == catalog)
			return false;
	/* (2), pairs with catalog_put_down(). */
	ck_pr_fence_load();
	return true;
}

bool
catalog_is_unused(const struct catalog *catalog)
{
	uint64_t sum = 0;

	/* The workers' counts only fall by now. That of the others may rise,
	 * but only while a request has the catalog: it is read last, so that
	 * what rose before a count fell is not missed. */
	for (unsigned i = 0; i < catalog->workers; i++)
		sum += ck_pr_load_64(&catalog->users[i].count);
	ck_pr_fence_load();
	sum += ck_pr_load_64(&catalog->users[catalog->workers].count);
	if (sum)
		return false;
	/* (3), pairs with catalog_release(). */
	ck_pr_fence_acquire();
	TAKES_OVER((void *)(uintptr_t)catalog);
	return true;
}
