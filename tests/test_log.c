/* SPDX-License-Identifier: MIT */
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "tests/tap.h"

/* What the lines went to, instead of standard error. */
static int captured = -1, kept_stderr = -1;
static char text[1 << 20];

static void
capture(void)
{
	captured = memfd_create("log", 0);
	/* As a log file is opened: each write goes to the end, whole. */
	fcntl(captured, F_SETFL, O_APPEND);
	kept_stderr = dup(STDERR_FILENO);
	dup2(captured, STDERR_FILENO);
}

static const char *
captured_text(void)
{
	ssize_t n;

	dup2(kept_stderr, STDERR_FILENO);
	close(kept_stderr);
	n = pread(captured, text, sizeof(text) - 1, 0);
	close(captured);
	text[n < 0 ? 0 : n] = '\0';
	return text;
}

/* The message without its timestamp. */
static const char *
after_time(const char *line)
{
	return strlen(line) > LOG_TIME_MAX ? line + LOG_TIME_MAX : "";
}

static void
levels_filter(void)
{
	enum log_level level;

	capture();
	log_debug("hidden");
	log_info("started workers=%d", 2);
	log_set_level(LOG_LEVEL_WARN);
	log_info("hidden");
	log_set_level(LOG_LEVEL_INFO);
	captured_text();
	is_str(after_time(text), "info started workers=2\n",
	       "one line, of the level and above");
	ok(log_enabled(LOG_LEVEL_ERROR) && !log_enabled(LOG_LEVEL_DEBUG),
	   "enabled says so");
	ok(log_level_parse("debug", &level) && level == LOG_LEVEL_DEBUG,
	   "debug is a level");
	ok(log_level_parse("error", &level) && level == LOG_LEVEL_ERROR,
	   "error is a level");
	ok(!log_level_parse("INFO", &level) && !log_level_parse("", &level),
	   "INFO and nothing are none");
	is_str(log_level_name(LOG_LEVEL_WARN), "warn", "warn has its name");
}

static void
one_event_is_one_line(void)
{
	static char longest[6000];

	memset(longest, 'x', sizeof(longest) - 1);
	capture();
	log_error("a\nb\tc\x7f");
	captured_text();
	is_str(after_time(text), "error a?b?c?\n", "no line ends inside");
	capture();
	log_warn("%s", longest);
	captured_text();
	ok(strlen(text) == PIPE_BUF && !strcmp(text + PIPE_BUF - 5, "x...\n"),
	   "a long line is cut at PIPE_BUF");
}

static void
a_broken_log_stops_nobody(void)
{
	int kept = dup(STDERR_FILENO);

	close(STDERR_FILENO);
	errno = ENOENT;
	log_error("to nobody");
	ok(errno == ENOENT, "errno is kept");
	dup2(kept, STDERR_FILENO);
	close(kept);
}

/* As on a disk that is full for a while, or a terminal that is held. */
static void
a_line_that_is_cut_has_an_end(void)
{
	struct rlimit before, small;
	char *lines[3];

	if (getrlimit(RLIMIT_FSIZE, &before))
		abort();
	small = before;
	small.rlim_cur = 1000;
	signal(SIGXFSZ, SIG_IGN);
	capture();
	setrlimit(RLIMIT_FSIZE, &small);
	for (unsigned i = 0; i < 20; i++)
		log_info("%0100u", i);
	setrlimit(RLIMIT_FSIZE, &before);
	log_info("after");
	captured_text();
	/* 7 of 131 bytes are whole, and 83 bytes of the next. */
	lines[0] = strtok(text + 7 * 131, "\n");
	lines[1] = strtok(NULL, "\n");
	lines[2] = strtok(NULL, "\n");
	ok(lines[0] && strlen(lines[0]) == 83, "a line is cut, and ends there");
	is_str(after_time(lines[1] ? lines[1] : ""),
	       "warn log lines were lost count=13", "it counts as lost");
	is_str(after_time(lines[2] ? lines[2] : ""), "info after",
	       "and the log goes on");
}

enum { FLOOD = 20000 };

/* In a process of its own: log_begin() is for once. */
static void
write_more_than_there_is_room_for(int log, int other)
{
	char byte = 0;

	dup2(log, STDERR_FILENO);
	log_begin();
	for (unsigned i = 0; i < FLOOD; i++)
		log_info("%0100u", i);
	if (write(other, &byte, 1) == 1 && read(other, &byte, 1) == 1)
		log_info("after");
	_exit(0);
}

/* What is there, or all until the end; the new length. */
static size_t
read_log(int log, size_t len, bool to_the_end)
{
	ssize_t n;

	fcntl(log, F_SETFL, to_the_end ? 0 : O_NONBLOCK);
	while ((n = read(log, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	return len;
}

static void
a_full_log_stops_nobody(const char *what, const int log[2])
{
	size_t len, count = 0;
	unsigned lost = 0;
	int status = -1, other[2];
	const char *warning;
	char byte;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, other))
		abort();
	pid = fork();
	if (pid == 0)
		write_more_than_there_is_room_for(log[1], other[1]);
	close(log[1]);
	close(other[1]);
	ok(read(other[0], &byte, 1) == 1, "%s: nobody waits for a reader",
	   what);
	len = read_log(log[0], 0, false);
	ok(write(other[0], &byte, 1) == 1, "%s: it is read", what);
	text[read_log(log[0], len, true)] = '\0';
	waitpid(pid, &status, 0);
	for (const char *c = text; *c; c++)
		count += *c == '\n';
	warning = strstr(text, "warn log lines were lost count=");
	if (warning)
		lost = (unsigned)strtoul(strchr(warning, '=') + 1, NULL, 10);
	/* The warning is one line, "after" another. */
	ok(status == 0 && lost > 0 && lost + count == FLOOD + 2,
	   "%s: %zu lines, %u were lost and it says so", what, count, lost);
	ok(warning && strstr(warning, "info after\n"),
	   "%s: what comes after is there", what);
	close(log[0]);
	close(other[0]);
}

static void
full_logs_stop_nobody(void)
{
	int ends[2];

	if (pipe(ends))
		abort();
	a_full_log_stops_nobody("a pipe", ends);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		abort();
	a_full_log_stops_nobody("a socket", ends);
}

static void
times_are_those_of_gmtime(void)
{
	char got[LOG_TIME_MAX], expected[LOG_TIME_MAX + 8];
	bool same = true;

	/* A prime step meets every day of the year and time of the day, from
	 * 1970 to beyond 2400, with the century rules in between. */
	for (uint64_t ms = 0; same && ms < UINT64_C(14000000000000);
	     ms += UINT64_C(86028157)) {
		time_t seconds = (time_t)(ms / 1000);
		struct tm tm;
		size_t n;

		gmtime_r(&seconds, &tm);
		n = strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S",
			     &tm);
		snprintf(expected + n, sizeof(expected) - n, ".%03uZ",
			 (unsigned)(ms % 1000));
		same = !strcmp(log_time(got, ms), expected);
		if (!same)
			printf("# %s, expected %s\n", got, expected);
	}
	ok(same, "dates and times are right");
	is_str(log_time(got, UINT64_C(1709164799999)),
	       "2024-02-28T23:59:59.999Z", "before a leap day");
	is_str(log_time(got, UINT64_C(1709164800000)),
	       "2024-02-29T00:00:00.000Z", "a leap day");
}

static void
lines_begin_with_the_time(void)
{
	char before[LOG_TIME_MAX], after[LOG_TIME_MAX];

	log_time(before, clock_wall_ms());
	capture();
	log_info("now");
	captured_text();
	log_time(after, clock_wall_ms());
	ok(strncmp(before, text, LOG_TIME_MAX - 1) <= 0 &&
		   strncmp(text, after, LOG_TIME_MAX - 1) <= 0 &&
		   text[LOG_TIME_MAX - 1] == ' ',
	   "a line has the time of its writing");
}

static void
values_are_quoted(void)
{
	static const struct {
		const char *in;
		size_t len, size;
		const char *out;
	} cases[] = {
		{ "", 0, 64, "\"\"" },
		{ "plain key", 9, 64, "\"plain key\"" },
		{ "a\"b\\c", 5, 64, "\"a\\\"b\\\\c\"" },
		{ "\n\0\x7f", 3, 64, "\"\\x0a\\x00\\x7f\"" },
		{ "gr\xc3\xbc\xc3\x9f", 6, 64, "\"gr\xc3\xbc\xc3\x9f\"" },
		{ "\xff", 1, 64, "\"\\xff\"" },
		{ "abcdefgh", 8, 11, "\"abcdefgh\"" },
		{ "abcdefgh", 8, 10, "\"abcd...\"" },
		{ "abc", 3, 6, "\"abc\"" },
		{ "abcd", 4, 6, "\"...\"" },
		{ "ab\n\n", 4, 12, "\"ab\\x0a...\"" },
		{ "ab\n\n", 4, 11, "\"ab...\"" },
		{ "a\xc3\xbc\xc3\xbc\xc3\xbc", 7, 9, "\"a\xc3\xbc...\"" },
		{ "a\xc3\xbc\xc3\xbc\xc3\xbc", 7, 8, "\"a...\"" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *out = malloc(cases[i].size);
		char name[80];

		snprintf(name, sizeof(name), "case %zu into %zu bytes", i,
			 cases[i].size);
		is_str(log_quote(out, cases[i].size,
				 (struct bytes){ cases[i].in, cases[i].len }),
		       cases[i].out, name);
		free(out);
	}
}

enum { THREADS = 4, LINES = 500 };

static void *
chatter(void *arg)
{
	for (unsigned i = 0; i < LINES; i++)
		log_info("thread=%c %s", *(char *)arg,
			 "0123456789012345678901234567890123456789");
	return NULL;
}

static void
threads_do_not_mix_lines(void)
{
	pthread_t threads[THREADS];
	char names[THREADS] = "abcd";
	unsigned whole = 0, all = 0;

	capture();
	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, chatter, &names[i]);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	captured_text();
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		const char *message = after_time(line);
		char name;
		int end = 0;

		all++;
		sscanf(message,
		       "info thread=%c "
		       "0123456789012345678901234567890123456789%n",
		       &name, &end);
		whole += end > 0 && message[end] == '\0';
	}
	ok(all == THREADS * LINES && whole == all, "%u whole lines of %u",
	   whole, THREADS * LINES);
}

/* Another process, since the answer is looked up once. */
static bool
stamped_with(const char *program, const char *stream)
{
	char command[PATH_MAX + 200], line[100] = "";
	FILE *pipe;

	snprintf(command, sizeof(command),
		 "exec 2>&1; JOURNAL_STREAM=%s %s line", stream, program);
	pipe = popen(command, "r");
	if (pipe && !fgets(line, sizeof(line), pipe))
		line[0] = '\0';
	if (pipe)
		pclose(pipe);
	return strcmp(line, "info line\n") != 0;
}

static void
the_journal_stamps_itself(const char *program)
{
	ok(!stamped_with(program, "$(stat -L -c %d:%i /dev/fd/2)"),
	   "no time where standard error is the journal");
	ok(stamped_with(program, "1:2"), "a time where it went elsewhere");
	ok(stamped_with(program, "nonsense"), "a time where nobody knows");
}

int
main(int argc, char **argv)
{
	if (argc > 1) {
		log_info("%s", argv[1]);
		return 0;
	}
	levels_filter();
	one_event_is_one_line();
	a_broken_log_stops_nobody();
	a_line_that_is_cut_has_an_end();
	full_logs_stop_nobody();
	times_are_those_of_gmtime();
	lines_begin_with_the_time();
	values_are_quoted();
	threads_do_not_mix_lines();
	the_journal_stamps_itself(argv[0]);
	return tap_done();
}
