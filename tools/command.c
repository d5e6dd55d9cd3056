/* SPDX-License-Identifier: MIT */
#include "tools/command.h"

#include "tools/out.h"

static const struct command commands[] = {
	{ "kv get", true, "KEY", false, 0, kv_get,
	  "write the value to standard output",
	  "The value is written as it is, byte for byte.\n" },
	{ "kv put", true, "KEY", false,
	  OPTION_BIT(VALUE) | OPTION_BIT(FILE) | OPTION_BIT(TTL) |
		  OPTION_BIT(TYPE) | OPTION_BIT(IF_MATCH) |
		  OPTION_BIT(IF_NONE_MATCH),
	  kv_put, "create or replace; the value is standard input",
	  "The value is standard input, byte for byte, or TEXT, or the content\n"
	  "of FILE. --ttl lets the key expire; --type is its Content-Type;\n"
	  "--if-match ETAG replaces only that version, --if-none-match '*' only\n"
	  "creates (exit status 4 where they do not hold).\n" },
	{ "kv del", true, "KEY", false, OPTION_BIT(IF_MATCH), kv_del,
	  "remove a key",
	  "Exit status 3 if the key was not there, 4 if --if-match ETAG names\n"
	  "another version.\n" },
	{ "kv incr", true, "KEY", false,
	  OPTION_BIT(BY) | OPTION_BIT(INITIAL) | OPTION_BIT(TTL), kv_incr,
	  "add to a counter and print its new value",
	  "Adds N (1; may be negative) to a 64-bit integer, atomically. A key\n"
	  "that is not there starts at --initial (0). A counter keeps its time\n"
	  "to live unless --ttl gives a new one.\n" },
	{ "kv scan", true, NULL, false,
	  OPTION_BIT(PREFIX) | OPTION_BIT(START) | OPTION_BIT(END) |
		  OPTION_BIT(REVERSE) | OPTION_BIT(LIMIT) | OPTION_BIT(CURSOR) |
		  OPTION_BIT(VALUES) | OPTION_BIT(ALL),
	  scan_run, "list keys in order",
	  "Keys from --start on and before --end that begin with --prefix, one a\n"
	  "line, in byte order or in --reverse; at most --limit of them (100;\n"
	  "10000 at most). --cursor goes on where a limit ended. --all lists\n"
	  "them all, a page of --limit at a time. --values adds a tab and the\n"
	  "value. Bytes that do not print are shown as \\t \\n \\r \\\\ \\xNN.\n" },
	{ "kv import", true, "FILE", true, 0, transfer_import,
	  "write many keys from NDJSON",
	  "Reads FILE or standard input, a JSON object a line:\n"
	  "{\"key\":...,\"value\" or \"base64\":...,\"type\":...,\"expires\":...};\n"
	  "key and value are enough. Memory use does not depend on its size.\n" },
	{ "kv export", true, "FILE", true, OPTION_BIT(PREFIX), transfer_export,
	  "write all keys as NDJSON",
	  "Writes one snapshot, in key order, to FILE or standard output, in the\n"
	  "form that `kv import` reads. FILE appears when it is complete.\n" },
	{ "status", false, NULL, false, 0, status_run,
	  "say whether the server is ready, and how it is",
	  "Exit status 8 when it answers that it is not ready.\n" },
};

unsigned
command_words(const struct command *command)
{
	return strchr(command->name, ' ') ? 2 : 1;
}

static bool
matches(const struct command *command, char *const *words, unsigned count)
{
	size_t first = strcspn(command->name, " ");

	if (count < command_words(command))
		return false;
	if (strncmp(words[0], command->name, first) || words[0][first])
		return false;
	return !command->name[first] ||
	       !strcmp(words[1], command->name + first + 1);
}

const struct command *
command_find(char *const *words, unsigned count)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (matches(&commands[i], words, count))
			return &commands[i];
	return NULL;
}

static bool
check_options(const struct command *command, const struct options *options)
{
	for (unsigned i = 0; i < OPTION_COUNT; i++) {
		bool global = i <= OPTION_GLOBAL_LAST;

		if (!options->text[i] || global || command->options >> i & 1)
			continue;
		say("%s does not take %s", command->name, option_long(i));
		return false;
	}
	return true;
}

static bool
check_words(const struct command *command, const struct options *options,
	    struct call *call)
{
	char *const *word = options->words + command_words(command);
	char *const *end = options->words + options->word_count;

	call->store = options->text[OPTION_STORE];
	if (command->has_store && !call->store && word < end)
		call->store = *word++;
	if (command->has_store && (!call->store || !*call->store)) {
		say("%s needs a STORE", command->name);
		return false;
	}
	if (command->argument && word < end)
		call->argument = *word++;
	if (command->argument && !command->optional &&
	    (!call->argument || !*call->argument)) {
		say("%s needs a %s", command->name, command->argument);
		return false;
	}
	if (word < end)
		say("%s does not know what to do with '%s'", command->name,
		    *word);
	return word == end;
}

bool
command_check(const struct command *command, const struct options *options,
	      struct call *call)
{
	*call = (struct call){ .options = options };
	return check_options(command, options) &&
	       check_words(command, options, call);
}

static int
print_form(const struct command *command, FILE *to)
{
	int width = fprintf(to, "%s", command->name);

	if (command->has_store)
		width += fprintf(to, " STORE");
	if (command->argument)
		width += fprintf(to, command->optional ? " [%s]" : " %s",
				 command->argument);
	return width;
}

bool
command_list(const char *group, FILE *to)
{
	bool any = false;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strncmp(commands[i].name, group, strlen(group)))
			continue;
		fputs("  ", to);
		fprintf(to, "%*s%s\n", 26 - print_form(&commands[i], to), "",
			commands[i].summary);
		any = true;
	}
	return any;
}

void
command_help(const struct command *command, FILE *to)
{
	int column = fprintf(to, "usage: jackdaw ");

	column += print_form(command, to);
	for (unsigned i = 0; i < OPTION_COUNT; i++) {
		const char *argument = option_argument(i);

		if (!(command->options >> i & 1))
			continue;
		if (column > 60)
			column = fprintf(to, "\n              ") - 1;
		column +=
			fprintf(to, " [%s%s%s]", option_long(i),
				argument ? " " : "", argument ? argument : "");
	}
	fprintf(to, "\n\n%s", command->text);
}
