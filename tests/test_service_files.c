/* SPDX-License-Identifier: MIT */
#include "http/service/files.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/tap.h"

static char message[512];
static char root[] = "/tmp/jackdaw-files-XXXXXX";

/* ---- folders ------------------------------------------------------------- */

/* root/path; three at a time. */
static const char *
at(const char *path)
{
	static char texts[3][512];
	static unsigned next;
	char *text = texts[next++ % 3];

	snprintf(text, sizeof(texts[0]), "%s/%s", root, path);
	return text;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void
clear(const char *path)
{
	nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void
put_bytes(const char *path, const void *data, size_t len)
{
	int fd = open(at(path), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		abort();
	close(fd);
}

static void
put(const char *path, const char *text)
{
	put_bytes(path, text, strlen(text));
}

/* A folder "s" with one route. */
static void
begin(void)
{
	clear(at("s"));
	if (mkdir(at("s"), 0700) || mkdir(at("s/migrations"), 0700))
		abort();
	put("s/a.sql", "-- GET /a\nSELECT 1;\n");
}

static enum err
read_folder(struct service_files *files)
{
	message[0] = '\0';
	return service_files_read(files, at("s"), "shop", message,
				  sizeof(message));
}

static void
refuses(enum err expected, const char *words, const char *name)
{
	struct service_files files;
	enum err err = read_folder(&files);

	if (!ok(err == expected && strstr(message, words), "%s", name))
		printf("# err %d: %s\n", err, message);
	ok(files.count == 0 && !files.files, "and leaves nothing");
	service_files_fini(&files);
}

static bool
has(const struct service_files *files, const char *path, const char *text)
{
	const struct service_file *file = service_files_find(files, path);

	return file && file->len == strlen(text) && !strcmp(file->data, text);
}

/* ---- names --------------------------------------------------------------- */

static void
names_are_checked(void)
{
	static const struct {
		const char *name;
		bool good;
	} cases[] = {
		{ "a", true },
		{ "shop", true },
		{ "my-shop_2", true },
		{ "a23456789012345678901234567890123456789012345678", true },
		{ "a234567890123456789012345678901234567890123456789", false },
		{ "", false },
		{ "1shop", false },
		{ "-shop", false },
		{ "_shop", false },
		{ "Shop", false },
		{ "sh.op", false },
		{ "sh/op", false },
		{ "..", false },
		{ "v1", false },
		{ "v2", true },
		{ "livez", false },
		{ "readyz", false },
		{ "metrics", false },
		{ "openapi.json", false },
		{ "console", false },
		{ "consoles", true },
	};
	struct service_files files;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ok(service_name_is_good(bytes_of(cases[i].name)) ==
			   cases[i].good,
		   "name '%s'", cases[i].name);
	ok(service_files_read(&files, root, "v1", message, sizeof(message)) ==
			   ERR_BAD &&
		   strstr(message, "\"v1\" is no name for a service"),
	   "a folder with such a name");
	service_files_fini(&files);
}

/* ---- reading a folder ---------------------------------------------------- */

static void
a_folder_is_read(void)
{
	struct service_files files;

	begin();
	put("s/service.conf", "cache = no\n");
	put("s/migrations/0001_init.sql", "CREATE TABLE a(b);\n");
	put("s/B-2.x.sql", "");
	put("s/README", "\xff");
	put("s/README.md", "\xff");
	put("s/migrations/README.txt", "\xff");
	put("s/.hidden", "\xff");
	put("s/migrations/.a.sql.swp", "\xff");
	if (mkdir(at("s/.git"), 0700))
		abort();
	if (!ok(read_folder(&files) == ERR_OK, "a good folder"))
		printf("# %s\n", message);
	is_str(files.name, "shop", "has its name");
	is_u64(files.count, 4, "four files");
	is_str(files.files[0].path, "B-2.x.sql", "sorted");
	is_str(files.files[1].path, "a.sql", "by their paths");
	is_str(files.files[2].path, "migrations/0001_init.sql", "migrations");
	is_str(files.files[3].path, "service.conf", "and settings");
	ok(has(&files, "a.sql", "-- GET /a\nSELECT 1;\n"), "their content");
	ok(has(&files, "B-2.x.sql", ""), "which may be empty");
	ok(!service_files_find(&files, "b.sql"), "and no other");
	service_files_fini(&files);
	service_files_fini(&files);
	ok(!service_files_find(&files, "a.sql"), "nothing is left at the end");
}

static void
what_does_not_belong_is_named(void)
{
	struct service_files files;
	char name[256] = "s/", nul[] = "-- a\n\0b";

	begin();
	put("s/notes.txt", "");
	refuses(ERR_BAD, "\"notes.txt\" does not belong", "another file");
	begin();
	put("s/a.sql~", "");
	refuses(ERR_BAD, "\"a.sql~\"", "an editor's copy");
	begin();
	put("s/.sql", "");
	ok(read_folder(&files) == ERR_OK && files.count == 1, "hidden .sql");
	service_files_fini(&files);
	begin();
	put("s/a b.sql", "");
	refuses(ERR_BAD, "\"a b.sql\"", "a blank in a name");
	begin();
	put("s/a\\b.sql", "");
	refuses(ERR_BAD, "a\\\\b.sql", "a backslash");
	begin();
	put("s/a\nb.sql", "");
	refuses(ERR_BAD, "\"a\\x0ab.sql\"", "a newline");
	begin();
	put("s/migrations/service.conf", "");
	refuses(ERR_BAD, "\"migrations/service.conf\"", "settings elsewhere");
	begin();
	if (mkdir(at("s/more"), 0700))
		abort();
	refuses(ERR_BAD, "\"more\"", "another folder");
	begin();
	if (mkdir(at("s/b.sql"), 0700))
		abort();
	refuses(ERR_BAD, "b.sql is no regular file", "a folder like a file");
	begin();
	if (mkfifo(at("s/b.sql"), 0600))
		abort();
	refuses(ERR_BAD, "b.sql is no regular file", "a pipe");
	begin();
	if (rmdir(at("s/migrations")))
		abort();
	put("s/migrations", "");
	refuses(ERR_IO, "migrations: Not a directory", "a file like a folder");
	begin();
	memset(name + 2, 'x', SERVICE_PATH_MAX - 3);
	strcat(name, ".sql");
	put(name, "");
	refuses(ERR_BAD, "at most 200 bytes", "a long name");
	begin();
	put("s/b.sql", "a\nb\n\xc3\xbc \xff\n\xff");
	refuses(ERR_BAD, "b.sql:3: not UTF-8", "other bytes");
	begin();
	put("s/service.conf", "\xed\xa0\x80");
	refuses(ERR_BAD, "service.conf:1: not UTF-8", "a surrogate");
	begin();
	put_bytes("s/b.sql", nul, sizeof(nul) - 1);
	refuses(ERR_BAD, "b.sql:2: a NUL byte", "a NUL");
	begin();
	clear(at("s/a.sql"));
	refuses(ERR_BAD, "there are no files", "an empty folder");
	clear(at("s"));
	refuses(ERR_NOTFOUND, "No such file", "no folder");
	put("s", "");
	refuses(ERR_IO, "Not a directory", "a file in its place");
}

static void
links_stay_in_the_folder(void)
{
	struct service_files files;

	begin();
	put("outside.sql", "SELECT 'secret'");
	if (symlink("a.sql", at("s/b.sql")) ||
	    symlink("../a.sql", at("s/migrations/0001_a.sql")))
		abort();
	if (ok(read_folder(&files) == ERR_OK, "links inside are followed"))
		ok(files.count == 3 &&
			   has(&files, "b.sql", "-- GET /a\nSELECT 1;\n"),
		   "and read");
	else
		printf("# %s\n", message);
	service_files_fini(&files);
	if (symlink("../outside.sql", at("s/c.sql")))
		abort();
	refuses(ERR_BAD, "c.sql is a link that leads out", "a link outside");
	unlink(at("s/c.sql"));
	if (symlink("/etc/passwd", at("s/c.sql")))
		abort();
	refuses(ERR_BAD, "c.sql is a link that leads out", "an absolute one");
	unlink(at("s/c.sql"));
	if (symlink("c.sql", at("s/c.sql")))
		abort();
	refuses(ERR_BAD, "c.sql is a link that", "a circle");
	unlink(at("s/c.sql"));
	if (symlink("gone.sql", at("s/c.sql")))
		abort();
	refuses(ERR_NOTFOUND, "c.sql: No such file", "to nowhere");
	begin();
	if (rmdir(at("s/migrations")) || symlink("..", at("s/migrations")))
		abort();
	refuses(ERR_BAD, "migrations is a link that", "a folder outside");
	/* The folder itself is where the operator says. */
	begin();
	unlink(at("link"));
	if (symlink("s", at("link")))
		abort();
	ok(service_files_read(&files, at("link"), "shop", message,
			      sizeof(message)) == ERR_OK,
	   "a link to the folder");
	service_files_fini(&files);
}

static void
bounds_are_kept(void)
{
	static char big[SERVICE_FILE_MAX + 1];
	struct service_files files;
	char path[32];

	memset(big, ' ', sizeof(big));
	begin();
	put_bytes("s/b.sql", big, SERVICE_FILE_MAX);
	ok(read_folder(&files) == ERR_OK, "as large as may be");
	service_files_fini(&files);
	put_bytes("s/b.sql", big, sizeof(big));
	refuses(ERR_TOO_LARGE, "b.sql is larger than 1024 KiB", "larger");
	for (unsigned i = 0; i < 16; i++) {
		snprintf(path, sizeof(path), "s/b%u.sql", i);
		put_bytes(path, big, SERVICE_FILE_MAX);
	}
	unlink(at("s/b.sql"));
	refuses(ERR_TOO_LARGE, "larger than 16 MiB together", "together");
	begin();
	for (unsigned i = 1; i < SERVICE_FILES_MAX; i++) {
		snprintf(path, sizeof(path), "s/b%u.sql", i);
		put(path, "");
	}
	ok(read_folder(&files) == ERR_OK, "as many as may be");
	service_files_fini(&files);
	put("s/c.sql", "");
	refuses(ERR_TOO_LARGE, "more than 1000 files", "more");
	begin();
}

/* ---- JSON ---------------------------------------------------------------- */

static enum err
parse(struct service_files *files, const char *json)
{
	message[0] = '\0';
	return service_files_parse(files, bytes_of(json), "shop", message,
				   sizeof(message));
}

static void
json_is_read(void)
{
	struct service_files files;

	if (!ok(parse(&files,
		      "{\"files\":{\"b.sql\":\"-- GET /\\nSELECT '\\u00fc'\","
		      "\"a.sql\":\"\",\"service.conf\":\"\",\"README\":\"x\","
		      "\".git/config\":\"x\",\"..data/a.sql\":\"x\","
		      "\"migrations/.x\":\"x\","
		      "\"migrations/0001_a.sql\":\"x\"}}") == ERR_OK,
		"a good one"))
		printf("# %s\n", message);
	is_u64(files.count, 4, "four files");
	is_str(files.files[0].path, "a.sql", "sorted");
	ok(has(&files, "b.sql", "-- GET /\nSELECT '\xc3\xbc'"),
	   "with their content");
	service_files_fini(&files);
}

static void
wrong_json_is_refused(void)
{
	static const struct {
		const char *json, *words;
	} cases[] = {
		{ "", "the JSON is malformed, line 1" },
		{ "[]", "is expected" },
		{ "{\"files\":{\"a.sql\":\"\"}\n", "malformed, line 2" },
		{ "{\"files\":{\"a.sql\":\"\"}}x", "malformed" },
		{ "{}", "is expected" },
		{ "{\"files\":[]}", "is expected" },
		{ "{\"files\":{}}", "there are no files" },
		{ "{\"files\":{\"README\":\"\"}}", "there are no files" },
		{ "{\"file\":{}}", "\"file\" is not known" },
		{ "{\"files\":{\"a.sql\":\"\"},\"x\":1}",
		  "\"x\" is not known" },
		{ "{\"files\":{\"a.sql\":\"\",\"a.sql\":\"\"}}", "duplicate" },
		{ "{\"files\":{},\"files\":{\"a.sql\":\"\"}}", "duplicate" },
		{ "{\"files\":{\"a.sql\":1}}", "of a.sql is no string" },
		{ "{\"files\":{\"a.sql\":null}}", "of a.sql is no string" },
		{ "{\"files\":{\"a.sql\":\"\\u0000\"}}", "malformed" },
		{ "{\"files\":{\"a.sql\":\"\xff\"}}", "malformed" },
		{ "{\"files\":{\"\":\"\"}}", "\"\" does not belong" },
		{ "{\"files\":{\"../a.sql\":\"\"}}", "\"../a.sql\" does" },
		{ "{\"files\":{\"./a.sql\":\"\"}}", "\"./a.sql\" does" },
		{ "{\"files\":{\"/a.sql\":\"\"}}", "\"/a.sql\" does" },
		{ "{\"files\":{\"..\":\"\"}}", "\"..\" does" },
		{ "{\"files\":{\".\":\"\"}}", "\".\" does" },
		{ "{\"files\":{\"a\\\\b.sql\":\"\"}}", "does not belong" },
		{ "{\"files\":{\"a/b.sql\":\"\"}}", "\"a/b.sql\" does" },
		{ "{\"files\":{\"migrations/../a.sql\":\"\"}}", "does not" },
		{ "{\"files\":{\"migrations//a.sql\":\"\"}}", "does not" },
		{ "{\"files\":{\"migrations/\":\"\"}}", "does not" },
		{ "{\"files\":{\"migrations/a/b.sql\":\"\"}}", "does not" },
		{ "{\"files\":{\"migrations\":\"\"}}", "does not" },
		{ "{\"files\":{\"-a.sql\":\"\"}}", "does not" },
		{ "{\"files\":{\"a.txt\":\"\"}}", "\"a.txt\" does not" },
		{ "{\"files\":{\"a\\nb.sql\":\"\"}}", "\"a\\x0ab.sql\" does" },
	};
	struct service_files files;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum err err = parse(&files, cases[i].json);

		if (!ok(err == ERR_BAD && strstr(message, cases[i].words) &&
				files.count == 0,
			"case %zu: %s", i, cases[i].words))
			printf("# err %d: %s\n", err, message);
		service_files_fini(&files);
	}
	ok(service_files_parse(&files, bytes_of("{}"), "Shop", message,
			       sizeof(message)) == ERR_BAD &&
		   strstr(message, "\"Shop\" is no name"),
	   "a wrong name");
	ok(service_files_parse(
		   &files, (struct bytes){ "", SERVICE_BODY_MAX + 1 }, "shop",
		   message, sizeof(message)) == ERR_TOO_LARGE &&
		   strstr(message, "larger than 32 MiB"),
	   "too much of it");
}

static void
large_files_in_json_are_refused(void)
{
	static const char head[] = "{\"files\":{\"a.sql\":\"";
	size_t len = SERVICE_FILE_MAX + 1;
	char *json = malloc(len + 100);
	struct service_files files;

	strcpy(json, head);
	memset(json + sizeof(head) - 1, 'x', len);
	strcpy(json + sizeof(head) - 1 + len, "\"}}");
	ok(parse(&files, json) == ERR_TOO_LARGE &&
		   strstr(message, "a.sql is larger"),
	   "a file that is too large");
	free(json);
}

/* ---- checksums ----------------------------------------------------------- */

static uint64_t
checksum(const char *json)
{
	struct service_files files;
	uint64_t sum;

	if (parse(&files, json))
		abort();
	sum = files.checksum;
	service_files_fini(&files);
	return sum;
}

static void
checksums_tell_contents_apart(void)
{
	static const char *const others[] = {
		"{\"files\":{\"a.sql\":\"x\",\"b.sql\":\"z\"}}",
		"{\"files\":{\"a.sql\":\"x\",\"c.sql\":\"y\"}}",
		"{\"files\":{\"a.sql\":\"x\"}}",
		"{\"files\":{\"a.sql\":\"xb.sqly\"}}",
		"{\"files\":{\"a.sql\":\"\",\"b.sql\":\"xy\"}}",
		"{\"files\":{\"a.sql\":\"y\",\"b.sql\":\"x\"}}",
	};
	uint64_t sum =
		checksum("{\"files\":{\"a.sql\":\"x\",\"b.sql\":\"y\"}}");

	is_u64(checksum("{\"files\":{\"b.sql\":\"y\",\"a.sql\":\"x\"}}"), sum,
	       "the order of the files does not count");
	is_u64(checksum("{\"files\":{\"b.sql\":\"y\",\"a.sql\":\"x\","
			"\"README\":\"\"}}"),
	       sum, "nor what is left out");
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		ok(checksum(others[i]) != sum, "other content %zu", i);
}

/* ---- writing ------------------------------------------------------------- */

static int entries;

static int
count_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	entries++;
	return 0;
}

static int
count_entries(const char *path)
{
	entries = 0;
	nftw(path, count_one, 8, FTW_PHYS);
	return entries;
}

static void
what_is_written_reads_back(void)
{
	struct service_files files, again;

	if (parse(&files,
		  "{\"files\":{\"a.sql\":\"-- GET /\\nSELECT 1\",\"b.sql\":\"\","
		  "\"service.conf\":\"cache = no\","
		  "\"migrations/0001_a.sql\":\"x\"}}"))
		abort();
	clear(at("versions"));
	ok(service_files_write(&files, at("versions/7")) == ERR_OK, "written");
	ok(service_files_read(&again, at("versions/7"), "shop", message,
			      sizeof(message)) == ERR_OK,
	   "and read");
	is_u64(again.checksum, files.checksum, "it is the same");
	is_u64((unsigned long long)count_entries(at("versions")), 7,
	       "nothing else is there");
	service_files_fini(&again);
	is_u64(service_files_write(&files, at("versions/7")), ERR_CONDITION,
	       "what is there stays");
	is_u64((unsigned long long)count_entries(at("versions")), 7,
	       "and nothing is added");
	put("versions/file", "x");
	ok(service_files_write(&files, at("versions/file")) == ERR_CONDITION,
	   "a file in its place");
	ok(service_files_write(&files, at("versions/file/8")) != ERR_OK,
	   "a file above it");
	is_u64((unsigned long long)count_entries(at("versions")), 8,
	       "nothing is left behind");
	service_files_fini(&files);
}

int
main(void)
{
	if (!mkdtemp(root))
		abort();
	names_are_checked();
	a_folder_is_read();
	what_does_not_belong_is_named();
	links_stay_in_the_folder();
	bounds_are_kept();
	json_is_read();
	wrong_json_is_refused();
	large_files_in_json_are_refused();
	checksums_tell_contents_apart();
	what_is_written_reads_back();
	clear(root);
	return tap_done();
}
