/* SPDX-License-Identifier: MIT */
#include "core/config.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/address.h"
#include "core/config_file.h"
#include "core/config_table.h"
#include "tests/tap.h"

static char message[512];

/* ---- files that exist in memory ----------------------------------------- */

/* A path that reads as text, until the next call. */
static const char *
file_of(const char *text, size_t len)
{
	static int fd = -1;
	static char path[32];

	if (fd >= 0)
		close(fd);
	fd = memfd_create("conf", MFD_CLOEXEC);
	if (write(fd, text, len) != (ssize_t)len)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return path;
}

static enum err
load_text(struct config *config, const char *text)
{
	return config_load(config, file_of(text, strlen(text)), NULL, 0,
			   message, sizeof(message));
}

/* What config_print() writes; the caller frees. */
static char *
print(const struct config *config)
{
	int fd = memfd_create("dump", MFD_CLOEXEC);
	enum err err = config_print(config, fd);
	off_t size = lseek(fd, 0, SEEK_END);
	char *text = calloc(1, (size_t)size + 1);

	if (err || pread(fd, text, (size_t)size, 0) != size)
		abort();
	close(fd);
	return text;
}

/* Two configurations are the same when they print the same. */
static bool
same(const struct config *a, const struct config *b)
{
	char *text_a = print(a), *text_b = print(b);
	bool equal = !strcmp(text_a, text_b);

	if (!equal)
		printf("# %s\n# ---\n# %s\n", text_a, text_b);
	free(text_a);
	free(text_b);
	return equal;
}

/* ---- good ones ---------------------------------------------------------- */

static void
defaults_are_those_documented(void)
{
	struct config config, again;
	char *text;

	ok(config_load(&config, NULL, NULL, 0, message, sizeof(message)) ==
		   ERR_OK,
	   "no file");
	is_u64(config.listen_count, 1, "listens on one address");
	is_str(config.listen[0], "127.0.0.1:8080", "of this machine");
	is_str(config.data_dir, "./data", "data in ./data");
	is_u64(config.workers, 0, "a worker for each processor");
	is_u64(config.log_level, LOG_LEVEL_INFO, "log level info");
	is_u64(config.store_count, 2, "two stores");
	is_str(config.stores[0].name, "main", "main");
	ok(!config.stores[0].is_volatile, "is durable");
	is_u64(config.stores[0].max_size, UINT64_C(8) << 30, "of 8G");
	is_str(config.stores[1].name, "cache", "cache");
	ok(config.stores[1].is_volatile, "is volatile");
	is_u64(config.stores[1].max_size, 64 << 20, "of 64M");
	is_u64(config.stores[0].ttl_ms + config.stores[1].ttl_ms, 0, "no TTL");
	is_u64(config.max_connections, 16384, "max_connections");
	is_u64(config.max_value, 1 << 20, "max_value");
	is_u64(config.max_body, 4 << 20, "max_body");
	is_u64(config.body_memory, 64 << 20, "body_memory");
	is_u64(config.cache_size, 64 << 20, "cache_size");
	is_u64(config.queue_age_ms, 50, "queue_age");
	is_u64(config.header_timeout_ms, 10000, "header_timeout");
	is_u64(config.body_timeout_ms, 30000, "body_timeout");
	is_u64(config.write_timeout_ms, 60000, "write_timeout");
	is_u64(config.idle_timeout_ms, 75000, "idle_timeout");
	is_u64(config.snapshot_timeout_ms, 600000, "snapshot_timeout");
	is_u64(config.drain_timeout_ms, 5000, "drain_timeout");
	is_u64(config.statement_timeout_ms, 30000, "statement_timeout");
	is_u64(config.slow_ms, 100, "slow");
	is_u64(config.slice_ms, 0, "slice");
	is_u64(config.database_count, 1, "one database");
	is_str(config.databases[0].name, "main", "main");
	is_u64(config.databases[0].max_size, UINT64_C(8) << 30, "of 8G");
	ok(!config.service_dir, "no folder of services");
	ok(!config.admin_socket, "the administrator's socket is in data_dir");
	text = print(&config);
	ok(load_text(&again, text) == ERR_OK && same(&config, &again) &&
		   !again.service_dir && !again.admin_socket,
	   "they are printed so that they read back");
	free(text);
	config_fini(&again);
	config_fini(&config);
}

static const char full[] =
	"# every key, in every way to write it\n"
	"listen = {\"127.0.0.1:0\", '[::1]:8081'}\n"
	"listen += unix:/run/jackdaw/http.sock\r\n"
	"data_dir = \"/srv/a \\\"b\\\" \\\\ \\${c} # d // e /* f\"\n"
	"workers=2 log_level = debug // two in a line\n"
	"/* over\n   several\n   lines **/\n"
	"store sessions { kind = volatile  max_size = \"64M\"  ttl = \"30m\" }\n"
	"store \"a-Z_09\" {\n"
	"\tkind = 'durable'\n"
	"}\n"
	"database main { max_size = 1G }\n"
	"database 'b-2' {\n}\n"
	"service_dir = \"/srv/services of \\${x}\"\n"
	"admin_socket = /run/admin.sock\n"
	"limits {\n"
	"\tmax_connections = 10 max_value = 100 max_body = 2K\n"
	"\tbody_memory = \"1G\" cache_size = 0 queue_age = 1s\n"
	"\theader_timeout = 1ms body_timeout = 2s write_timeout = 3m\n"
	"\tidle_timeout = 4h snapshot_timeout = 1d drain_timeout = 90s\n"
	"\tstatement_timeout = 1m slow = 0s\n"
	"}\n"
	"limits { }\n";

static void
a_file_sets_everything(void)
{
	struct config config, again;
	char *text;

	if (!ok(load_text(&config, full) == ERR_OK, "every key"))
		printf("# %s\n", message);
	is_u64(config.listen_count, 3, "three addresses");
	is_str(config.listen[1], "[::1]:8081", "in quotes");
	is_str(config.listen[2], "unix:/run/jackdaw/http.sock", "added");
	is_str(config.data_dir, "/srv/a \"b\" \\ ${c} # d // e /* f",
	       "escapes, and no comments in strings");
	is_u64(config.workers, 2, "workers");
	is_u64(config.log_level, LOG_LEVEL_DEBUG, "log_level");
	is_u64(config.store_count, 2, "two stores, and no default ones");
	is_u64(config.stores[0].ttl_ms, 1800000, "ttl");
	is_str(config.stores[1].name, "a-Z_09", "name");
	is_u64(config.stores[1].max_size, UINT64_C(8) << 30, "its default");
	is_u64(config.max_connections, 10, "max_connections");
	is_u64(config.max_value, 100, "max_value");
	is_u64(config.cache_size, 0, "cache_size");
	is_u64(config.snapshot_timeout_ms, 86400000, "snapshot_timeout");
	is_u64(config.statement_timeout_ms, 60000, "statement_timeout");
	is_u64(config.slow_ms, 0, "slow");
	is_u64(config.database_count, 2, "two databases");
	is_u64(config.databases[0].max_size, 1 << 30, "max_size");
	is_str(config.databases[1].name, "b-2", "the other's name");
	is_u64(config.databases[1].max_size, UINT64_C(8) << 30, "its default");
	is_str(config.service_dir, "/srv/services of ${x}", "service_dir");
	is_str(config.admin_socket, "/run/admin.sock", "admin_socket");
	text = print(&config);
	ok(load_text(&again, text) == ERR_OK && same(&config, &again),
	   "is printed so that it reads back");
	is_u64(again.database_count, 2, "with its databases");
	free(text);
	config_fini(&again);
	config_fini(&config);
	ok(load_text(&config, "") == ERR_OK, "an empty file");
	is_u64(config.store_count, 2, "has the default stores");
	is_u64(config.database_count, 1, "and the default database");
	config_fini(&config);
}

static void
paths_can_be_turned_off(void)
{
	static const char *const sockets[] = {
		"admin_socket = none",
		"admin_socket = \"\"",
	};
	static const char *const sets[] = { "service_dir=/a", "service_dir=" };
	struct config config, again;

	for (size_t i = 0; i < ARRAY_LEN(sockets); i++) {
		char *text;

		if (load_text(&config, sockets[i]))
			abort();
		is_str(config.admin_socket, "", sockets[i]);
		text = print(&config);
		ok(load_text(&again, text) == ERR_OK && again.admin_socket &&
			   !*again.admin_socket,
		   "is printed so that it reads back");
		free(text);
		config_fini(&config);
		config_fini(&again);
	}
	ok(load_text(&config, "service_dir = \"\"") == ERR_OK &&
		   !config.service_dir,
	   "an empty service_dir is none");
	config_fini(&config);
	ok(config_load(&config, NULL, sets, 2, message, sizeof(message)) ==
			   ERR_OK &&
		   !config.service_dir,
	   "it may be taken back");
	config_fini(&config);
}

/* Uncomments the lines that show a default: "#key = value". */
static void
uncomment(char *text)
{
	for (char *at = text; (at = strchr(at, '#')); at++)
		if (at[1] >= 'a' && at[1] <= 'z')
			*at = ' ';
}

static void
the_shipped_file_shows_the_defaults(void)
{
	static const char *const sets[] = { "data_dir=/var/lib/jackdaw" };
	struct config defaults, shipped;
	FILE *file = fopen("etc/jackdaw.conf", "r");
	char text[16384];
	size_t len = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file)
		fclose(file);
	text[len] = '\0';
	if (config_load(&defaults, NULL, sets, 1, message, sizeof(message)))
		abort();
	if (ok(load_text(&shipped, text) == ERR_OK, "etc/jackdaw.conf")) {
		ok(same(&defaults, &shipped), "is the defaults");
		config_fini(&shipped);
	}
	uncomment(text);
	for (unsigned i = 0; i < CONFIG_LIMITS; i++)
		ok(strstr(text, config_limits[i].number.key) != NULL, "has %s",
		   config_limits[i].number.key);
	if (ok(load_text(&shipped, text) == ERR_OK, "with all uncommented")) {
		ok(same(&defaults, &shipped), "is still the defaults");
		config_fini(&shipped);
	} else {
		printf("# %s\n", message);
	}
	config_fini(&defaults);
}

/* ---- wrong ones --------------------------------------------------------- */

/* What is wrong, the line of it, and words of the reason. */
static const struct {
	const char *text;
	int line;
	const char *reason;
} wrong[] = {
	{ "wrokers = 1", 1, "no such option 'wrokers'" },
	{ "# one\n# two\n\n/* four\nfive */ wrokers = 1", 5, "wrokers" },
	{ "limits {\n\tspeed = 1\n}", 2, "no such option 'speed'" },
	{ "limits {\n# a\n# b\n\tspeed = 1\n}", 4, "speed" },
	{ "store a { kind = durable\ncolour = red }", 2, "colour" },
	{ "service_dirs = \"/etc\"", 1, "service_dirs" },
	{ "service_dir = \"a\tb\"", 1, "control character" },
	{ "service_dir = /a\nservice_dir = /b", 2, "twice" },
	{ "admin_socket = admin.sock", 1,
	  "admin_socket is \"admin.sock\", not an absolute path" },
	{ "admin_socket = off", 1, "or none" },
	{ "include(\"/etc/passwd\")", 1, "unexpected character" },
	{ "include = 1", 1, "no such option 'include'" },
	{ "\"limits|max_value\" = 1", 1, "no such key" },
	{ "root { }", 1, "root" },
	{ "\n'' = 1", 2, "a key without a name" },
	{ "\nlimits {\n'' = 1 }", 2, "a key without a name" },
	{ "workers = -1", 1, "workers is \"-1\", not a whole number" },
	{ "workers = many", 1, "workers" },
	{ "workers = 65", 1, "not from 0 to 64" },
	{ "workers = *2", 1, "unexpected character" },
	{ "workers = +2", 1, "+ without =" },
	{ "workers = 2;", 1, "unexpected character" },
	{ "workers = 99999999999999999999", 1, "workers" },
	{ "workers = {1}", 1, "unexpected token '{'" },
	{ "workers += 1", 1, "non-list" },
	{ "workers", 1, "end of file" },
	{ "workers = 1\n\nworkers = 1", 3, "twice, first on line 1" },
	{ "limits {\nmax_value = 1K }\nlimits { max_value = 2K }", 3,
	  "max_value is given twice, first on line 2" },
	{ "\nlog_level = loud", 2, "log_level is \"loud\"" },
	{ "data_dir = \"\"", 1, "data_dir" },
	{ "data_dir = \"a\tb\"", 1, "control character" },
	{ "data_dir = \"open\nworkers = 1", 1, "does not end on its line" },
	{ "data_dir = 'open", 1, "does not end on its line" },
	{ "data_dir = \"${HOME}/x\"", 1, "environment" },
	{ "data_dir = ${HOME}", 1, "unexpected character" },
	{ "data_dir = \"a\\n\"", 1, "backslash" },
	{ "data_dir = \"a\\", 1, "backslash" },
	{ "data_dir = \"/a\" \"/b\"", 1, "" },
	{ "workers = 1\n/* no end\n\n", 2, "a comment without an end" },
	{ "}", 1, "closing brace" },
	{ "workers = 1\n}", 2, "closing brace" },
	{ "\nlimits {\n\n", 2, "a brace that is not closed" },
	{ "store a { kind = durable", 1, "not closed" },
	{ "listen = {1.1.1.1:1", 1, "not closed" },
	{ "limits = 1", 1, "limits" },
	{ "limits x {}", 1, "limits" },
	{ "limits { max_value = \"1X\" }", 1,
	  "max_value is \"1X\", not a size" },
	{ "limits { max_value = 0 }", 1, "not from 1 to 1G" },
	{ "limits { max_value = 2G }", 1, "not from 1 to 1G" },
	{ "limits {\n idle_timeout = \"75\" }", 2, "a duration such as 30s" },
	{ "limits { drain_timeout = 0s }", 1, "not from 1ms to 1d" },
	{ "limits {\nmax_value = 1M\nbody_memory = 1K\n\n}", 3,
	  "max_value is larger than body_memory" },
	{ "limits {\nbody_memory = 2M max_value = 1M\nmax_body = 4M }", 3,
	  "max_body is larger than body_memory" },
	{ "store main { kind = durable }\nstore main { kind = durable }", 2,
	  "main" },
	{ "store main { }", 1, "store main has no kind" },
	{ "store main {\n\tmax_size = 1G\n}", 3, "store main has no kind" },
	{ "store main { kind = sometimes }", 1, "durable or volatile" },
	{ "store main { kind = durable kind = durable }", 1, "kind is given" },
	{ "store main { kind = durable max_size = lots }", 1, "max_size" },
	{ "store main { kind = durable max_size = 1K }", 1, "64K to 16T" },
	{ "store main { kind = durable ttl = \"30\" }", 1, "ttl" },
	{ "database { }", 1, "title" },
	{ "database a { }\ndatabase a { }", 2, "a" },
	{ "database a {\nkind = durable }", 2, "no such option 'kind'" },
	{ "database a {\nmax_size = 1 }", 2, "64K to 16T" },
	{ "database a {\nmax_size = 1G\nmax_size = 1G }", 3, "given twice" },
	{ "database \"a/b\" {\n}", 2, "a database's name is \"a/b\"" },
	{ "database = main", 1, "database" },
	{ "limits { statement_timeout = 0s }", 1, "not from 1ms to 1d" },
	{ "limits { slow = 100 }", 1, "a duration such as" },
	{ "store { kind = durable }", 1, "title" },
	{ "store \"a/b\" { kind = durable }", 1, "a store's name" },
	{ "store \"\" { kind = durable }", 1, "a store's name" },
	{ "store \"..\" { kind = durable }", 1, "a store's name" },
	{ "store a.b { }", 1, "a store's name" },
	{ "store a { store b { kind = durable } }", 1, "store" },
	{ "workers = 1\nlisten = {}", 2, "an empty list" },
	{ "listen += { }", 1, "an empty list" },
	{ "listen = {\n\"127.0.0.1:1\",\n\"nowhere\"}", 3, "\"nowhere\"" },
	{ "listen = 127.0.0.1:99999", 1, "127.0.0.1:99999" },
	{ "listen = {1:1 2:2}", 1, "" },
	{ "listen = {a, , b}", 1, "" },
};

static void
what_is_wrong_is_named(void)
{
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		const char *path =
			file_of(wrong[i].text, strlen(wrong[i].text));
		struct config config;
		char where[64];
		enum err err;

		snprintf(where, sizeof(where), "%s:%d: ", path, wrong[i].line);
		message[0] = '\0';
		err = config_load(&config, path, NULL, 0, message,
				  sizeof(message));
		if (!ok(err == ERR_BAD &&
				!strncmp(message, where, strlen(where)) &&
				strstr(message, wrong[i].reason),
			"line %d: %s", wrong[i].line, wrong[i].reason))
			printf("# err %d: %s\n", err, message);
		if (!err)
			config_fini(&config);
	}
}

static void
lists_have_bounds(void)
{
	char text[4096] = "listen = {1.1.1.1:1";
	struct config config;

	for (unsigned i = 1; i < CONFIG_LISTEN_MAX; i++)
		strcat(text, ", 1.1.1.1:1");
	strcat(text, "}\n");
	for (unsigned i = 0; i < CONFIG_STORES_MAX; i++) {
		char store[64];

		snprintf(store, sizeof(store), "store s%u {kind=durable}\n", i);
		strcat(text, store);
	}
	if (ok(load_text(&config, text) == ERR_OK, "as many as there may be"))
		config_fini(&config);
	strcat(text, "store more {kind=durable}");
	ok(load_text(&config, text) == ERR_BAD &&
		   strstr(message, ":18: more than 16 stores"),
	   "one store too many");
	text[0] = '\0';
	for (unsigned i = 0; i <= CONFIG_DATABASES_MAX; i++)
		sprintf(text + strlen(text), "database d%u { }\n", i);
	ok(load_text(&config, text) == ERR_BAD &&
		   strstr(message, ":17: more than 16 databases"),
	   "one database too many");
	ok(load_text(&config, "listen = {1.1.1.1:1, 1.1.1.1:1, 1.1.1.1:1, "
			      "1.1.1.1:1, 1.1.1.1:1, 1.1.1.1:1, 1.1.1.1:1, "
			      "1.1.1.1:1, 1.1.1.1:1}") == ERR_BAD &&
		   strstr(message, ":1: listen has more than 8 addresses"),
	   "one address too many");
}

static void
unreadable_files_are_named(void)
{
	struct config config;
	static char big[2 << 20];

	ok(config_load(&config, "/nonexistent/jackdaw.conf", NULL, 0, message,
		       sizeof(message)) == ERR_NOTFOUND,
	   "a file that is not there");
	is_str(message, "/nonexistent/jackdaw.conf: No such file or directory",
	       "says so");
	ok(config_load(&config, "/", NULL, 0, message, sizeof(message)) ==
		   ERR_IO,
	   "a folder");
	is_str(message, "/: Is a directory", "says so");
	memset(big, ' ', sizeof(big));
	ok(config_load(&config, file_of(big, sizeof(big)), NULL, 0, message,
		       sizeof(message)) == ERR_TOO_LARGE &&
		   strstr(message, "larger than"),
	   "a file that is too large");
	ok(config_load(&config, file_of("workers = \"1\0\"", 14), NULL, 0,
		       message, sizeof(message)) == ERR_BAD &&
		   strstr(message, ":1: a control"),
	   "a NUL in a string");
	ok(config_load(&config, file_of("\0", 1), NULL, 0, message,
		       sizeof(message)) == ERR_BAD,
	   "a NUL elsewhere");
}

/* ---- --set -------------------------------------------------------------- */

static void
sets_override_the_file(void)
{
	static const char *const sets[] = {
		"workers=2",
		"workers=3",
		"listen=127.0.0.1:0,unix:/tmp/a b",
		"data_dir=/srv/a=b \"c\"",
		"log_level=warn",
		"limits.max_value=2M",
		"store.main.max_size=1G",
		"store.main.kind=volatile",
		"store.new.ttl=1h",
		"store.new.kind=durable",
		"database.main.max_size=1G",
		"database.new.max_size=2G",
		"service_dir=/srv/my services",
		"admin_socket=/tmp/a=b",
		"limits.slow=1s",
	};
	const char *path = file_of(full, strlen(full));
	struct config config;

	ok(config_load(&config, NULL, sets, ARRAY_LEN(sets), message,
		       sizeof(message)) == ERR_OK,
	   "over the defaults");
	is_u64(config.workers, 3, "the last one wins");
	is_u64(config.listen_count, 2, "listen is replaced");
	is_str(config.listen[1], "unix:/tmp/a b", "by two");
	is_str(config.data_dir, "/srv/a=b \"c\"", "a value is taken as it is");
	is_u64(config.max_value, 2 << 20, "a limit");
	is_u64(config.store_count, 3, "a store more");
	is_u64(config.stores[0].max_size, 1 << 30, "a size");
	ok(config.stores[0].is_volatile, "another kind");
	is_str(config.stores[2].name, "new", "the new one");
	is_u64(config.stores[2].ttl_ms, 3600000, "has its TTL");
	is_u64(config.stores[2].max_size, UINT64_C(8) << 30,
	       "and the size of its kind");
	is_u64(config.database_count, 2, "a database more");
	is_u64(config.databases[0].max_size, 1 << 30, "a size");
	is_str(config.databases[1].name, "new", "the new one");
	is_u64(config.databases[1].max_size, UINT64_C(2) << 30, "has its size");
	is_str(config.service_dir, "/srv/my services", "service_dir");
	is_str(config.admin_socket, "/tmp/a=b", "admin_socket");
	is_u64(config.slow_ms, 1000, "slow");
	config_fini(&config);

	ok(config_load(&config, path, &sets[2], 1, message, sizeof(message)) ==
		   ERR_OK,
	   "over a file");
	is_u64(config.listen_count, 2, "the file's three are replaced by two");
	is_u64(config.workers, 2, "what is not set stays");
	config_fini(&config);
}

static void
sets_are_checked_as_strictly(void)
{
	static const struct {
		const char *set, *message;
	} cases[] = {
		{ "wrokers=3", "--set wrokers: no such key" },
		{ "workers=x", "--set workers: workers is \"x\", not a whole "
			       "number" },
		{ "workers=", "--set workers: " },
		{ "workers", "--set \"workers\": key=value is expected" },
		{ "", "--set \"\": key=value is expected" },
		{ "=", "--set : no such key" },
		{ "limits=1", "--set limits: no such key" },
		{ "limits.=1", "--set limits.: no such limit" },
		{ "limits.speed=1", "--set limits.speed: no such limit" },
		{ "limits.max_value=1X", "--set limits.max_value: max_value" },
		{ "limits.body_memory=1K",
		  "--set limits.body_memory: max_value is larger" },
		{ "limits.max_body=1G",
		  "--set limits.max_body: max_body is larger" },
		{ "store=1", "--set store: no such key" },
		{ "store.main=1", "--set store.main: no such key" },
		{ "store.main.colour=red", "--set store.main.colour: no such" },
		{ "store.main.kind=x", "--set store.main.kind: kind is" },
		{ "store..kind=durable", "--set store..kind: a store's name" },
		{ "store.a/b.kind=durable", "--set store.a/b.kind: a store's" },
		{ "store.absent.ttl=1h", "--set store.absent: no such store" },
		{ "database.main=1", "--set database.main: no such key" },
		{ "database.main.size=1", "--set database.main.size: no such "
					  "key of a database" },
		{ "database.new.size=1", "--set database.new.size: no such" },
		{ "database.a/b.max_size=1G",
		  "--set database.a/b.max_size: a database's name" },
		{ "database.main.max_size=x",
		  "--set database.main.max_size: max_size is \"x\"" },
		{ "databases.main.max_size=1G", "--set databases.main.max_" },
		{ "admin_socket=x", "--set admin_socket: admin_socket is" },
		{ "service_dir=a\x01", "--set service_dir: service_dir is" },
		{ "limits.slow=x", "--set limits.slow: slow is" },
		{ "listen=nowhere", "--set listen: listen is \"nowhere\"" },
		{ "listen=", "--set listen: listen is \"\"" },
		{ "listen=127.0.0.1:1,", "--set listen: listen is \"\"" },
		{ "data_dir=a\nb", "--set data_dir: data_dir is \"a\\x0ab\"" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config config;
		enum err err = config_load(&config, NULL, &cases[i].set, 1,
					   message, sizeof(message));

		if (!ok(err == ERR_BAD &&
				strstr(message, cases[i].message) == message,
			"refuses '%s'", cases[i].set))
			printf("# err %d: %s\n", err, message);
		if (!err)
			config_fini(&config);
	}
}

/* ---- threads ------------------------------------------------------------ */

static bool
take_number(void *arg, const struct config_entry *entry, char *reason,
	    size_t size)
{
	*(unsigned *)arg += (unsigned)atoi(entry->value);
	return true;
}

/* Returns what was wrong. */
static void *
read_many(void *arg)
{
	static const struct config_key keys[] = { { .section = "",
						    .key = "number" } };
	uintptr_t bad = 0;

	for (unsigned i = 0; i < 200; i++) {
		unsigned sum = 0;
		struct config_visitor visitor = { take_number, &sum };
		char text[64], reason[128] = "";
		enum err err;

		snprintf(text, sizeof(text), "\n%s = %u",
			 i % 2 ? "number" : "numbers", i);
		err = config_file_parse("a", bytes_of(text), keys, 1, &visitor,
					reason, sizeof(reason));
		bad += i % 2 ? err || sum != i
			     : !err || strncmp(reason, "a:2: ", 5) != 0;
	}
	return (void *)bad;
}

static void
files_are_read_by_any_thread(void)
{
	pthread_t threads[4];
	uintptr_t bad = 0;

	for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
		if (pthread_create(&threads[i], NULL, read_many, NULL))
			abort();
	for (unsigned i = 0; i < ARRAY_LEN(threads); i++) {
		void *result;

		pthread_join(threads[i], &result);
		bad += (uintptr_t)result;
	}
	is_u64(bad, 0, "each gets its own");
}

/* ---- addresses ---------------------------------------------------------- */

static void
addresses_are_numeric(void)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{ "127.0.0.1:8080", true },
		{ "0.0.0.0:0", true },
		{ "[::1]:65535", true },
		{ "[::ffff:127.0.0.1]:80", true },
		{ "[2001:db8:1111:2222:3333:4444:5555:6666]:80", true },
		{ "localhost:8080", true },
		{ "unix:/run/a.sock", true },
		{ "", false },
		{ ":", false },
		{ ":8080", false },
		{ "[]:80", false },
		{ "[:80", false },
		{ "]:80", false },
		{ "::1]:80", false },
		{ "[::1:80", false },
		{ "[127.0.0.1]:80", false },
		{ "127.0.0.1", false },
		{ "127.0.0.1:", false },
		{ "127.0.0.1:65536", false },
		{ "127.0.0.1:+80", false },
		{ "127.0.0.1:0x50", false },
		{ "127.0.0.1:80 ", false },
		{ "127.0.0.256:80", false },
		{ "127.1:80", false },
		{ "::1:80", false },
		{ "[::1]", false },
		{ "[::1%lo]:80", false },
		{ "example.com:80", false },
		{ "http://127.0.0.1:80", false },
		{ "unix:", false },
		{ "unix:a.sock", false },
		{ "unix:@abstract", false },
		{ "unix:/a\n", false },
		{ "UNIX:/a", false },
	};
	char longest[5 + 108 + 1] = "unix:/";

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ok(address_is_valid(cases[i].text) == cases[i].good,
		   "address '%s'", cases[i].text);
	memset(longest + 6, 'x', 106);
	ok(address_is_valid(longest), "the longest path of a socket");
	longest[112] = 'x';
	ok(!address_is_valid(longest), "one byte longer");
}

int
main(void)
{
	defaults_are_those_documented();
	a_file_sets_everything();
	paths_can_be_turned_off();
	the_shipped_file_shows_the_defaults();
	what_is_wrong_is_named();
	lists_have_bounds();
	unreadable_files_are_named();
	sets_override_the_file();
	sets_are_checked_as_strictly();
	files_are_read_by_any_thread();
	addresses_are_numeric();
	return tap_done();
}
