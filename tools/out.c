/* SPDX-License-Identifier: MIT */
#include "tools/out.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/json.h"

/* What SIGPIPE does by our parent's will. */
static void (*pipe_action)(int);

void
out_begin(void)
{
	pipe_action = signal(SIGPIPE, SIG_IGN);
}

static bool
is_control(unsigned char byte)
{
	return byte < 0x20 || byte == 0x7f;
}

/* U+0080 to U+009F, two bytes of UTF-8, steer a terminal like escape
 * sequences. */
static bool
is_c1(const unsigned char *at, size_t len)
{
	return len > 1 && at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0;
}

char *
blot(char *text)
{
	size_t len = strlen(text);
	char *to = text;

	for (size_t i = 0; i < len; i++) {
		const unsigned char *at = (const void *)(text + i);
		bool c1 = is_c1(at, len - i);

		*to++ = c1 || is_control(*at) ? '?' : text[i];
		i += c1;
	}
	*to = '\0';
	return text;
}

static const char *place;

void
say_from(const char *where)
{
	place = where;
}

void
say(const char *format, ...)
{
	char text[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	blot(text);
	fflush(stdout);
	fprintf(stderr, "jackdaw: %s%s%s\n", place ? place : "",
		place ? ": " : "", text);
}

void
out_bytes(struct bytes bytes)
{
	if (bytes.len > 0) /* an empty one may be NULL */
		fwrite(bytes.data, 1, bytes.len, stdout);
}

/* ---- fields ------------------------------------------------------------- */

/* Takes a piece of an escaped field. */
typedef void (*piece_fn)(void *arg, const char *data, size_t len);

static void
escape_byte(unsigned char byte, piece_fn put, void *arg)
{
	static const char named[] = "\\\\\tt\nn\rr";
	char text[8];

	for (const char *name = named; *name; name += 2) {
		if (byte != (unsigned char)name[0])
			continue;
		put(arg, (char[]){ '\\', name[1] }, 2);
		return;
	}
	put(arg, text, (size_t)snprintf(text, sizeof(text), "\\x%02x", byte));
}

/* lines: line ends, tabs and backslashes are kept. */
static void
escape(struct bytes bytes, bool lines, piece_fn put, void *arg)
{
	const unsigned char *data = bytes.data;
	const char *text = bytes.data;
	const char *kept = lines ? "\n\t" : "";
	bool utf8 = json_is_utf8(bytes);
	size_t begin = 0, i;

	for (i = 0; i < bytes.len; i++) {
		unsigned char byte = data[i];
		bool c1 = is_c1(data + i, bytes.len - i);

		if (!(is_control(byte) && !(byte && strchr(kept, byte))) &&
		    !(byte == '\\' && !lines) && !c1 && (byte < 0x80 || utf8))
			continue;
		if (i > begin)
			put(arg, text + begin, i - begin);
		escape_byte(byte, put, arg);
		if (c1)
			escape_byte(data[++i], put, arg);
		begin = i + 1;
	}
	if (i > begin)
		put(arg, text + begin, i - begin);
}

static void
put_out(void *arg, const char *data, size_t len)
{
	fwrite(data, 1, len, stdout);
}

static void
put_buffer(void *arg, const char *data, size_t len)
{
	buffer_add(arg, data, len);
}

void
out_field(struct bytes bytes)
{
	escape(bytes, false, put_out, NULL);
}

void
out_lines(struct bytes bytes)
{
	escape(bytes, true, put_out, NULL);
}

void
field_add(struct buffer *to, struct bytes bytes)
{
	escape(bytes, false, put_buffer, to);
}

bool
out_field_base64(struct bytes text)
{
	size_t len;
	char *data = malloc(base64_decoded_max(text.len));
	bool good = data && base64_decode(text, data, &len);

	if (good)
		out_field((struct bytes){ data, len });
	free(data);
	return good;
}

const char *
human_size(char text[HUMAN_SIZE], double bytes)
{
	static const char *const units[] = { "B",   "KiB", "MiB",
					     "GiB", "TiB", "PiB" };
	unsigned unit = 0;

	while (bytes >= 1024 && unit + 1 < ARRAY_LEN(units)) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, HUMAN_SIZE, unit ? "%.1f %s" : "%.0f %s", bytes,
		 units[unit]);
	return text;
}

const char *
human_time(char text[HUMAN_TIME_SIZE], int64_t seconds)
{
	time_t time = (time_t)seconds;
	struct tm tm;

	if (!localtime_r(&time, &tm) ||
	    !strftime(text, HUMAN_TIME_SIZE, "%Y-%m-%d %H:%M:%S", &tm))
		strcpy(text, "unknown");
	return text;
}

bool
out_works(void)
{
	return !ferror(stdout);
}

enum outcome
out_failed(int error)
{
	if (error == EPIPE) {
		signal(SIGPIPE, pipe_action);
		raise(SIGPIPE);
		/* Not where the parent has us ignore it. */
		_exit(OUTCOME_ERROR);
	}
	say("cannot write to standard output: %s", strerror(error));
	return OUTCOME_ERROR;
}

enum outcome
out_finish(enum outcome outcome)
{
	bool failed = ferror(stdout);

	/* An earlier error left no errno; writing again shows it. */
	errno = 0;
	if (failed)
		putchar('\n');
	if (fflush(stdout) == 0 && !failed)
		return outcome;
	return outcome == OUTCOME_OK ? out_failed(errno ? errno : EIO)
				     : outcome;
}
