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

unsigned
sql_store_find(const struct sql *sql, struct bytes name)
{
	const struct sql_options *options = &sql->options;
	unsigned count = count_stores(sql);

	for (unsigned i = 0; i < count; i++)
		if (!ck_pr_load_uint(&sql->stores_hidden[i]) &&
		    bytes_equal(bytes_of(options->store_names[i]), name))
			return i;
	return SQL_STORES_MAX;
}

enum err
sql_stores_init(struct sql *sql, const struct sql_options *options)
{
	sql->options.store_count = 0;
	sql->options.stores = calloc(SQL_STORES_MAX, sizeof(struct kv *));
	sql->options.store_names = calloc(SQL_STORES_MAX, sizeof(char *));
	if (!sql->options.stores || !sql->options.store_names)
		return ERR_NOMEM;
	return sql_set_stores(sql, options->stores, options->store_names,
			      options->store_count);
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
	HANDS_OVER(kv);
	/* Pairs with count_stores(). */
	ck_pr_fence_store();
	ck_pr_store_uint(&options->store_count, count + 1);
	return ERR_OK;
}

static bool
is_wanted(const struct sql *sql, unsigned place, struct kv *const *stores,
	  const char *const *names, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (stores[i] == sql->options.stores[place] &&
		    !strcmp(names && names[i] ? names[i] : kv_name(stores[i]),
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
sql_set_stores(struct sql *sql, struct kv *const *stores,
	       const char *const *names, unsigned count)
{
	/* First what is taken away: the new one may have its name. */
	for (unsigned i = 0; i < sql->options.store_count; i++)
		ck_pr_store_uint(&sql->stores_hidden[i],
				 !is_wanted(sql, i, stores, names, count));
	for (unsigned i = 0; i < count; i++) {
		const char *name =
			names && names[i] ? names[i] : kv_name(stores[i]);
		enum err err;

		if (is_there(sql, stores[i], name))
			continue;
		err = add(sql, stores[i], name);
		if (err)
			return err;
	}
	return ERR_OK;
}
