/* SPDX-License-Identifier: MIT */
/*
 * Our printf() says what SQLite's own says, and bounds what that does not.
 */
#include <stdio.h>

#include "core/clock.h"
#include "storage/sql/sql_internal.h"
#include "tests/tap.h"

static sqlite3 *db;

/* Does SELECT give 1? */
static bool
holds(const char *sql)
{
	sqlite3_stmt *stmt;
	bool yes;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK) {
		printf("# %s: %s\n", sql, sqlite3_errmsg(db));
		return false;
	}
	yes = sqlite3_step(stmt) == SQLITE_ROW &&
	      sqlite3_column_int(stmt, 0) == 1;
	sqlite3_finalize(stmt);
	return yes;
}

static void
every_conversion_is_the_same(void)
{
	static const char *const formats[] = {
		"%d",        "%5d",      "%-5d|",     "%05d",   "%+d",
		"% d",       "%,d",      "%i",        "%u",     "%x",
		"%X",        "%#x",      "%o",        "%lld",   "%ld",
		"%.3d",      "%8.3d",    "%p",        "%f",     "%.2f",
		"%10.3f",    "%-10.1f|", "%e",        "%E",     "%g",
		"%G",        "%!.20g",   "%+.1f",     "%08.2f", "%.0f",
		"%s",        "%10s",     "%-10s|",    "%.2s",   "%!.2s",
		"%z",        "%q",       "%Q",        "%w",     "%c",
		"%5c",       "%-5c|",    "%.3c",      "%8.3c",  "%-8.3c|",
		"%%",        "%n.",      "%",         "a%",     "%5",
		"%y",        "a%yb",     "%-+ #!0,d", "",       "plain",
		"%s and %s", "%d%%",     "%3$s",      "%.-3d",  "%--5d|",
		"%#p",       "%-20p|",   "%\u00e9",
	};
	static const char *const values[] = {
		"0",
		"42",
		"-42",
		"9223372036854775807",
		"-9223372036854775807 - 1",
		"1.5",
		"-0.0",
		"1e300",
		"1e-300",
		"9e999",
		"'text'",
		"'it''s'",
		"''",
		"NULL",
		"x'414200'",
		"'\u20ac\u00e9'",
		"'12abc'",
		"1234567.891",
	};

	for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
		unsigned wrong = 0;

		for (size_t v = 0; v < ARRAY_LEN(values); v++) {
			char *sql = sqlite3_mprintf(
				"SELECT printf(%Q, %s, 7) IS ours(%Q, %s, 7)",
				formats[f], values[v], formats[f], values[v]);

			if (!holds(sql)) {
				printf("# %s\n", sql);
				wrong++;
			}
			sqlite3_free(sql);
		}
		ok(!wrong, "%s", formats[f]);
	}
}

static void
widths_and_precisions_may_be_values(void)
{
	static const char *const calls[] = {
		"('%*d', 6, 42)",
		"('%*d|', -6, 42)",
		"('%.*f', 2, 1.0)",
		"('%.*f', -2, 1.0)",
		"('%*.*s|', 8, 2, 'abc')",
		"('%.*c', 5, 'x')",
		"('%.*c', -5, 'x')",
		"('%*c', 5, '\u20ac')",
		"('%.*c', 3, '\u20ac')",
		"('%*d', 6)",
		"('%d')",
		"('%s')",
		"('%f')",
		"(NULL, 1)",
		"()",
		"('%*.*c|', -9, 4, 'ab')",
	};
	char sql[200];

	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		snprintf(sql, sizeof(sql), "SELECT printf%s IS ours%s",
			 calls[i], calls[i]);
		ok(holds(sql), "%s", calls[i]);
	}
}

static void
what_is_too_long_is_refused_at_once(void)
{
	static const char *const calls[] = {
		"ours('%.*c', 900000000, 'x')",
		"ours('%.*c', 900000000, '\u20ac')",
		"ours('%.900000000c', 'x')",
		"ours('%.9999999999999999999c', 'x')",
		"ours('%*c', 900000000, 'x')",
		"ours('%900000000d', 1)",
		"ours('%099999999999d', 1)",
		"ours('%.900000000d', 1)",
		"ours('%.900000000f', 1)",
		"ours('%900000000s', 'x')",
	};

	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 1 << 20);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		uint64_t start = clock_mono_ns();
		sqlite3_stmt *stmt;
		char sql[100];
		int rc;

		snprintf(sql, sizeof(sql), "SELECT length(%s)", calls[i]);
		rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
		if (rc == SQLITE_OK)
			rc = sqlite3_step(stmt);
		ok((rc & 0xff) == SQLITE_TOOBIG, "%s", calls[i]);
		sqlite3_finalize(stmt);
		ok(clock_mono_ns() - start < NS_PER_S / 2, "at once");
	}
	ok(holds("SELECT length(ours('%.*c', 1000000, 'x')) = 1000000"),
	   "what is not is made");
}

int
main(void)
{
	sqlite3_open(":memory:", &db);
	sqlite3_create_function_v2(db, "ours", -1, SQLITE_UTF8, NULL,
				   sql_run_printf, NULL, NULL, NULL);
	every_conversion_is_the_same();
	widths_and_precisions_may_be_values();
	what_is_too_long_is_refused_at_once();
	sqlite3_close(db);
	return tap_done();
}
