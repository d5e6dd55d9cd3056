/* SPDX-License-Identifier: MIT */
/* Any JSON becomes a service's files, all of them good, or is refused with a
 * word; and what becomes of them parses or is complained of. */
#include "core/json.h"
#include "http/service/parse.h"
#include "tests/fuzz/fuzz_main.h"

static bool
is_good_path(const char *path)
{
	size_t len = strlen(path);

	if (!strcmp(path, "service.conf"))
		return true;
	return len <= SERVICE_PATH_MAX && len > 4 && path[0] != '/' &&
	       path[0] != '.' && !strstr(path, "/.") && !strstr(path, "//") &&
	       !strchr(path, '\\') && !strcmp(path + len - 4, ".sql") &&
	       (!strchr(path, '/') ||
		(!strncmp(path, "migrations/", 11) && !strchr(path + 11, '/')));
}

static void
check_file(const struct service_files *files, unsigned i)
{
	const struct service_file *file = &files->files[i];

	FUZZ_CHECK(is_good_path(file->path));
	FUZZ_CHECK(i == 0 || strcmp(file[-1].path, file->path) < 0);
	FUZZ_CHECK(file->data[file->len] == '\0');
	FUZZ_CHECK(strlen(file->data) == file->len);
	FUZZ_CHECK(json_is_utf8((struct bytes){ file->data, file->len }));
	FUZZ_CHECK(service_files_find(files, file->path) == file);
}

static void
check_parse(const struct service_files *files)
{
	static struct complaints complaints;
	struct service_spec spec;

	complaints_init(&complaints);
	service_parse(&spec, files, &complaints);
	FUZZ_CHECK(spec.route_count > 0 || complaints.errors > 0);
	for (unsigned i = 1; i < complaints.count; i++) {
		const struct complaint *a = &complaints.list[i - 1];
		const struct complaint *b = &complaints.list[i];
		int order =
			strcmp(a->file ? a->file : "", b->file ? b->file : "");

		FUZZ_CHECK(order < 0 || (order == 0 && a->line <= b->line));
	}
	service_spec_fini(&spec);
	complaints_fini(&complaints);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct service_files files;
	char message[512] = "";
	enum err err = service_files_parse(&files, (struct bytes){ data, size },
					   "shop", message, sizeof(message));

	FUZZ_CHECK(err ? files.count == 0 && message[0] : files.count > 0);
	for (unsigned i = 0; i < files.count; i++)
		check_file(&files, i);
	if (!err)
		check_parse(&files);
	service_files_fini(&files);
	return 0;
}

FUZZ_SEEDS(10000, SEED(""), SEED("{}"),
	   SEED("{\"files\":{\"a.sql\":\"-- GET /a\\nSELECT 1;\\n\"}}"),
	   SEED("{\"files\":{\"service.conf\":\"cache = no\\n\","
		"\"migrations/0001_init.sql\":\"CREATE TABLE a(b);\","
		"\"migrations/0002_b.sql\":\"-- \\u00fc\","
		"\"a.sql\":\"-- GET /{a}\\nSELECT 1;-- GET /b\\nSELECT 2\","
		"\"b.sql\":\"-- GET /{b}\\nSELECT '\"}}"),
	   SEED("{\"files\":{\"../a.sql\":\"\",\".git/a\":\"\",\"README\":\"\","
		"\"a\\\\b.sql\":\"\\u0000\"},\"x\":[1,2,{\"y\":null}]}"));
