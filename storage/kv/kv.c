/* SPDX-License-Identifier: MIT */
#include "storage/kv.h"

#include <ck_pr.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "core/clock.h"
#include "core/log.h"
#include "storage/kv/kv_internal.h"

/*
 * The map is set once: LMDB cannot grow it under readers. It costs addresses,
 * not memory. Live pages may reach twice the quota (kv_space.c). Above them
 * the file holds what a running transaction copies, what old snapshots keep
 * from being reused, and gaps too short for a large value, each of them some
 * part of the live pages again. Eight times the quota and a gigabyte (for
 * small stores, where one batch is large against the quota) is never reached
 * by these, so that MDB_MAP_FULL means a snapshot that nobody gave back.
 */
#define MAP_TIMES UINT64_C(8)
#define MAP_EXTRA (UINT64_C(1) << 30)
#define MAP_MAX (UINT64_C(1) << 44) /* of the 47 bits that a process has */

enum {
	/* A byte of recency for each 256 bytes of data: smaller entries share
	 * them, and look more used than they are. */
	BYTES_PER_USED = 256,
	USED_MIN = 4096,
	USED_MAX = 1 << 24,
	/* Stands among LMDB's codes, which are positive or far below. */
	CUT_SHORT = -1,
};

enum err
err_from_lmdb(int rc)
{
	switch (rc) {
	case MDB_SUCCESS:
		return ERR_OK;
	case MDB_NOTFOUND:
		return ERR_NOTFOUND;
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERR_FULL;
	case ENOMEM:
		return ERR_NOMEM;
	case MDB_READERS_FULL:
		return ERR_OVERLOADED;
	default:
		/* A failed write or sync, a page that is not what it should
		 * be, an environment that failed before. */
		return ERR_FAULT;
	}
}

/* ---- opening the data file ---------------------------------------------- */

static uint64_t
map_size_for(const struct kv *kv)
{
	if (kv->tuning.map_size)
		return kv->tuning.map_size;
	if (kv->max_size > (MAP_MAX - MAP_EXTRA) / MAP_TIMES)
		return MAP_MAX;
	return kv->max_size * MAP_TIMES + MAP_EXTRA;
}

static int
open_databases(struct kv *kv)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(kv->env, NULL, 0, &txn);

	if (rc)
		return rc;
	if (!kv_space_knows_lmdb(txn))
		rc = MDB_VERSION_MISMATCH;
	if (!rc)
		rc = mdb_dbi_open(txn, NULL, 0, &kv->figures_db);
	if (!rc)
		rc = mdb_dbi_open(txn, "kv", MDB_CREATE, &kv->data);
	if (!rc)
		rc = mdb_dbi_open(txn, "expiry", MDB_CREATE, &kv->expiry);
	if (rc) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

/* A page beyond the end of the file would be a SIGBUS when it is read. The
 * file always covers what is in use: see kv_space.c. */
static int
check_length(struct kv *kv)
{
	MDB_envinfo info;
	MDB_stat stat;
	struct stat st;
	int dead;

	mdb_env_info(kv->env, &info);
	mdb_env_stat(kv->env, &stat);
	if (fstat(kv->data_fd, &st) < 0)
		return errno;
	if ((uint64_t)st.st_size / stat.ms_psize < info.me_last_pgno + 1)
		return CUT_SHORT;
	kv->page_size = stat.ms_psize;
	/* LMDB's: two nodes fit a page, each with its two-byte index. */
	kv->node_max = (((kv->page_size - 16) / 2) & ~(size_t)1) - 2;
	kv->file_pages = (uint64_t)st.st_size / stat.ms_psize;
	return mdb_reader_check(kv->env, &dead);
}

/* The first commit of a new store must not meet a full disk: LMDB takes a
 * short write for an input/output error. */
static int
allocate_first_pages(struct kv *kv)
{
	enum { FIRST_PAGES = 16 };

	if (kv->file_pages >= FIRST_PAGES)
		return 0;
	return posix_fallocate(kv->data_fd, 0,
			       (off_t)(FIRST_PAGES * kv->page_size));
}

/* Opened before anything can fail, so that it hears of it: see
 * check_sync(). */
static int
open_witness(struct kv *kv)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/data.mdb", kv->dir) >= PATH_MAX)
		return ENAMETOOLONG;
	kv->witness_fd = open(path, O_RDONLY | O_CLOEXEC);
	return kv->witness_fd < 0 ? errno : 0;
}

static void
close_env(struct kv *kv)
{
	if (kv->witness_fd >= 0)
		close(kv->witness_fd);
	kv->witness_fd = -1;
	mdb_env_close(kv->env);
	kv->env = NULL;
}

static int
open_env(struct kv *kv)
{
	unsigned flags = MDB_NOTLS | MDB_NORDAHEAD;
	int rc = mdb_env_create(&kv->env);

	if (rc)
		return rc;
	if (kv->is_volatile)
		flags |= MDB_NOSYNC;
	mdb_env_set_maxdbs(kv->env, 2);
	mdb_env_set_maxreaders(kv->env, kv->readers + KV_READERS_EXTRA);
	mdb_env_set_mapsize(kv->env, kv->map_size);
	rc = mdb_env_open(kv->env, kv->dir, flags, 0600);
	if (!rc)
		rc = mdb_env_get_fd(kv->env, &kv->data_fd);
	if (!rc) {
		/* The only descriptor of LMDB that would be inherited. */
		fcntl(kv->data_fd, F_SETFD, FD_CLOEXEC);
		rc = check_length(kv);
	}
	if (!rc && !kv->is_volatile)
		rc = open_witness(kv);
	if (!rc)
		rc = allocate_first_pages(kv);
	if (!rc)
		rc = open_databases(kv);
	if (rc)
		close_env(kv);
	return rc;
}

static enum err
open_data(struct kv *kv, char *message, size_t size)
{
	enum err err = kv_state_check_file(kv, message, size);
	int rc;

	if (err != ERR_OK)
		return err;
	rc = open_env(kv);
	if (rc)
		return kv_say(message, size, err_from_lmdb(rc),
			      "%s/data.mdb: cannot open the store: %s", kv->dir,
			      rc == CUT_SHORT ? "the file is cut short"
					      : mdb_strerror(rc));
	return ERR_OK;
}

/* A volatile store does not come up damaged: it starts empty instead. */
static enum err
open_data_or_restart(struct kv *kv, char *message, size_t size)
{
	enum err err = open_data(kv, message, size);

	if (err != ERR_FAULT || !kv->is_volatile)
		return err;
	log_warn("store %s starts empty: %s", kv->name, message);
	err = kv_state_remove_data(kv);
	if (err != ERR_OK)
		return kv_say(message, size, err,
			      "%s: cannot remove the damaged data", kv->dir);
	return open_data(kv, message, size);
}

/* What the last commit left behind. */
static int
load_figures(struct kv *kv)
{
	MDB_txn *txn;
	MDB_stat stat;
	MDB_val name = { 7, (void *)(uintptr_t) "figures" }, value;
	int rc = mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &txn);

	if (rc)
		return rc;
	rc = mdb_get(txn, kv->figures_db, &name, &value);
	if (!rc && value.mv_size != KV_FIGURES_SIZE)
		rc = MDB_CORRUPTED;
	if (!rc) {
		kv->bytes = kv_get_le64(value.mv_data);
		kv->last_seq = kv_get_le64((uint8_t *)value.mv_data + 8);
	}
	kv->committed = mdb_txn_id(txn);
	if (mdb_stat(txn, kv->data, &stat) == 0)
		kv->entries = stat.ms_entries;
	mdb_txn_abort(txn);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static enum err
start_figures(struct kv *kv, char *message, size_t size)
{
	enum err err = err_from_lmdb(load_figures(kv));

	/* The sequence file may be younger than the store, after a restore. */
	if (err == ERR_OK && kv->last_seq > sequence_last(kv->sequence))
		err = sequence_raise(kv->sequence, kv->last_seq);
	if (err != ERR_OK)
		return kv_say(message, size, err,
			      "%s/data.mdb: cannot read the store: %s", kv->dir,
			      err_text(err));
	kv_space_note(kv);
	return ERR_OK;
}

/* ---- opening and closing ------------------------------------------------ */

/* Mapped, not allocated: its pages come to be as they are touched. */
static enum err
make_used_table(struct kv *kv)
{
	uint64_t count = USED_MIN;
	void *table;

	while (count < kv->max_size / BYTES_PER_USED && count < USED_MAX)
		count *= 2;
	table = mmap(NULL, count, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (table == MAP_FAILED)
		return ERR_NOMEM;
	kv->used = table;
	kv->used_mask = count - 1;
	return ERR_OK;
}

static void
set_options(struct kv *kv, const struct kv_options *options,
	    const struct kv_tuning *tuning)
{
	kv->is_volatile = options->is_volatile;
	kv->max_size = options->max_size;
	kv->default_ttl_ms = options->default_ttl_ms;
	kv->sequence = options->sequence;
	kv->readers = options->readers;
	kv->tuning = *tuning;
	if (!kv->tuning.now_ms)
		kv->tuning.now_ms = clock_wall_ms;
	if (!kv->tuning.sweep_pause_ms)
		kv->tuning.sweep_pause_ms = KV_SWEEP_PAUSE_MS;
	kv->seed = XXH3_64bits(options->name, strlen(options->name));
	kv->lock_fd = kv->marker_fd = kv->witness_fd = -1;
	kv->batch_max = LANE_BATCH_OPS;
	kv->sweep_max = KV_SWEEP_BATCH;
	kv->round = 16; /* all that is found is old, as its bytes are 0 */
	kv->next_due_ms = kv->sweep_at_ms = UINT64_MAX;
	kv->map_size = map_size_for(kv);
}

static enum err
make_parts(struct kv *kv, const struct kv_options *options)
{
	size_t slots = options->readers * sizeof(*kv->slots);

	kv->name = strdup(options->name);
	kv->dir = strdup(options->dir);
	kv->slots = aligned_alloc(alignof(struct kv_slot), slots);
	if (!kv->name || !kv->dir || !kv->slots)
		return ERR_NOMEM;
	memset(kv->slots, 0, slots);
	return kv->is_volatile ? make_used_table(kv) : ERR_OK;
}

static void
free_parts(struct kv *kv)
{
	if (kv->used)
		munmap(kv->used, kv->used_mask + 1);
	free(kv->slots);
	free(kv->dir);
	free(kv->name);
	free(kv);
}

static enum err
open_lane(struct kv *kv, const struct kv_options *options)
{
	struct lane_options lane = {
		.name = kv->name,
		.store = kv,
		.commit = kv_commit,
		.idle = kv_idle,
		.max_age_ns = options->max_age_ns,
		.on_fault = options->on_fault,
		.on_fault_arg = options->on_fault_arg,
	};

	return lane_open(&kv->lane, &lane);
}

static enum err
start(struct kv *kv, const struct kv_options *options, char *message,
      size_t size)
{
	enum err err = make_parts(kv, options);

	if (err == ERR_OK)
		err = kv_state_open(kv, message, size);
	if (err == ERR_OK)
		err = open_data_or_restart(kv, message, size);
	if (err == ERR_OK)
		err = kv_state_made(kv, message, size);
	if (err == ERR_OK)
		err = start_figures(kv, message, size);
	if (err == ERR_OK)
		err = open_lane(kv, options);
	return err;
}

enum err
kv_open_tuned(struct kv **out, const struct kv_options *options,
	      const struct kv_tuning *tuning, char *message, size_t size)
{
	struct kv *kv = aligned_alloc(alignof(struct kv), sizeof(*kv));
	enum err err;

	assert(options->readers > 0 && options->max_size > 0);
	kv_say(message, size, ERR_NOMEM, "store %s: %s", options->name,
	       err_text(ERR_NOMEM));
	if (!kv)
		return ERR_NOMEM;
	memset(kv, 0, sizeof(*kv));
	set_options(kv, options, tuning);
	err = start(kv, options, message, size);
	if (err != ERR_OK) {
		if (kv->env)
			close_env(kv);
		kv_state_close(kv, false);
		free_parts(kv);
		return err;
	}
	kv_say(message, size, ERR_OK, "%s", "");
	*out = kv;
	return ERR_OK;
}

enum err
kv_open(struct kv **out, const struct kv_options *options, char *message,
	size_t message_size)
{
	static const struct kv_tuning real;

	return kv_open_tuned(out, options, &real, message, message_size);
}

void
kv_close(struct kv *kv)
{
	bool clean;

	clean = !lane_faulty(kv->lane);
	lane_close(kv->lane);
	for (unsigned i = 0; i < kv->readers; i++)
		assert(!ck_pr_load_uint(&kv->slots[i].taken));
	if (clean && kv->is_volatile)
		clean = mdb_env_sync(kv->env, 1) == 0;
	close_env(kv);
	kv_state_close(kv, clean);
	free_parts(kv);
}

/* ---- looking ------------------------------------------------------------ */

const char *
kv_name(const struct kv *kv)
{
	return kv->name;
}

bool
kv_is_volatile(const struct kv *kv)
{
	return kv->is_volatile;
}

struct lane *
kv_lane(struct kv *kv)
{
	return kv->lane;
}

const struct versions *
kv_versions(const struct kv *kv)
{
	return &kv->versions;
}

const uint64_t *
kv_store_word(const struct kv *kv)
{
	return &kv->word;
}

uint64_t
kv_hash(const struct kv *kv, struct bytes key)
{
	return XXH3_64bits_withSeed(key.data, key.len, kv->seed);
}

static void
stats_of_readers(struct kv *kv, struct kv_stats *stats)
{
	uint64_t committed = ck_pr_load_64(&kv->committed);

	for (unsigned i = 0; i < kv->readers; i++) {
		uint64_t txnid = ck_pr_load_64(&kv->slots[i].txnid);

		stats->readers += ck_pr_load_uint(&kv->slots[i].taken);
		if (txnid && txnid < committed &&
		    committed - txnid > stats->oldest_reader)
			stats->oldest_reader = committed - txnid;
	}
}

void
kv_stats(struct kv *kv, struct kv_stats *stats)
{
	*stats = (struct kv_stats){
		.entries = ck_pr_load_64(&kv->entries),
		.live_bytes = ck_pr_load_64(&kv->live_bytes),
		.max_size = kv->max_size,
		.map_used = ck_pr_load_64(&kv->map_used),
		.map_size = kv->map_size,
		.evicted = ck_pr_load_64(&kv->evicted),
		.expired = ck_pr_load_64(&kv->expired),
		.readers_max = kv->readers,
		.full = ck_pr_load_uint(&kv->full),
		.disk_full = ck_pr_load_uint(&kv->disk_full),
	};
	stats_of_readers(kv, stats);
}

/* ---- submitting --------------------------------------------------------- */

static void
clear_out(struct kv_op *op)
{
	op->err = ERR_OK;
	op->created = false;
	op->seq = op->expires_ms_now = 0;
	op->number = 0;
	op->out = (struct kv_record){ 0 };
	op->out_memory = NULL;
}

enum err
kv_submit(struct kv *kv, struct kv_write *write)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < write->count; i++) {
		struct kv_op *op = &write->ops[i];

		assert(op->key.len >= 1 && op->key.len <= KV_KEY_MAX);
		assert(op->type.len <= KV_TYPE_MAX);
		clear_out(op);
		bytes += op->key.len + op->type.len + op->value.len;
	}
	write->failed = 0;
	write->item.ops = write->count;
	write->item.bytes = bytes;
	return lane_submit(kv->lane, &write->item);
}
