/* SPDX-License-Identifier: MIT */
#include "core/percent.h"

#include "tests/tap.h"

static void
escapes_become_bytes(void)
{
	static const struct {
		const char *text;
		enum percent_plus plus;
		const char *out; /* NULL: refused */
	} cases[] = {
		{ "", PERCENT_PLUS, "" },
		{ "plain/key", PERCENT_PLUS, "plain/key" },
		{ "a%20b", PERCENT_PLUS, "a b" },
		{ "%2F%2f", PERCENT_PLUS, "//" },
		{ "%c3%BC", PERCENT_PLUS, "\xc3\xbc" },
		{ "%ff", PERCENT_PLUS, "\xff" },
		{ "%2541", PERCENT_PLUS, "%41" }, /* once, not twice */
		{ "a+b", PERCENT_PLUS, "a+b" },
		{ "a+b", PERCENT_PLUS_IS_SPACE, "a b" },
		{ "a%2Bb", PERCENT_PLUS_IS_SPACE, "a+b" },
		{ "%", PERCENT_PLUS, NULL },
		{ "%4", PERCENT_PLUS, NULL },
		{ "a%4", PERCENT_PLUS, NULL },
		{ "%4g", PERCENT_PLUS, NULL },
		{ "%g4", PERCENT_PLUS, NULL },
		{ "% 4", PERCENT_PLUS, NULL },
		{ "%+4", PERCENT_PLUS, NULL },
		{ "%%41", PERCENT_PLUS, NULL },
		{ "%@A", PERCENT_PLUS, NULL }, /* next to the letters */
		{ "%A`", PERCENT_PLUS, NULL },
		{ "%/0", PERCENT_PLUS, NULL },
		{ "%0:", PERCENT_PLUS, NULL },
		{ "%u0041", PERCENT_PLUS, NULL },
		{ "a%00b", PERCENT_PLUS, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bytes text = bytes_of(cases[i].text);
		/* Exactly as large as promised, for the sanitizer. */
		char *out = malloc(text.len ? text.len : 1);
		size_t len = 99;
		bool good = percent_decode(text, cases[i].plus, out, &len);

		if (cases[i].out)
			ok(good && bytes_equal((struct bytes){ out, len },
					       bytes_of(cases[i].out)),
			   "'%s'", cases[i].text);
		else
			ok(!good && len == 99, "refuses '%s'", cases[i].text);
		free(out);
	}
}

int
main(void)
{
	char text[] = "%41b%43";
	size_t len;

	escapes_become_bytes();
	ok(!percent_decode((struct bytes){ "a\0b", 3 }, PERCENT_PLUS, text,
			   &len),
	   "refuses a NUL as it is");
	strcpy(text, "%41b%43");
	ok(percent_decode(bytes_of(text), PERCENT_PLUS, text, &len) &&
		   len == 3 && !memcmp(text, "AbC", 3),
	   "decodes in place");
	ok(!percent_decode((struct bytes){ "%41", 2 }, PERCENT_PLUS, text,
			   &len),
	   "does not read beyond the length");
	return tap_done();
}
