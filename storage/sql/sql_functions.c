/* SPDX-License-Identifier: MIT */
/*
 * Functions of ours, and the stores' snapshots that they and the table kv read
 * from.
 *
 *   kv_get(store, key)    the value, TEXT where it is UTF-8, otherwise BLOB;
 *                         NULL where there is none, or it has expired
 *   fail(status, detail)  ends the request with that status and sentence
 *
 * Both may stand in views and triggers: they change nothing, and what they show
 * the schema's owner may read anyway.
 *
 * A connection has one snapshot of each store for all that runs at the same
 * time. What was read from it is current as long as its version word is what
 * it was BEFORE the snapshot was opened. For the first key that is simple. For
 * the others the word is noted later; it is good when no commit has begun
 * since, which the store's own word tells.
 */
#include <stdio.h>

#include "core/clock.h"
#include "core/json.h"
#include "storage/sql/sql_internal.h"

/* ---- snapshots ----------------------------------------------------------- */

static struct sql_deps *
deps_of(const struct sql_connection *connection)
{
	const struct sql_stmt *stmt = connection->running;

	return stmt && stmt->limits ? stmt->limits->deps : NULL;
}

/* Room that keys leave, for whole stores. */
enum { DEPS_SPARE = 4 };

/* value is the word's from before the snapshot. */
static void
depend(struct sql_deps *deps, const struct kv *kv,
       const struct sql_store_read *read, const uint64_t *word, uint64_t value)
{
	const uint64_t *whole = kv_store_word(kv);

	if (sql_deps_has(deps, word) || sql_deps_has(deps, whole))
		return;
	if (word != whole && deps->count < SQL_DEPS_MAX - DEPS_SPARE &&
	    sql_deps_add(deps, word, value))
		return;
	if (!sql_deps_add(deps, whole, read->word))
		deps->lost = true;
}

static enum err
open_snapshot(struct sql_connection *connection, struct sql_store_read *read,
	      struct kv *kv, bool fresh)
{
	enum err err = ERR_OK;

	if (!read->read)
		err = kv_read_create(kv, &read->read);
	if (!err)
		err = kv_read_renew(read->read, fresh);
	if (err)
		return err;
	read->open = true;
	connection->reads_open = true;
	return ERR_OK;
}

enum err
sql_store_open(struct sql_connection *connection, unsigned store,
	       const uint64_t *word, struct kv_read **out)
{
	struct sql_store_read *read = &connection->reads[store];
	struct kv *kv = connection->sql->options.stores[store];
	struct sql_deps *deps = deps_of(connection);
	uint64_t value;
	enum err err;

	if (read->open) {
		value = version_word_note(word);
		/* A commit that the snapshot does not have: was the word from
		 * before or after it? */
		if (deps && !sql_deps_has(deps, word) &&
		    !sql_deps_has(deps, kv_store_word(kv)) &&
		    (version_is_odd(read->word) ||
		     version_word_note(kv_store_word(kv)) != read->word))
			deps->lost = true;
	} else {
		read->word = version_word_note(kv_store_word(kv));
		value = version_word_note(word);
		err = open_snapshot(connection, read, kv,
				    version_is_odd(read->word) ||
					    version_is_odd(value));
		if (err)
			return err;
	}
	if (deps)
		depend(deps, kv, read, word, value);
	*out = read->read;
	return ERR_OK;
}

void
sql_store_note_expiry(struct sql_connection *connection, uint64_t expires_ms)
{
	struct sql_deps *deps = deps_of(connection);

	if (deps && expires_ms &&
	    (!deps->expires_ms || expires_ms < deps->expires_ms))
		deps->expires_ms = expires_ms;
}

enum err
sql_store_get(struct sql_connection *connection, unsigned store,
	      struct bytes key, struct kv_record *record)
{
	struct kv *kv = connection->sql->options.stores[store];
	uint64_t hash = kv_hash(kv, key);
	struct kv_read *read;
	enum err err;

	err = sql_store_open(connection, store,
			     &kv_versions(kv)->words[version_stripe(hash)],
			     &read);
	if (err)
		return err;
	err = kv_get(read, key, clock_wall_ms(), record);
	if (err)
		return err;
	kv_touch_used(kv, hash);
	sql_store_note_expiry(connection, record->expires_ms);
	return ERR_OK;
}

void
sql_store_refuse(struct sql_connection *connection, enum err err,
		 struct bytes name)
{
	int len = name.len < KV_NAME_MAX ? (int)name.len : KV_NAME_MAX;

	if (err == ERR_NOTFOUND)
		sql_refuse(connection, ERR_FORBIDDEN,
			   "there is no store \"%.*s\" that this SQL may see",
			   len, (const char *)name.data);
	else
		sql_refuse(connection, err, "store \"%.*s\": %s", len,
			   (const char *)name.data, err_text(err));
}

/* ---- values -------------------------------------------------------------- */

struct bytes
sql_value_bytes(sqlite3_value *value)
{
	const void *data = sqlite3_value_type(value) == SQLITE_BLOB
				   ? sqlite3_value_blob(value)
				   : (const void *)sqlite3_value_text(value);

	return (struct bytes){ data ? data : "",
			       (size_t)sqlite3_value_bytes(value) };
}

void
sql_result_bytes(sqlite3_context *context, struct bytes bytes, bool is_lasting)
{
	sqlite3_destructor_type how =
		is_lasting ? SQLITE_STATIC : SQLITE_TRANSIENT;
	const void *data = bytes.len ? bytes.data : "";

	if (json_is_utf8((struct bytes){ data, bytes.len }))
		sqlite3_result_text64(context, data, bytes.len, how,
				      SQLITE_UTF8);
	else
		sqlite3_result_blob64(context, data, bytes.len, how);
}

/* ---- kv_get() ------------------------------------------------------------ */

static void
run_kv_get(sqlite3_context *context, int count, sqlite3_value **values)
{
	struct sql_connection *connection = sqlite3_user_data(context);
	struct bytes name, key;
	struct kv_record record;
	unsigned store;
	enum err err;

	if (sqlite3_value_type(values[0]) == SQLITE_NULL ||
	    sqlite3_value_type(values[1]) == SQLITE_NULL)
		return;
	name = sql_value_bytes(values[0]);
	key = sql_value_bytes(values[1]);
	store = sql_store_find(connection->sql, name);
	if (store == SQL_STORES_MAX) {
		sql_store_refuse(connection, ERR_NOTFOUND, name);
		sqlite3_result_error_code(context, SQLITE_ERROR);
		return;
	}
	if (key.len == 0 || key.len > KV_KEY_MAX)
		return;
	err = sql_store_get(connection, store, key, &record);
	if (err == ERR_NOTFOUND)
		return;
	if (err) {
		sql_store_refuse(connection, err, name);
		sqlite3_result_error_code(context, SQLITE_ERROR);
		return;
	}
	/* The snapshot stays until nothing runs any more. */
	sql_result_bytes(context, record.value, true);
}

/* ---- fail() -------------------------------------------------------------- */

/* Those of RFC 9110 and the registry that tell of an error. */
static bool
is_error_status(sqlite3_int64 status)
{
	return (status >= 400 && status <= 417) ||
	       (status >= 421 && status <= 426) || status == 428 ||
	       status == 429 || status == 431 || status == 451 ||
	       (status >= 500 && status <= 508) || status == 510 ||
	       status == 511;
}

static void
run_fail(sqlite3_context *context, int count, sqlite3_value **values)
{
	struct sql_connection *connection = sqlite3_user_data(context);
	sqlite3_int64 status = sqlite3_value_int64(values[0]);
	const char *detail =
		count > 1 ? (const char *)sqlite3_value_text(values[1]) : NULL;

	if (!is_error_status(status)) {
		sql_refuse(connection, ERR_BAD,
			   "fail(): %lld is not the status of an error",
			   (long long)status);
	} else {
		/* The first one counts. */
		if (!connection->refused)
			connection->chosen_status = (unsigned)status;
		sql_refuse(connection, ERR_CHOSEN, "%s", detail ? detail : "");
	}
	sqlite3_result_error_code(context, SQLITE_ERROR);
}

int
sql_functions_add(struct sql_connection *connection)
{
	static const struct {
		const char *name;
		int args;
		void (*run)(sqlite3_context *, int, sqlite3_value **);
		int flags;
	} functions[] = {
		{ "kv_get", 2, run_kv_get, 0 },
		{ "fail", 1, run_fail, 0 },
		{ "fail", 2, run_fail, 0 },
		{ "printf", -1, sql_run_printf, SQLITE_DETERMINISTIC },
		{ "format", -1, sql_run_printf, SQLITE_DETERMINISTIC },
	};

	for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
		/* Not deterministic: SQLite would call fail() ahead. */
		int rc = sqlite3_create_function_v2(
			connection->db, functions[i].name, functions[i].args,
			SQLITE_UTF8 | SQLITE_INNOCUOUS | functions[i].flags,
			connection, functions[i].run, NULL, NULL, NULL);

		if (rc)
			return rc;
	}
	return SQLITE_OK;
}
