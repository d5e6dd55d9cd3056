/* SPDX-License-Identifier: MIT */
/*
 * Values as configuration files have them, checked as they are taken: the
 * daemon's own file and a service's (http/service/) agree on what a number, a
 * name and a store are.
 *
 * Each function returns false where the value is not good, with a sentence in
 * reason.
 */
#ifndef CORE_CONFIG_VALUE_H
#define CORE_CONFIG_VALUE_H

#include "core/base.h"
#include "core/config.h"
#include "core/config_table.h"

enum { CONFIG_NAME_MAX = 64, CONFIG_PATH_MAX = 1024 };

/* Where to say what is wrong. */
struct config_reason {
	char *text;
	size_t size;
};

/* Always false, for `return config_refuse(...)`. */
bool config_refuse(const struct config_reason *reason, const char *format, ...)
	PRINTF(2, 3);
/* "KEY is "VALUE", not EXPECTED" */
bool config_refuse_value(const struct config_reason *reason, const char *key,
			 const char *value, const char *expected);

MUST_CHECK bool config_take_number(const struct config_reason *reason,
				   const struct config_number *number,
				   const char *value, uint64_t *out);
/* A copy, in place of what *out had, which is freed. */
MUST_CHECK bool config_take_text(const struct config_reason *reason,
				 const char *value, char **out);
/* The same for a path: not empty, no control bytes, CONFIG_PATH_MAX. */
MUST_CHECK bool config_take_path(const struct config_reason *reason,
				 const char *key, const char *value,
				 char **out);
/* 1 to 64 of A-Z a-z 0-9 _ -. what is "a store's name". */
MUST_CHECK bool config_check_name(const struct config_reason *reason,
				  const char *what, const char *name);
/* kind, max_size or ttl. kind sets *kind_given. */
MUST_CHECK bool config_take_store_key(const struct config_reason *reason,
				      const char *key, const char *value,
				      struct config_store *store,
				      bool *kind_given);

#endif
