/* SPDX-License-Identifier: MIT */
#include "core/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/address.h"
#include "core/config_file.h"
#include "core/config_table.h"

enum { NAME_MAX_LEN = 64, DATA_DIR_MAX = 1024 };

/* All but the limits, which have a table of their own. */
static const struct config_key other_keys[] = {
	{ .section = "", .key = "listen", .list = true },
	{ .section = "", .key = "data_dir" },
	{ .section = "", .key = "workers" },
	{ .section = "", .key = "log_level" },
	{ .section = "store", .key = "kind", .titled = true },
	{ .section = "store", .key = "max_size", .titled = true },
	{ .section = "store", .key = "ttl", .titled = true },
};

enum { PLACE_DEFAULT = 0, PLACE_SET = -1 }; /* else a line of the file */

/* What is known while loading, and where to say what is wrong. */
struct load {
	struct config *config;
	bool kind_given[CONFIG_STORES_MAX];
	int limit_place[CONFIG_LIMITS];
	int place; /* of the entry in hand */
	char *reason;
	size_t reason_size;
};

static bool refuse(struct load *load, const char *format, ...) PRINTF(2, 3);

static bool
refuse(struct load *load, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(load->reason, load->reason_size, format, args);
	va_end(args);
	return false;
}

static bool
refuse_value(struct load *load, const char *key, const char *value,
	     const char *expected)
{
	char quoted[80];

	log_quote(quoted, sizeof(quoted), bytes_of(value));
	return refuse(load, "%s is %s, not %s", key, quoted, expected);
}

/* ---- numbers ------------------------------------------------------------ */

static bool
take_number(struct load *load, const struct config_number *number,
	    const char *value, uint64_t *out)
{
	char min[UNITS_TEXT_MAX], max[UNITS_TEXT_MAX];
	uint64_t parsed;

	if (!config_number_parse(number->unit, value, &parsed))
		return refuse_value(load, number->key, value,
				    config_unit_text(number->unit));
	if (parsed < number->min || parsed > number->max)
		return refuse(
			load, "%s is %.40s, not from %s to %s", number->key,
			value,
			config_number_text(number->unit, min, number->min),
			config_number_text(number->unit, max, number->max));
	*out = parsed;
	return true;
}

/* ---- texts -------------------------------------------------------------- */

static bool
has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7F)
			return true;
	return false;
}

static bool
take_text(struct load *load, const char *value, char **out)
{
	char *copy = strdup(value);

	if (!copy)
		return refuse(load, "%s", err_text(ERR_NOMEM));
	free(*out);
	*out = copy;
	return true;
}

static bool
take_listen(struct load *load, const char *value, unsigned index)
{
	struct config *config = load->config;

	if (!address_is_valid(value))
		return refuse_value(load, "listen", value,
				    "an address such as 127.0.0.1:8080, "
				    "[::1]:8080 or unix:/path");
	if (index >= CONFIG_LISTEN_MAX)
		return refuse(load, "listen has more than %d addresses",
			      CONFIG_LISTEN_MAX);
	if (!take_text(load, value, &config->listen[index]))
		return false;
	/* Index 0 begins anew; what stood behind it is replaced or freed. */
	for (unsigned i = index + 1; i < config->listen_count; i++) {
		free(config->listen[i]);
		config->listen[i] = NULL;
	}
	config->listen_count = index + 1;
	return true;
}

static bool
take_data_dir(struct load *load, const char *value)
{
	if (*value == '\0' || has_control(value) ||
	    strlen(value) > DATA_DIR_MAX)
		return refuse_value(load, "data_dir", value, "a path");
	return take_text(load, value, &load->config->data_dir);
}

/* ---- stores ------------------------------------------------------------- */

static bool
is_store_name(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= NAME_MAX_LEN &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

static bool
add_store(struct load *load, const char *name, struct config_store **out)
{
	struct config *config = load->config;
	struct config_store *store = &config->stores[config->store_count];

	if (config->store_count == CONFIG_STORES_MAX)
		return refuse(load, "more than %d stores", CONFIG_STORES_MAX);
	*store = (struct config_store){ 0 };
	if (!take_text(load, name, &store->name))
		return false;
	config->store_count++;
	*out = store;
	return true;
}

static bool
get_or_add_store(struct load *load, const char *name, struct config_store **out)
{
	struct config *config = load->config;

	if (!is_store_name(name))
		return refuse_value(load, "a store's name", name,
				    "1 to 64 of A-Z a-z 0-9 _ -");
	for (unsigned i = 0; i < config->store_count; i++)
		if (!strcmp(config->stores[i].name, name)) {
			*out = &config->stores[i];
			return true;
		}
	return add_store(load, name, out);
}

static bool
take_kind(struct load *load, const char *value, struct config_store *store)
{
	if (strcmp(value, "durable") && strcmp(value, "volatile"))
		return refuse_value(load, "kind", value, "durable or volatile");
	store->is_volatile = !strcmp(value, "volatile");
	load->kind_given[store - load->config->stores] = true;
	return true;
}

static bool
take_store(struct load *load, const struct config_entry *entry)
{
	struct config_store *store = load->config->stores;

	if (!get_or_add_store(load, entry->title, &store))
		return false;
	if (!entry->key) /* the end of its section */
		return load->kind_given[store - load->config->stores] ||
		       refuse(load, "store %s has no kind: durable or volatile",
			      store->name);
	if (!strcmp(entry->key, "kind"))
		return take_kind(load, entry->value, store);
	if (!strcmp(entry->key, config_max_size.key))
		return take_number(load, &config_max_size, entry->value,
				   &store->max_size);
	if (!strcmp(entry->key, config_ttl.key))
		return take_number(load, &config_ttl, entry->value,
				   &store->ttl_ms);
	return refuse(load, "no such key of a store");
}

/* ---- entries ------------------------------------------------------------ */

static bool
take_limit(struct load *load, const struct config_entry *entry)
{
	for (unsigned i = 0; i < CONFIG_LIMITS; i++) {
		const struct config_limit *limit = &config_limits[i];

		if (strcmp(entry->key, limit->number.key))
			continue;
		load->limit_place[i] = load->place;
		return take_number(load, &limit->number, entry->value,
				   config_limit_field(load->config, limit));
	}
	return refuse(load, "no such limit");
}

static bool
take_top(struct load *load, const struct config_entry *entry)
{
	struct config *config = load->config;
	uint64_t number = 0;

	if (!strcmp(entry->key, "listen"))
		return take_listen(load, entry->value, entry->index);
	if (!strcmp(entry->key, "data_dir"))
		return take_data_dir(load, entry->value);
	if (!strcmp(entry->key, "log_level"))
		return log_level_parse(entry->value, &config->log_level) ||
		       refuse_value(load, "log_level", entry->value,
				    "error, warn, info or debug");
	if (strcmp(entry->key, config_workers.key))
		return refuse(load, "no such key");
	if (!take_number(load, &config_workers, entry->value, &number))
		return false;
	config->workers = (unsigned)number;
	return true;
}

static bool
take_entry(void *arg, const struct config_entry *entry, char *reason,
	   size_t size)
{
	struct load *load = arg;

	load->reason = reason;
	load->reason_size = size;
	load->place = entry->line;
	if (!strcmp(entry->section, "store"))
		return take_store(load, entry);
	if (!strcmp(entry->section, "limits"))
		return take_limit(load, entry);
	return take_top(load, entry);
}

/* ---- --set -------------------------------------------------------------- */

/* Cuts "limits.key" and "store.NAME.key" into their parts. */
static void
split_key(char *key, struct config_entry *entry)
{
	char *dot;

	*entry = (struct config_entry){
		.section = "", .title = "", .key = key, .line = PLACE_SET
	};
	if (!strncmp(key, "limits.", 7)) {
		entry->section = "limits";
		entry->key = key + 7;
	} else if (!strncmp(key, "store.", 6) && (dot = strchr(key + 6, '.'))) {
		*dot = '\0';
		entry->section = "store";
		entry->title = key + 6;
		entry->key = dot + 1;
	}
}

/* Addresses between commas, as one list. */
static bool
set_listen(struct load *load, struct config_entry *entry, char *value,
	   char *reason, size_t size)
{
	for (char *rest = value; (entry->value = strsep(&rest, ","));
	     entry->index++)
		if (!take_entry(load, entry, reason, size))
			return false;
	return true;
}

/* key and value are cut to pieces. */
static bool
set_entry(struct load *load, char *key, char *value, char *reason, size_t size)
{
	struct config_entry entry;

	split_key(key, &entry);
	if (!strcmp(entry.section, "") && !strcmp(entry.key, "listen"))
		return set_listen(load, &entry, value, reason, size);
	entry.value = value;
	return take_entry(load, &entry, reason, size);
}

static enum err
apply_set(struct load *load, const char *set, char *message, size_t size)
{
	const char *equals = strchr(set, '=');
	char *key = strdup(set), *value;
	char reason[256] = "", quoted[80];
	enum err err = ERR_OK;

	if (!key) {
		snprintf(message, size, "--set: %s", err_text(ERR_NOMEM));
		return ERR_NOMEM;
	}
	if (!equals) {
		log_quote(quoted, sizeof(quoted), bytes_of(set));
		snprintf(message, size, "--set %s: key=value is expected",
			 quoted);
		free(key);
		return ERR_BAD;
	}
	value = key + (equals - set);
	*value++ = '\0';
	if (!set_entry(load, key, value, reason, sizeof(reason))) {
		snprintf(message, size, "--set %.*s: %s", (int)(equals - set),
			 set, reason);
		err = ERR_BAD;
	}
	free(key);
	return err;
}

/* ---- the whole ---------------------------------------------------------- */

static bool
set_defaults(struct config *config)
{
	*config = (struct config){ .log_level = LOG_LEVEL_INFO };
	for (unsigned i = 0; i < CONFIG_LIMITS; i++)
		*config_limit_field(config, &config_limits[i]) =
			config_limits[i].otherwise;
	config->data_dir = strdup("./data");
	config->listen[0] = strdup("127.0.0.1:8080");
	config->listen_count = 1;
	return config->data_dir && config->listen[0];
}

static enum err
read_file(struct load *load, const char *path, char *message, size_t size)
{
	struct config_key keys[ARRAY_LEN(other_keys) + CONFIG_LIMITS];
	struct config_visitor visitor = { .entry = take_entry, .arg = load };
	unsigned count = ARRAY_LEN(other_keys);

	memcpy(keys, other_keys, sizeof(other_keys));
	for (unsigned i = 0; i < CONFIG_LIMITS; i++)
		keys[count++] = (struct config_key){
			.section = "limits",
			.key = config_limits[i].number.key,
		};
	return config_file_read(path, keys, count, &visitor, message, size);
}

static enum err
add_default_stores(struct load *load, char *message, size_t size)
{
	struct config_store *store;

	load->reason = message;
	load->reason_size = size;
	if (!add_store(load, "main", &store) ||
	    !take_kind(load, "durable", store) ||
	    !add_store(load, "cache", &store) ||
	    !take_kind(load, "volatile", store))
		return ERR_NOMEM;
	return ERR_OK;
}

#define FIELD(name) offsetof(struct config, name)

static unsigned
limit_index(size_t offset)
{
	unsigned i = 0;

	while (config_limits[i].offset != offset)
		i++;
	return i;
}

/* The entry that is to be changed: of two that do not fit together, the one
 * that was given later. */
static void
say_where(const struct load *load, unsigned a, unsigned b, const char *path,
	  const char *reason, char *message, size_t size)
{
	int place_a = load->limit_place[a], place_b = load->limit_place[b];
	unsigned set = place_a == PLACE_SET ? a : b;

	if (load->limit_place[set] == PLACE_SET)
		snprintf(message, size, "--set limits.%s: %s",
			 config_limits[set].number.key, reason);
	else
		snprintf(message, size, "%s:%d: %s", path,
			 place_a > place_b ? place_a : place_b, reason);
}

/* A body that may not be held in memory could never be taken. */
static enum err
check_bodies(const struct load *load, const char *path, char *message,
	     size_t size)
{
	unsigned memory = limit_index(FIELD(body_memory));
	const char *reason = NULL;
	unsigned body = 0;

	if (load->config->max_value > load->config->body_memory) {
		body = limit_index(FIELD(max_value));
		reason = "max_value is larger than body_memory";
	} else if (load->config->max_body > load->config->body_memory) {
		body = limit_index(FIELD(max_body));
		reason = "max_body is larger than body_memory";
	}
	if (!reason)
		return ERR_OK;
	say_where(load, memory, body, path, reason, message, size);
	return ERR_BAD;
}

static enum err
finish(struct load *load, const char *path, char *message, size_t size)
{
	struct config *config = load->config;

	for (unsigned i = 0; i < config->store_count; i++) {
		struct config_store *store = &config->stores[i];

		if (!load->kind_given[i]) {
			snprintf(message, size,
				 "--set store.%s: no such store; "
				 "store.%s.kind=durable or volatile makes one",
				 store->name, store->name);
			return ERR_BAD;
		}
		if (store->max_size == 0)
			store->max_size = config_max_sizes[store->is_volatile];
	}
	return check_bodies(load, path, message, size);
}

static enum err
load_all(struct load *load, const char *path, const char *const *sets,
	 unsigned set_count, char *message, size_t size)
{
	enum err err;

	if (!set_defaults(load->config)) {
		snprintf(message, size, "%s", err_text(ERR_NOMEM));
		return ERR_NOMEM;
	}
	if (path) {
		err = read_file(load, path, message, size);
		if (err)
			return err;
	}
	if (load->config->store_count == 0) {
		err = add_default_stores(load, message, size);
		if (err)
			return err;
	}
	for (unsigned i = 0; i < set_count; i++) {
		err = apply_set(load, sets[i], message, size);
		if (err)
			return err;
	}
	return finish(load, path, message, size);
}

enum err
config_load(struct config *config, const char *path, const char *const *sets,
	    unsigned set_count, char *message, size_t message_size)
{
	struct load load = { .config = config };
	enum err err;

	err = load_all(&load, path, sets, set_count, message, message_size);
	if (err)
		config_fini(config);
	return err;
}

void
config_fini(struct config *config)
{
	for (unsigned i = 0; i < config->listen_count; i++)
		free(config->listen[i]);
	for (unsigned i = 0; i < config->store_count; i++)
		free(config->stores[i].name);
	free(config->data_dir);
	*config = (struct config){ 0 };
}
