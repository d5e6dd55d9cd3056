/* SPDX-License-Identifier: MIT */
/*
 * The numbers of the configuration: names, units, ranges and defaults.
 */
#ifndef CORE_CONFIG_TABLE_H
#define CORE_CONFIG_TABLE_H

#include "core/base.h"
#include "core/config.h"
#include "core/units.h"

enum config_unit { CONFIG_COUNT, CONFIG_SIZE, CONFIG_DURATION };

/* A number and its range, wherever it stands. */
struct config_number {
	const char *key;
	enum config_unit unit;
	uint64_t min, max;
};

extern const struct config_number config_workers;
extern const struct config_number config_max_size; /* of a store, a database */
extern const struct config_number config_ttl;      /* of a store */
/* By the kind of a store. */
enum { CONFIG_DURABLE, CONFIG_VOLATILE };
extern const uint64_t config_max_sizes[2];
extern const uint64_t config_database_size;

/* The section limits { ... }. */
struct config_limit {
	struct config_number number;
	size_t offset; /* in struct config, a uint64_t */
	uint64_t otherwise;
};

enum { CONFIG_LIMITS = 15 };
extern const struct config_limit config_limits[CONFIG_LIMITS];

static inline uint64_t *
config_limit_field(struct config *config, const struct config_limit *limit)
{
	return (uint64_t *)(void *)((char *)config + limit->offset);
}

MUST_CHECK bool config_number_parse(enum config_unit unit, const char *text,
				    uint64_t *number);
/* As config_number_parse() reads it. Returns out. */
const char *config_number_text(enum config_unit unit, char out[UNITS_TEXT_MAX],
			       uint64_t number);
/* "a size such as 64M (K, M, G or T)" */
const char *config_unit_text(enum config_unit unit);

#endif
