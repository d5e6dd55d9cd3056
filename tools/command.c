/* SPDX-License-Identifier: MIT */
#include "tools/command.h"

#include "tools/out.h"

static const char two_forms[] = "text json";

static const struct command commands[] = {
	{ .name = "kv get",
	  .has_store = true,
	  .argument = "KEY",
	  .forms = two_forms,
	  .run = kv_get,
	  .summary = "write the value to standard output",
	  .text = "The value is written as it is, byte for byte.\n" },
	{ .name = "kv put",
	  .has_store = true,
	  .argument = "KEY",
	  .options = OPTION_BIT(VALUE) | OPTION_BIT(FILE) | OPTION_BIT(TTL) |
		     OPTION_BIT(TYPE) | OPTION_BIT(IF_MATCH) |
		     OPTION_BIT(IF_NONE_MATCH),
	  .forms = two_forms,
	  .run = kv_put,
	  .summary = "create or replace; the value is standard input",
	  .text = "The value is standard input, byte for byte, or TEXT, or the content\n"
		  "of FILE. --ttl lets the key expire; --type is its Content-Type;\n"
		  "--if-match ETAG replaces only that version, --if-none-match '*' only\n"
		  "creates (exit status 4 where they do not hold).\n" },
	{ .name = "kv del",
	  .has_store = true,
	  .argument = "KEY",
	  .options = OPTION_BIT(IF_MATCH),
	  .forms = two_forms,
	  .run = kv_del,
	  .summary = "remove a key",
	  .text = "Exit status 3 if the key was not there, 4 if --if-match ETAG names\n"
		  "another version.\n" },
	{ .name = "kv incr",
	  .has_store = true,
	  .argument = "KEY",
	  .options = OPTION_BIT(BY) | OPTION_BIT(INITIAL) | OPTION_BIT(TTL),
	  .forms = two_forms,
	  .run = kv_incr,
	  .summary = "add to a counter and print its new value",
	  .text = "Adds N (1; may be negative) to a 64-bit integer, atomically. A key\n"
		  "that is not there starts at --initial (0). A counter keeps its time\n"
		  "to live unless --ttl gives a new one.\n" },
	{ .name = "kv scan",
	  .has_store = true,
	  .options = OPTION_BIT(PREFIX) | OPTION_BIT(START) | OPTION_BIT(END) |
		     OPTION_BIT(REVERSE) | OPTION_BIT(LIMIT) |
		     OPTION_BIT(CURSOR) | OPTION_BIT(VALUES) | OPTION_BIT(ALL),
	  .forms = two_forms,
	  .run = scan_run,
	  .summary = "list keys in order",
	  .text = "Keys from --start on and before --end that begin with --prefix, one a\n"
		  "line, in byte order or in --reverse; at most --limit of them (100;\n"
		  "10000 at most). --cursor goes on where a limit ended. --all lists\n"
		  "them all, a page of --limit at a time. --values adds a tab and the\n"
		  "value. Bytes that do not print are shown as \\t \\n \\r \\\\ \\xNN.\n" },
	{ .name = "kv import",
	  .has_store = true,
	  .argument = "FILE",
	  .optional = true,
	  .forms = two_forms,
	  .run = transfer_import,
	  .summary = "write many keys from NDJSON",
	  .text = "Reads FILE or standard input, a JSON object a line:\n"
		  "{\"key\":...,\"value\" or \"base64\":...,\"type\":...,\"expires\":...};\n"
		  "key and value are enough. Memory use does not depend on its size.\n" },
	{ .name = "kv export",
	  .has_store = true,
	  .argument = "FILE",
	  .optional = true,
	  .options = OPTION_BIT(PREFIX),
	  .forms = two_forms,
	  .run = transfer_export,
	  .summary = "write all keys as NDJSON",
	  .text = "Writes one snapshot, in key order, to FILE or standard output, in the\n"
		  "form that `kv import` reads. FILE appears when it is complete.\n" },
	{ .name = "sql",
	  .argument = "DATABASE",
	  .optional = true,
	  .options = OPTION_BIT(EXECUTE) | OPTION_BIT(FILE) | OPTION_BIT(LIMIT),
	  .place = PLACE_SQL,
	  .forms = "table json ndjson csv",
	  .run = sql_run,
	  .summary = "run statements, or be asked for them",
	  .text = "Runs each SQL, or the statements of FILE, or of standard input, on\n"
		  "DATABASE (main), which may be the name of a service; on a terminal\n"
		  "it asks for them, with history and line editing: see .help there.\n"
		  "Statements end with `;`, and the first that fails ends it. Each is a\n"
		  "transaction of its own. --limit is the most rows of a result,\n"
		  "--timeout the most time of a statement. FORM is table, json,\n"
		  "ndjson or csv.\n"
		  "\n"
		  "  jackdaw sql -e 'SELECT count(*) FROM orders'\n"
		  "  jackdaw sql shop -o csv -e 'SELECT * FROM items' >items.csv\n"
		  "  jackdaw sql shop -f fix.sql\n" },
	{ .name = "service list",
	  .place = PLACE_ADMIN,
	  .forms = two_forms,
	  .run = service_list,
	  .summary = "list the services",
	  .text = "PREVIOUS is the version to which a rollback would go.\n" },
	{ .name = "service check",
	  .argument = "DIR",
	  .options = OPTION_BIT(NAME),
	  .place = PLACE_ADMIN,
	  .forms = two_forms,
	  .run = service_check,
	  .summary = "say what is wrong with a service; change nothing",
	  .text = "The server tries the folder DIR out as `service deploy` would: its\n"
		  "settings, migrations (on a copy of the database) and every statement\n"
		  "of its routes. What is wrong is said as FILE:LINE: TEXT, on standard\n"
		  "error. The service's name is the folder's, or NAME.\n" },
	{ .name = "service deploy",
	  .argument = "DIR",
	  .options = OPTION_BIT(NAME),
	  .place = PLACE_ADMIN,
	  .forms = two_forms,
	  .run = service_deploy,
	  .summary = "bring in a service, or its next version",
	  .text = "Sends the folder DIR (service.conf, *.sql, migrations/*.sql) to the\n"
		  "server, which checks all of it first: if one thing is wrong, nothing\n"
		  "changes. Requests go on meanwhile; each is answered by the one\n"
		  "version or the other. The service's name is the folder's, or NAME.\n"
		  "\n"
		  "  jackdaw service check etc/services/shop &&\n"
		  "      jackdaw service deploy etc/services/shop\n" },
	{ .name = "service rollback",
	  .argument = "NAME",
	  .place = PLACE_ADMIN,
	  .forms = two_forms,
	  .run = service_rollback,
	  .summary = "go back to a service's version before",
	  .text = "Migrations are not taken back: the version before must work with the\n"
		  "schema as it is now, or nothing changes.\n" },
	{ .name = "service remove",
	  .argument = "NAME",
	  .options = OPTION_BIT(PURGE) | OPTION_BIT(YES),
	  .place = PLACE_ADMIN,
	  .forms = two_forms,
	  .run = service_remove,
	  .summary = "take a service out",
	  .text = "Its database stays, for a later deploy under that name; --purge\n"
		  "deletes it, and all versions, for good. Asks first on a terminal,\n"
		  "unless --yes; without a terminal --purge needs --yes.\n" },
	{ .name = "statements",
	  .options = OPTION_BIT(SORT) | OPTION_BIT(LIMIT),
	  .place = PLACE_ADMIN,
	  .forms = two_forms,
	  .run = statements_run,
	  .summary = "show what statements cost, all in all",
	  .text = "The statements that have run since the start of the server, those\n"
		  "first that took the most time, or --sort by another column; the\n"
		  "first --limit. HITS were answered from the cache. Hints stand below\n"
		  "their statement. On a terminal SQL is shortened to its width.\n" },
	{ .name = "slow",
	  .options = OPTION_BIT(LIMIT),
	  .place = PLACE_ADMIN,
	  .forms = two_forms,
	  .run = slow_run,
	  .summary = "show the last slow statements",
	  .text = "The latest first, with the plan of each below it; the first --limit.\n"
		  "On a terminal SQL is shortened to its width.\n" },
	{ .name = "profile",
	  .options = OPTION_BIT(DURATION) | OPTION_BIT(RATE) |
		     OPTION_BIT(LIMIT) | OPTION_BIT(FILE),
	  .place = PLACE_ADMIN,
	  .forms = "text folded svg json",
	  .run = profile_run,
	  .summary = "show what the server's processor time goes to",
	  .text = "The server samples itself R times a second of processor time (99;\n"
		  "1000 at most) for DURATION (10s; 5m at most), which costs it less\n"
		  "than 3%. FORM is text, with the functions that took most time, the\n"
		  "first --limit (30), and the routes, kinds of work and threads; svg, a\n"
		  "flame graph; folded, a line for each stack, for other tools; or json.\n"
		  "With --file the server is not asked: FILE has stacks that were folded\n"
		  "before, here or from perf(1), and -o svg draws them.\n"
		  "\n"
		  "  jackdaw profile -d 30s -o svg >profile.svg\n" },
	{ .name = "bench",
	  .argument = "TARGET",
	  .optional = true,
	  .options = OPTION_BIT(CONNECTIONS) | OPTION_BIT(THREADS) |
		     OPTION_BIT(DURATION) | OPTION_BIT(WARMUP) |
		     OPTION_BIT(REQUESTS) | OPTION_BIT(RATE) |
		     OPTION_BIT(METHOD) | OPTION_BIT(HEADER) |
		     OPTION_BIT(BODY) | OPTION_BIT(BODY_SIZE) |
		     OPTION_BIT(REQUEST) | OPTION_BIT(REQUEST_HEADER) |
		     OPTION_BIT(KEYS) | OPTION_BIT(ZIPF) | OPTION_BIT(SEED) |
		     OPTION_BIT(EXPECT) | OPTION_BIT(FIND_RATE),
	  .forms = two_forms,
	  .run = bench_run,
	  .summary = "load a server and measure its latency",
	  .text = "Sends requests for TARGET, a path, over N connections (64) for a\n"
		  "DURATION (10s), after a --warmup (1s) that is not counted. Each\n"
		  "connection sends the next request when the reply to the last one has\n"
		  "come; or, with --rate, requests begin R times a second whatever the\n"
		  "replies do, and latency counts from when a request should have begun.\n"
		  "{key} and {n} in path and body are a number below --keys, of 8 digits\n"
		  "or of as many as it has; all keys alike, or --zipf S. Instead of\n"
		  "TARGET there may be kinds, each 'WEIGHT METHOD PATH [BODY]' with a\n"
		  "BODY that is TEXT, @FILE, or %SIZE made bytes. A HEADER, 'Name: value',\n"
		  "is for all of them, or for the I-th. Statuses that are not in LIST\n"
		  "(200-299) are errors. --find-rate finds the highest rate that keeps\n"
		  "a percentile of latency within LIMIT. Ctrl-C ends it early.\n"
		  "\n"
		  "  jackdaw bench /v1/kv/main/colour\n"
		  "  jackdaw bench -r 5000 -d 30s --keys 100000 --zipf 0.99 \\\n"
		  "      --request '95 GET /v1/kv/main/{key}' \\\n"
		  "      --request '5 PUT /v1/kv/main/{key} %100' --expect 200-299,404\n"
		  "  jackdaw bench --find-rate p99=5ms /v1/kv/main/colour\n" },
	{ .name = "status",
	  .forms = two_forms,
	  .run = status_run,
	  .summary = "say whether the server is ready, and how it is",
	  .text = "Exit status 8 when it answers that it is not ready.\n" },
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

/* "text, json or csv" */
static void
list_forms(struct buffer *list, const char *forms)
{
	while (*forms) {
		size_t len = strcspn(forms, " ");

		buffer_add(list, forms, len);
		forms += len + (forms[len] == ' ');
		if (*forms)
			buffer_add_str(list,
				       strchr(forms, ' ') ? ", " : " or ");
	}
	buffer_add(list, "", 1);
}

static bool
check_output(const struct command *command, const struct options *options)
{
	enum { LIST_MAX = 200 };
	const char *form = options->text[OPTION_OUTPUT];
	struct buffer list;

	if (!form || bytes_listed(command->forms, bytes_of(form)))
		return true;
	buffer_init(&list, LIST_MAX);
	list_forms(&list, command->forms);
	say("%s takes %s, not '%s'", option_long(OPTION_OUTPUT),
	    list.err ? command->forms : list.data, form);
	buffer_fini(&list);
	return false;
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
	       check_output(command, options) &&
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
		bool forms = i == OPTION_OUTPUT && command->forms != two_forms;

		if (!forms && !(command->options >> i & 1))
			continue;
		if (column > 60)
			column = fprintf(to, "\n              ") - 1;
		column +=
			fprintf(to, " [%s%s%s]", option_long(i),
				argument ? " " : "", argument ? argument : "");
	}
	fprintf(to, "\n\n%s", command->text);
}
