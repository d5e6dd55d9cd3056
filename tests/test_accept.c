/* SPDX-License-Identifier: MIT */
#include "http/sql/accept.h"

#include "tests/tap.h"

static void
the_best_of_what_is_accepted_is_chosen(void)
{
	static const struct {
		const char *header;
		enum accept accept;
	} cases[] = {
		{ "", ACCEPT_JSON },
		{ "*/*", ACCEPT_JSON },
		{ "application/json", ACCEPT_JSON },
		{ "application/x-ndjson", ACCEPT_NDJSON },
		{ "text/csv", ACCEPT_CSV },
		{ "text/*", ACCEPT_CSV },
		{ "application/*", ACCEPT_JSON },
		{ "TEXT/CSV", ACCEPT_CSV },
		{ " text/csv ;q=0.5 , application/json;q=0.4", ACCEPT_CSV },
		{ "application/json;q=0.4,text/csv;q=0.5", ACCEPT_CSV },
		{ "application/json, text/csv", ACCEPT_JSON },
		{ "text/csv, application/json", ACCEPT_CSV },
		{ "application/x-ndjson, */*", ACCEPT_NDJSON },
		{ "*/*, application/x-ndjson", ACCEPT_NDJSON },
		{ "application/x-ndjson, */*;q=0.1", ACCEPT_NDJSON },
		{ "*/*, application/x-ndjson;q=0.9", ACCEPT_JSON },
		/* The most exact range decides, not the best one. */
		{ "text/csv;q=0.1, text/*;q=0.9, application/json;q=0.5",
		  ACCEPT_JSON },
		{ "application/json;q=0, */*", ACCEPT_NDJSON },
		{ "application/*;q=0, */*;q=0.1", ACCEPT_CSV },
		/* Nothing of ours. */
		{ "text/html", ACCEPT_JSON },
		{ "text/html, image/*;q=0.5", ACCEPT_JSON },
		{ "application/json;q=0", ACCEPT_JSON },
		{ "*/*;q=0", ACCEPT_JSON },
		/* What a browser sends. */
		{ "text/html,application/xhtml+xml,application/xml;q=0.9,"
		  "*/*;q=0.8",
		  ACCEPT_JSON },
		/* Parameters, quoted commas among them. */
		{ "text/csv;header=present", ACCEPT_CSV },
		{ "text/html;x=\"a,text/csv\"", ACCEPT_JSON },
		{ "text/csv;x=\"a;q=0\";q=0.7, application/json;q=0.6",
		  ACCEPT_CSV },
		{ "text/csv;q=\"0.7", ACCEPT_JSON },
		/* Malformed: as if it were not there. */
		{ "text/csv;q=2", ACCEPT_JSON },
		{ "text/csv;q=0.1234", ACCEPT_JSON },
		{ "text/csv;q=", ACCEPT_JSON },
		{ "text/csv;q=1.001", ACCEPT_JSON },
		{ "text/csv;q=.5", ACCEPT_JSON },
		{ "text", ACCEPT_JSON },
		{ "/csv", ACCEPT_JSON },
		{ ",,,", ACCEPT_JSON },
		{ ",text/csv,", ACCEPT_CSV },
		{ "*/csv", ACCEPT_JSON },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ok(accept_choose(bytes_of(cases[i].header)) == cases[i].accept,
		   "\"%s\": %s", cases[i].header, accept_type(cases[i].accept));
}

static void
q_has_three_digits(void)
{
	char header[64];
	unsigned wrong = 0;

	for (unsigned q = 1; q < 1000; q++) {
		snprintf(header, sizeof(header),
			 "text/csv;q=0.%03u, application/json;q=0.%03u", q,
			 q - 1);
		wrong += accept_choose(bytes_of(header)) != ACCEPT_CSV;
		snprintf(header, sizeof(header),
			 "text/csv;q=0.%03u, application/json;q=1.000", q);
		wrong += accept_choose(bytes_of(header)) != ACCEPT_JSON;
	}
	is_u64(wrong, 0, "each thousandth counts");
}

int
main(void)
{
	the_best_of_what_is_accepted_is_chosen();
	q_has_three_digits();
	return tap_done();
}
