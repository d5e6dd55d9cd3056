/* SPDX-License-Identifier: MIT */
#include "core/json.h"

#include <jansson.h>

#include "tests/tap.h"

static bool
holds(const struct buffer *buffer, const char *text)
{
	bool same = bytes_equal((struct bytes){ buffer->data, buffer->len },
				bytes_of(text));

	if (!same)
		printf("# got %.*s\n", (int)buffer->len, buffer->data);
	return same;
}

static void
commas_and_colons_are_placed(void)
{
	struct buffer out;
	struct json json;

	buffer_init(&out, 1000);
	json_begin(&json, &out);
	json_object_begin(&json);
	json_name(&json, "items");
	json_array_begin(&json);
	json_object_begin(&json);
	json_object_end(&json);
	json_array_begin(&json);
	json_u64(&json, 1);
	json_i64(&json, -2);
	json_array_end(&json);
	json_bool(&json, true);
	json_bool(&json, false);
	json_none(&json);
	json_array_end(&json);
	json_name(&json, "next");
	json_none(&json);
	json_name(&json, "text");
	json_text(&json, bytes_of("x"));
	json_object_end(&json);
	ok(holds(&out, "{\"items\":[{},[1,-2],true,false,null],"
		       "\"next\":null,\"text\":\"x\"}"),
	   "nested arrays and objects");
	is_u64(json.depth, 0, "every level is closed");
	buffer_fini(&out);
}

static void
bytes_that_are_no_text_are_base64(void)
{
	struct buffer out;
	struct json json;

	buffer_init(&out, 1000);
	json_begin(&json, &out);
	json_object_begin(&json);
	json_text_or_base64(&json, "key", bytes_of("gr\xc3\xbcn"));
	json_text_or_base64(&json, "value", bytes_of("\xff\xfe"));
	json_text_or_base64(&json, "none", (struct bytes){ NULL, 0 });
	json_name(&json, "base64");
	json_base64(&json, bytes_of("a"));
	json_object_end(&json);
	ok(holds(&out, "{\"key\":\"gr\xc3\xbcn\","
		       "\"value\":{\"base64\":\"//4=\"},"
		       "\"none\":\"\",\"base64\":\"YQ==\"}"),
	   "text as text, the rest as base64");
	buffer_fini(&out);
}

static void
strings_are_escaped(void)
{
	static const struct {
		const char *in;
		size_t len;
		const char *out;
	} cases[] = {
		{ "", 0, "\"\"" },
		{ "a\"b\\c/", 6, "\"a\\\"b\\\\c/\"" },
		{ "\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\"" },
		{ "\0\x1f\x7f", 3, "\"\\u0000\\u001f\x7f\"" },
		{ "\xe2\x82\xac", 3, "\"\xe2\x82\xac\"" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buffer out;
		struct json json;

		buffer_init(&out, 1000);
		json_begin(&json, &out);
		json_text(&json, (struct bytes){ cases[i].in, cases[i].len });
		ok(holds(&out, cases[i].out), "string %zu", i);
		buffer_fini(&out);
	}
}

/* Whether jansson reads back what was written for text. */
static bool
reads_back(struct bytes text)
{
	struct buffer out;
	struct json json;
	json_t *value;
	bool same;

	buffer_init(&out, 10000);
	json_begin(&json, &out);
	json_text(&json, text);
	value = json_loadb(out.data, out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL,
			   NULL);
	same = value && json_string_length(value) == text.len &&
	       !memcmp(json_string_value(value), text.data, text.len);
	json_decref(value);
	buffer_fini(&out);
	return same;
}

/* The fast path looks at eight bytes at once: each byte at each place of two
 * words and a rest. */
static void
each_byte_at_each_place(void)
{
	bool same = true, refused = true;

	for (unsigned byte = 0; byte < 256; byte++)
		for (unsigned at = 0; at < 19; at++) {
			char text[19];
			struct bytes bytes = { text, sizeof(text) };

			memset(text, '~', sizeof(text));
			text[at] = (char)byte;
			if (byte < 0x80)
				same &= json_is_utf8(bytes) &&
					reads_back(bytes);
			else
				refused &= !json_is_utf8(bytes);
		}
	ok(same, "every ASCII byte at every place reads back");
	ok(refused, "no other byte alone is UTF-8");
}

static void
utf8_is_strict(void)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{ "", true },
		{ "\xc2\x80", true },         /* U+0080, the first of two */
		{ "\xdf\xbf", true },         /* U+07FF */
		{ "\xe0\xa0\x80", true },     /* U+0800 */
		{ "\xed\x9f\xbf", true },     /* U+D7FF */
		{ "\xee\x80\x80", true },     /* U+E000 */
		{ "\xef\xbf\xbf", true },     /* U+FFFF */
		{ "\xf0\x90\x80\x80", true }, /* U+10000 */
		{ "\xf4\x8f\xbf\xbf", true }, /* U+10FFFF, the last */
		{ "1234567\xc3\xbc"
		  "12345678",
		  true },
		{ "\x80", false },
		{ "\xbf", false },
		{ "\xc0\x80", false }, /* overlong NUL */
		{ "\xc1\xbf", false },
		{ "\xe0\x9f\xbf", false },     /* overlong */
		{ "\xed\xa0\x80", false },     /* U+D800, a surrogate */
		{ "\xed\xbf\xbf", false },     /* U+DFFF */
		{ "\xf0\x8f\xbf\xbf", false }, /* overlong */
		{ "\xf4\x90\x80\x80", false }, /* U+110000 */
		{ "\xf5\x80\x80\x80", false },
		{ "\xff", false },
		{ "\xc3", false }, /* cut */
		{ "\xe2\x82", false },
		{ "\xf0\x90\x80", false },
		{ "\xe2\x28\xa1", false },
		{ "\xe2\x82\x28", false },
		{ "\xf0\x90\x28\xbc", false },
		{ "\xc3\xbc\xbc", false },
		{ "12345678\xc3", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ok(json_is_utf8(bytes_of(cases[i].text)) == cases[i].good,
		   "UTF-8 case %zu", i);
}

/* All two- and three-byte forms, and the edges of the four-byte ones, against
 * the code point that they stand for. */
static void
utf8_agrees_with_arithmetic(void)
{
	bool same = true;

	for (unsigned lead = 0xC0; lead < 0xF0; lead++)
		for (unsigned rest = 0; rest < 0x1000; rest++) {
			unsigned char text[3] = {
				(unsigned char)lead,
				(unsigned char)(0x80 | rest >> 6),
				(unsigned char)(0x80 | (rest & 63)),
			};
			bool two = lead < 0xE0;
			unsigned code = two ? (lead & 31) << 6 | rest >> 6
					    : (lead & 15) << 12 | rest;
			bool good = two ? code >= 0x80
					: code >= 0x800 && (code < 0xD800 ||
							    code > 0xDFFF);

			same &= json_is_utf8((struct bytes){
					text, two ? 2 : 3 }) == good;
		}
	ok(same, "every two- and three-byte form");
}

static void
base64_is_that_of_the_rfc(void)
{
	static const struct {
		const char *plain, *text;
	} cases[] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
		{ "\xfb\xff\xbf", "+/+/" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bytes plain = bytes_of(cases[i].plain);
		char text[16] = "", back[16];
		size_t len = 99;

		base64_encode(plain, text);
		is_str(text, cases[i].text, cases[i].text);
		is_u64(base64_encoded_len(plain.len), strlen(text), "length");
		ok(base64_decode(bytes_of(text), back, &len) &&
			   bytes_equal((struct bytes){ back, len }, plain),
		   "decodes");
	}
}

static void
base64_is_strict(void)
{
	static const char *const cases[] = {
		"Z",    "Zg",       "Zg=",        "Zm9",    "Zh==",
		"Zm9=", "=",        "====",       "Z===",   "Zg==Zg==",
		"Zg=a", "Z=g=",     " Zg=",       "Zg==\n", "Zm9v\n",
		"Zm-_", "Zm9v====", "Zm\xc3\xbc",
	};
	char out[32];
	size_t len = 99;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ok(!base64_decode(bytes_of(cases[i]), out, &len) && len == 99,
		   "refuses '%s'", cases[i]);
	strcpy(out, "Zm9vYmFy");
	ok(base64_decode(bytes_of(out), out, &len) && len == 6 &&
		   !memcmp(out, "foobar", 6),
	   "decodes in place");
}

static void
a_full_buffer_is_seen_at_the_end(void)
{
	struct buffer out;
	struct json json;

	buffer_init(&out, 10);
	json_begin(&json, &out);
	json_array_begin(&json);
	for (unsigned i = 0; i < 10; i++) {
		json_text(&json, bytes_of("abc"));
		json_base64(&json, bytes_of("abc"));
	}
	json_array_end(&json);
	ok(out.err == ERR_TOO_LARGE && out.len <= 10, "too large");
	buffer_fini(&out);
}

int
main(void)
{
	commas_and_colons_are_placed();
	bytes_that_are_no_text_are_base64();
	strings_are_escaped();
	each_byte_at_each_place();
	utf8_is_strict();
	utf8_agrees_with_arithmetic();
	base64_is_that_of_the_rfc();
	base64_is_strict();
	a_full_buffer_is_seen_at_the_end();
	return tap_done();
}
