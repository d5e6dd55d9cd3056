/* SPDX-License-Identifier: MIT */
/*
 * What a connection keeps of what it has prepared, by text and policy: up to
 * SQL_STATEMENTS_KEPT and SQL_BYTES_KEPT, the least used out first. What is
 * held stays.
 */
#include <stdlib.h>

#include "storage/sql/sql_internal.h"

static struct sql_stmt **
bucket_of(struct sql_connection *connection, uint64_t hash)
{
	return &connection->buckets[hash & (SQL_BUCKETS - 1)];
}

static void
unlink_use(struct sql_connection *connection, struct sql_stmt *stmt)
{
	*(stmt->newer ? &stmt->newer->older : &connection->newest) =
		stmt->older;
	*(stmt->older ? &stmt->older->newer : &connection->oldest) =
		stmt->newer;
}

static void
link_newest(struct sql_connection *connection, struct sql_stmt *stmt)
{
	stmt->newer = NULL;
	stmt->older = connection->newest;
	*(stmt->older ? &stmt->older->newer : &connection->oldest) = stmt;
	connection->newest = stmt;
}

static bool
is_of(const struct sql_stmt *stmt, const struct sql_text *text)
{
	return stmt->hash == text->hash && stmt->policy == text->policy &&
	       stmt->text_len == text->text.len &&
	       !memcmp(stmt->text, text->text.data, stmt->text_len);
}

struct sql_stmt *
sql_kept_find(struct sql_connection *connection, const struct sql_text *text)
{
	struct sql_stmt *stmt = *bucket_of(connection, text->hash);

	while (stmt && !is_of(stmt, text))
		stmt = stmt->chain;
	return stmt;
}

void
sql_kept_use(struct sql_connection *connection, struct sql_stmt *stmt)
{
	if (stmt == connection->newest)
		return;
	unlink_use(connection, stmt);
	link_newest(connection, stmt);
}

void
sql_stmt_destroy(struct sql_stmt *stmt)
{
	sqlite3_finalize(stmt->handle);
	free(stmt);
}

void
sql_kept_drop(struct sql_connection *connection, struct sql_stmt *stmt)
{
	struct sql_stmt **at = bucket_of(connection, stmt->hash);

	while (*at != stmt)
		at = &(*at)->chain;
	*at = stmt->chain;
	unlink_use(connection, stmt);
	connection->kept--;
	connection->kept_bytes -= stmt->size;
	stmt->kept = false;
}

/* A program is ten times its text, and where there are views, any number. */
static size_t
size_of(const struct sql_stmt *stmt)
{
	int program =
		sqlite3_stmt_status(stmt->handle, SQLITE_STMTSTATUS_MEMUSED, 0);

	return sizeof(*stmt) + stmt->text_len + (size_t)program;
}

/* False: all are held. */
static bool
drop_oldest(struct sql_connection *connection)
{
	struct sql_stmt *stmt = connection->oldest;

	while (stmt && stmt->held)
		stmt = stmt->newer;
	if (!stmt)
		return false;
	sql_kept_drop(connection, stmt);
	sql_stmt_destroy(stmt);
	return true;
}

static bool
has_room(const struct sql_connection *connection, size_t size)
{
	return connection->kept < SQL_STATEMENTS_KEPT &&
	       connection->kept_bytes + size <= SQL_BYTES_KEPT;
}

void
sql_kept_add(struct sql_connection *connection, struct sql_stmt *stmt)
{
	struct sql_stmt **bucket = bucket_of(connection, stmt->hash);

	stmt->size = size_of(stmt);
	while (!has_room(connection, stmt->size) && drop_oldest(connection))
		;
	stmt->chain = *bucket;
	*bucket = stmt;
	link_newest(connection, stmt);
	connection->kept++;
	connection->kept_bytes += stmt->size;
	stmt->kept = true;
}

void
sql_statements_drop(struct sql_connection *connection)
{
	struct sql_stmt *stmt;

	while ((stmt = connection->oldest)) {
		assert(!stmt->held);
		sql_kept_drop(connection, stmt);
		sql_stmt_destroy(stmt);
	}
}
