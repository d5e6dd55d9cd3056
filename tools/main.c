/* SPDX-License-Identifier: MIT */
/*
 * jackdaw: the command line client.
 */
#include <stdio.h>

#include "tools/command.h"
#include "tools/out.h"

static const char usage_head[] =
	"usage: jackdaw [OPTION]... COMMAND [ARGUMENT]...\n"
	"\n";

static const char usage_tail[] =
	"\n"
	"Options, anywhere on the line:\n"
	"  --url URL           the server; $JACKDAW_URL, else http://127.0.0.1:8080\n"
	"  --socket PATH       the server's Unix socket; for sql, service, statements,\n"
	"                      slow and profile the admin socket: $JACKDAW_SOCKET, else\n"
	"                      data/admin.sock or /var/lib/jackdaw/admin.sock\n"
	"  -s, --store STORE   the store; the command then takes no STORE\n"
	"  -o, --output FORM   text or json (stable, for programs); sql has also\n"
	"                      table, ndjson and csv\n"
	"  --timeout DURATION  give up after, for example, 500ms or 30s\n"
	"  -h, --help          this, or the help of a command\n"
	"  -V, --version       say which version this is\n"
	"\n"
	"Exit status: 0 ok, 1 error, 2 usage, 3 not found, 4 conflict or\n"
	"precondition, 5 not allowed, 6 cannot connect, 7 deadline, 8 overloaded.\n";

static void
usage(FILE *to)
{
	fputs(usage_head, to);
	command_list("", to);
	fputs(usage_tail, to);
}

/* --help, with or without a command or the first word of one. */
static enum outcome
help(const struct options *options)
{
	const struct command *command =
		command_find(options->words, options->word_count);

	if (command)
		command_help(command, stdout);
	else if (options->word_count == 0)
		usage(stdout);
	else if (!command_list(options->words[0], stdout)) {
		say("no command '%s'", options->words[0]);
		return OUTCOME_USAGE;
	}
	return OUTCOME_OK;
}

static enum outcome
no_command(const struct options *options)
{
	if (options->word_count == 0) {
		usage(stderr);
		return OUTCOME_USAGE;
	}
	say("no command '%s%s%s': see jackdaw --help", options->words[0],
	    options->word_count > 1 ? " " : "",
	    options->word_count > 1 ? options->words[1] : "");
	return OUTCOME_USAGE;
}

static enum outcome
run(const struct options *options)
{
	const struct command *command =
		command_find(options->words, options->word_count);
	enum outcome outcome;
	struct call call;

	if (!command)
		return no_command(options);
	if (!command_check(command, options, &call)) {
		fputs("see jackdaw ", stderr);
		fprintf(stderr, "%s --help\n", command->name);
		return OUTCOME_USAGE;
	}
	call.client = client_create(options, command->place);
	if (!call.client)
		return OUTCOME_ERROR;
	outcome = command->run(&call);
	client_destroy(call.client);
	return outcome;
}

static enum outcome
dispatch(const struct options *options)
{
	if (options->text[OPTION_VERSION]) {
		puts("jackdaw " VERSION);
		return OUTCOME_OK;
	}
	if (options->text[OPTION_HELP])
		return help(options);
	return run(options);
}

int
main(int argc, char **argv)
{
	enum outcome outcome = OUTCOME_USAGE;
	struct options options;

	out_begin();
	if (options_parse(&options, argc, argv))
		outcome = dispatch(&options);
	options_fini(&options);
	return (int)out_finish(outcome);
}
