/* SPDX-License-Identifier: MIT */
#include "core/units.h"

#include "tests/tap.h"

static void
sizes_take_binary_units(void)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
		{ "0", 0 },
		{ "4096", 4096 },
		{ "007", 7 },
		{ "1K", 1024 },
		{ "64M", UINT64_C(64) << 20 },
		{ "8G", UINT64_C(8) << 30 },
		{ "16T", UINT64_C(16) << 40 },
		{ "18446744073709551615", UINT64_MAX },
		{ "17179869183G", UINT64_C(17179869183) << 30 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t bytes = 1;

		ok(units_size(bytes_of(cases[i].text), &bytes) &&
			   bytes == cases[i].bytes,
		   "size %s", cases[i].text);
	}
}

static void
sizes_refuse_the_rest(void)
{
	static const char *const cases[] = {
		"",
		"M",
		"-1",
		"+1",
		" 1",
		"1 ",
		"1 M",
		"1.5G",
		"64m",
		"64MB",
		"64MiB",
		"1X",
		"0x10",
		"1KK",
		"1s",
		"1e3",
		"18446744073709551616",
		"17179869184G",
		"99999999999999999999T",
	};
	uint64_t bytes = 77;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ok(!units_size(bytes_of(cases[i]), &bytes) && bytes == 77,
		   "no size '%s'", cases[i]);
	ok(!units_size((struct bytes){ "1\0", 2 }, &bytes), "no size with NUL");
	ok(units_size((struct bytes){ "12345", 2 }, &bytes) && bytes == 12,
	   "the length ends the text");
}

static void
durations_need_a_unit(void)
{
	static const struct {
		const char *text;
		bool good;
		uint64_t ms;
	} cases[] = {
		{ "500ms", true, 500 },
		{ "0s", true, 0 },
		{ "30s", true, 30000 },
		{ "10m", true, 600000 },
		{ "2h", true, 7200000 },
		{ "1d", true, 86400000 },
		{ "18446744073709551615ms", true, UINT64_MAX },
		{ "18446744073709552s", false, 0 },
		{ "213503982335d", false, 0 },
		{ "30", false, 0 },
		{ "s", false, 0 },
		{ "", false, 0 },
		{ "1us", false, 0 },
		{ "30S", false, 0 },
		{ "1h30m", false, 0 },
		{ "-1s", false, 0 },
		{ "1 s", false, 0 },
		{ "1.5s", false, 0 },
		{ "1msx", false, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t ms = 0;
		bool good = units_duration_ms(bytes_of(cases[i].text), &ms);

		ok(good == cases[i].good && ms == cases[i].ms, "duration '%s'",
		   cases[i].text);
	}
}

static void
signed_numbers_are_canonical(void)
{
	static const struct {
		const char *text;
		bool good;
		int64_t number;
	} cases[] = {
		{ "0", true, 0 },
		{ "7", true, 7 },
		{ "-7", true, -7 },
		{ "9223372036854775807", true, INT64_MAX },
		{ "-9223372036854775808", true, INT64_MIN },
		{ "9223372036854775808", false, 0 },
		{ "-9223372036854775809", false, 0 },
		{ "18446744073709551615", false, 0 },
		{ "-0", false, 0 },
		{ "00", false, 0 },
		{ "007", false, 0 },
		{ "-07", false, 0 },
		{ "+7", false, 0 },
		{ "--7", false, 0 },
		{ "-", false, 0 },
		{ "", false, 0 },
		{ "7 ", false, 0 },
		{ "7\n", false, 0 },
		{ "1.0", false, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t number = 0;
		bool good = units_i64(bytes_of(cases[i].text), &number);

		ok(good == cases[i].good && number == cases[i].number,
		   "number '%s'", cases[i].text);
	}
}

static void
texts_read_back(void)
{
	static const struct {
		uint64_t number;
		const char *size, *duration;
	} cases[] = {
		{ 0, "0", "0ms" },
		{ 1000, "1000", "1s" },
		{ 1024, "1K", "1024ms" },
		{ 90000, "90000", "90s" },
		{ UINT64_C(64) << 20, "64M", "67108864ms" },
		{ 7 * UINT64_C(86400000), "590625K", "7d" },
		{ UINT64_MAX, "18446744073709551615",
		  "18446744073709551615ms" },
	};
	char text[UNITS_TEXT_MAX];
	uint64_t back;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		is_str(units_size_text(text, cases[i].number), cases[i].size,
		       cases[i].size);
		ok(units_size(bytes_of(text), &back) && back == cases[i].number,
		   "%s reads back", text);
		is_str(units_duration_text(text, cases[i].number),
		       cases[i].duration, cases[i].duration);
		ok(units_duration_ms(bytes_of(text), &back) &&
			   back == cases[i].number,
		   "%s reads back", text);
	}
}

int
main(void)
{
	uint64_t number;

	sizes_take_binary_units();
	sizes_refuse_the_rest();
	durations_need_a_unit();
	signed_numbers_are_canonical();
	texts_read_back();
	ok(!units_u64(bytes_of("1K"), &number), "whole numbers have no unit");
	ok(units_u64(bytes_of("18446744073709551615"), &number) &&
		   number == UINT64_MAX,
	   "the largest whole number");
	return tap_done();
}
