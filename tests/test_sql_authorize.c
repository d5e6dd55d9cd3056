/* SPDX-License-Identifier: MIT */
/* What a statement may do, and what it is known to read and write. */
#include "tests/reading.h"

static struct database database;

/* ---- what is refused ----------------------------------------------------- */

/* To whom it is allowed: R, A and M. */
static const struct {
	const char *sql, *who, *names; /* in the refusal */
} permissions[] = {
	{ "SELECT * FROM t", "RAM", "" },
	{ "INSERT INTO t VALUES (1, 2)", "RAM", "" },
	{ "REPLACE INTO t VALUES (1, 2)", "RAM", "" },
	{ "EXPLAIN SELECT 1", "RAM", "" },
	{ "SELECT * FROM json_each('[1]')", "RAM", "" },
	{ "SELECT * FROM sqlite_schema", "RAM", "" },
	{ "SELECT * FROM _jackdaw_migrations", "RAM", "" },

	{ "CREATE TABLE x(y)", "AM", "CREATE TABLE" },
	{ "CREATE TABLE x AS SELECT * FROM t", "AM", "CREATE TABLE" },
	{ "CREATE INDEX x ON t(b)", "AM", "CREATE INDEX" },
	{ "CREATE VIEW x AS SELECT 1", "AM", "CREATE VIEW" },
	{ "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END", "AM",
	  "CREATE TRIGGER" },
	{ "CREATE VIRTUAL TABLE x USING fts5(y)", "AM",
	  "CREATE VIRTUAL TABLE" },
	{ "CREATE VIRTUAL TABLE x USING rtree(a, b, c)", "AM", "" },
	{ "DROP TABLE t", "AM", "DROP TABLE" },
	{ "DROP TABLE words", "AM", "DROP TABLE" },
	{ "DROP INDEX t_b", "AM", "DROP INDEX" },
	{ "DROP VIEW v", "AM", "DROP VIEW" },
	{ "DROP TRIGGER tr", "AM", "DROP TRIGGER" },
	{ "ALTER TABLE t RENAME TO tt", "AM", "ALTER TABLE" },
	{ "ALTER TABLE t RENAME COLUMN b TO bb", "AM", "ALTER TABLE" },
	{ "ALTER TABLE t ADD COLUMN x", "AM", "ALTER TABLE" },
	{ "ALTER TABLE serial DROP COLUMN x", "AM", "ALTER TABLE" },
	{ "ALTER TABLE serial RENAME TO s2", "AM", "ALTER TABLE" },
	{ "DROP TABLE serial", "AM", "DROP TABLE" },
	{ "REINDEX", "AM", "REINDEX" },
	{ "REINDEX t_b", "AM", "REINDEX" },
	{ "ANALYZE", "AM", "" },
	{ "ANALYZE t", "AM", "" },
	{ "UPDATE sqlite_stat1 SET stat = '1'", "AM", "sqlite_stat1" },

	{ "VACUUM", "A", "VACUUM" },
	{ "VACUUM main", "A", "VACUUM" },
	{ "\xEF\xBB\xBFVACUUM", "A", "VACUUM" },
	{ "\xEF\xBB\xBFVACUUM INTO '/tmp/x'", "", "VACUUM" },
	{ "VACUUM INTO '/tmp/x'", "", "VACUUM" },
	{ "VACUUM main INTO '/tmp/x'", "", "VACUUM" },
	{ "/* */VACUUM--\nINTO'/tmp/x'", "", "VACUUM" },
	{ ";;VACUUM INTO '/tmp/x'", "", "VACUUM" },
	{ "VACUUM \"main\" INTO '/tmp/x'", "", "VACUUM" },
	{ "vacuum temp", "", "VACUUM" },
	{ "EXPLAIN VACUUM INTO '/tmp/x'", "RAM", "" },

	{ "PRAGMA table_info(t)", "A", "table_info" },
	{ "PRAGMA main.table_info(t)", "A", "table_info" },
	{ "PRAGMA index_list(t)", "A", "index_list" },
	{ "PRAGMA foreign_key_list(t)", "A", "foreign_key_list" },
	{ "PRAGMA table_list", "A", "table_list" },
	{ "PRAGMA compile_options", "A", "compile_options" },
	{ "PRAGMA function_list", "A", "function_list" },
	{ "SELECT * FROM pragma_table_info('t')", "A", "pragma_table_info" },
	{ "SELECT * FROM pragma_database_list", "", "pragma_database_list" },
	{ "PRAGMA database_list", "", "database_list" },
	{ "PRAGMA journal_mode", "", "journal_mode" },
	{ "PRAGMA journal_mode = DELETE", "", "journal_mode" },
	{ "PRAGMA synchronous = OFF", "", "synchronous" },
	{ "PRAGMA query_only = OFF", "", "query_only" },
	{ "PRAGMA writable_schema = ON", "", "writable_schema" },
	{ "PRAGMA foreign_keys = OFF", "", "foreign_keys" },
	{ "PRAGMA user_version", "", "user_version" },
	{ "PRAGMA user_version = 5", "", "user_version" },
	{ "PRAGMA schema_version = 5", "", "schema_version" },
	{ "PRAGMA wal_checkpoint(TRUNCATE)", "", "wal_checkpoint" },
	{ "PRAGMA mmap_size = 0", "", "mmap_size" },
	{ "PRAGMA temp_store_directory = '/'", "", "temp_store_directory" },
	{ "PRAGMA no_such_thing", "", "no_such_thing" },
	{ "PRAGMA optimize", "", "optimize" },
	{ "SELECT * FROM pragma_journal_mode", "", "journal_mode" },
	{ "SELECT * FROM pragma_optimize", "", "optimize" },
	{ "CREATE VIEW x AS SELECT * FROM pragma_database_list", "AM", "" },
	{ "SELECT * FROM shows_paths", "", "pragma_database_list" },

	{ "ATTACH '/tmp/x' AS x", "", "ATTACH" },
	{ "ATTACH ':memory:' AS x", "", "ATTACH" },
	{ "DETACH main", "", "DETACH" },
	{ "BEGIN", "", "BEGIN" },
	{ "BEGIN IMMEDIATE", "", "BEGIN" },
	{ "COMMIT", "", "COMMIT" },
	{ "END", "", "COMMIT" },
	{ "ROLLBACK", "", "ROLLBACK" },
	{ "SAVEPOINT x", "", "savepoint" },
	{ "RELEASE x", "", "savepoint" },
	{ "ROLLBACK TO x", "", "savepoint" },

	{ "CREATE TEMP TABLE x(y)", "", "temporary" },
	{ "CREATE TABLE temp.x(y)", "", "temporary" },
	{ "CREATE TEMP VIEW x AS SELECT 1", "", "temporary" },
	{ "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END", "",
	  "temporary" },
	{ "CREATE VIRTUAL TABLE temp.x USING fts5(y)", "", "temporary" },
	{ "SELECT * FROM sqlite_temp_schema", "", "temporary" },

	{ "SELECT load_extension('/tmp/x')", "", "load_extension" },
	{ "SELECT fts3_tokenizer('simple')", "", "fts3_tokenizer" },
	{ "SELECT sqlite_log(1, 'x')", "", "sqlite_log" },
	{ "SELECT * FROM sqlite_stmt", "-", "" },
	{ "SELECT * FROM old_words", "-", "" },
	{ "CREATE VIRTUAL TABLE x USING fts4(y)", "", "fts4" },
	{ "SELECT * FROM dbstat", "A", "dbstat" },
	{ "CREATE VIRTUAL TABLE x USING dbstat(main)", "", "dbstat" },
	{ "CREATE VIRTUAL TABLE x USING fts3tokenize", "", "fts3tokenize" },
	{ "CREATE VIRTUAL TABLE kv USING fts5(y)", "", "kv" },
	{ "CREATE VIRTUAL TABLE json_each USING fts5(y)", "", "json_each" },

	{ "DELETE FROM sqlite_schema", "", "" },
	{ "UPDATE sqlite_master SET sql = ''", "", "" },
	{ "INSERT INTO sqlite_schema VALUES (1, 2, 3, 4, 5)", "", "" },
	{ "DROP TABLE sqlite_schema", "", "" },
	{ "ALTER TABLE sqlite_schema RENAME TO x", "", "" },
	{ "CREATE TABLE sqlite_x(y)", "", "sqlite_x" },
	{ "UPDATE sqlite_sequence SET seq = 0", "", "sqlite_sequence" },
	{ "DELETE FROM _jackdaw_migrations", "", "_jackdaw_migrations" },
	{ "INSERT INTO _JACKDAW_migrations VALUES (1)", "",
	  "_jackdaw_migrations" },
	{ "DROP TABLE _jackdaw_migrations", "", "_jackdaw_" },
	{ "ALTER TABLE _jackdaw_migrations RENAME TO x", "", "_jackdaw_" },
	{ "ALTER TABLE _jackdaw_migrations ADD COLUMN x", "", "_jackdaw_" },
	{ "CREATE TABLE _jackdaw_x(y)", "", "_jackdaw_x" },
	{ "CREATE INDEX x ON _jackdaw_migrations(name)", "", "_jackdaw_" },
	{ "CREATE TRIGGER x AFTER INSERT ON _jackdaw_migrations BEGIN SELECT "
	  "1; END",
	  "", "_jackdaw_" },
	{ "INSERT INTO t SELECT * FROM t WHERE a IN (DELETE FROM t)", "-", "" },
	{ "UPDATE touches_ours SET x = 1", "", "_jackdaw_migrations" },
	{ "DELETE FROM words_data", "-", "" },
	{ "INSERT INTO kv VALUES (1)", "-", "" },
};

static const char *const who_names[] = { "a route", "an administrator",
					 "a migration" };

static bool
case_holds(struct sql_reader *reader, size_t i, unsigned policy)
{
	const char *who = permissions[i].who;
	struct sql_text text;
	struct sql_stmt *stmt;
	struct sql_error error = { 0 };
	enum err err;

	sql_text_init(&text, bytes_of(permissions[i].sql),
		      (enum sql_policy)policy);
	err = sql_prepare(reader, &text, &stmt, &error);
	if (err == ERR_OK)
		sql_release(stmt);
	if (strchr(who, "RAM"[policy]))
		return err == ERR_OK || !printf("# %s\n", error.message);
	/* Not allowed by SQLite itself, whoever asks. */
	if (*who == '-')
		return err == ERR_SYNTAX || err == ERR_FORBIDDEN;
	if (err == ERR_FORBIDDEN &&
	    (strstr(error.message, permissions[i].names) ||
	     (policy == SQL_ROUTE && strstr(error.message, "the schema is "
							   "changed by "
							   "migrations"))))
		return true;
	printf("# %s: %s\n", err_text(err), error.message);
	return false;
}

static void
each_may_do_what_it_is_for(struct sql_reader *reader)
{
	for (size_t i = 0; i < ARRAY_LEN(permissions); i++)
		for (unsigned policy = 0; policy < 3; policy++) {
			bool allowed = strchr(permissions[i].who,
					      "RAM"[policy]) != NULL;

			ok(case_holds(reader, i, policy), "%s %s: case %zu",
			   who_names[policy], allowed ? "may" : "may not", i);
		}
}

/* What is refused when it is prepared must not be found by another way. */
static void
running_is_no_way_around(struct sql_reader *reader)
{
	struct sql_connection *connection = &reader->connection;
	struct sql_deps deps;
	struct sql_limits limits = { .deps = &deps };

	/* As the committer would run it, had nobody looked at the text. */
	is_err(database_run(&database, "VACUUM INTO '/tmp/jackdaw-no'"),
	       ERR_FORBIDDEN, "the committer does not run a VACUUM INTO");
	ok(access("/tmp/jackdaw-no", F_OK) < 0, "and no file is made");
	connection->preparing = NULL;
	{
		struct sql_stmt vacuum = { .vacuum = true };

		connection->running = &vacuum;
		ok(sql_authorize(connection, SQLITE_ATTACH, "/tmp/x", NULL,
				 NULL, NULL) == SQLITE_DENY,
		   "a VACUUM that attaches a file with a name is refused");
		ok(sql_authorize(connection, SQLITE_ATTACH, "", NULL, NULL,
				 NULL) == SQLITE_OK,
		   "its own has none");
		vacuum.limits = &limits;
		sql_deps_init(&deps);
		vacuum.vacuum = false;
		sql_authorize(connection, SQLITE_READ, "t", "a", "main", NULL);
		ok(deps.lost && sql_word_set_has(&vacuum.reads,
						 sql_word_of_table("t")),
		   "what is read only when it is run was not noted before");
		ok(sql_authorize(connection, SQLITE_ATTACH, "", NULL, NULL,
				 NULL) == SQLITE_DENY,
		   "others attach nothing");
		connection->running = NULL;
		connection->refused = ERR_OK;
	}
	is_err(database_run(&database, "VACUUM"), ERR_OK,
	       "a plain VACUUM works");
	is_err(database_run(&database, "\xEF\xBB\xBF VACUUM"), ERR_OK,
	       "also behind a byte order mark");
	is_err(err_of(reader, SQL_ADMIN,
		      "SELECT * FROM pragma_table_info('t')"),
	       ERR_OK, "a PRAGMA as a table can be read");
}

static void
a_changed_view_is_looked_at_again(struct sql_reader *reader)
{
	database_must(&database, "CREATE VIEW harmless AS SELECT 1 AS seq");
	is_str(rows_under(reader, SQL_ROUTE, "SELECT seq FROM harmless", NULL),
	       "1", "a view is read");
	database_must(&database, "DROP VIEW harmless");
	database_must(&database, "CREATE VIEW harmless AS SELECT seq FROM "
				 "pragma_database_list");
	is_err(err_of(reader, SQL_ROUTE, "SELECT seq FROM harmless"),
	       ERR_FORBIDDEN,
	       "not when it shows paths now, by the statement "
	       "that was kept");
	database_must(&database, "DROP VIEW harmless");
}

/* What SQLite prepares anew, because the schema has changed, is looked at
 * again. */
static void
a_trigger_made_later_is_looked_at(void)
{
	static const struct {
		const char *does, *names;
	} cases[] = {
		{ "DELETE FROM _jackdaw_migrations", "_jackdaw_migrations" },
		{ "UPDATE _jackdaw_migrations SET checksum = 'x'",
		  "_jackdaw_migrations" },
		{ "UPDATE sqlite_sequence SET seq = 0", "sqlite_sequence" },
	};
	static const char write[] = "INSERT INTO plain VALUES (1)";
	char text[200];

	database_must(&database, "CREATE TABLE plain(x)");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		database_must(&database, write);
		snprintf(text, sizeof(text),
			 "CREATE TRIGGER later AFTER INSERT ON plain BEGIN "
			 "%s; END",
			 cases[i].does);
		database_must(&database, text);
		is_err(database_run(&database, write), ERR_FORBIDDEN,
		       cases[i].does);
		ok(strstr(database.error.message, cases[i].names) != NULL,
		   "says what: %s", database.error.message);
		database_must(&database, "DROP TRIGGER later");
	}
	is_str(database_text(
		       &database,
		       "SELECT count(*) FROM _jackdaw_migrations WHERE checksum <> 'x'"),
	       "1", "the record of what was applied is as it was");
	database_must(&database, write);
	is_u64((uint64_t)database_number(&database, "SELECT count(*) FROM "
						    "plain"),
	       4, "without the trigger it is done");
	database_must(&database, "DROP TABLE plain");
}

/* The authorizer is told of the old name only. */
static void
a_table_is_not_renamed_to_a_name_of_ours(void)
{
	struct job job;

	database_must(&database, "CREATE TABLE plain(x)");
	is_err(database_run(&database, "ALTER TABLE plain RENAME TO "
				       "_Jackdaw_other"),
	       ERR_FORBIDDEN, "a name of ours is not taken by a table");
	ok(strstr(database.error.message, "the server's") != NULL,
	   "which is said");
	is_err(database_run(&database, "ALTER TABLE words RENAME TO "
				       "_jackdaw_words"),
	       ERR_FORBIDDEN, "nor by a virtual one, and those behind it");
	job_of(&job, "INSERT INTO plain VALUES (1)",
	       "ALTER TABLE plain RENAME TO _jackdaw_other");
	is_err(job_run(&database, &job), ERR_FORBIDDEN, "nor among others");
	is_u64(job.write.failed, 1, "it is the one that fails");
	is_u64((uint64_t)database_number(&database, "SELECT count(*) FROM "
						    "plain"),
	       0, "and nothing was done");
	database_must(&database, "ALTER TABLE plain RENAME TO x_jackdaw_");
	database_must(&database, "DROP TABLE x_jackdaw_");
}

/* ---- what is read and written -------------------------------------------- */

/* Names of tables; "*": all, "!": the schema. */
static const struct {
	const char *sql, *reads, *writes;
} words[] = {
	{ "SELECT 1", "", "" },
	{ "SELECT * FROM t", "t", "" },
	{ "SELECT * FROM T", "t", "" },
	{ "SELECT * FROM main.t AS x", "t", "" },
	{ "SELECT count(*) FROM t", "t", "" },
	{ "SELECT 1 FROM t", "t", "" },
	{ "SELECT EXISTS (SELECT 1 FROM t)", "t", "" },
	{ "SELECT * FROM t WHERE a IN (SELECT a FROM child)", "t child", "" },
	{ "SELECT * FROM t WHERE a IN child", "t child", "" },
	{ "SELECT a FROM t UNION SELECT a FROM child", "t child", "" },
	{ "SELECT * FROM v", "v t", "" },
	{ "SELECT count(*) FROM vv", "v t", "" },
	{ "SELECT b FROM vv", "vv v t", "" },
	{ "WITH w AS (SELECT * FROM t) SELECT * FROM w", "t", "" },
	{ "WITH RECURSIVE r(a) AS (SELECT a FROM t UNION SELECT a FROM r) "
	  "SELECT * FROM r",
	  "t", "" },
	{ "SELECT *, row_number() OVER () FROM t", "t", "" },
	{ "SELECT * FROM t, json_each(t.b)", "t json_each", "" },
	{ "SELECT * FROM kv('main')", "kv", "" },
	{ "SELECT kv_get('main', b) FROM t", "t", "" },
	{ "SELECT * FROM sqlite_schema", "!", "" },
	{ "SELECT * FROM words", "words *", "" },
	{ "SELECT * FROM words WHERE words MATCH 'x'", "words *", "" },
	{ "SELECT * FROM words_content", "words_content *", "" },
	{ "SELECT * FROM wordsworth", "wordsworth", "" },
	{ "SELECT * FROM words_vocab", "words_vocab *", "" },
	{ "SELECT * FROM sqlite_sequence", "sqlite_sequence *", "" },
	{ "SELECT * FROM sqlite_stat1", "sqlite_stat1 *", "" },
	{ "SELECT * FROM dbstat", "dbstat *", "" },
	{ "SELECT rtreecheck('box')", "*", "" },
	{ "SELECT * FROM t JOIN words ON t.a = words.rowid", "t words *", "" },
	{ "EXPLAIN SELECT * FROM t", "t", "" },

	{ "INSERT INTO t VALUES (1, 2)", "-", "t log" },
	{ "INSERT INTO t(a) SELECT a FROM child", "-", "t log" },
	{ "REPLACE INTO t VALUES (1, 2)", "-", "t log child grandchild" },
	{ "INSERT INTO t VALUES (1, 2) ON CONFLICT DO UPDATE SET b = 1", "-",
	  "t log" },
	{ "UPDATE t SET b = 1", "-", "t" },
	{ "UPDATE t SET a = 1", "-", "t child" },
	{ "DELETE FROM t", "-", "t child grandchild" },
	{ "DELETE FROM t WHERE a = 1 RETURNING a", "-", "t child grandchild" },
	{ "INSERT INTO v VALUES (1, 2)", "-", "v t log" },
	{ "INSERT INTO words VALUES ('x')", "-", "words" },
	{ "INSERT INTO serial(x) VALUES (1)", "-", "serial" },
	{ "DELETE FROM norow", "-", "norow" },
	{ "CREATE TABLE x(y)", "-", "!" },
	{ "CREATE INDEX x ON t(b)", "-", "!" },
	{ "ALTER TABLE t ADD COLUMN x", "-", "!" },
	{ "DROP VIEW v", "-", "! v" },
	{ "DROP TABLE norow", "-", "! norow" },
};

static void
add_words(struct sql_word_set *set, const char *names)
{
	char copy[200];

	snprintf(copy, sizeof(copy), "%s", names);
	for (char *at, *name = strtok_r(copy, " ", &at); name;
	     name = strtok_r(NULL, " ", &at)) {
		if (*name == '*')
			sql_word_set_add(set, SQL_WORD_ANY);
		else if (*name == '!')
			sql_word_set_add(set, SQL_WORD_SCHEMA);
		else
			sql_word_set_add(set, sql_word_of_table(name));
	}
}

static void
show_words(const char *what, const struct sql_word_set *set)
{
	printf("# %s:", what);
	for (unsigned i = 0; i < SQL_WORDS; i++)
		if (sql_word_set_has(set, i))
			printf(" %u", i);
	printf("\n");
}

static bool
has_words(const struct sql_word_set *got, const char *names, bool exactly)
{
	struct sql_word_set expected = { 0 };
	bool same = true;

	add_words(&expected, names);
	for (unsigned i = 0; i < SQL_WORDS; i++)
		if (sql_word_set_has(&expected, i))
			same &= sql_word_set_has(got, i);
		else if (exactly)
			same &= !sql_word_set_has(got, i);
	if (!same) {
		show_words("got", got);
		show_words("expected", &expected);
	}
	return same;
}

static void
tables_are_found(struct sql_reader *reader)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		struct sql_text text;
		struct sql_stmt *stmt;
		char reads[200];

		sql_text_init(&text, bytes_of(words[i].sql), SQL_ADMIN);
		need(sql_prepare(reader, &text, &stmt, &read_error) == ERR_OK,
		     words[i].sql);
		/* Everything depends on the schema. */
		snprintf(reads, sizeof(reads), "! %s", words[i].reads);
		if (*words[i].reads != '-')
			ok(has_words(&stmt->reads, reads, true),
			   "reads \"%s\":"
			   " %s",
			   words[i].reads, words[i].sql);
		/* A change of the schema may be said to write more. */
		ok(has_words(&stmt->writes, words[i].writes,
			     *words[i].writes != '!'),
		   "writes \"%s\": %s", words[i].writes, words[i].sql);
		sql_release(stmt);
	}
}

static void
words_are_spread(void)
{
	bool used[SQL_WORDS] = { false };
	unsigned count = 0;
	char name[400];

	ok(sql_word_of_table("Orders") == sql_word_of_table("oRDERS"),
	   "case does not matter");
	for (unsigned i = 0; i < 2000; i++) {
		unsigned word;

		snprintf(name, sizeof(name), "table_%u", i);
		word = sql_word_of_table(name);
		if (word <= SQL_WORD_ANY || word >= SQL_WORDS)
			break;
		count += !used[word];
		used[word] = true;
	}
	ok(count > SQL_WORDS * 9 / 10, "tables use all words but two");
	memset(name, 'A', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	{
		unsigned word = sql_word_of_table(name);

		memset(name, 'a', sizeof(name) - 1);
		ok(sql_word_of_table(name) == word, "long names too");
		name[398] = 'b';
		ok(sql_word_of_table(name) != word, "to their last byte");
	}
}

/* ---- hostile SQL --------------------------------------------------------- */

/* Each ends with an error or at a bound, and leaves the connection as it was.
 */
static const char *const hostile[] = {
	"SELECT zeroblob(1000000000)",
	"SELECT randomblob(1000000000)",
	"SELECT hex(zeroblob(500000000))",
	"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) "
	"SELECT count(*) FROM c",
	"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) "
	"SELECT * FROM c ORDER BY random()",
	"WITH RECURSIVE c(s) AS (SELECT 'x' UNION ALL SELECT s || s FROM c) "
	"SELECT max(s) FROM c",
	"WITH RECURSIVE c(i) AS (SELECT 1 UNION SELECT i + 1 FROM c) SELECT "
	"sum(i) FROM c",
	"WITH c(i) AS (VALUES(1),(2),(3),(4),(5),(6),(7),(8),(9),(10)) SELECT "
	"count(*) FROM c a, c b, c d, c e, c f, c g, c h, c i, c j, c k, c l",
	"SELECT length(group_concat(hex(randomblob(1000)))) FROM (WITH "
	"RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT i "
	"FROM c)",
	"SELECT replace(printf('%.*c', 100000, 'a'), 'a', printf('%.*c', "
	"100000, 'b'))",
	"SELECT printf('%.*c', 900000, 'a') LIKE printf('%%%.*c%%', 200, 'a') "
	"|| 'b%a%a%a%a%a%a%a%a%b'",
	"SELECT json_extract(printf('%.*c%.*c', 3000, '[', 3000, ']'), '$')",
	"SELECT json(printf('%.*c', 900000, '['))",
	"SELECT 1 WHERE 1 IN (SELECT 1 FROM sqlite_schema a, sqlite_schema b, "
	"sqlite_schema c, sqlite_schema d, sqlite_schema e, sqlite_schema f, "
	"sqlite_schema g, sqlite_schema h WHERE random() = 0)",
	"WITH RECURSIVE a(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM a), "
	"b(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM b) SELECT count(*) FROM "
	"a JOIN b ON a.x = -b.x",
	"SELECT count(*) OVER (ORDER BY x ROWS BETWEEN UNBOUNDED PRECEDING AND "
	"UNBOUNDED FOLLOWING) FROM (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL "
	"SELECT x + 1 FROM c) SELECT x FROM c)",
};

/* Each common table is twice the one before. */
static void
doubling_ends_early(struct sql_reader *reader)
{
	char sql[4000];
	size_t len = (size_t)sprintf(sql, "WITH a0 AS (SELECT 1 AS x)");
	uint64_t begin_ns = clock_mono_ns();

	for (unsigned i = 1; i < 40; i++)
		len += (size_t)sprintf(sql + len,
				       ", a%u AS (SELECT p.x FROM a%u p, a%u "
				       "q)",
				       i, i - 1, i - 1);
	sprintf(sql + len, " SELECT * FROM a39");
	is_err(err_of(reader, SQL_ADMIN, sql), ERR_TOO_LARGE,
	       "a statement that is 2^39 others is too large");
	ok(strstr(read_error.message, "8 MiB") != NULL, "and the limit is "
							"said");
	ok(clock_mono_ns() - begin_ns < (uint64_t)SLOWER * NS_PER_S,
	   "before it takes long");
}

static void
hostile_statements_end(struct sql_reader *reader)
{
	for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
		uint64_t begin_ns = clock_mono_ns(), took_ns;
		struct sql_limits limits = { .deadline_ns = begin_ns +
							    100 * NS_PER_MS };

		rows_under(reader, SQL_ADMIN, hostile[i], &limits);
		took_ns = clock_mono_ns() - begin_ns;
		ok(read_error.err != ERR_FAULT && read_error.err != ERR_NOMEM &&
			   took_ns < (uint64_t)SLOWER * 8 * NS_PER_S,
		   "hostile %zu: %s after %llu ms", i, err_text(read_error.err),
		   (unsigned long long)(took_ns / NS_PER_MS));
		if (strcmp(rows_of(reader, "SELECT count(*) FROM t"), "2"))
			ok(false, "and the next statement: %s",
			   rows_of(reader, "SELECT count(*) FROM t"));
	}
}

/* ---- the schema ---------------------------------------------------------- */

static void
make_schema(void)
{
	static const char *const texts[] = {
		"CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
		"CREATE INDEX t_b ON t(b)",
		"INSERT INTO t VALUES (10, '[1]'), (11, '[2]')",
		"CREATE TABLE child(a INTEGER REFERENCES t(a) ON DELETE "
		"CASCADE ON UPDATE CASCADE)",
		"CREATE UNIQUE INDEX child_a ON child(a)",
		"CREATE TABLE grandchild(a REFERENCES child(a) ON DELETE SET "
		"NULL)",
		"CREATE TABLE log(x)",
		"CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log "
		"VALUES (new.a); END",
		"CREATE VIEW v AS SELECT a, b FROM t",
		"CREATE VIEW vv AS SELECT * FROM v",
		"CREATE TRIGGER vt INSTEAD OF INSERT ON v BEGIN INSERT INTO t "
		"VALUES (new.a, new.b); END",
		"CREATE TABLE serial(id INTEGER PRIMARY KEY AUTOINCREMENT, x)",
		"CREATE TABLE norow(x PRIMARY KEY) WITHOUT ROWID",
		"CREATE VIRTUAL TABLE words USING fts5(x)",
		"CREATE VIRTUAL TABLE words_vocab USING fts5vocab(words, row)",
		"CREATE TABLE wordsworth(x)",
		"CREATE VIRTUAL TABLE box USING rtree(id, lo, hi)",
		"CREATE VIEW shows_paths AS SELECT * FROM pragma_database_list",
		"CREATE VIEW touches_ours AS SELECT 1 AS x",
		"ANALYZE",
	};
	struct sql_migration migration = {
		.name = "0001",
		.text = bytes_of("CREATE TABLE migrated(x)"),
	};
	unsigned applied;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		database_must(&database, texts[i]);
	/* This makes _jackdaw_migrations. */
	need(sql_migrate(database.sql, &migration, 1, &applied,
			 &database.error) == ERR_OK,
	     database.error.message);
	/* A trigger would be refused: somebody else has put it there. */
	{
		sqlite3 *db;

		need(sqlite3_open_v2(database.path, &db, SQLITE_OPEN_READWRITE,
				     sql_vfs_name) == SQLITE_OK,
		     "cannot open");
		need(sqlite3_exec(
			     db,
			     "CREATE VIRTUAL TABLE old_words USING "
			     "fts4(x); CREATE TRIGGER ours INSTEAD OF UPDATE ON "
			     "touches_ours BEGIN DELETE FROM "
			     "_jackdaw_migrations; END",
			     NULL, NULL, NULL) == SQLITE_OK,
		     sqlite3_errmsg(db));
		sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
				  NULL);
		sqlite3_close(db);
	}
}

int
main(void)
{
	struct sql_reader *reader;

	make_root();
	database_init(&database, "database");
	database_open(&database);
	make_schema();
	reader = take_reader(database.sql);
	each_may_do_what_it_is_for(reader);
	tables_are_found(reader);
	words_are_spread();
	running_is_no_way_around(reader);
	a_changed_view_is_looked_at_again(reader);
	a_trigger_made_later_is_looked_at();
	a_table_is_not_renamed_to_a_name_of_ours();
	doubling_ends_early(reader);
	hostile_statements_end(reader);
	sql_reader_give(reader);
	database_close(&database);
	return tap_done();
}
