/* SPDX-License-Identifier: MIT */
#include "core/config_table.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/sched.h"

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)
#define SECOND UINT64_C(1000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

const struct config_number config_workers = { "workers", CONFIG_COUNT, 0,
					      WORKERS_MAX };
/* Less than 64 KiB would not hold a store's own pages. */
const struct config_number config_max_size = { "max_size", CONFIG_SIZE,
					       64 * KIB, 16 * TIB };
const struct config_number config_ttl = { "ttl", CONFIG_DURATION, 0,
					  3650 * DAY };
const uint64_t config_max_sizes[2] = {
	[CONFIG_DURABLE] = 8 * GIB, /* a sparse file: costs what it holds */
	[CONFIG_VOLATILE] = 64 * MIB,
};
const uint64_t config_database_size = 8 * GIB;

#define LIMIT(key, field, unit, otherwise, min, max) \
	{ \
		{ key, CONFIG_##unit, min, max }, \
			offsetof(struct config, field), otherwise \
	}
/* clang-format off */
const struct config_limit config_limits[CONFIG_LIMITS] = {
	LIMIT("max_connections", max_connections, COUNT, 16384, 1, MIB),
	LIMIT("max_value", max_value, SIZE, MIB, 1, GIB),
	LIMIT("max_body", max_body, SIZE, 4 * MIB, KIB, GIB),
	LIMIT("body_memory", body_memory, SIZE, 64 * MIB, KIB, TIB),
	LIMIT("cache_size", cache_size, SIZE, 64 * MIB, 0, TIB),
	LIMIT("queue_age", queue_age_ms, DURATION, 50, 1, HOUR),
	LIMIT("header_timeout", header_timeout_ms, DURATION, 10 * SECOND, 1, DAY),
	LIMIT("body_timeout", body_timeout_ms, DURATION, 30 * SECOND, 1, DAY),
	LIMIT("write_timeout", write_timeout_ms, DURATION, 60 * SECOND, 1, DAY),
	LIMIT("idle_timeout", idle_timeout_ms, DURATION, 75 * SECOND, 1, DAY),
	LIMIT("snapshot_timeout", snapshot_timeout_ms, DURATION, 600 * SECOND, 1, DAY),
	LIMIT("drain_timeout", drain_timeout_ms, DURATION, 5 * SECOND, 1, DAY),
	LIMIT("statement_timeout", statement_timeout_ms, DURATION, 30 * SECOND, 1, DAY),
	LIMIT("slow", slow_ms, DURATION, 100, 0, DAY),
	LIMIT("slice", slice_ms, DURATION, 0, 0, HOUR),
};
/* clang-format on */

bool
config_number_parse(enum config_unit unit, const char *text, uint64_t *number)
{
	switch (unit) {
	case CONFIG_COUNT:
		return units_u64(bytes_of(text), number);
	case CONFIG_SIZE:
		return units_size(bytes_of(text), number);
	case CONFIG_DURATION:
		return units_duration_ms(bytes_of(text), number);
	}
	return false;
}

const char *
config_number_text(enum config_unit unit, char out[UNITS_TEXT_MAX],
		   uint64_t number)
{
	switch (unit) {
	case CONFIG_COUNT:
		snprintf(out, UNITS_TEXT_MAX, "%" PRIu64, number);
		break;
	case CONFIG_SIZE:
		units_size_text(out, number);
		break;
	case CONFIG_DURATION:
		units_duration_text(out, number);
		break;
	}
	return out;
}

const char *
config_unit_text(enum config_unit unit)
{
	switch (unit) {
	case CONFIG_COUNT:
		return "a whole number";
	case CONFIG_SIZE:
		return "a size such as 64M (K, M, G or T)";
	case CONFIG_DURATION:
		return "a duration such as 30s (ms, s, m, h or d)";
	}
	return "";
}
