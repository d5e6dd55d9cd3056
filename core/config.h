/* SPDX-License-Identifier: MIT */
/*
 * The configuration: /etc/jackdaw/jackdaw.conf in libconfuse's syntax, and
 * --set key=value over it. docs/man/jackdaw.conf.5 describes every key.
 */
#ifndef CORE_CONFIG_H
#define CORE_CONFIG_H

#include "core/base.h"
#include "core/err.h"
#include "core/log.h"

enum {
	CONFIG_LISTEN_MAX = 8,
	CONFIG_STORES_MAX = 16,
	CONFIG_DATABASES_MAX = 16
};

struct config_store {
	char *name;
	bool is_volatile;
	uint64_t max_size; /* 8G durable, 64M volatile */
	uint64_t ttl_ms;   /* 0: none */
};

/* database NAME { max_size = "8G" } */
struct config_database {
	char *name;
	uint64_t max_size;
};

struct config {
	char *listen[CONFIG_LISTEN_MAX]; /* "127.0.0.1:8080", "[::1]:8080",
					    "unix:/path" */
	unsigned listen_count;
	char *data_dir;
	unsigned workers; /* 0: one a processor */
	enum log_level log_level;
	struct config_store stores[CONFIG_STORES_MAX];
	unsigned store_count;
	struct config_database databases[CONFIG_DATABASES_MAX];
	unsigned database_count; /* without any: one, `main` */
	char *service_dir;       /* NULL: none */
	char *admin_socket; /* NULL: admin.sock in data_dir; "": none. "none" in
			       the file is "" here */

	/* section limits { ... } */
	uint64_t max_connections;      /* 16384 */
	uint64_t max_value;            /* bytes of one value: 1M; at most
					  body_memory, as is max_body */
	uint64_t max_body;             /* bytes of a JSON body (batch): 4M */
	uint64_t body_memory;          /* bodies in memory, all requests: 64M */
	uint64_t cache_size;           /* finished replies, all workers: 64M */
	uint64_t queue_age_ms;         /* lanes refuse above: 50 */
	uint64_t header_timeout_ms;    /* 10s: from the request line on */
	uint64_t body_timeout_ms;      /* 30s: without 1 KiB of progress */
	uint64_t write_timeout_ms;     /* 60s: without progress of a reply */
	uint64_t idle_timeout_ms;      /* 75s: between requests */
	uint64_t snapshot_timeout_ms;  /* 10m: an export's snapshot */
	uint64_t drain_timeout_ms;     /* 5s */
	uint64_t statement_timeout_ms; /* 30s: /v1/sql, unless it asks for
					  less */
	uint64_t slow_ms;  /* 100ms: a statement that takes longer is logged;
			    0: none */
	uint64_t slice_ms; /* 0, which is 100 us: what a long statement runs
			      before others have their turn */
};

/*
 * path NULL: the built-in defaults (one durable store `main`, one volatile
 * `cache`, one database `main`, data in ./data). A file without a store has
 * these two as well, one without a database has that.
 *
 * sets are "key=value", "limits.key=value", "store.NAME.key=value" or
 * "database.NAME.max_size=value", applied over the file and checked as
 * strictly; a later one wins. listen takes several addresses between commas,
 * in place of the file's. A store that is not there yet is made by setting its
 * kind, a database by setting its size.
 *
 * On an error nothing is to be freed, and message says "file:line: reason" or
 * "--set key: reason". Main thread only.
 */
MUST_CHECK enum err config_load(struct config *config, const char *path,
				const char *const *sets, unsigned set_count,
				char *message, size_t message_size);
void config_fini(struct config *config);
/* As a file that config_load() reads back to the same. */
MUST_CHECK enum err config_print(const struct config *config, int fd);

#endif
