/* SPDX-License-Identifier: MIT */
/*
 * The table kv: stores as rows, read-only.
 *
 *	SELECT key, value FROM kv('main') WHERE key >= 'user:' AND key < 'user;'
 *
 *   store     hidden; must be given, as kv('main') or WHERE store = 'main'
 *   key       TEXT where it is UTF-8, otherwise BLOB; so is
 *   value
 *   type      content type; NULL: none
 *   etag      INTEGER, the number of the operation that wrote it
 *   modified  INTEGER, milliseconds since 1970
 *   expires   the same; NULL: never
 *
 * A key that is given is looked up, and the statement depends on that key
 * alone. Bounds (<, <=, >, >=, BETWEEN, GLOB 'p*', and LIKE as far as case
 * does not matter) make it a walk over a part, nothing makes it one over the
 * whole; both depend on the store. Keys are ordered by their bytes, and a bound
 * that is a number is its text.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "storage/sql/sql_internal.h"

/* A row is known by its store and key: SQLite walks once for each side of an
 * OR, and takes what it has seen before for the same row. */
static const char columns[] =
	"CREATE TABLE kv(store TEXT HIDDEN, key TEXT, value, type TEXT,"
	" etag INTEGER, modified INTEGER, expires INTEGER,"
	" PRIMARY KEY(store, key)) WITHOUT ROWID";

enum column {
	COLUMN_STORE,
	COLUMN_KEY,
	COLUMN_VALUE,
	COLUMN_TYPE,
	COLUMN_ETAG,
	COLUMN_MODIFIED,
	COLUMN_EXPIRES,
};

/* A plan is a set of these; their values follow the store's, in this order. */
enum plan {
	PLAN_EQ = 1,
	PLAN_GT = 2,
	PLAN_GE = 4,
	PLAN_LT = 8,
	PLAN_LE = 16,
	PLAN_GLOB = 32,
	PLAN_LIKE = 64,
	PLAN_VALUES = 7,
	PLAN_REVERSE = 128,
	/* What SQLite does not look at again. To it a key that is no UTF-8, a
	 * BLOB, is above all that are; here keys are ordered by their bytes.
	 * With the others types matter, and a prefix is only about. */
	PLAN_EXACT = PLAN_GT | PLAN_GE | PLAN_LT | PLAN_LE,
};

struct table {
	sqlite3_vtab base;
	struct sql_connection *connection;
};

/* A byte more than a key: for "just behind this key". */
struct bound {
	bool given;
	size_t len;
	uint8_t data[KV_KEY_MAX + 1];
};

struct cursor {
	sqlite3_vtab_cursor base;
	unsigned store;
	struct kv_scan *scan; /* NULL: one key, or none */
	bool at_row, reverse;
	bool key_lasts; /* is in the snapshot, not in name */
	struct bytes key;
	struct kv_record record;
	struct bound from, before; /* of the walk */
	uint8_t name[KV_KEY_MAX];
};

static struct sql_connection *
connection_of(struct cursor *cursor)
{
	return ((struct table *)cursor->base.pVtab)->connection;
}

/* ---- the table ----------------------------------------------------------- */

static int
connect_table(sqlite3 *db, void *connection, int argc, const char *const *argv,
	      sqlite3_vtab **out, char **message)
{
	struct table *table = sqlite3_malloc(sizeof(*table));
	int rc;

	if (!table)
		return SQLITE_NOMEM;
	*table = (struct table){ .connection = connection };
	rc = sqlite3_declare_vtab(db, columns);
	if (rc == SQLITE_OK)
		rc = sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
	if (rc) {
		sqlite3_free(table);
		return rc;
	}
	*out = &table->base;
	return SQLITE_OK;
}

static int
disconnect_table(sqlite3_vtab *table)
{
	sqlite3_free(table);
	return SQLITE_OK;
}

/* ---- planning ------------------------------------------------------------ */

static unsigned
plan_of(unsigned char op)
{
	switch (op) {
	case SQLITE_INDEX_CONSTRAINT_EQ:
		return PLAN_EQ;
	case SQLITE_INDEX_CONSTRAINT_GT:
		return PLAN_GT;
	case SQLITE_INDEX_CONSTRAINT_GE:
		return PLAN_GE;
	case SQLITE_INDEX_CONSTRAINT_LT:
		return PLAN_LT;
	case SQLITE_INDEX_CONSTRAINT_LE:
		return PLAN_LE;
	case SQLITE_INDEX_CONSTRAINT_GLOB:
		return PLAN_GLOB;
	case SQLITE_INDEX_CONSTRAINT_LIKE:
		return PLAN_LIKE;
	}
	return 0;
}

/* Which constraint gives which value; -1: none. */
struct found {
	int store, values[PLAN_VALUES];
};

static void
find_constraints(sqlite3_index_info *info, struct found *found)
{
	*found = (struct found){ .store = -1 };
	memset(found->values, -1, sizeof(found->values));
	for (int i = 0; i < info->nConstraint; i++) {
		unsigned plan = plan_of(info->aConstraint[i].op);
		int column = info->aConstraint[i].iColumn;

		if (column == COLUMN_STORE && plan == PLAN_EQ &&
		    info->aConstraint[i].usable)
			found->store = i;
		/* Under another collation "a" may be "A", or behind it. */
		if (column == COLUMN_KEY && plan &&
		    info->aConstraint[i].usable &&
		    !strcmp(sqlite3_vtab_collation(info, i), "BINARY"))
			found->values[__builtin_ctz(plan)] = i;
	}
}

static unsigned
use_constraints(sqlite3_index_info *info, const struct found *found)
{
	unsigned plan = 0;
	int arg = 1;

	info->aConstraintUsage[found->store].argvIndex = arg++;
	info->aConstraintUsage[found->store].omit = 1;
	for (unsigned i = 0; i < PLAN_VALUES; i++) {
		if (found->values[i] < 0)
			continue;
		info->aConstraintUsage[found->values[i]].argvIndex = arg++;
		info->aConstraintUsage[found->values[i]].omit =
			(1U << i & PLAN_EXACT) != 0;
		plan |= 1U << i;
		if (plan == PLAN_EQ)
			break;
	}
	return plan;
}

static void
estimate(sqlite3_index_info *info, unsigned plan)
{
	bool low = plan & (PLAN_GT | PLAN_GE),
	     high = plan & (PLAN_LT | PLAN_LE);
	bool prefix = plan & (PLAN_GLOB | PLAN_LIKE);

	info->estimatedRows = 1000000;
	if (low || high)
		info->estimatedRows = 250000;
	if ((low && high) || prefix)
		info->estimatedRows = 1000;
	if (plan & PLAN_EQ) {
		info->estimatedRows = 1;
		info->idxFlags = SQLITE_INDEX_SCAN_UNIQUE;
	}
	info->estimatedCost = 5 + 2 * (double)info->estimatedRows;
}

static int
plan_query(sqlite3_vtab *table, sqlite3_index_info *info)
{
	struct found found;
	unsigned plan;

	find_constraints(info, &found);
	/* It may be given in another order of a join, or outside of the side of
	 * an OR that is asked for. */
	if (found.store < 0) {
		((struct table *)table)->connection->lacks_store = true;
		return SQLITE_CONSTRAINT;
	}
	plan = use_constraints(info, &found);
	estimate(info, plan);
	if (info->nOrderBy == 1 && info->aOrderBy[0].iColumn == COLUMN_KEY &&
	    !(plan & PLAN_EQ)) {
		info->orderByConsumed = 1;
		plan |= info->aOrderBy[0].desc ? PLAN_REVERSE : 0;
	}
	info->idxNum = (int)plan;
	return SQLITE_OK;
}

/* ---- bounds -------------------------------------------------------------- */

static struct bytes
bytes_of_bound(const struct bound *bound)
{
	if (!bound->given)
		return (struct bytes){ 0 };
	return (struct bytes){ bound->data, bound->len };
}

/* behind: the first key after. A bound longer than any key is cut, and then is
 * behind what is left of it: no key is between the two. */
static void
make_bound(struct bound *bound, struct bytes bytes, bool behind)
{
	bound->given = true;
	bound->len = bytes.len < KV_KEY_MAX ? bytes.len : KV_KEY_MAX;
	memcpy(bound->data, bytes.data, bound->len);
	if (behind || bytes.len > KV_KEY_MAX)
		bound->data[bound->len++] = 0;
}

/* "Given" a lower one, the higher of both; and the reverse. */
static void
raise_from(struct cursor *cursor, struct bytes bytes, bool behind)
{
	struct bound bound;

	make_bound(&bound, bytes, behind);
	if (!cursor->from.given ||
	    bytes_compare(bytes_of_bound(&bound),
			  bytes_of_bound(&cursor->from)) > 0)
		cursor->from = bound;
}

static void
lower_before(struct cursor *cursor, struct bytes bytes, bool behind)
{
	struct bound bound;

	make_bound(&bound, bytes, behind);
	if (!cursor->before.given ||
	    bytes_compare(bytes_of_bound(&bound),
			  bytes_of_bound(&cursor->before)) < 0)
		cursor->before = bound;
}

/* All keys that begin so. */
static void
bound_prefix(struct cursor *cursor, struct bytes prefix)
{
	uint8_t after[KV_KEY_MAX];
	size_t len = prefix.len < KV_KEY_MAX ? prefix.len : KV_KEY_MAX;

	if (!len)
		return;
	raise_from(cursor, (struct bytes){ prefix.data, len }, false);
	memcpy(after, prefix.data, len);
	while (len && after[len - 1] == 0xff)
		len--;
	if (!len)
		return;
	after[len - 1]++;
	lower_before(cursor, (struct bytes){ after, len }, false);
}

static struct bytes
glob_prefix(struct bytes pattern)
{
	const char *text = pattern.data;
	size_t len = 0;

	while (len < pattern.len && !strchr("*?[", text[len]))
		len++;
	return (struct bytes){ text, len };
}

/* LIKE takes "a" and "A" for the same, so the first letter ends what is
 * certain. */
static struct bytes
like_prefix(struct bytes pattern)
{
	const char *text = pattern.data;
	size_t len = 0;

	while (len < pattern.len && text[len] != '%' && text[len] != '_' &&
	       !((text[len] | 0x20) >= 'a' && (text[len] | 0x20) <= 'z'))
		len++;
	return (struct bytes){ text, len };
}

static void
set_bound(struct cursor *cursor, unsigned plan, struct bytes bytes)
{
	switch (plan) {
	case PLAN_GT:
	case PLAN_GE:
		raise_from(cursor, bytes, plan == PLAN_GT);
		break;
	case PLAN_LT:
	case PLAN_LE:
		lower_before(cursor, bytes, plan == PLAN_LE);
		break;
	case PLAN_GLOB:
		bound_prefix(cursor, glob_prefix(bytes));
		break;
	case PLAN_LIKE:
		bound_prefix(cursor, like_prefix(bytes));
		break;
	}
}

/* ---- walking ------------------------------------------------------------- */

static int
open_cursor(sqlite3_vtab *table, sqlite3_vtab_cursor **out)
{
	struct cursor *cursor = sqlite3_malloc(sizeof(*cursor));

	if (!cursor)
		return SQLITE_NOMEM;
	memset(cursor, 0, sizeof(*cursor));
	*out = &cursor->base;
	return SQLITE_OK;
}

static void
stop(struct cursor *cursor)
{
	if (cursor->scan)
		kv_scan_end(cursor->scan);
	cursor->scan = NULL;
	cursor->at_row = false;
}

static int
close_cursor(sqlite3_vtab_cursor *base)
{
	stop((struct cursor *)base);
	sqlite3_free(base);
	return SQLITE_OK;
}

static int
refuse(struct cursor *cursor, enum err err, struct bytes store)
{
	stop(cursor);
	sql_store_refuse(connection_of(cursor), err, store);
	return SQLITE_ERROR;
}

static struct bytes
store_name(struct cursor *cursor)
{
	const struct sql *sql = connection_of(cursor)->sql;

	return bytes_of(sql->options.store_names[cursor->store]);
}

static int
next_row(sqlite3_vtab_cursor *base)
{
	struct cursor *cursor = (struct cursor *)base;
	struct bytes end = bytes_of_bound(cursor->reverse ? &cursor->from
							  : &cursor->before);
	enum err err;
	int order;

	cursor->at_row = false;
	if (!cursor->scan)
		return SQLITE_OK;
	err = kv_scan_next(cursor->scan, &cursor->key, &cursor->record);
	if (err == ERR_NOTFOUND)
		return SQLITE_OK;
	if (err)
		return refuse(cursor, err, store_name(cursor));
	order = end.data ? bytes_compare(cursor->key, end) : 0;
	if (end.data && (cursor->reverse ? order < 0 : order >= 0)) {
		stop(cursor);
		return SQLITE_OK;
	}
	cursor->at_row = cursor->key_lasts = true;
	sql_store_note_expiry(connection_of(cursor), cursor->record.expires_ms);
	return SQLITE_OK;
}

static int
look_up(struct cursor *cursor, struct bytes key)
{
	enum err err;

	if (key.len == 0 || key.len > KV_KEY_MAX)
		return SQLITE_OK;
	err = sql_store_get(connection_of(cursor), cursor->store, key,
			    &cursor->record);
	if (err == ERR_NOTFOUND)
		return SQLITE_OK;
	if (err)
		return refuse(cursor, err, store_name(cursor));
	memcpy(cursor->name, key.data, key.len);
	cursor->key = (struct bytes){ cursor->name, key.len };
	cursor->at_row = true;
	cursor->key_lasts = false;
	return SQLITE_OK;
}

static int
walk(struct cursor *cursor)
{
	struct sql_connection *connection = connection_of(cursor);
	struct kv *kv = connection->sql->options.stores[cursor->store];
	struct bytes start = bytes_of_bound(cursor->reverse ? &cursor->before
							    : &cursor->from);
	struct kv_read *read;
	enum err err;

	err = sql_store_open(connection, cursor->store, kv_store_word(kv),
			     &read);
	if (!err)
		err = kv_scan_begin(read, cursor->reverse, start,
				    clock_wall_ms(), &cursor->scan);
	if (err)
		return refuse(cursor, err, store_name(cursor));
	return next_row(&cursor->base);
}

static int
filter(sqlite3_vtab_cursor *base, int plan, const char *unused, int count,
       sqlite3_value **values)
{
	struct cursor *cursor = (struct cursor *)base;
	struct sql_connection *connection = connection_of(cursor);
	struct bytes name = sql_value_bytes(values[0]);
	unsigned arg = 1;

	stop(cursor);
	cursor->from.given = cursor->before.given = false;
	cursor->reverse = plan & PLAN_REVERSE;
	/* Nothing is equal to NULL, or above or below it. */
	for (int i = 0; i < count; i++)
		if (sqlite3_value_type(values[i]) == SQLITE_NULL)
			return SQLITE_OK;
	cursor->store = sql_store_find(connection->sql, name);
	if (cursor->store == SQL_STORES_MAX)
		return refuse(cursor, ERR_NOTFOUND, name);
	if (plan & PLAN_EQ)
		return look_up(cursor, sql_value_bytes(values[arg]));
	for (unsigned i = 0; i < PLAN_VALUES; i++)
		if ((unsigned)plan & 1U << i)
			set_bound(cursor, 1U << i,
				  sql_value_bytes(values[arg++]));
	return walk(cursor);
}

static int
at_end(sqlite3_vtab_cursor *base)
{
	return !((struct cursor *)base)->at_row;
}

/* What is in the snapshot stays until nothing runs any more. */
static int
give_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
	struct cursor *cursor = (struct cursor *)base;
	const struct kv_record *record = &cursor->record;
	struct bytes store;

	switch ((enum column)column) {
	case COLUMN_STORE:
		store = store_name(cursor);
		sqlite3_result_text64(context, store.data, store.len,
				      SQLITE_STATIC, SQLITE_UTF8);
		break;
	case COLUMN_KEY:
		sql_result_bytes(context, cursor->key, cursor->key_lasts);
		break;
	case COLUMN_VALUE:
		sql_result_bytes(context, record->value, true);
		break;
	case COLUMN_TYPE:
		if (record->type.len)
			sql_result_bytes(context, record->type, true);
		break;
	case COLUMN_ETAG:
		sqlite3_result_int64(context, (sqlite3_int64)record->seq);
		break;
	case COLUMN_MODIFIED:
		sqlite3_result_int64(context,
				     (sqlite3_int64)record->modified_ms);
		break;
	case COLUMN_EXPIRES:
		if (record->expires_ms)
			sqlite3_result_int64(context,
					     (sqlite3_int64)record->expires_ms);
		break;
	}
	return SQLITE_OK;
}

/* Without xCreate it cannot be made, it is there. */
static const sqlite3_module module = {
	.xConnect = connect_table,
	.xBestIndex = plan_query,
	.xDisconnect = disconnect_table,
	.xOpen = open_cursor,
	.xClose = close_cursor,
	.xFilter = filter,
	.xNext = next_row,
	.xEof = at_end,
	.xColumn = give_column,
};

int
sql_vtab_add(struct sql_connection *connection)
{
	return sqlite3_create_module_v2(connection->db, "kv", &module,
					connection, NULL);
}
