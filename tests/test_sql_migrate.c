/* SPDX-License-Identifier: MIT */
/*
 * Migrations: applied once, each whole or not at all; and copies.
 */
#include "tests/database.h"

static struct database *
start(const char *name)
{
	struct database *database = malloc(sizeof(*database));

	database_init(database, name);
	database_open(database);
	return database;
}

static void
stop(struct database *database)
{
	database_close(database);
	free(database);
}

static enum err
migrate(struct database *database, const struct sql_migration *list,
	unsigned count, unsigned *applied)
{
	return sql_migrate(database->sql, list, count, applied,
			   &database->error);
}

static struct sql_migration
migration_of(const char *name, const char *text)
{
	return (struct sql_migration){ .name = name, .text = bytes_of(text) };
}

static enum err
migrate_one(struct database *database, const char *name, const char *text)
{
	struct sql_migration migration = migration_of(name, text);
	unsigned applied;

	return migrate(database, &migration, 1, &applied);
}

/* ---- applying ----------------------------------------------------------- */

static const char first_text[] =
	"-- the first\n"
	"CREATE TABLE t(a INTEGER PRIMARY KEY, b); /* two */ ;;\n"
	"CREATE TABLE log(a);\n"
	"CREATE TRIGGER tr AFTER INSERT ON t BEGIN\n"
	"  INSERT INTO log VALUES(new.a);\n"
	"  INSERT INTO log VALUES(-new.a);\n"
	"END;\n"
	"INSERT INTO t VALUES(1, 'x;y')";

static void
each_is_applied_once(void)
{
	struct database *database = start("once.db");
	struct sql_migration list[] = {
		migration_of("0001_init.sql", first_text),
		migration_of("0002_nothing.sql", "-- nothing\n"),
		migration_of("0003_more.sql", "INSERT INTO t VALUES(2, 'z');"
					      "SELECT * FROM t;"
					      "ALTER TABLE t ADD COLUMN c"),
		migration_of("0004_later.sql", "CREATE TABLE later(a)"),
	};
	unsigned n = 99;

	ok(sql_migrations_pending(database->sql, list, 3, &n,
				  &database->error) == ERR_OK &&
		   n == 3,
	   "three are pending");
	ok(migrate(database, list, 3, &n) == ERR_OK && n == 3,
	   "three are applied: %s", database->error.message);
	is_u64((uint64_t)database_number(database, "SELECT count(*) FROM log"),
	       4, "with the trigger, whose text has semicolons");
	is_str(database_text(database, "SELECT b FROM t WHERE a = 1"), "x;y",
	       "and a string that has one");
	ok(migrate(database, list, 3, &n) == ERR_OK && n == 0,
	   "the second time none");
	database_reopen(database);
	ok(sql_migrations_pending(database->sql, list, 4, &n,
				  &database->error) == ERR_OK &&
		   n == 1,
	   "after a restart one of four is pending");
	ok(migrate(database, list, 4, &n) == ERR_OK && n == 1,
	   "and is applied");
	is_u64((uint64_t)database_number(database, "SELECT count(*) FROM t"), 2,
	       "the others have been applied once");
	is_str(database_text(database,
			     "SELECT group_concat(name) FROM"
			     " (SELECT name FROM _jackdaw_migrations WHERE"
			     "  length(checksum) = 16 AND"
			     "  applied_ms > 1.6e12 ORDER BY name)"),
	       "0001_init.sql,0002_nothing.sql,0003_more.sql,0004_later.sql",
	       "each has a record");
	ok(database_run(database, "DELETE FROM _jackdaw_migrations") ==
		   ERR_FORBIDDEN,
	   "which nobody else can change");
	stop(database);
}

static void
what_was_applied_must_stay(void)
{
	struct database *database = start("stay.db");
	struct sql_migration list[] = {
		migration_of("0001_init.sql", "CREATE TABLE t(a)"),
		migration_of("0002_more.sql", "CREATE TABLE u(a)"),
		migration_of("0003_new.sql", "CREATE TABLE v(a)"),
	};
	unsigned n;

	need(migrate(database, list, 2, &n) == ERR_OK, "cannot migrate");
	list[1].text = bytes_of("CREATE TABLE u(a) -- changed");
	ok(migrate(database, list, 3, &n) == ERR_CONDITION && n == 0 &&
		   !strncmp(database->error.message,
			    "0002_more.sql: was changed after it", 35),
	   "%s", database->error.message);
	ok(sql_migrations_pending(database->sql, list, 3, &n,
				  &database->error) == ERR_CONDITION,
	   "also when it is only asked for");
	ok(migrate(database, &list[1], 2, &n) == ERR_CONDITION, "%s",
	   database->error.message);
	is_str(database->error.message,
	       "0001_init.sql: was applied, and is missing now",
	       "one that is missing is named");
	is_u64((uint64_t)database_number(
		       database, "SELECT count(*) FROM _jackdaw_migrations"),
	       2, "nothing is applied");
	stop(database);
}

/* ---- what is wrong ------------------------------------------------------ */

static void
a_mistake_is_told_with_its_line(void)
{
	static const struct {
		const char *text;
		enum err err;
		const char *message;
	} cases[] = {
		{ "CREATE TABLE x(a);\n\nCREATE TABEL y(a);\n", ERR_SYNTAX,
		  "bad.sql: line 3: near \"TABEL\": syntax error" },
		{ "CREATE TABLE x(a);\n-- comment\n\n/* more\n */ INSERT INTO"
		  " x VALUES(1);\n INSERT INTO t VALUES(1);",
		  ERR_CONFLICT,
		  "bad.sql: line 6: UNIQUE constraint failed: t.a" },
		{ "CREATE TABLE x(a,\n b,\n a)", ERR_SYNTAX,
		  "bad.sql: line 1: duplicate column name: a" },
		{ "\n\nSELECT 1,\n nowhere FROM t", ERR_SYNTAX,
		  "bad.sql: line 4: no such column: nowhere" },
		{ "CREATE TABLE x(a", ERR_SYNTAX,
		  "bad.sql: line 1: incomplete input" },
		{ "\nINSERT INTO t VALUES('never ends", ERR_SYNTAX,
		  "bad.sql: line 2: unrecognized token: \"'never ends\"" },
		{ "\nBEGIN;", ERR_FORBIDDEN, NULL },
		{ "COMMIT", ERR_FORBIDDEN, NULL },
		{ "\nATTACH 'x' AS y", ERR_FORBIDDEN, NULL },
		{ "PRAGMA foreign_keys = OFF", ERR_FORBIDDEN, NULL },
		{ "VACUUM", ERR_FORBIDDEN, NULL },
		{ "CREATE TABLE _jackdaw_x(a)", ERR_FORBIDDEN, NULL },
		{ "CREATE TEMP TABLE x(a)", ERR_FORBIDDEN, NULL },
		{ "CREATE TABLE x(a);\n"
		  "ALTER TABLE x RENAME TO _jackdaw_migrations",
		  ERR_FORBIDDEN,
		  "bad.sql: line 2: names that begin with _jackdaw_ are the "
		  "server's" },
	};
	struct database *database = start("mistakes.db");

	database_must(database, "CREATE TABLE t(a UNIQUE)");
	database_must(database, "INSERT INTO t VALUES(1)");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *message = database->error.message;
		enum err err = migrate_one(database, "bad.sql", cases[i].text);

		ok(err == cases[i].err, "case %zu: %s", i, message);
		if (cases[i].message)
			is_str(message, cases[i].message, "it is said where");
		else
			ok(!strncmp(message, "bad.sql: line ", 14),
			   "it is said where");
		ok(database_number(database, "SELECT count(*) FROM"
					     " sqlite_schema WHERE name = 'x'"
					     " OR name GLOB '_jackdaw_*'") == 0,
		   "nothing is left of it");
	}
	stop(database);
}

static void
bytes_that_are_no_text_are_refused(void)
{
	struct database *database = start("nul.db");
	struct sql_migration migration = {
		.name = "nul.sql",
		.text = { "CREATE TABLE x(a);\n\0SELECT 1", 28 },
	};
	unsigned n;

	ok(migrate(database, &migration, 1, &n) == ERR_SYNTAX, "refused");
	is_str(database->error.message, "nul.sql: line 2: a NUL byte",
	       "and said why");
	stop(database);
}

static void
those_before_a_mistake_stay(void)
{
	struct database *database = start("before.db");
	struct sql_migration list[] = {
		migration_of("1.sql", "CREATE TABLE t(a)"),
		migration_of("2.sql", "CREATE TABLE u(a); wrong"),
		migration_of("3.sql", "CREATE TABLE v(a)"),
	};
	unsigned n;

	ok(migrate(database, list, 3, &n) == ERR_SYNTAX && n == 1,
	   "the second of three is wrong: %s", database->error.message);
	is_str(database_text(database,
			     "SELECT group_concat(name) FROM sqlite_schema"
			     " WHERE type = 'table'"),
	       "t,_jackdaw_migrations", "the first is applied, with a record");
	list[1] = migration_of("2.sql", "CREATE TABLE u(a)");
	ok(migrate(database, list, 3, &n) == ERR_OK && n == 2,
	   "corrected, the other two are applied");
	stop(database);
}

/* ---- foreign keys ------------------------------------------------------- */

static const char family[] =
	"CREATE TABLE parent(a INTEGER PRIMARY KEY, b);"
	"CREATE TABLE child(a REFERENCES parent ON DELETE CASCADE);"
	"INSERT INTO parent VALUES(1, 1), (2, 2);"
	"INSERT INTO child VALUES(1), (2)";

static void
a_table_can_be_rebuilt(void)
{
	struct database *database = start("rebuild.db");
	struct sql_migration list[] = {
		migration_of("1.sql", family),
		migration_of("2.sql", "CREATE TABLE new(a INTEGER PRIMARY KEY,"
				      " b NOT NULL);"
				      "INSERT INTO new SELECT * FROM parent;"
				      "DROP TABLE parent;"
				      "ALTER TABLE new RENAME TO parent"),
		migration_of("3.sql", "DELETE FROM parent WHERE a = 2"),
	};
	unsigned n;

	ok(migrate(database, list, 2, &n) == ERR_OK && n == 2, "it is: %s",
	   database->error.message);
	is_u64((uint64_t)database_number(database,
					 "SELECT count(*) FROM child"),
	       2, "and those that refer to it are there");
	ok(migrate(database, list, 3, &n) == ERR_CONFLICT && n == 0,
	   "a reference to nothing is refused");
	is_str(database->error.message,
	       "3.sql: at its end, row 2 of table child refers to a row of"
	       " parent that is not there",
	       "and said");
	database_must(database, "DELETE FROM parent WHERE a = 1");
	is_u64((uint64_t)database_number(database,
					 "SELECT count(*) FROM child"),
	       1, "writes cascade as before");
	ok(database_run(database, "INSERT INTO child VALUES(77)") ==
		   ERR_CONFLICT,
	   "and are checked as before");
	stop(database);
}

/* ---- beside others ------------------------------------------------------ */

static void
all_words_change(void)
{
	struct database *database = start("words.db");
	const uint64_t *words = sql_words(database->sql);
	uint64_t before[SQL_WORDS];
	bool changed = true, same = true;

	for (unsigned i = 0; i < SQL_WORDS; i++)
		before[i] = version_word_note(&words[i]);
	need(migrate_one(database, "1.sql", "CREATE TABLE t(a)") == ERR_OK,
	     "cannot migrate");
	for (unsigned i = 0; i < SQL_WORDS; i++) {
		changed &= version_word_note(&words[i]) > before[i] &&
			   !version_is_odd(words[i]);
		before[i] = words[i];
	}
	ok(changed, "with a migration");
	need(migrate_one(database, "1.sql", "CREATE TABLE t(a)") == ERR_OK,
	     "cannot migrate");
	for (unsigned i = 0; i < SQL_WORDS; i++)
		same &= version_word_note(&words[i]) == before[i];
	ok(same, "and not without");
	stop(database);
}

struct writer {
	struct database *database;
	pthread_t thread;
	uint64_t stop, done; /* atomic */
	bool good;
};

static void *
write_on(void *arg)
{
	struct writer *writer = arg;

	writer->good = true;
	while (!ck_pr_load_64(&writer->stop)) {
		struct job job;

		job_of(&job, "INSERT INTO t(a) VALUES(1)");
		writer->good &= job_run(writer->database, &job) == ERR_OK;
		ck_pr_inc_64(&writer->done);
	}
	return NULL;
}

static void
writers_go_on(void)
{
	struct database *database = start("beside.db");
	struct writer writer = { .database = database };
	struct sql_migration list[10];
	char names[10][16], texts[10][64];
	unsigned n;

	database_must(database, "CREATE TABLE t(a)");
	for (unsigned i = 0; i < 10; i++) {
		snprintf(names[i], sizeof(names[i]), "%u.sql", i);
		snprintf(texts[i], sizeof(texts[i]),
			 "ALTER TABLE t ADD COLUMN c%u DEFAULT %u", i, i);
		list[i] = migration_of(names[i], texts[i]);
	}
	pthread_create(&writer.thread, NULL, write_on, &writer);
	for (unsigned i = 1; i <= 10; i++) {
		wait_for_count(&writer.done, i * 3);
		need(migrate(database, list, i, &n) == ERR_OK && n == 1,
		     database->error.message);
	}
	ck_pr_store_64(&writer.stop, 1);
	pthread_join(writer.thread, NULL);
	ok(writer.good, "each write is done, with whatever columns there are");
	is_u64((uint64_t)database_number(database, "SELECT count(*) FROM t"),
	       writer.done, "each once");
	stop(database);
}

static void
one_may_be_large(void)
{
	struct database *database = start("large.db");
	struct buffer text;
	struct sql_migration migration = { .name = "large.sql" };
	unsigned n;

	buffer_init(&text, 8 << 20);
	buffer_add_str(&text, "CREATE TABLE t(a, b);\n");
	for (unsigned i = 0; i < 2000; i++)
		buffer_addf(&text, "INSERT INTO t VALUES(%u, 'some text');\n",
			    i);
	buffer_add_str(&text, "INSERT INTO t VALUES(-1, '");
	for (unsigned i = 0; i < 10000; i++)
		buffer_add_str(&text,
			       "forty bytes of a text that is very long.");
	buffer_add_str(&text, "');\n");
	migration.text = (struct bytes){ text.data, text.len };
	ok(migrate(database, &migration, 1, &n) == ERR_OK, "%zu bytes: %s",
	   migration.text.len, database->error.message);
	is_u64((uint64_t)database_number(database, "SELECT count(*) FROM t"),
	       2001, "all of it is there");
	buffer_fini(&text);
	stop(database);
}

static void
many_collations_are_refused_in_one_statement_only(void)
{
	struct database *database = start("collate.db");
	static char deep[6000], wide[30000];

	strcpy(deep, "SELECT 'x'");
	for (unsigned i = 0; i < 501; i++)
		strcat(deep, " COLLATE b");
	ok(migrate_one(database, "1.sql", deep) == ERR_BAD, "%s",
	   database->error.message);
	for (unsigned i = 0; i < 600; i++)
		strcat(wide, "SELECT ';' COLLATE nocase; -- COLLATE\n");
	ok(migrate_one(database, "1.sql", wide) == ERR_OK,
	   "but many statements may have some");
	stop(database);
}

__attribute__((unused)) static void *
migrate_for_ever(void *arg)
{
	struct database *database = arg;

	if (migrate_one(database, "1.sql",
			"CREATE TABLE t(a);\nINSERT INTO t WITH RECURSIVE"
			" n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n)"
			" SELECT count(*) FROM n") == ERR_OK)
		return NULL;
	return database;
}

__attribute__((unused)) static void
closing_ends_one_that_takes_for_ever(void)
{
	struct database *database = start("ever.db");
	pthread_t thread;
	void *failed;

	pthread_create(&thread, NULL, migrate_for_ever, database);
	sleep_ms(50);
	database_close(database);
	pthread_join(thread, &failed);
	ok(failed && database->error.err == ERR_CANCELLED, "%s",
	   database->error.message);
	database_open(database);
	is_u64((uint64_t)database_number(database,
					 "SELECT count(*) FROM sqlite_schema"),
	       0, "nothing is left of it");
	stop(database);
}

/* ---- copies ------------------------------------------------------------- */

/* Less and less is asked for, until it is applied: first there is no room for
 * its rows, then for its record. */
static void
want_of_room_is_told_with_the_name(void)
{
	struct database *database = calloc(1, sizeof(*database));
	unsigned refused = 0, named = 0, behind = 0;
	enum err err = ERR_FULL;

	need(database != NULL, "no memory");
	database_init(database, "room.db");
	database->options.max_size = 16 * 4096;
	database_open(database);
	for (int pages = 16; pages > 0 && err == ERR_FULL; pages--) {
		char text[100];

		snprintf(text, sizeof(text),
			 "CREATE TABLE t(a);"
			 "INSERT INTO t VALUES(zeroblob(%d))",
			 pages * 4092);
		err = migrate_one(database, "0001_init.sql", text);
		refused += err == ERR_FULL;
		named += err == ERR_FULL && !strncmp(database->error.message,
						     "0001_init.sql: ", 15);
		behind += err == ERR_FULL &&
			  !strstr(database->error.message, ": line ");
	}
	ok(err == ERR_OK && refused > 0, "the one that has room is applied");
	ok(behind > 0, "one lacked it for its record alone");
	is_u64(named, refused, "all are told by their name");
	stop(database);
}

static void
a_copy_is_of_one_moment(void)
{
	struct database *database = start("original.db");
	struct writer writer = { .database = database };
	struct database copy = { 0 };
	struct sql_options options = {
		.name = "copy",
		.max_size = 64 << 20,
		.workers = 1,
		.scratch = true,
	};
	char path[PATH_MAX], message[512];
	int64_t count;

	database_must(database, "CREATE TABLE t(a INTEGER)");
	database_must(database, "CREATE TABLE n(a)");
	database_must(database, "INSERT INTO n VALUES(0)");
	database_must(database, "CREATE TRIGGER tr AFTER INSERT ON t BEGIN"
				" UPDATE n SET a = a + 1; END");
	database_must(database,
		      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1"
		      " FROM n WHERE i < 2000)"
		      " INSERT INTO t SELECT zeroblob(2000) FROM n");
	pthread_create(&writer.thread, NULL, write_on, &writer);
	wait_for_count(&writer.done, 10);
	under_root("copy.db", path);
	ok(sql_copy(database->sql, path) == ERR_OK, "it is made");
	ck_pr_store_64(&writer.stop, 1);
	pthread_join(writer.thread, NULL);
	ok(writer.good, "writers go on");
	ok(sql_copy(database->sql, path) == ERR_BAD, "not over another file");

	options.path = path;
	need(sql_open(&copy.sql, &options, message, sizeof(message)) == ERR_OK,
	     message);
	strcpy(copy.path, path);
	ok(database_is_whole(&copy), "it is whole");
	count = database_number(&copy, "SELECT count(*) FROM t");
	ok(count >= 2010 && count == database_number(&copy, "SELECT a FROM n"),
	   "of one moment, with %lld rows", (long long)count);
	ok(migrate_one(&copy, "1.sql", "DROP TABLE t") == ERR_OK,
	   "what is tried there");
	database_stop_looking(&copy);
	sql_close(copy.sql);
	is_u64((uint64_t)database_number(database, "SELECT count(*) FROM t"),
	       2000 + writer.done, "is not here");
	stop(database);
}

int
main(void)
{
	make_root();
	each_is_applied_once();
	what_was_applied_must_stay();
	a_mistake_is_told_with_its_line();
	bytes_that_are_no_text_are_refused();
	those_before_a_mistake_stay();
	a_table_can_be_rebuilt();
	all_words_change();
	writers_go_on();
	one_may_be_large();
	many_collations_are_refused_in_one_statement_only();
	/* What the thread that submits touches last is freed by the one that
	 * closes, and only their distance in time orders them. */
#ifndef UNDER_TSAN
	closing_ends_one_that_takes_for_ever();
#endif
	want_of_room_is_told_with_the_name();
	a_copy_is_of_one_moment();
	return tap_done();
}
