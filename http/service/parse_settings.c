/* SPDX-License-Identifier: MIT */
/*
 * service.conf. A value that is wrong does not end the reading; what libconfuse
 * itself refuses (an unknown key, an open brace) does.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/config_file.h"
#include "core/config_value.h"
#include "http/service/parse_internal.h"

#define SECOND UINT64_C(1000)
#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* The name outside is SERVICE-NAME, of CONFIG_NAME_MAX bytes. */
enum { OWN_NAME_MAX = CONFIG_NAME_MAX - SERVICE_NAME_MAX - 1 };

/* In struct service_settings, a uint64_t each. */
static const struct setting {
	struct config_number number;
	size_t offset;
	uint64_t otherwise;
} settings_numbers[] = {
#define NUMBER(key, field, unit, otherwise, min, max) \
	{ \
		{ key, CONFIG_##unit, min, max }, \
			offsetof(struct service_settings, field), otherwise \
	}
	/* clang-format off */
	NUMBER("requests_per_second", requests_per_s, COUNT, 0, 0, 1000000),
	NUMBER("max_statements", max_statements, COUNT, 64, 1, 10000),
	NUMBER("timeout", timeout_ms, DURATION, 5 * SECOND, 1, 600 * SECOND),
	NUMBER("max_body", max_body, SIZE, MIB, 1, GIB),
	NUMBER("max_rows", max_rows, COUNT, 10000, 1, 10000000),
	NUMBER("max_reply", max_reply, SIZE, 8 * MIB, KIB, GIB),
	NUMBER("max_size", max_size, SIZE, 8 * GIB, 64 * KIB, 16384 * GIB),
/* clang-format on */
#undef NUMBER
};

static const struct config_key other_keys[] = {
	{ .section = "", .key = "cache" },
	{ .section = "", .key = "stores", .list = true },
	{ .section = "store", .key = "kind", .titled = true },
	{ .section = "store", .key = "max_size", .titled = true },
	{ .section = "store", .key = "ttl", .titled = true },
};

struct loading {
	struct service_settings *settings;
	const char *path;
	struct complaints *complaints;
	unsigned store_lines[CONFIG_STORES_MAX];
	unsigned too_many; /* the line of the store that was */
	bool kind_given;   /* of the store in hand: the last */
};

/* ---- values -------------------------------------------------------------- */

static bool
take_number(struct loading *loading, const struct config_entry *entry,
	    const struct config_reason *reason)
{
	for (unsigned i = 0; i < ARRAY_LEN(settings_numbers); i++) {
		const struct setting *setting = &settings_numbers[i];
		uint64_t value;

		if (strcmp(setting->number.key, entry->key) != 0)
			continue;
		if (!config_take_number(reason, &setting->number, entry->value,
					&value))
			return false;
		memcpy((char *)loading->settings + setting->offset, &value,
		       sizeof(value));
		return true;
	}
	return config_refuse(reason, "no such key");
}

static bool
take_cache(struct loading *loading, const struct config_entry *entry,
	   const struct config_reason *reason)
{
	if (strcmp(entry->value, "yes") && strcmp(entry->value, "no"))
		return config_refuse_value(reason, entry->key, entry->value,
					   "yes or no");
	loading->settings->cache = !strcmp(entry->value, "yes");
	return true;
}

/* A list is given again as it grows: what is wrong with it is said at the
 * end. */
static bool
take_listed_store(struct loading *loading, const struct config_entry *entry,
		  const struct config_reason *reason)
{
	struct service_settings *settings = loading->settings;
	char **store;

	if (entry->index == CONFIG_STORES_MAX)
		loading->too_many = (unsigned)entry->line;
	if (entry->index >= CONFIG_STORES_MAX)
		return true;
	store = &settings->stores[entry->index];
	/* One that was there already keeps its line. */
	if (!*store || strcmp(*store, entry->value) != 0)
		loading->store_lines[entry->index] = (unsigned)entry->line;
	if (!config_take_text(reason, entry->value, store))
		return false;
	settings->store_count = entry->index + 1;
	return true;
}

/* ---- stores of its own --------------------------------------------------- */

/* Without "-", so that the last one of SERVICE-NAME ends the service's. */
static bool
is_own_name(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= OWN_NAME_MAX && name[0] >= 'a' &&
	       name[0] <= 'z' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

/* The one in hand is the last: libconfuse takes no section twice. */
static struct config_store *
own_store(struct loading *loading, const struct config_entry *entry,
	  const struct config_reason *reason)
{
	struct service_settings *settings = loading->settings;
	unsigned count = settings->own_store_count;
	struct config_store *store = settings->own_stores + count;

	if (count > 0 && !strcmp(store[-1].name, entry->title))
		return &store[-1];
	assert(count < CONFIG_STORES_MAX);
	if (!config_take_text(reason, entry->title, &store->name))
		return NULL;
	settings->own_store_count++;
	loading->kind_given = false;
	return store;
}

/* The name is looked at when the section ends, once. */
static bool
end_own_store(struct loading *loading, struct config_store *store,
	      const struct config_reason *reason)
{
	bool kind_given = loading->kind_given;

	if (store->max_size == 0)
		store->max_size = config_max_sizes[store->is_volatile];
	if (!is_own_name(store->name)) {
		char expected[80];

		snprintf(expected, sizeof(expected),
			 "[a-z][a-z0-9_]*, at most %d bytes", OWN_NAME_MAX);
		return config_refuse_value(reason, "a store's name",
					   store->name, expected);
	}
	return kind_given ||
	       config_refuse(reason,
			     "store %s has no kind: durable or volatile",
			     store->name);
}

static bool
take_own_store(struct loading *loading, const struct config_entry *entry,
	       const struct config_reason *reason)
{
	struct service_settings *settings = loading->settings;
	struct config_store *store;

	/* Said once, when its section ends. */
	if (settings->own_store_count == CONFIG_STORES_MAX &&
	    strcmp(settings->own_stores[CONFIG_STORES_MAX - 1].name,
		   entry->title) != 0)
		return entry->key ||
		       config_refuse(reason, "more than %d stores",
				     CONFIG_STORES_MAX);
	store = own_store(loading, entry, reason);
	if (!store)
		return false;
	if (!entry->key)
		return end_own_store(loading, store, reason);
	/* One that is wrong is not said to be missing as well. */
	loading->kind_given |= !strcmp(entry->key, "kind");
	return config_take_store_key(reason, entry->key, entry->value, store,
				     &loading->kind_given);
}

/* ---- the file ------------------------------------------------------------ */

static bool
take_entry(void *arg, const struct config_entry *entry, char *text, size_t size)
{
	struct loading *loading = arg;
	struct config_reason reason = { text, size };
	bool good;

	if (!strcmp(entry->section, "store"))
		good = take_own_store(loading, entry, &reason);
	else if (!strcmp(entry->key, "cache"))
		good = take_cache(loading, entry, &reason);
	else if (!strcmp(entry->key, "stores"))
		good = take_listed_store(loading, entry, &reason);
	else
		good = take_number(loading, entry, &reason);
	if (!good)
		complain(loading->complaints, loading->path,
			 (unsigned)entry->line, "%s", text);
	return true;
}

/* Is the name of list[index] there before, or the service's own? */
static bool
is_taken(const struct service_settings *settings, unsigned index)
{
	const char *name = settings->stores[index];

	for (unsigned i = 0; i < index; i++)
		if (!strcmp(settings->stores[i], name))
			return true;
	for (unsigned i = 0; i < settings->own_store_count; i++)
		if (!strcmp(settings->own_stores[i].name, name))
			return true;
	return false;
}

static void
check_stores(const struct loading *loading)
{
	const struct service_settings *settings = loading->settings;
	char text[256];
	struct config_reason reason = { text, sizeof(text) };

	if (loading->too_many)
		complain(loading->complaints, loading->path, loading->too_many,
			 "more than %d stores", CONFIG_STORES_MAX);
	for (unsigned i = 0; i < settings->store_count; i++) {
		bool good = config_check_name(&reason, "a store's name",
					      settings->stores[i]);

		if (good && is_taken(settings, i))
			good = config_refuse(&reason,
					     "the store %s is there twice",
					     settings->stores[i]);
		if (!good)
			complain(loading->complaints, loading->path,
				 loading->store_lines[i], "%s", text);
	}
}

/* message is "service.conf:3: reason", or without a line. */
static void
complain_message(struct loading *loading, const char *message)
{
	const char *at = message + strlen(loading->path) + 1;
	char *end;
	unsigned long line = strtoul(at, &end, 10);

	if (end == at || end[0] != ':' || end[1] != ' ')
		line = 0;
	complain(loading->complaints, loading->path, (unsigned)line, "%s",
		 line ? end + 2 : at + strspn(at, " "));
}

static void
read_file(struct loading *loading, const struct service_file *file)
{
	struct config_key
		keys[ARRAY_LEN(other_keys) + ARRAY_LEN(settings_numbers)];
	struct config_visitor visitor = { .entry = take_entry, .arg = loading };
	unsigned count = ARRAY_LEN(other_keys);
	char message[512];

	memcpy(keys, other_keys, sizeof(other_keys));
	for (unsigned i = 0; i < ARRAY_LEN(settings_numbers); i++)
		keys[count++] = (struct config_key){
			.section = "", .key = settings_numbers[i].number.key
		};
	if (config_file_parse(file->path,
			      (struct bytes){ file->data, file->len }, keys,
			      count, &visitor, message, sizeof(message)))
		complain_message(loading, message);
	check_stores(loading);
}

void
service_parse_settings(struct service_settings *settings,
		       const struct service_file *file,
		       struct complaints *complaints)
{
	struct loading loading = {
		.settings = settings,
		.complaints = complaints,
	};

	*settings = (struct service_settings){ .cache = true };
	for (unsigned i = 0; i < ARRAY_LEN(settings_numbers); i++)
		memcpy((char *)settings + settings_numbers[i].offset,
		       &settings_numbers[i].otherwise, sizeof(uint64_t));
	if (!file)
		return;
	loading.path = file->path;
	read_file(&loading, file);
}
