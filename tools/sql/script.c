/* SPDX-License-Identifier: MIT */
/*
 * Statements from a file, from standard input and from arguments, run one by
 * one as they come in.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/out.h"
#include "tools/sql/split.h"
#include "tools/sql/sql.h"

/* Of one statement: more than the server takes. */
enum { STATEMENT_MAX = 64 << 20 };

struct script {
	const struct session *session;
	const char *name; /* of its source; NULL: is not told */
	struct split split;
	uint64_t line; /* of what begins the text */
};

static uint64_t
count_lines(const char *data, size_t len)
{
	uint64_t count = 0;

	for (const char *end = data + len;
	     (data = memchr(data, '\n', (size_t)(end - data))); data++)
		count++;
	return count;
}

/* What stands from the first token to len, without the `;`. */
static enum outcome
run_one(const struct script *script, const char *text, size_t len)
{
	size_t begin = script->split.begin;
	uint64_t line = script->line + count_lines(text, begin);
	enum { WHERE_MAX = 4096 + 32 };
	char where[WHERE_MAX];
	enum outcome outcome;

	if (script->name) {
		snprintf(where, sizeof(where), "%s:%llu", script->name,
			 (unsigned long long)line);
		say_from(where);
	}
	outcome = session_run(script->session,
			      (struct bytes){ text + begin, len - begin });
	say_from(NULL);
	return outcome;
}

/* Runs what is complete, and takes it off the text. */
static enum outcome
run_complete(struct script *script, struct bytes *text)
{
	enum outcome outcome = OUTCOME_OK;

	while (outcome == OUTCOME_OK &&
	       split_next(&script->split, *text, false)) {
		size_t end = script->split.at;

		if (!script->split.blank)
			outcome = run_one(script, text->data, end - 1);
		script->line += count_lines(text->data, end);
		text->data = (const char *)text->data + end;
		text->len -= end;
		split_init(&script->split);
	}
	return outcome;
}

/* The last one may end without a `;`. */
static enum outcome
run_rest(struct script *script, struct bytes text)
{
	bool ended = split_next(&script->split, text, true);

	/* run_complete() has taken what a `;` ends. */
	assert(!ended);
	if (script->split.blank)
		return OUTCOME_OK;
	return run_one(script, text.data, text.len);
}

enum outcome
script_text(const struct session *session, struct bytes text)
{
	struct script script = { .session = session };
	enum outcome outcome;

	split_init(&script.split);
	outcome = run_complete(&script, &text);
	return outcome == OUTCOME_OK ? run_rest(&script, text) : outcome;
}

static enum outcome
run_from(struct script *script, int fd, struct buffer *text)
{
	enum outcome outcome = OUTCOME_OK;
	ssize_t n;

	while ((n = buffer_read(text, fd)) > 0) {
		struct bytes rest = { text->data, text->len };

		outcome = run_complete(script, &rest);
		if (outcome != OUTCOME_OK)
			return outcome;
		buffer_consume(text, text->len - rest.len);
	}
	if (n < 0) {
		say("%s: %s", script->name, strerror(errno));
		return OUTCOME_ERROR;
	}
	return run_rest(script, (struct bytes){ text->data, text->len });
}

enum outcome
script_run(const struct session *session, const char *file)
{
	struct script script = { .session = session,
				 .name = file ? file : "standard input",
				 .line = 1 };
	int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	enum outcome outcome;
	struct buffer text;

	if (fd < 0) {
		say("%s: %s", file, strerror(errno));
		return OUTCOME_ERROR;
	}
	split_init(&script.split);
	buffer_init(&text, STATEMENT_MAX);
	outcome = run_from(&script, fd, &text);
	buffer_fini(&text);
	if (file)
		close(fd);
	return outcome;
}
