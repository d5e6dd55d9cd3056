/* SPDX-License-Identifier: MIT */
#include "core/config.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/address.h"
#include "core/config_file.h"
#include "core/config_table.h"
#include "core/config_value.h"

/* All but the limits, which have a table of their own. */
static const struct config_key other_keys[] = {
	{ .section = "", .key = "listen", .list = true },
	{ .section = "", .key = "data_dir" },
	{ .section = "", .key = "workers" },
	{ .section = "", .key = "log_level" },
	{ .section = "", .key = "service_dir" },
	{ .section = "", .key = "admin_socket" },
	{ .section = "store", .key = "kind", .titled = true },
	{ .section = "store", .key = "max_size", .titled = true },
	{ .section = "store", .key = "ttl", .titled = true },
	{ .section = "database", .key = "max_size", .titled = true },
};

enum { PLACE_DEFAULT = 0, PLACE_SET = -1 }; /* else a line of the file */

/* What is known while loading, and where to say what is wrong. */
struct load {
	struct config *config;
	bool kind_given[CONFIG_STORES_MAX];
	int limit_place[CONFIG_LIMITS];
	int place; /* of the entry in hand */
	struct config_reason reason;
};

/* ---- texts -------------------------------------------------------------- */

static bool
take_listen(struct load *load, const char *value, unsigned index)
{
	struct config *config = load->config;

	if (!address_is_valid(value))
		return config_refuse_value(&load->reason, "listen", value,
					   "an address such as 127.0.0.1:8080, "
					   "[::1]:8080 or unix:/path");
	if (index >= CONFIG_LISTEN_MAX)
		return config_refuse(&load->reason,
				     "listen has more than %d addresses",
				     CONFIG_LISTEN_MAX);
	if (!config_take_text(&load->reason, value, &config->listen[index]))
		return false;
	/* Index 0 begins anew; what stood behind it is replaced or freed. */
	for (unsigned i = index + 1; i < config->listen_count; i++) {
		free(config->listen[i]);
		config->listen[i] = NULL;
	}
	config->listen_count = index + 1;
	return true;
}

/* Nothing turns it off. */
static bool
take_service_dir(struct load *load, const char *value)
{
	struct config *config = load->config;

	if (*value)
		return config_take_path(&load->reason, "service_dir", value,
					&config->service_dir);
	free(config->service_dir);
	config->service_dir = NULL;
	return true;
}

/* As long and as absolute as a socket that is listened on. */
static bool
take_admin_socket(struct load *load, const char *value)
{
	char address[128];

	if (*value == '\0' || !strcmp(value, "none"))
		return config_take_text(&load->reason, "",
					&load->config->admin_socket);
	snprintf(address, sizeof(address), "unix:%s", value);
	if (!address_is_valid(address))
		return config_refuse_value(&load->reason, "admin_socket", value,
					   "an absolute path of at most 107 "
					   "bytes, or none");
	return config_take_text(&load->reason, value,
				&load->config->admin_socket);
}

/* ---- stores and databases ------------------------------------------------ */

static bool
add_store(struct load *load, const char *name, struct config_store **out)
{
	struct config *config = load->config;
	struct config_store *store = &config->stores[config->store_count];

	if (config->store_count == CONFIG_STORES_MAX)
		return config_refuse(&load->reason, "more than %d stores",
				     CONFIG_STORES_MAX);
	*store = (struct config_store){ 0 };
	if (!config_take_text(&load->reason, name, &store->name))
		return false;
	config->store_count++;
	*out = store;
	return true;
}

static bool
get_or_add_store(struct load *load, const char *name, struct config_store **out)
{
	struct config *config = load->config;

	if (!config_check_name(&load->reason, "a store's name", name))
		return false;
	for (unsigned i = 0; i < config->store_count; i++)
		if (!strcmp(config->stores[i].name, name)) {
			*out = &config->stores[i];
			return true;
		}
	return add_store(load, name, out);
}

static bool
take_store(struct load *load, const struct config_entry *entry)
{
	struct config_store *store = load->config->stores;
	bool *kind_given;

	if (!get_or_add_store(load, entry->title, &store))
		return false;
	kind_given = &load->kind_given[store - load->config->stores];
	if (!entry->key) /* the end of its section */
		return *kind_given ||
		       config_refuse(
			       &load->reason,
			       "store %s has no kind: durable or volatile",
			       store->name);
	return config_take_store_key(&load->reason, entry->key, entry->value,
				     store, kind_given);
}

static bool
add_database(struct load *load, const char *name, struct config_database **out)
{
	struct config *config = load->config;
	struct config_database *database =
		&config->databases[config->database_count];

	if (config->database_count == CONFIG_DATABASES_MAX)
		return config_refuse(&load->reason, "more than %d databases",
				     CONFIG_DATABASES_MAX);
	*database =
		(struct config_database){ .max_size = config_database_size };
	if (!config_take_text(&load->reason, name, &database->name))
		return false;
	config->database_count++;
	*out = database;
	return true;
}

static bool
get_or_add_database(struct load *load, const char *name,
		    struct config_database **out)
{
	struct config *config = load->config;

	if (!config_check_name(&load->reason, "a database's name", name))
		return false;
	for (unsigned i = 0; i < config->database_count; i++)
		if (!strcmp(config->databases[i].name, name)) {
			*out = &config->databases[i];
			return true;
		}
	return add_database(load, name, out);
}

static bool
take_database(struct load *load, const struct config_entry *entry)
{
	struct config_database *database;

	/* Before one is made for it. */
	if (entry->key && strcmp(entry->key, config_max_size.key))
		return config_refuse(&load->reason,
				     "no such key of a database");
	if (!get_or_add_database(load, entry->title, &database))
		return false;
	/* The end of its section: it needs no key. */
	return !entry->key ||
	       config_take_number(&load->reason, &config_max_size, entry->value,
				  &database->max_size);
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
		return config_take_number(
			&load->reason, &limit->number, entry->value,
			config_limit_field(load->config, limit));
	}
	return config_refuse(&load->reason, "no such limit");
}

static bool
take_top(struct load *load, const struct config_entry *entry)
{
	struct config *config = load->config;
	uint64_t number = 0;

	if (!strcmp(entry->key, "listen"))
		return take_listen(load, entry->value, entry->index);
	if (!strcmp(entry->key, "data_dir"))
		return config_take_path(&load->reason, "data_dir", entry->value,
					&config->data_dir);
	if (!strcmp(entry->key, "service_dir"))
		return take_service_dir(load, entry->value);
	if (!strcmp(entry->key, "admin_socket"))
		return take_admin_socket(load, entry->value);
	if (!strcmp(entry->key, "log_level"))
		return log_level_parse(entry->value, &config->log_level) ||
		       config_refuse_value(&load->reason, "log_level",
					   entry->value,
					   "error, warn, info or debug");
	if (strcmp(entry->key, config_workers.key))
		return config_refuse(&load->reason, "no such key");
	if (!config_take_number(&load->reason, &config_workers, entry->value,
				&number))
		return false;
	config->workers = (unsigned)number;
	return true;
}

static bool
take_entry(void *arg, const struct config_entry *entry, char *reason,
	   size_t size)
{
	struct load *load = arg;

	load->reason = (struct config_reason){ reason, size };
	load->place = entry->line;
	if (!strcmp(entry->section, "store"))
		return take_store(load, entry);
	if (!strcmp(entry->section, "database"))
		return take_database(load, entry);
	if (!strcmp(entry->section, "limits"))
		return take_limit(load, entry);
	return take_top(load, entry);
}

/* ---- --set -------------------------------------------------------------- */

/* "SECTION.NAME.key" */
static bool
split_titled(char *key, const char *section, struct config_entry *entry)
{
	size_t len = strlen(section);
	char *dot;

	if (strncmp(key, section, len) || key[len] != '.')
		return false;
	dot = strchr(key + len + 1, '.');
	if (!dot)
		return false;
	*dot = '\0';
	entry->section = section;
	entry->title = key + len + 1;
	entry->key = dot + 1;
	return true;
}

/* Cuts "limits.key", "store.NAME.key" and the like into their parts. */
static void
split_key(char *key, struct config_entry *entry)
{
	*entry = (struct config_entry){
		.section = "", .title = "", .key = key, .line = PLACE_SET
	};
	if (!strncmp(key, "limits.", 7)) {
		entry->section = "limits";
		entry->key = key + 7;
	} else if (!split_titled(key, "store", entry)) {
		(void)split_titled(key, "database", entry);
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

static bool
add_default_store(struct load *load, const char *name, bool is_volatile)
{
	struct config_store *store;

	if (!add_store(load, name, &store))
		return false;
	store->is_volatile = is_volatile;
	load->kind_given[store - load->config->stores] = true;
	return true;
}

/* What a file that names none has. */
static enum err
add_defaults(struct load *load, char *message, size_t size)
{
	struct config_database *database;

	load->reason = (struct config_reason){ message, size };
	if (load->config->store_count == 0 &&
	    (!add_default_store(load, "main", false) ||
	     !add_default_store(load, "cache", true)))
		return ERR_NOMEM;
	if (load->config->database_count == 0 &&
	    !add_database(load, "main", &database))
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

/* The entry that is to be changed: of two that do not fit together, one that
 * --set gave, else the later one in the file. */
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
	err = add_defaults(load, message, size);
	if (err)
		return err;
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
	for (unsigned i = 0; i < config->database_count; i++)
		free(config->databases[i].name);
	free(config->data_dir);
	free(config->service_dir);
	free(config->admin_socket);
	*config = (struct config){ 0 };
}
