/* SPDX-License-Identifier: MIT */
#include "http/options.h"

#include <getopt.h>
#include <stdio.h>

static void
print_usage(FILE *out)
{
	fputs("usage: jackdawd [-c FILE] [--set KEY=VALUE]...\n"
	      "       jackdawd [-c FILE] --check-config | --dump-config\n"
	      "       jackdawd --version | --help\n"
	      "\n"
	      "Without -c: stores `main` (durable) and `cache` (volatile) in "
	      "./data,\nlistening on 127.0.0.1:8080. "
	      "See jackdawd(8) and jackdaw.conf(5).\n",
	      out);
}

int
options_parse(int argc, char **argv, struct options *options)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "set", required_argument, NULL, 's' },
		{ "check-config", no_argument, NULL, 'C' },
		{ "dump-config", no_argument, NULL, 'D' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
		switch (option) {
		case 'c':
			options->config_path = optarg;
			break;
		case 's':
			if (options->set_count == SETS_MAX) {
				fprintf(stderr,
					"jackdawd: more than %d --set\n",
					SETS_MAX);
				return EXIT_USAGE;
			}
			options->sets[options->set_count++] = optarg;
			break;
		case 'C':
			options->check = true;
			break;
		case 'D':
			options->dump = true;
			break;
		case 'V':
			puts("jackdawd " VERSION);
			return 0;
		case 'h':
			print_usage(stdout);
			return 0;
		default:
			print_usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "jackdawd: unexpected argument '%s'\n", argv[optind]);
	return EXIT_USAGE;
}
