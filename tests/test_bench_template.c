/* SPDX-License-Identifier: MIT */
#include "tools/bench/template.h"

#include "tests/tap.h"

/* What the parts make for key, of so many keys. */
static void
makes(const struct request_parts *parts, uint64_t keys, uint64_t key,
      const char *expected, const char *name)
{
	struct template template;
	struct bytes made;

	if (!ok(template_init(&template, parts, keys) == ERR_OK, "%s", name))
		return;
	made = template_make(&template, key);
	if (!ok(bytes_equal(made, bytes_of(expected)), "%s, the bytes", name))
		printf("# got %.*s\n", (int)made.len, (const char *)made.data);
	template_fini(&template);
}

static void
requests_are_made(void)
{
	struct request_parts get = { .method = "GET",
				     .path = "/a",
				     .host = "h:1" };
	struct request_parts put = { .method = "PUT",
				     .path = "/k/{key}?n={n}",
				     .host = "h",
				     .headers = { "A: b\r\n", 6 },
				     .body = { "{n}-{key}-{x}{", 14 },
				     .has_body = true };

	makes(&get, 0, 0, "GET /a HTTP/1.1\r\nHost: h:1\r\n\r\n", "no slot");
	makes(&put, 1000, 7,
	      "PUT /k/00000007?n=7 HTTP/1.1\r\nHost: h\r\nA: b\r\n"
	      "Content-Length: 15\r\n\r\n7-00000007-{x}{",

	      "one digit");
	makes(&put, 1000, 123,
	      "PUT /k/00000123?n=123 HTTP/1.1\r\nHost: h\r\nA: b\r\n"
	      "Content-Length: 17\r\n\r\n123-00000123-{x}{",
	      "three digits, another length");
	makes(&put, TEMPLATE_KEYS_MAX, TEMPLATE_KEYS_MAX - 1,
	      "PUT /k/99999999?n=99999999 HTTP/1.1\r\nHost: h\r\nA: b\r\n"
	      "Content-Length: 22\r\n\r\n99999999-99999999-{x}{",
	      "the largest key");
	put.body_is_made = true;
	makes(&put, 10, 3,
	      "PUT /k/00000003?n=3 HTTP/1.1\r\nHost: h\r\nA: b\r\n"
	      "Content-Length: 14\r\n\r\n{n}-{key}-{x}{",
	      "a made body stays as it is");
	put.body = (struct bytes){ NULL, 0 };
	put.host = NULL;
	makes(&put, 10, 3,
	      "PUT /k/00000003?n=3 HTTP/1.1\r\nA: b\r\n"
	      "Content-Length: 0\r\n\r\n",
	      "an empty body has its length; Host may be among the headers");
}

/* One template, keys of changing lengths: nothing of the last one stays. */
static void
keys_replace_each_other(void)
{
	struct request_parts parts = { .method = "GET",
				       .path = "/{n}/{key}",
				       .host = "h" };
	struct template template;
	bool good = true;

	if (!ok(template_init(&template, &parts, 100001) == ERR_OK, "made"))
		return;
	for (uint64_t key = 0; key <= 100000; key += 1 + key / 3) {
		uint64_t keys[] = { key, 100000 - key, key };

		for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
			char expected[128];
			struct bytes made = template_make(&template, keys[i]);

			snprintf(expected, sizeof(expected),
				 "GET /%llu/%08llu HTTP/1.1\r\nHost: h\r\n\r\n",
				 (unsigned long long)keys[i],
				 (unsigned long long)keys[i]);
			good &= bytes_equal(made, bytes_of(expected));
		}
	}
	ok(good, "each key, up and down, makes its own request");
	template_fini(&template);
}

static void
slots_are_found(void)
{
	ok(template_has_slot(bytes_of("/{key}")), "{key}");
	ok(template_has_slot(bytes_of("{{n}")), "{n}, after a brace");
	ok(!template_has_slot(bytes_of("{\"key\":{}}{k{ke{key")), "none");
	ok(!template_has_slot((struct bytes){ NULL, 0 }), "none in nothing");
}

static void
what_is_too_large_is_refused(void)
{
	char *large = calloc(1, TEMPLATE_MAX);
	struct request_parts parts = { .method = "PUT",
				       .path = "/",
				       .host = "h",
				       .body = { large, TEMPLATE_MAX },
				       .has_body = true,
				       .body_is_made = true };
	struct template template;

	ok(large && template_init(&template, &parts, 0) == ERR_TOO_LARGE,
	   "a request has a bound");
	free(large);
}

int
main(void)
{
	requests_are_made();
	keys_replace_each_other();
	slots_are_found();
	what_is_too_large_is_refused();
	return tap_done();
}
