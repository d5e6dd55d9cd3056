/* SPDX-License-Identifier: MIT */
/*
 * Stores in tests: a folder of one's own, opening, and writes that wait for
 * their commit. Everything here ends the test where it fails.
 */
#ifndef TESTS_STORE_H
#define TESTS_STORE_H

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <semaphore.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/kv/kv_internal.h"
#include "tests/tap.h"
#include "tests/waiting.h"

/* ---- folders ------------------------------------------------------------ */

static char store_root[PATH_MAX - 300];

__attribute__((noreturn, unused)) static void
bail_out(const char *what)
{
	printf("Bail out! %s (%s)\n", what, strerror(errno));
	fflush(stdout);
	_exit(1);
}

/* A macro, so that compilers see what is set after it. */
#define need(passed, what) \
	do { \
		if (!(passed)) \
			bail_out(what); \
	} while (0)

static int
remove_entry(const char *path, const struct stat *st, int type,
	     struct FTW *where)
{
	return remove(path);
}

static void
remove_root(void)
{
	nftw(store_root, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* Once; the folder goes when the test ends. */
__attribute__((unused)) static void
make_root(void)
{
	const char *dir = getenv("TMPDIR");

	snprintf(store_root, sizeof(store_root), "%s/jackdaw-test-XXXXXX",
		 dir && *dir ? dir : "/tmp");
	need(mkdtemp(store_root) != NULL, "cannot make a folder");
	atexit(remove_root);
}

__attribute__((unused)) static const char *
under_root(const char *name, char path[PATH_MAX])
{
	need(snprintf(path, PATH_MAX, "%s/%s", store_root, name) < PATH_MAX,
	     "the path is too long");
	return path;
}

/* ---- opening ------------------------------------------------------------ */

struct store {
	struct kv *kv;
	struct sequence *sequence;
	struct kv_read *read;
	struct kv_options options;
	struct kv_tuning tuning;
	char dir[PATH_MAX], message[512];
	unsigned faults; /* calls of on_fault() */
};

__attribute__((unused)) static const char *
store_file(const struct store *store, const char *name, char path[PATH_MAX])
{
	need(snprintf(path, PATH_MAX, "%s/%s", store->dir, name) < PATH_MAX,
	     "the path is too long");
	return path;
}

static void
note_fault(void *arg, const char *name)
{
	struct store *store = arg;

	__atomic_add_fetch(&store->faults, 1, __ATOMIC_SEQ_CST);
}

/* Sets the options; a test may change them before store_try_open(). */
__attribute__((unused)) static void
store_init(struct store *store, const char *name, bool is_volatile)
{
	*store = (struct store){
		.options = { .name = name,
			     .is_volatile = is_volatile,
			     .max_size = 64 << 20,
			     .readers = 8,
			     /* A busy machine refuses nothing. */
			     .max_age_ns = 60 * NS_PER_S,
			     .on_fault = note_fault },
	};
	under_root(name, store->dir);
}

static enum err
store_try_open(struct store *store)
{
	char path[PATH_MAX];
	enum err err;

	store->options.dir = store->dir;
	store->options.on_fault_arg = store;
	store->read = NULL;
	err = sequence_open(&store->sequence, under_root("sequence", path));
	need(err == ERR_OK, "cannot open the sequence");
	store->options.sequence = store->sequence;
	err = kv_open_tuned(&store->kv, &store->options, &store->tuning,
			    store->message, sizeof(store->message));
	if (err != ERR_OK)
		sequence_close(store->sequence);
	return err;
}

__attribute__((unused)) static void
store_open(struct store *store)
{
	need(store_try_open(store) == ERR_OK, store->message);
	need(kv_read_create(store->kv, &store->read) == ERR_OK,
	     "cannot make a snapshot");
}

__attribute__((unused)) static void
store_close(struct store *store)
{
	if (store->read)
		kv_read_destroy(store->read);
	kv_close(store->kv);
	sequence_close(store->sequence);
}

__attribute__((unused)) static void
store_reopen(struct store *store)
{
	store_close(store);
	store_open(store);
}

/* ---- writing ------------------------------------------------------------ */

struct waiting_write {
	struct kv_write write;
	sem_t done;
};

static void
write_done(struct lane_item *item)
{
	struct waiting_write *waiting =
		CONTAINER_OF(item, struct waiting_write, write.item);

	sem_post(&waiting->done);
}

/* Submits and waits. The write as a whole; each op has its own outcome. */
__attribute__((unused)) static enum err
store_submit(struct store *store, struct kv_write *write)
{
	struct waiting_write waiting = { .write = *write };
	enum err err;

	waiting.write.item.done = write_done;
	sem_init(&waiting.done, 0, 0);
	err = kv_submit(store->kv, &waiting.write);
	if (err == ERR_OK) {
		while (sem_wait(&waiting.done) < 0)
			;
		err = waiting.write.item.err;
	}
	sem_destroy(&waiting.done);
	write->failed = waiting.write.failed;
	return err;
}

__attribute__((unused)) static enum err
store_write_failed(struct store *store, struct kv_op *ops, unsigned count,
		   bool atomic, unsigned *failed)
{
	struct kv_write write = { .ops = ops,
				  .count = count,
				  .atomic = atomic };
	enum err err = store_submit(store, &write);

	if (failed)
		*failed = write.failed;
	return err;
}

__attribute__((unused)) static enum err
store_write(struct store *store, struct kv_op *ops, unsigned count, bool atomic)
{
	return store_write_failed(store, ops, count, atomic, NULL);
}

/* One operation: its own outcome. */
__attribute__((unused)) static enum err
store_op(struct store *store, struct kv_op *op)
{
	enum err err = store_write(store, op, 1, false);

	return err == ERR_OK ? op->err : err;
}

__attribute__((unused)) static struct kv_op
op_of(enum kv_op_kind kind, const char *key, const char *value)
{
	return (struct kv_op){
		.kind = kind,
		.key = bytes_of(key),
		.value = value ? bytes_of(value) : (struct bytes){ 0 },
	};
}

__attribute__((unused)) static enum err
store_put(struct store *store, const char *key, const char *value)
{
	struct kv_op op = op_of(KV_PUT, key, value);

	return store_op(store, &op);
}

/* Many writes at a time, of one operation each, as a crowd submits them. Their
 * outcomes are in the ops. */
__attribute__((unused)) static void
store_write_many(struct store *store, struct kv_op *ops, unsigned count)
{
	struct waiting_write *writes = calloc(count, sizeof(*writes));

	need(writes != NULL, "out of memory");
	for (unsigned i = 0; i < count; i++) {
		enum err err;

		writes[i].write = (struct kv_write){
			.item = { .done = write_done, .patient = true },
			.ops = &ops[i],
			.count = 1,
		};
		sem_init(&writes[i].done, 0, 0);
		err = kv_submit(store->kv, &writes[i].write);
		if (err == ERR_OK)
			continue;
		ops[i].err = err;
		sem_post(&writes[i].done);
	}
	for (unsigned i = 0; i < count; i++) {
		while (sem_wait(&writes[i].done) < 0)
			;
		sem_destroy(&writes[i].done);
		if (writes[i].write.item.err != ERR_OK)
			ops[i].err = writes[i].write.item.err;
	}
	free(writes);
}

/* ---- reading ------------------------------------------------------------ */

__attribute__((unused)) static enum err
store_get(struct store *store, const char *key, struct kv_record *record)
{
	uint64_t now_ms =
		store->tuning.now_ms ? store->tuning.now_ms() : clock_wall_ms();

	need(kv_read_renew(store->read, false) == ERR_OK, "cannot renew");
	return kv_get(store->read, bytes_of(key), now_ms, record);
}

__attribute__((unused)) static bool
has_value(struct store *store, const char *key, const char *value)
{
	struct kv_record record;

	return store_get(store, key, &record) == ERR_OK &&
	       bytes_equal(record.value, bytes_of(value));
}

/* What the figure of live bytes must be, from the records; and whether the
 * index has an entry for each that expires, and no other. */
__attribute__((unused)) static uint64_t
store_count_bytes(struct store *store, bool *index_fits)
{
	uint64_t bytes = 0, expiring = 0;
	struct kv_record record;
	MDB_cursor *cursor = NULL;
	MDB_val name, value, key;
	MDB_stat stat;
	MDB_txn *txn;

	*index_fits = true;
	need(mdb_txn_begin(store->kv->env, NULL, MDB_RDONLY, &txn) == 0 &&
		     mdb_cursor_open(txn, store->kv->data, &cursor) == 0,
	     "cannot read");
	while (mdb_cursor_get(cursor, &name, &value, MDB_NEXT) == 0) {
		uint8_t index[KV_EXPIRY_KEY_SIZE];
		MDB_val at = { sizeof(index), index };

		need(kv_record_decode(value.mv_data, value.mv_size, &record),
		     "a damaged record");
		bytes += kv_cost(store->kv, name.mv_size, value.mv_size,
				 record.expires_ms != 0);
		if (!record.expires_ms)
			continue;
		expiring++;
		kv_expiry_encode(index, record.expires_ms, record.seq);
		*index_fits &=
			mdb_get(txn, store->kv->expiry, &at, &key) == 0 &&
			bytes_equal(bytes_of_val(key), bytes_of_val(name));
	}
	mdb_cursor_close(cursor);
	need(mdb_stat(txn, store->kv->expiry, &stat) == 0, "cannot read");
	*index_fits &= stat.ms_entries == expiring;
	mdb_txn_abort(txn);
	return bytes;
}

/* All that is in the store's databases, byte for byte, but for the unnamed
 * one; as malloc'd text of lengths and bytes. */
__attribute__((unused)) static struct bytes
store_dump(struct store *store)
{
	MDB_dbi databases[] = { store->kv->data, store->kv->expiry };
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	MDB_cursor *cursor;
	MDB_val name, value;
	MDB_txn *txn;

	need(mdb_txn_begin(store->kv->env, NULL, MDB_RDONLY, &txn) == 0,
	     "cannot read");
	for (size_t i = 0; i < ARRAY_LEN(databases); i++) {
		fprintf(out, "database %zu\n", i);
		need(mdb_cursor_open(txn, databases[i], &cursor) == 0,
		     "cannot read");
		while (mdb_cursor_get(cursor, &name, &value, MDB_NEXT) == 0) {
			fprintf(out, "%zu %zu ", name.mv_size, value.mv_size);
			fwrite(name.mv_data, 1, name.mv_size, out);
			fwrite(value.mv_data, 1, value.mv_size, out);
		}
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	fclose(out);
	return (struct bytes){ text, len };
}

#endif
