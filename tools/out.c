/* SPDX-License-Identifier: MIT */
#include "tools/out.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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

void
say(const char *format, ...)
{
	char text[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (char *c = text; *c; c++)
		if (is_control((unsigned char)*c))
			*c = '?';
	fflush(stdout);
	fprintf(stderr, "jackdaw: %s\n", text);
}

void
out_bytes(struct bytes bytes)
{
	if (bytes.len > 0) /* an empty one may be NULL */
		fwrite(bytes.data, 1, bytes.len, stdout);
}

static void
put_escaped(unsigned char byte)
{
	switch (byte) {
	case '\\':
		fputs("\\\\", stdout);
		return;
	case '\t':
		fputs("\\t", stdout);
		return;
	case '\n':
		fputs("\\n", stdout);
		return;
	case '\r':
		fputs("\\r", stdout);
		return;
	}
	printf("\\x%02x", byte);
}

void
out_field(struct bytes bytes)
{
	const unsigned char *data = bytes.data;
	bool text = json_is_utf8(bytes);

	for (size_t i = 0; i < bytes.len; i++) {
		/* U+0080 to U+009F steer a terminal like escape sequences. */
		bool c1 = data[i] == 0xc2 && i + 1 < bytes.len &&
			  data[i + 1] < 0xa0;

		if (is_control(data[i]) || data[i] == '\\' || c1 ||
		    (data[i] >= 0x80 && !text))
			put_escaped(data[i]);
		else
			putchar(data[i]);
		if (c1)
			put_escaped(data[++i]);
	}
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
