/* SPDX-License-Identifier: MIT */
/* Decoding agrees with a slow and obvious one, in place or not. */
#include "core/percent.h"

#include <ctype.h>

#include "tests/fuzz/fuzz_main.h"

static bool
slowly(const uint8_t *in, size_t size, bool plus, uint8_t *out, size_t *len)
{
	*len = 0;
	for (size_t i = 0; i < size; i++) {
		unsigned byte = in[i];

		if (byte == '%') {
			char hex[3] = "";

			if (i + 2 >= size || !isxdigit(in[i + 1]) ||
			    !isxdigit(in[i + 2]))
				return false;
			memcpy(hex, in + i + 1, 2);
			byte = (unsigned)strtoul(hex, NULL, 16);
			i += 2;
		} else if (byte == '+' && plus) {
			byte = ' ';
		}
		if (byte == 0)
			return false;
		out[(*len)++] = (uint8_t)byte;
	}
	return true;
}

static void
check(const uint8_t *data, size_t size, enum percent_plus plus)
{
	uint8_t *expected = malloc(size + 1), *out = malloc(size + 1);
	size_t expected_len, len;
	bool good =
		percent_decode((struct bytes){ data, size }, plus, out, &len);

	FUZZ_CHECK(good == slowly(data, size, plus == PERCENT_PLUS_IS_SPACE,
				  expected, &expected_len));
	if (good) {
		FUZZ_CHECK(len == expected_len && !memcmp(out, expected, len));
		memcpy(out, data, size);
		FUZZ_CHECK(percent_decode((struct bytes){ out, size }, plus,
					  out, &len));
		FUZZ_CHECK(len == expected_len && !memcmp(out, expected, len));
	}
	free(expected);
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check(data, size, PERCENT_PLUS);
	check(data, size, PERCENT_PLUS_IS_SPACE);
	return 0;
}

FUZZ_SEEDS(200000, SEED(""), SEED("plain/key"), SEED("a%20b+c"),
	   SEED("%c3%BC%2F%2f"), SEED("%00"), SEED("%"), SEED("%4"),
	   SEED("%%41"), SEED("%@A%A`%/0%0:"));
