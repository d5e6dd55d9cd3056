/* SPDX-License-Identifier: MIT */
#include "core/units.h"

#include <inttypes.h>
#include <stdio.h>

struct unit {
	char name[3];
	uint64_t factor;
};

/* From small to large: the text of a number takes the last that divides it. */
static const struct unit sizes[] = {
	{ "", 1 },
	{ "K", UINT64_C(1) << 10 },
	{ "M", UINT64_C(1) << 20 },
	{ "G", UINT64_C(1) << 30 },
	{ "T", UINT64_C(1) << 40 },
};
static const struct unit durations[] = {
	{ "ms", 1 },
	{ "s", 1000 },
	{ "m", 60 * 1000 },
	{ "h", 60 * 60 * 1000 },
	{ "d", 24 * 60 * 60 * 1000 },
};

/* Takes the digits off the front of text: at least one. */
static bool
take_digits(struct bytes *text, uint64_t *number)
{
	const char *at = text->data;
	const char *end = at + text->len;
	uint64_t sum = 0;

	if (text->len == 0 || *at < '0' || *at > '9')
		return false;
	for (; at < end && *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(sum, UINT64_C(10), &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)(*at - '0'), &sum))
			return false;
	*text = (struct bytes){ at, (size_t)(end - at) };
	*number = sum;
	return true;
}

static bool
with_unit(struct bytes text, const struct unit *units, size_t count,
	  uint64_t *result)
{
	uint64_t number, product;

	if (!take_digits(&text, &number))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!bytes_equal(text, bytes_of(units[i].name)))
			continue;
		if (__builtin_mul_overflow(number, units[i].factor, &product))
			return false;
		*result = product;
		return true;
	}
	return false;
}

bool
units_size(struct bytes text, uint64_t *bytes)
{
	return with_unit(text, sizes, ARRAY_LEN(sizes), bytes);
}

bool
units_duration_ms(struct bytes text, uint64_t *ms)
{
	return with_unit(text, durations, ARRAY_LEN(durations), ms);
}

bool
units_u64(struct bytes text, uint64_t *number)
{
	uint64_t value;

	if (!take_digits(&text, &value) || text.len > 0)
		return false;
	*number = value;
	return true;
}

bool
units_i64(struct bytes text, int64_t *number)
{
	const char *at = text.data;
	bool negative = text.len > 0 && *at == '-';
	uint64_t limit = (uint64_t)INT64_MAX + negative;
	uint64_t value;

	if (negative)
		text = (struct bytes){ ++at, text.len - 1 };
	if (text.len > 0 && *at == '0' && (negative || text.len > 1))
		return false;
	if (!units_u64(text, &value) || value > limit)
		return false;
	/* The negation is done unsigned: -INT64_MIN does not exist. */
	*number = (int64_t)(negative ? -value : value);
	return true;
}

static char *
to_text(char *out, uint64_t number, const struct unit *units, size_t count)
{
	size_t i = count - 1;

	while (i > 0 && (number == 0 || number % units[i].factor != 0))
		i--;
	snprintf(out, UNITS_TEXT_MAX, "%" PRIu64 "%s", number / units[i].factor,
		 units[i].name);
	return out;
}

char *
units_size_text(char out[UNITS_TEXT_MAX], uint64_t bytes)
{
	return to_text(out, bytes, sizes, ARRAY_LEN(sizes));
}

char *
units_duration_text(char out[UNITS_TEXT_MAX], uint64_t ms)
{
	return to_text(out, ms, durations, ARRAY_LEN(durations));
}
