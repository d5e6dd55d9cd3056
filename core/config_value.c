/* SPDX-License-Identifier: MIT */
#include "core/config_value.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool
config_refuse(const struct config_reason *reason, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reason->text, reason->size, format, args);
	va_end(args);
	return false;
}

bool
config_refuse_value(const struct config_reason *reason, const char *key,
		    const char *value, const char *expected)
{
	char quoted[80];

	log_quote(quoted, sizeof(quoted), bytes_of(value));
	return config_refuse(reason, "%s is %s, not %s", key, quoted, expected);
}

bool
config_take_number(const struct config_reason *reason,
		   const struct config_number *number, const char *value,
		   uint64_t *out)
{
	char min[UNITS_TEXT_MAX], max[UNITS_TEXT_MAX];
	uint64_t parsed;

	if (!config_number_parse(number->unit, value, &parsed))
		return config_refuse_value(reason, number->key, value,
					   config_unit_text(number->unit));
	if (parsed < number->min || parsed > number->max)
		return config_refuse(
			reason, "%s is %.40s, not from %s to %s", number->key,
			value,
			config_number_text(number->unit, min, number->min),
			config_number_text(number->unit, max, number->max));
	*out = parsed;
	return true;
}

bool
config_take_text(const struct config_reason *reason, const char *value,
		 char **out)
{
	char *copy = strdup(value);

	if (!copy)
		return config_refuse(reason, "%s", err_text(ERR_NOMEM));
	free(*out);
	*out = copy;
	return true;
}

static bool
has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7F)
			return true;
	return false;
}

bool
config_take_path(const struct config_reason *reason, const char *key,
		 const char *value, char **out)
{
	if (*value == '\0' || has_control(value) ||
	    strlen(value) > CONFIG_PATH_MAX)
		return config_refuse_value(reason, key, value, "a path");
	return config_take_text(reason, value, out);
}

bool
config_check_name(const struct config_reason *reason, const char *what,
		  const char *name)
{
	size_t len = strlen(name);

	if (len < 1 || len > CONFIG_NAME_MAX ||
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			 "abcdefghijklmnopqrstuvwxyz0123456789_-") != len)
		return config_refuse_value(reason, what, name,
					   "1 to 64 of A-Z a-z 0-9 _ -");
	return true;
}

bool
config_take_store_key(const struct config_reason *reason, const char *key,
		      const char *value, struct config_store *store,
		      bool *kind_given)
{
	if (!strcmp(key, config_max_size.key))
		return config_take_number(reason, &config_max_size, value,
					  &store->max_size);
	if (!strcmp(key, config_ttl.key))
		return config_take_number(reason, &config_ttl, value,
					  &store->ttl_ms);
	if (strcmp(key, "kind"))
		return config_refuse(reason, "no such key of a store");
	if (strcmp(value, "durable") && strcmp(value, "volatile"))
		return config_refuse_value(reason, key, value,
					   "durable or volatile");
	store->is_volatile = !strcmp(value, "volatile");
	*kind_given = true;
	return true;
}
