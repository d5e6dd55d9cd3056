/* SPDX-License-Identifier: MIT */
/*
 * jackdaw profile: has the server take a profile of itself, and shows it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "core/units.h"
#include "tools/command.h"
#include "tools/out.h"
#include "tools/profile/stacks.h"

enum {
	DURATION_MS = 10000,
	DURATION_MAX_MS = 300000,
	HZ = 99, /* the server's default */
	HZ_MAX = 1000,
	/* Until it begins, and for the names at its end. */
	PATIENCE_MS = 60000,
	/* Of a file: a minute of perf at 999 Hz is a tenth of it. */
	FILE_MAX = 256 << 20,
};

/* ---- asking -------------------------------------------------------------- */

static bool
take_options(const struct call *call, uint64_t *ms, uint64_t *hz)
{
	const char *duration = call->options->text[OPTION_DURATION];
	const char *rate = call->options->text[OPTION_RATE];

	*ms = DURATION_MS;
	*hz = HZ;
	if (duration &&
	    (!units_duration_ms(bytes_of(duration), ms) || *ms % 1000 != 0 ||
	     *ms < 1000 || *ms > DURATION_MAX_MS)) {
		say("--duration is in whole seconds here, from 1s to 5m");
		return false;
	}
	if (rate &&
	    (!units_u64(bytes_of(rate), hz) || *hz < 1 || *hz > HZ_MAX)) {
		say("--rate is samples a second here, from 1 to %d", HZ_MAX);
		return false;
	}
	return true;
}

/* The figure of that name in "hz=99, ms=10000, ...". */
static bool
take_figure(const char *figures, const char *name, uint64_t *figure)
{
	size_t len = strlen(name);

	while (*figures) {
		size_t end = strcspn(figures, ",");

		if (end > len && !memcmp(figures, name, len) &&
		    figures[len] == '=')
			return units_u64((struct bytes){ figures + len + 1,
							 end - len - 1 },
					 figure);
		figures += end;
		figures += strspn(figures, ", ");
	}
	return false;
}

static bool
take_figures(struct client *client, struct stacks *stacks)
{
	const char *figures = client_header(client, "Jackdaw-Profile");

	if (figures && take_figure(figures, "hz", &stacks->hz) &&
	    take_figure(figures, "ms", &stacks->ms) &&
	    take_figure(figures, "samples", &stacks->samples) &&
	    take_figure(figures, "dropped", &stacks->dropped) && stacks->hz > 0)
		return true;
	say("the server's answer is not a profile");
	return false;
}

/* ---- showing ------------------------------------------------------------- */

static bool
show(const struct call *call, struct stacks *stacks, struct bytes folded)
{
	const char *form = call->options->text[OPTION_OUTPUT];
	const char *most = call->options->text[OPTION_LIMIT];
	uint64_t limit = 0;

	if (!stacks_parse(stacks, folded))
		return false;
	if (form && !strcmp(form, "folded")) {
		out_bytes(folded);
		return true;
	}
	if (form && !strcmp(form, "json"))
		return summary_json(stacks);
	if (form && !strcmp(form, "svg"))
		return flame_write(stacks);
	if (most && !units_u64(bytes_of(most), &limit))
		return false;
	return summary_text(stacks, limit);
}

/* ---- what another program has taken -------------------------------------- */

static bool
read_file(const char *name, struct buffer *text)
{
	bool is_stdin = !strcmp(name, "-");
	int fd = is_stdin ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
	bool good = fd >= 0 && buffer_read_all(text, fd);

	if (!good)
		say("%s: %s", name, strerror(errno));
	if (fd >= 0 && !is_stdin)
		close(fd);
	return good;
}

static enum outcome
show_file(const struct call *call, const char *name)
{
	const char *form = call->options->text[OPTION_OUTPUT];
	struct stacks stacks = { 0 };
	struct buffer text;
	bool good;

	if (!form || strcmp(form, "svg") != 0) {
		say("a file of folded stacks can be drawn: -o svg");
		return OUTCOME_USAGE;
	}
	buffer_init(&text, FILE_MAX);
	good = read_file(name, &text) &&
	       show(call, &stacks,
		    (struct bytes){ text.data ? text.data : "", text.len });
	stacks_fini(&stacks);
	buffer_fini(&text);
	return good ? OUTCOME_OK : OUTCOME_ERROR;
}

enum outcome
profile_run(const struct call *call)
{
	const char *file = call->options->text[OPTION_FILE];
	struct request request = { .method = "GET" };
	struct stacks stacks = { 0 };
	struct reply reply;
	enum outcome outcome;
	char target[100];
	uint64_t ms, hz;

	if (file)
		return show_file(call, file);
	if (!take_options(call, &ms, &hz))
		return OUTCOME_USAGE;
	snprintf(target, sizeof(target),
		 "/v1/admin/profile?seconds=%llu&hz=%llu",
		 (unsigned long long)(ms / 1000), (unsigned long long)hz);
	request.target = target;
	if (!call->options->timeout_ms)
		request.timeout_ms = ms + PATIENCE_MS;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "profiling for %llu s\n",
			(unsigned long long)(ms / 1000));
	outcome = client_call(call->client, &request, &reply);
	if (outcome == OUTCOME_OK &&
	    (!take_figures(call->client, &stacks) ||
	     !show(call, &stacks,
		   (struct bytes){ reply.body.data ? reply.body.data : "",
				   reply.body.len })))
		outcome = OUTCOME_ERROR;
	if (outcome == OUTCOME_OK && stacks.dropped)
		say("%llu samples were dropped: there was no room for them",
		    (unsigned long long)stacks.dropped);
	stacks_fini(&stacks);
	reply_fini(&reply);
	return outcome;
}
