/* SPDX-License-Identifier: MIT */
/*
 * The conversation at a prompt: lines become statements, which are run.
 */
#include <stdio.h>
#include <unistd.h>

#include "tools/out.h"
#include "tools/sql/dot.h"
#include "tools/sql/prompt.h"
#include "tools/sql/split.h"
#include "tools/sql/sql.h"

enum {
	/* Of what is typed before a statement ends. */
	TEXT_MAX = 1 << 20,
	PROMPT_MAX = 300,
};

struct talk {
	struct session *session;
	struct prompt *prompt;
	struct split split;
	/* What is not run yet, and all of it since the prompt began anew. */
	struct buffer text, entry;
	struct buffer first, further; /* prompts */
};

/* ---- interruption ------------------------------------------------------- */

static volatile sig_atomic_t cancelled;

static void
on_interrupt(int number)
{
	cancelled = 1;
}

/* One that came too late for the statement before is not for the next. */
static void
watch_begin(struct sigaction *before)
{
	struct sigaction watch = { .sa_handler = on_interrupt };

	cancelled = 0;
	sigaction(SIGINT, &watch, before);
}

static void
watch_end(const struct sigaction *before)
{
	sigaction(SIGINT, before, NULL);
	if (cancelled)
		say("interrupted");
}

static enum outcome
run(struct talk *talk, struct bytes sql)
{
	struct sigaction before;
	enum outcome outcome;

	watch_begin(&before);
	outcome = session_run(talk->session, sql);
	watch_end(&before);
	return outcome;
}

/* ---- lines -------------------------------------------------------------- */

static void
start_anew(struct talk *talk)
{
	buffer_clear(&talk->text);
	buffer_clear(&talk->entry);
	split_init(&talk->split);
}

/* After an error the rest of what was typed is not run: it may count on what
 * failed. */
static void
run_complete(struct talk *talk)
{
	struct bytes text = { talk->text.data, talk->text.len };
	enum outcome outcome = OUTCOME_OK;

	while (outcome == OUTCOME_OK && split_next(&talk->split, text, false)) {
		const char *data = text.data;
		size_t begin = talk->split.begin, end = talk->split.at;

		if (!talk->split.blank)
			outcome = run(talk, (struct bytes){ data + begin,
							    end - 1 - begin });
		text = (struct bytes){ data + end, text.len - end };
		split_init(&talk->split);
	}
	if (outcome == OUTCOME_OK)
		buffer_consume(&talk->text, talk->text.len - text.len);
	else
		buffer_clear(&talk->text);
}

static bool
is_done(const struct talk *talk)
{
	return talk->text.len == 0 ||
	       (talk->split.blank && talk->split.open == 0);
}

static void
remember(struct talk *talk)
{
	struct buffer *entry = &talk->entry;

	while (entry->len > 0 && strchr(" \t\n", entry->data[entry->len - 1]))
		entry->len--;
	if (entry->len == 0)
		return;
	buffer_add(entry, "", 1);
	if (!entry->err)
		prompt_remember(talk->prompt, entry->data);
}

static void
take_sql(struct talk *talk, struct bytes line)
{
	buffer_add(&talk->text, line.data, line.len);
	buffer_add(&talk->text, "\n", 1);
	buffer_add(&talk->entry, line.data, line.len);
	buffer_add(&talk->entry, "\n", 1);
	if (talk->text.err || talk->entry.err) {
		say("the statement: %s", err_text(ERR_TOO_LARGE));
		start_anew(talk);
		return;
	}
	run_complete(talk);
	if (is_done(talk)) {
		remember(talk);
		start_anew(talk);
	}
}

/* False: it asks to leave. */
static bool
take_dot(struct talk *talk, struct bytes line)
{
	struct sigaction before;
	bool stays;

	buffer_add(&talk->entry, line.data, line.len);
	remember(talk);
	start_anew(talk);
	watch_begin(&before);
	stays = dot_run(talk->session, line);
	watch_end(&before);
	return stays;
}

static struct bytes
without_indent(struct bytes line)
{
	const char *data = line.data, *end = data + line.len;

	while (data < end && (*data == ' ' || *data == '\t'))
		data++;
	return (struct bytes){ data, (size_t)(end - data) };
}

/* False: leave. */
static bool
take_line(struct talk *talk)
{
	bool begins = talk->text.len == 0;
	struct bytes line;

	switch (prompt_line(talk->prompt,
			    begins ? talk->first.data : talk->further.data,
			    &line)) {
	case TYPED_INTERRUPT:
		puts("^C");
		start_anew(talk);
		return true;
	case TYPED_END:
		putchar('\n');
		return false;
	case TYPED_LINE:
		break;
	}
	if (begins && bytes_begin(without_indent(line), "."))
		return take_dot(talk, without_indent(line));
	take_sql(talk, line);
	return out_works();
}

/* ---- the whole ---------------------------------------------------------- */

/* "main> " and, as wide, " ...> ". */
static bool
make_prompts(struct talk *talk)
{
	static const char end[] = "> ", dots[] = "...> ";
	struct buffer *first = &talk->first;
	size_t width;

	field_add(first, bytes_of(talk->session->database));
	buffer_add(first, end, sizeof(end));
	width = first->len > sizeof(dots) ? first->len - sizeof(dots) : 0;
	buffer_addf(&talk->further, "%*s%s", (int)width, "", dots);
	buffer_add(&talk->further, "", 1);
	return !first->err && !talk->further.err;
}

static enum outcome
converse(struct talk *talk)
{
	const struct session *session = talk->session;

	printf("jackdaw " VERSION ", database ");
	out_field(bytes_of(session->database));
	printf(" of %s; .help tells more\n",
	       client_name(session->call->client));
	while (take_line(talk))
		fflush(stdout);
	return OUTCOME_OK;
}

enum outcome
prompt_run(struct session *session)
{
	struct talk talk = { .session = session };
	enum outcome outcome = OUTCOME_ERROR;

	session->talks = true;
	session->cancel = &cancelled;
	split_init(&talk.split);
	buffer_init(&talk.text, TEXT_MAX);
	buffer_init(&talk.entry, TEXT_MAX);
	buffer_init(&talk.first, PROMPT_MAX);
	buffer_init(&talk.further, PROMPT_MAX);
	talk.prompt = prompt_create();
	if (!make_prompts(&talk))
		say("the name of the database is too long");
	else if (talk.prompt)
		outcome = converse(&talk);
	if (talk.prompt)
		prompt_destroy(talk.prompt);
	buffer_fini(&talk.text);
	buffer_fini(&talk.entry);
	buffer_fini(&talk.first);
	buffer_fini(&talk.further);
	return outcome;
}
