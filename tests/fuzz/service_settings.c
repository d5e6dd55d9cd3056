/* SPDX-License-Identifier: MIT */
/* Any service.conf is read or complained of, by its line; what is read is
 * within the limits. */
#include "core/json.h"
#include "http/service/parse.h"
#include "tests/fuzz/fuzz_main.h"

static void
check_complaints(const struct complaints *complaints, unsigned lines)
{
	for (unsigned i = 0; i < complaints->count; i++) {
		const struct complaint *complaint = &complaints->list[i];

		FUZZ_CHECK(!complaint->warning);
		FUZZ_CHECK(complaint->line >= 1 && complaint->line <= lines);
		FUZZ_CHECK(complaint->text[0]);
		FUZZ_CHECK(json_is_utf8(bytes_of(complaint->text)));
	}
}

static bool
is_store_name(const char *name)
{
	return *name && strlen(name) <= 64 &&
	       strspn(name,
		      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		      "abcdefghijklmnopqrstuvwxyz0123456789_-") == strlen(name);
}

/* Without a complaint. */
static void
check_stores(const struct service_settings *settings)
{
	for (unsigned i = 0; i < settings->store_count; i++) {
		FUZZ_CHECK(is_store_name(settings->stores[i]));
		for (unsigned j = 0; j < i; j++)
			FUZZ_CHECK(strcmp(settings->stores[i],
					  settings->stores[j]) != 0);
	}
	for (unsigned i = 0; i < settings->own_store_count; i++) {
		FUZZ_CHECK(is_store_name(settings->own_stores[i].name));
		FUZZ_CHECK(strlen(settings->own_stores[i].name) <= 15);
		FUZZ_CHECK(settings->own_stores[i].max_size >= 65536);
	}
}

static void
check_numbers(const struct service_settings *settings)
{
	FUZZ_CHECK(settings->requests_per_s <= 1000000);
	FUZZ_CHECK(settings->max_statements >= 1);
	FUZZ_CHECK(settings->timeout_ms >= 1 && settings->timeout_ms <= 600000);
	FUZZ_CHECK(settings->max_body >= 1 && settings->max_body <= 1 << 30);
	FUZZ_CHECK(settings->max_rows >= 1);
	FUZZ_CHECK(settings->max_reply >= 1024);
	FUZZ_CHECK(settings->max_size >= 65536);
	FUZZ_CHECK(settings->store_count <= CONFIG_STORES_MAX);
	FUZZ_CHECK(settings->own_store_count <= CONFIG_STORES_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct complaints complaints;
	struct service_spec spec = { .route_count = 0 };
	struct service_file file = { .path = (char *)"service.conf",
				     .data = (char *)data,
				     .len = size };
	unsigned lines = 1;

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	complaints_init(&complaints);
	service_parse_settings(&spec.settings, &file, &complaints);
	check_complaints(&complaints, lines);
	check_numbers(&spec.settings);
	if (!complaints.count)
		check_stores(&spec.settings);
	service_spec_fini(&spec);
	complaints_fini(&complaints);
	return 0;
}

FUZZ_SEEDS(
	10000, SEED(""), SEED("# nothing\ncache = no\n"),
	SEED("requests_per_second = 100\nmax_statements = 8 timeout = 2s\n"
	     "max_body = \"64K\" max_rows = 50 max_reply = 1M max_size = 1G"),
	SEED("stores = {\"main\", \"cache\"}\nstores += {more}\n"),
	SEED("store sessions { kind = volatile ttl = 30m }\n"
	     "store a_1 {\n\tkind = durable\n\tmax_size = 64M\n}\n"),
	SEED("stores = {a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,\na,a}\nstores = b"),
	SEED("/* a\n */ timeout = 1 cache = maybe // x\nstore a-b { }"));
