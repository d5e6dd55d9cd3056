/* SPDX-License-Identifier: MIT */
/*
 * The commands: one table that finds them, checks what they were given, and
 * makes their help.
 */
#ifndef TOOLS_COMMAND_H
#define TOOLS_COMMAND_H

#include <stdio.h>

#include "tools/client.h"
#include "tools/options.h"
#include "tools/outcome.h"

/* A command as it was asked for. Borrowed from the command line. */
struct call {
	struct client *client;
	const struct options *options;
	const char *store;    /* NULL for commands without one */
	const char *argument; /* KEY, FILE...; NULL where not given */
};

typedef enum outcome (*command_fn)(const struct call *call);

struct command {
	const char *name; /* "kv get" */
	bool has_store;
	const char *argument; /* "KEY"; NULL: takes none */
	bool optional;        /* the argument may be left out */
	option_mask options;  /* OPTION_BIT()s beside the global ones */
	enum place place;
	const char *forms; /* of --output; the first is the default */
	command_fn run;
	const char *summary; /* one line */
	const char *text;    /* paragraphs for its own help */
};

/* The command that the words begin with, or NULL. */
const struct command *command_find(char *const *words, unsigned count);
/* How many words its name is. */
unsigned command_words(const struct command *command);

/* Fills in store and argument; says what is missing, too much, or an option
 * that the command does not take. */
MUST_CHECK bool command_check(const struct command *command,
			      const struct options *options, struct call *call);

/* All commands whose name begins with group ("" for all). False: none does. */
bool command_list(const char *group, FILE *to);
void command_help(const struct command *command, FILE *to);

/* The functions of the table. */
enum outcome kv_get(const struct call *call);
enum outcome kv_put(const struct call *call);
enum outcome kv_del(const struct call *call);
enum outcome kv_incr(const struct call *call);
enum outcome scan_run(const struct call *call);
enum outcome transfer_import(const struct call *call);
enum outcome transfer_export(const struct call *call);
enum outcome status_run(const struct call *call);
enum outcome sql_run(const struct call *call);
enum outcome service_list(const struct call *call);
enum outcome service_check(const struct call *call);
enum outcome service_deploy(const struct call *call);
enum outcome service_rollback(const struct call *call);
enum outcome service_remove(const struct call *call);
enum outcome statements_run(const struct call *call);
enum outcome slow_run(const struct call *call);
enum outcome profile_run(const struct call *call);
enum outcome bench_run(const struct call *call);

#endif
