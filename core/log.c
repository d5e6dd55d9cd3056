/* SPDX-License-Identifier: MIT */
#include "core/log.h"

#include <ck_pr.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/json.h"

enum { LINE_BYTES = PIPE_BUF };

static const char *const names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

/* Any thread, through ck_pr. Nothing else depends on when it is seen. */
static int threshold = LOG_LEVEL_INFO;

void
log_set_level(enum log_level level)
{
	ck_pr_store_int(&threshold, (int)level);
}

bool
log_enabled(enum log_level level)
{
	return (int)level <= ck_pr_load_int(&threshold);
}

bool
log_level_parse(const char *name, enum log_level *level)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(name, names[i])) {
			*level = (enum log_level)i;
			return true;
		}
	return false;
}

const char *
log_level_name(enum log_level level)
{
	return names[level];
}

/* ---- time --------------------------------------------------------------- */

/*
 * Year, month and day from the days since 1970. gmtime_r() would take the
 * lock of the time zone and may read its file. The year is counted from March,
 * so that the leap day is its last: then the day of a month's start is a
 * straight line (153 days in each five months).
 */
static void
civil_date(uint64_t days, unsigned *year, unsigned *month, unsigned *day)
{
	uint64_t since = days + 719468;            /* 0000-03-01 */
	unsigned era = (unsigned)(since / 146097); /* 400 years */
	unsigned of_era = (unsigned)(since % 146097);
	unsigned year_of_era =
		(of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) /
		365;
	unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 -
				     year_of_era / 100);
	unsigned march = (5 * of_year + 2) / 153; /* months since March */

	*day = of_year - (153 * march + 2) / 5 + 1;
	*month = march < 10 ? march + 3 : march - 9;
	*year = era * 400 + year_of_era + (*month <= 2);
}

const char *
log_time(char out[LOG_TIME_MAX], uint64_t wall_ms)
{
	uint64_t seconds = wall_ms / 1000;
	unsigned of_day = (unsigned)(seconds % 86400);
	unsigned year, month, day;

	civil_date(seconds / 86400, &year, &month, &day);
	snprintf(out, LOG_TIME_MAX, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
		 year % 10000, month % 100, day % 100, of_day / 3600 % 100,
		 of_day / 60 % 60, of_day % 60, (unsigned)(wall_ms % 1000));
	return out;
}

/* Whether standard error goes to the journal: systemd gives its device and
 * inode, which a redirection would change (systemd.exec(5)). */
static bool
stderr_is_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat stat;
	char *end;

	if (!text)
		return false;
	device = strtoull(text, &end, 10);
	if (*end != ':')
		return false;
	inode = strtoull(end + 1, &end, 10);
	return *end == '\0' && fstat(STDERR_FILENO, &stat) == 0 &&
	       stat.st_dev == device && stat.st_ino == inode;
}

static bool
journal_stamps(void)
{
	/* Threads that ask first at the same time find the same answer. */
	static int known; /* 0: not yet, 1: no, 2: yes */

	if (ck_pr_load_int(&known) == 0)
		ck_pr_store_int(&known, stderr_is_journal() ? 2 : 1);
	return ck_pr_load_int(&known) == 2;
}

/* ---- writing ------------------------------------------------------------ */

/*
 * Standard error may be a pipe or a socket that nobody reads for a while. A
 * thread that writes there must not wait: it may hold a shard, or be the one
 * that takes signals. O_NONBLOCK would be set for all that share the open
 * file, a shell for example, so a pipe or terminal is opened anew.
 *
 * Set by log_begin(), before there are other threads.
 */
static int out_fd = STDERR_FILENO;
static bool is_socket, may_block;

/* Any thread, through ck_pr. */
static uint64_t lost;    /* lines that found no room, not told yet */
static unsigned was_cut; /* the last one found room for a part of it */

/* One that is closed would be the next file that we open, a store's perhaps,
 * and get the log. */
static void
hold_standard_files(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd < STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

void
log_begin(void)
{
	struct stat stat;
	int fd;

	hold_standard_files();
	if (fstat(STDERR_FILENO, &stat))
		return;
	is_socket = S_ISSOCK(stat.st_mode);
	if (!S_ISFIFO(stat.st_mode) && !S_ISCHR(stat.st_mode))
		return;
	fd = open("/proc/self/fd/2",
		  O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	/* Refused where it is another user's. */
	may_block = fd < 0;
	if (fd >= 0)
		out_fd = fd;
}

/* -1 with EAGAIN: no room. Where it may block, two threads that see the room
 * for one line can both write; that is the best there is. */
static ssize_t
write_at_once(const char *line, size_t len)
{
	struct pollfd out = { .fd = out_fd, .events = POLLOUT };

	if (is_socket)
		return send(out_fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (may_block && poll(&out, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(out_fd, line, len);
}

/* A terminal, and a disk that gets full, take a part of a line. */
static bool
end_cut_line(void)
{
	if (!ck_pr_load_uint(&was_cut) || !ck_pr_fas_uint(&was_cut, 0))
		return true;
	if (write_at_once("\n", 1) == 1)
		return true;
	ck_pr_store_uint(&was_cut, 1);
	return false;
}

/* ---- lines -------------------------------------------------------------- */

static size_t add_message(char *line, size_t len, const char *format,
			  va_list args) PRINTF(3, 0);
static bool put(enum log_level level, const char *format, va_list args)
	PRINTF(2, 0);
static bool put_text(enum log_level level, const char *format, ...)
	PRINTF(2, 3);
static void log_line(enum log_level level, const char *format, va_list args)
	PRINTF(2, 0);

static size_t
add_prefix(char *line, enum log_level level)
{
	char time[LOG_TIME_MAX] = "";
	bool stamp = !journal_stamps();

	if (stamp)
		log_time(time, clock_wall_ms());
	return (size_t)snprintf(line, LINE_BYTES, "%s%s%s ", time,
				stamp ? " " : "", names[level]);
}

/* Adds the message and the end of the line; returns the length of it all. */
static size_t
add_message(char *line, size_t len, const char *format, va_list args)
{
	size_t room = LINE_BYTES - len;
	int n = vsnprintf(line + len, room, format, args);
	size_t end;

	if (n < 0) /* a format that we got wrong: the level alone, then */
		n = 0;
	if ((size_t)n < room) {
		end = len + (size_t)n;
	} else {
		end = LINE_BYTES - 1;
		memcpy(line + end - 3, "...", 3);
	}
	for (size_t i = len; i < end; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7F)
			line[i] = '?';
	line[end] = '\n';
	return end + 1;
}

/* False: there is no room for it, or for its end. Where nobody is there to read
 * it, or the disk is full, it is as good as written. */
static bool
put(enum log_level level, const char *format, va_list args)
{
	char line[LINE_BYTES];
	size_t len = add_prefix(line, level);
	ssize_t n;

	if (!end_cut_line())
		return false;
	len = add_message(line, len, format, args);
	do
		n = write_at_once(line, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno != EAGAIN;
	if ((size_t)n < len)
		ck_pr_store_uint(&was_cut, 1);
	return (size_t)n == len;
}

static bool
put_text(enum log_level level, const char *format, ...)
{
	va_list args;
	bool done;

	va_start(args, format);
	done = put(level, format, args);
	va_end(args);
	return done;
}

static void
log_line(enum log_level level, const char *format, va_list args)
{
	int saved = errno;
	uint64_t count;

	if (!log_enabled(level))
		return;
	count = ck_pr_load_64(&lost) ? ck_pr_fas_64(&lost, 0) : 0;
	if (count && !put_text(LOG_LEVEL_WARN, "log lines were lost count=%llu",
			       (unsigned long long)count))
		ck_pr_add_64(&lost, count + 1);
	else if (!put(level, format, args))
		ck_pr_inc_64(&lost);
	errno = saved;
}

void
log_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(LOG_LEVEL_ERROR, format, args);
	va_end(args);
}

void
log_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(LOG_LEVEL_WARN, format, args);
	va_end(args);
}

void
log_info(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(LOG_LEVEL_INFO, format, args);
	va_end(args);
}

void
log_debug(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(LOG_LEVEL_DEBUG, format, args);
	va_end(args);
}

/* ---- quoting ------------------------------------------------------------ */

/* One byte of a quoted value; the length of what was written to piece. */
static size_t
quote_byte(unsigned char byte, bool utf8, char piece[4])
{
	static const char hex[] = "0123456789abcdef";

	if (byte == '"' || byte == '\\') {
		memcpy(piece, (char[]){ '\\', (char)byte }, 2);
		return 2;
	}
	if (byte < 0x20 || byte == 0x7F || (byte >= 0x80 && !utf8)) {
		memcpy(piece,
		       (char[]){ '\\', 'x', hex[byte >> 4], hex[byte & 15] },
		       4);
		return 4;
	}
	piece[0] = (char)byte;
	return 1;
}

const char *
log_quote(char *out, size_t size, struct bytes text)
{
	const unsigned char *in = text.data;
	bool utf8 = json_is_utf8(text);
	size_t at = 1;  /* where the next piece goes */
	size_t cut = 1; /* the last end of a piece where `..."` and NUL fit */

	assert(size >= sizeof("\"...\""));
	out[0] = '"';
	for (size_t i = 0; i < text.len; i++) {
		char piece[4];
		size_t n = quote_byte(in[i], utf8, piece);
		bool in_sequence = utf8 && (in[i] & 0xC0) == 0x80;

		/* Never cut inside a character: before one is early enough. */
		if (!in_sequence && at + sizeof("...\"") <= size)
			cut = at;
		if (at + n + sizeof("\"") > size) {
			memcpy(out + cut, "...\"", sizeof("...\""));
			return out;
		}
		memcpy(out + at, piece, n);
		at += n;
	}
	memcpy(out + at, "\"", sizeof("\""));
	return out;
}
