/* SPDX-License-Identifier: MIT */
/* Numbers are what strtoull() makes of them, or are refused. */
#include "core/units.h"

#include <errno.h>
#include <inttypes.h>

#include "tests/fuzz/fuzz_main.h"

/* All digits, and within 64 bits. */
static bool
expect_u64(const char *text, uint64_t *number)
{
	errno = 0;
	*number = strtoull(text, NULL, 10);
	return *text && strspn(text, "0123456789") == strlen(text) &&
	       errno == 0;
}

/* Canonical is what prints as it was written. */
static bool
expect_i64(const char *text, int64_t *number)
{
	char again[32];

	errno = 0;
	*number = strtoll(text, NULL, 10);
	snprintf(again, sizeof(again), "%" PRId64, *number);
	return errno == 0 && !strcmp(text, again);
}

static void
check_whole(struct bytes bytes, const char *text)
{
	uint64_t u, expected_u;
	int64_t i, expected_i;
	bool good = units_u64(bytes, &u);

	FUZZ_CHECK(good == expect_u64(text, &expected_u));
	FUZZ_CHECK(!good || u == expected_u);
	good = units_i64(bytes, &i);
	FUZZ_CHECK(good == expect_i64(text, &expected_i));
	FUZZ_CHECK(!good || i == expected_i);
}

static void
check_with_units(struct bytes bytes)
{
	char text[UNITS_TEXT_MAX];
	uint64_t number, again;

	if (units_size(bytes, &number)) {
		units_size_text(text, number);
		FUZZ_CHECK(units_size(bytes_of(text), &again));
		FUZZ_CHECK(again == number);
	}
	if (units_duration_ms(bytes, &number)) {
		units_duration_text(text, number);
		FUZZ_CHECK(units_duration_ms(bytes_of(text), &again));
		FUZZ_CHECK(again == number);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes bytes = { data, size };
	char *text;

	check_with_units(bytes);
	if (memchr(data, 0, size))
		return 0;
	text = strndup((const char *)data, size);
	check_whole(bytes, text);
	free(text);
	return 0;
}

FUZZ_SEEDS(200000, SEED(""), SEED("0"), SEED("-1"), SEED("64M"), SEED("8G"),
	   SEED("30s"), SEED("500ms"), SEED("18446744073709551615"),
	   SEED("9223372036854775807"), SEED("-9223372036854775808"),
	   SEED("16777215T"), SEED("213503982334d"));
