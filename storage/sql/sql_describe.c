/* SPDX-License-Identifier: MIT */
/*
 * What is known of a prepared statement.
 */
#include "storage/sql/sql_internal.h"

bool
sql_is_readonly(const struct sql_stmt *stmt)
{
	return stmt->readonly;
}

bool
sql_is_explain(const struct sql_stmt *stmt)
{
	return stmt->explain;
}

bool
sql_is_unstable(const struct sql_stmt *stmt)
{
	return stmt->unstable;
}

bool
sql_sorts(const struct sql_stmt *stmt)
{
	return stmt->sorts;
}

bool
sql_changes_schema(const struct sql_stmt *stmt)
{
	return stmt->schema;
}

bool
sql_is_vacuum(const struct sql_stmt *stmt)
{
	return stmt->vacuum;
}

unsigned
sql_parameter_count(const struct sql_stmt *stmt)
{
	return (unsigned)sqlite3_bind_parameter_count(stmt->handle);
}

/* "?5" has no name but its number. */
const char *
sql_parameter_name(const struct sql_stmt *stmt, unsigned index)
{
	const char *name =
		sqlite3_bind_parameter_name(stmt->handle, (int)index + 1);

	return name && *name != '?' ? name + 1 : NULL;
}

unsigned
sql_column_count(const struct sql_stmt *stmt)
{
	return (unsigned)sqlite3_column_count(stmt->handle);
}

const char *
sql_column_name(const struct sql_stmt *stmt, unsigned index)
{
	const char *name = sqlite3_column_name(stmt->handle, (int)index);

	return name ? name : "";
}

const char *
sql_column_type(const struct sql_stmt *stmt, unsigned index)
{
	const char *type = sqlite3_column_decltype(stmt->handle, (int)index);

	return type ? type : "";
}
