/* SPDX-License-Identifier: MIT */
/*
 * Any file is read or refused with its name; what was read prints so that it
 * reads back to the same. The input is a file, and behind a NUL each, values
 * for --set.
 */
#include "core/config.h"

#include <sys/mman.h>

#include "tests/fuzz/fuzz_main.h"

enum { SETS_MAX = 8 };

/* A file in memory that has another content each time. */
struct memory_file {
	int fd;
	char path[32];
};

static struct memory_file *
file_make(struct memory_file *file)
{
	if (file->fd == 0) {
		file->fd = memfd_create("conf", MFD_CLOEXEC);
		snprintf(file->path, sizeof(file->path), "/proc/self/fd/%d",
			 file->fd);
	}
	if (ftruncate(file->fd, 0) || lseek(file->fd, 0, SEEK_SET))
		abort();
	return file;
}

static void
same_content(const struct memory_file *a, const struct memory_file *b)
{
	static char text_a[1 << 16], text_b[1 << 16];
	ssize_t len_a = pread(a->fd, text_a, sizeof(text_a), 0);
	ssize_t len_b = pread(b->fd, text_b, sizeof(text_b), 0);

	FUZZ_CHECK(len_a > 0 && len_a == len_b &&
		   !memcmp(text_a, text_b, (size_t)len_a));
}

static void
check_prints(const struct config *config)
{
	static struct memory_file first, second;
	struct config again;
	char message[512] = "";
	enum err err;

	FUZZ_CHECK(!config_print(config, file_make(&first)->fd));
	err = config_load(&again, first.path, NULL, 0, message,
			  sizeof(message));
	if (err)
		fprintf(stderr, "%s\n", message);
	FUZZ_CHECK(!err);
	FUZZ_CHECK(!config_print(&again, file_make(&second)->fd));
	same_content(&first, &second);
	config_fini(&again);
}

/* Cuts the values for --set off the end of text, which has a NUL behind. */
static size_t
cut_sets(const char *text, size_t size, const char **sets, unsigned *count)
{
	size_t len = strlen(text);

	*count = 0;
	for (size_t at = len + 1; at <= size && *count < SETS_MAX;
	     at += strlen(text + at) + 1)
		sets[(*count)++] = text + at;
	return len;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct memory_file file;
	const char *sets[SETS_MAX];
	char *text = calloc(1, size + 1), message[512] = "";
	struct config config;
	unsigned count;
	size_t len;
	enum err err;

	memcpy(text, data, size);
	len = cut_sets(text, size, sets, &count);
	if (write(file_make(&file)->fd, text, len) != (ssize_t)len)
		abort();
	err = config_load(&config, file.path, sets, count, message,
			  sizeof(message));
	if (err) {
		FUZZ_CHECK(!strncmp(message, file.path, strlen(file.path)) ||
			   !strncmp(message, "--set ", 6));
	} else {
		check_prints(&config);
		config_fini(&config);
	}
	free(text);
	return 0;
}

FUZZ_SEEDS(5000, SEED(""), SEED("# comment\nworkers = 1 // two\n"),
	   SEED("/* a\n * b */ log_level = debug"),
	   SEED("listen = {\"127.0.0.1:0\", '[::1]:8081'}\n"
		"listen += unix:/run/http.sock"),
	   SEED("data_dir = \"/a \\\"b\\\" \\\\ \\${c} # d\""),
	   SEED("store main { kind = durable max_size = \"64M\" }\n"
		"store cache { kind = volatile ttl = 30m }\n"),
	   SEED("limits {\n\tmax_value = 100\n\tbody_memory = \"1G\"\n"
		"\tidle_timeout = 4h\n}\n"),
	   SEED("database main { max_size = 64M }\ndatabase b { }\n"
		"service_dir = /srv\nadmin_socket = '/run/a b'\n"
		"limits { slow = 0s statement_timeout = 1m }"),
	   SEED("admin_socket = none\0database.x.max_size=1G"
		"\0service_dir=/a\"\0admin_socket="),
	   SEED("workers = 2\0workers=3\0limits.max_body=2K"
		"\0store.new.kind=durable\0listen=localhost:1,unix:/a$\"\\"));
