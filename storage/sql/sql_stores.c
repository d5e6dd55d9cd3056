/* SPDX-License-Identifier: MIT */
/*
 * Which stores the statements of a database may see.
 *
 * Connections keep a snapshot of a store by its place in the list, so a place
 * is never given to another: the list only grows, and what is not to be seen
 * any more is hidden.
 */
#include <stdlib.h>

#include "core/affinity.h"
#include "storage/sql/sql_internal.h"

static unsigned
count_stores(const struct sql *sql)
{
	unsigned count = ck_pr_load_uint(&sql->options.store_count);

	/* Pairs with add(): who counts a place sees what is in it. */
	ck_pr_fence_load();
	return count;
}

static unsigned
find(const struct sql *sql, struct bytes name)
{
	const struct sql_options *options = &sql->options;
	unsigned count = count_stores(sql);

	for (unsigned i = 0; i < count; i++)
		if (!ck_pr_load_uint(&sql->stores_hidden[i]) &&
		    bytes_equal(bytes_of(options->store_names[i]), name))
			return i;
	return SQL_STORES_MAX;
}

unsigned
sql_store_find(const struct sql *sql, struct bytes name)
{
	for (;;) {
		unsigned shown = ck_pr_load_uint(&sql->stores_shown), place;

		/* Both pair with sql_show_stores(): who looked at the new place
		 * before it was shown, and at the old one after it was hidden,
		 * sees that this was done meanwhile, and looks again. */
		ck_pr_fence_load();
		place = find(sql, name);
		ck_pr_fence_load();
		if (place < SQL_STORES_MAX ||
		    ck_pr_load_uint(&sql->stores_shown) == shown)
			return place;
	}
}

enum err
sql_stores_init(struct sql *sql, const struct sql_options *options)
{
	enum err err;

	sql->options.store_count = 0;
	sql->options.stores = calloc(SQL_STORES_MAX, sizeof(struct kv *));
	sql->options.store_names = calloc(SQL_STORES_MAX, sizeof(char *));
	if (!sql->options.stores || !sql->options.store_names)
		return ERR_NOMEM;
	err = sql_add_stores(sql, options->stores, options->store_names,
			     options->store_count);
	if (!err)
		sql_show_stores(sql, options->stores, options->store_names,
				options->store_count, true);
	return err;
}

void
sql_stores_fini(struct sql *sql)
{
	const char *const *names = sql->options.store_names;

	for (unsigned i = 0; i < sql->options.store_count; i++)
		free((void *)(uintptr_t)names[i]);
	free((void *)(uintptr_t)names);
	free((void *)(uintptr_t)sql->options.stores);
}

static enum err
add(struct sql *sql, struct kv *kv, const char *name)
{
	struct sql_options *options = &sql->options;
	unsigned count = options->store_count;
	char *copy;

	if (count == SQL_STORES_MAX)
		return ERR_FULL;
	copy = strdup(name);
	if (!copy)
		return ERR_NOMEM;
	((struct kv **)(uintptr_t)options->stores)[count] = kv;
	((const char **)(uintptr_t)options->store_names)[count] = copy;
	ck_pr_store_uint(&sql->stores_hidden[count], 1);
	HANDS_OVER(kv);
	/* Pairs with count_stores(). */
	ck_pr_fence_store();
	ck_pr_store_uint(&options->store_count, count + 1);
	return ERR_OK;
}

static const char *
name_of(struct kv *const *stores, const char *const *names, unsigned index)
{
	return names && names[index] ? names[index] : kv_name(stores[index]);
}

/* The place is one of those. */
static bool
is_wanted(const struct sql *sql, unsigned place, struct kv *const *stores,
	  const char *const *names, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (stores[i] == sql->options.stores[place] &&
		    !strcmp(name_of(stores, names, i),
			    sql->options.store_names[place]))
			return true;
	return false;
}

/* The place is none of those, but has the name of one. */
static bool
is_in_its_way(const struct sql *sql, unsigned place, struct kv *const *stores,
	      const char *const *names, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (!strcmp(name_of(stores, names, i),
			    sql->options.store_names[place]))
			return true;
	return false;
}

static bool
is_there(const struct sql *sql, const struct kv *kv, const char *name)
{
	for (unsigned i = 0; i < sql->options.store_count; i++)
		if (kv == sql->options.stores[i] &&
		    !strcmp(name, sql->options.store_names[i]))
			return true;
	return false;
}

enum err
sql_add_stores(struct sql *sql, struct kv *const *stores,
	       const char *const *names, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const char *name = name_of(stores, names, i);
		enum err err;

		if (is_there(sql, stores[i], name))
			continue;
		err = add(sql, stores[i], name);
		if (err)
			return err;
	}
	return ERR_OK;
}

void
sql_show_stores(struct sql *sql, struct kv *const *stores,
		const char *const *names, unsigned count, bool only)
{
	unsigned places = sql->options.store_count;

	/* First what is shown: there is always one by a name that stays. */
	for (unsigned i = 0; i < places; i++)
		if (is_wanted(sql, i, stores, names, count))
			ck_pr_store_uint(&sql->stores_hidden[i], 0);
	/* Pairs with sql_store_find(). */
	ck_pr_fence_store();
	ck_pr_store_uint(&sql->stores_shown, sql->stores_shown + 1);
	ck_pr_fence_store();
	for (unsigned i = 0; i < places; i++)
		if (!is_wanted(sql, i, stores, names, count) &&
		    (only || is_in_its_way(sql, i, stores, names, count)))
			ck_pr_store_uint(&sql->stores_hidden[i], 1);
}
