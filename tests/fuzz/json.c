/* SPDX-License-Identifier: MIT */
/* What we write, jansson reads back; what is UTF-8, it says as well. */
#include "core/json.h"

#include <jansson.h>

#include "tests/fuzz/fuzz_main.h"

enum { OUT_MAX = 1 << 20 };

static bool
same_string(const json_t *value, struct bytes text)
{
	return json_is_string(value) &&
	       bytes_equal((struct bytes){ json_string_value(value),
					   json_string_length(value) },
			   text);
}

static void
check_string(struct bytes text)
{
	json_t *theirs = json_stringn(text.data, text.len);
	struct buffer out;
	struct json json;
	json_t *value;

	FUZZ_CHECK(json_is_utf8(text) == (theirs != NULL));
	json_decref(theirs);
	if (!theirs)
		return;
	buffer_init(&out, OUT_MAX);
	json_begin(&json, &out);
	json_text(&json, text);
	FUZZ_CHECK(!out.err);
	value = json_loadb(out.data, out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL,
			   NULL);
	FUZZ_CHECK(same_string(value, text));
	json_decref(value);
	buffer_fini(&out);
}

/* Strict: decoding and encoding are each other's inverse. */
static void
check_base64(struct bytes bytes)
{
	size_t text_len = base64_encoded_len(bytes.len), len;
	char *text = malloc(text_len + 1);
	char *back = malloc(base64_decoded_max(text_len));
	char *decoded = malloc(base64_decoded_max(bytes.len));

	base64_encode(bytes, text);
	FUZZ_CHECK(base64_decode((struct bytes){ text, text_len }, back, &len));
	FUZZ_CHECK(bytes_equal((struct bytes){ back, len }, bytes));
	if (base64_decode(bytes, decoded, &len)) {
		char *again = malloc(base64_encoded_len(len) + 1);

		FUZZ_CHECK(base64_encoded_len(len) == bytes.len);
		base64_encode((struct bytes){ decoded, len }, again);
		FUZZ_CHECK(!memcmp(again, bytes.data, bytes.len));
		free(again);
	}
	free(text);
	free(back);
	free(decoded);
}

static void
check_object(struct bytes bytes)
{
	json_t *root, *value, *base64;
	struct buffer out;
	struct json json;
	char *decoded;
	size_t len;

	buffer_init(&out, OUT_MAX);
	json_begin(&json, &out);
	json_object_begin(&json);
	json_text_or_base64(&json, "value", bytes);
	json_object_end(&json);
	FUZZ_CHECK(!out.err);
	root = json_loadb(out.data, out.len,
			  JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	value = json_object_get(root, "value");
	base64 = json_object_get(value, "base64");
	if (base64) {
		struct bytes text = { json_string_value(base64),
				      json_string_length(base64) };

		decoded = malloc(base64_decoded_max(text.len));
		FUZZ_CHECK(base64_decode(text, decoded, &len));
		FUZZ_CHECK(bytes_equal((struct bytes){ decoded, len }, bytes));
		free(decoded);
	} else {
		FUZZ_CHECK(same_string(value, bytes));
	}
	json_decref(root);
	buffer_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes bytes = { data, size };

	check_string(bytes);
	check_base64(bytes);
	check_object(bytes);
	return 0;
}

FUZZ_SEEDS(50000, SEED(""), SEED("plain text, longer than a word"),
	   SEED("\"quoted\" \\ back"), SEED("\x01\x1f line\n\r\t\b\f"),
	   SEED("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa6"),
	   SEED("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\xf0\x90\x80\x80"),
	   SEED("\xed\xa0\x80"), SEED("Zm9vYmFy"), SEED("Zm9vYg=="),
	   SEED("Zm9vYmE="), SEED("+/+/AAAA"), SEED("null\0inside"));
