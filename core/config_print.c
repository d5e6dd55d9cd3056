/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <unistd.h>

#include "core/buffer.h"
#include "core/config.h"
#include "core/config_table.h"

/* Far more than sixteen stores, sixteen databases and three paths can take. */
enum { PRINT_MAX = 1 << 20 };

static void
add_quoted(struct buffer *out, const char *text)
{
	buffer_add_str(out, "\"");
	for (; *text; text++) {
		if (*text == '"' || *text == '\\' || *text == '$')
			buffer_add_str(out, "\\");
		buffer_add(out, text, 1);
	}
	buffer_add_str(out, "\"");
}

static void
add_number(struct buffer *out, const struct config_number *number,
	   uint64_t value)
{
	char text[UNITS_TEXT_MAX];

	config_number_text(number->unit, text, value);
	buffer_addf(out, number->unit == CONFIG_COUNT ? "%s = " : "%s = \"",
		    number->key);
	buffer_add_str(out, text);
	buffer_add_str(out, number->unit == CONFIG_COUNT ? "\n" : "\"\n");
}

static void
add_store(struct buffer *out, const struct config_store *store)
{
	buffer_addf(out, "store %s {\n\tkind = %s\n\t", store->name,
		    store->is_volatile ? "volatile" : "durable");
	add_number(out, &config_max_size, store->max_size);
	if (store->ttl_ms > 0) {
		buffer_add_str(out, "\t");
		add_number(out, &config_ttl, store->ttl_ms);
	}
	buffer_add_str(out, "}\n");
}

static void
add_database(struct buffer *out, const struct config_database *database)
{
	buffer_addf(out, "database %s {\n\t", database->name);
	add_number(out, &config_max_size, database->max_size);
	buffer_add_str(out, "}\n");
}

/* A default that has no value is a comment. */
static void
add_path(struct buffer *out, const char *key, const char *path,
	 const char *otherwise)
{
	if (!path) {
		buffer_addf(out, "# %s: %s\n", key, otherwise);
		return;
	}
	buffer_addf(out, "%s = ", key);
	add_quoted(out, path);
	buffer_add_str(out, "\n");
}

static void
add_all(struct buffer *out, const struct config *config)
{
	buffer_add_str(out, "listen = {");
	for (unsigned i = 0; i < config->listen_count; i++) {
		buffer_add_str(out, i > 0 ? ", " : "");
		add_quoted(out, config->listen[i]);
	}
	buffer_add_str(out, "}\ndata_dir = ");
	add_quoted(out, config->data_dir);
	buffer_add_str(out, "\n");
	add_number(out, &config_workers, config->workers);
	buffer_addf(out, "log_level = %s\n", log_level_name(config->log_level));
	add_path(out, "service_dir", config->service_dir, "none");
	add_path(out, "admin_socket", config->admin_socket,
		 "admin.sock in data_dir");
	for (unsigned i = 0; i < config->store_count; i++)
		add_store(out, &config->stores[i]);
	for (unsigned i = 0; i < config->database_count; i++)
		add_database(out, &config->databases[i]);
	buffer_add_str(out, "limits {\n");
	for (unsigned i = 0; i < CONFIG_LIMITS; i++) {
		uint64_t value;

		memcpy(&value, (const char *)config + config_limits[i].offset,
		       sizeof(value));
		buffer_add_str(out, "\t");
		add_number(out, &config_limits[i].number, value);
	}
	buffer_add_str(out, "}\n");
}

static enum err
write_all(int fd, const struct buffer *text)
{
	size_t done = 0;

	while (done < text->len) {
		ssize_t n = write(fd, text->data + done, text->len - done);

		if (n < 0 && errno != EINTR)
			return err_from_errno(errno);
		if (n > 0)
			done += (size_t)n;
	}
	return ERR_OK;
}

enum err
config_print(const struct config *config, int fd)
{
	struct buffer out;
	enum err err;

	buffer_init(&out, PRINT_MAX);
	add_all(&out, config);
	err = out.err ? out.err : write_all(fd, &out);
	buffer_fini(&out);
	return err;
}
