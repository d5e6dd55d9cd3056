/* SPDX-License-Identifier: MIT */
/*
 * One batch, on the committer.
 *
 *   BEGIN      the writes in order, until their time is over; what is left
 *              comes again in the next batch
 *     SAVEPOINT  one write: its statements in order; RELEASE, or ROLLBACK TO
 *                and the write has failed, alone
 *   numbers    one for each write that changed something
 *   odd        the version words of all tables that changed, then a fence
 *   COMMIT     the frames into the WAL, a sync
 *   even       the words are twice the last number from now on
 *   complete   by the lane, after this
 *
 * Some failures end the transaction and not only the write: a full disk, no
 * memory, a write that is interrupted when its time is over, ON CONFLICT
 * ROLLBACK. Which write it was is known, it gets its error, and those before
 * it are run again together; those behind it come with the next batch. When
 * it is the COMMIT that fails and another could succeed (no room, no memory),
 * half of the batch is tried again, down to a single write. Any other failure
 * to write or to sync is final, as in a store (storage/kv/kv_commit.c).
 */
#include <ck_pr.h>
#include <errno.h>
#include <stdio.h>

#include "core/clock.h"
#include "core/log.h"
#include "storage/sql/sql_internal.h"

/* How a batch ended. */
enum ran {
	RAN_COMMITTED,
	RAN_INTO,    /* the write behind those that were applied, which ended
			the transaction */
	RAN_REFUSED, /* the commit failed, and nobody knows whose fault it is */
	RAN_VACUUM,  /* the first is one */
	RAN_FAULT,
};

static struct sql_write *
write_of(struct lane_item *item)
{
	return CONTAINER_OF(item, struct sql_write, item);
}

/* ---- failing ------------------------------------------------------------ */

/* A limit of the file system or its quota: as good as a full disk, and no
 * fault. Nothing of a transaction counts before its last frame is there. */
bool
sql_is_no_room(const struct sql *sql, int rc)
{
	int number = sql->committer.number;

	return (rc & 0xff) == SQLITE_FULL ||
	       (rc == SQLITE_IOERR_WRITE &&
		(number == ENOSPC || number == EDQUOT || number == EFBIG));
}

static bool
is_damage(int rc)
{
	return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB ||
	       rc == SQLITE_IOERR_READ || rc == SQLITE_IOERR_SHORT_READ ||
	       rc == SQLITE_IOERR_CORRUPTFS;
}

bool
sql_is_fault(struct sql *sql, int rc, const char *what)
{
	bool fault = (rc & 0xff) == SQLITE_IOERR && rc != SQLITE_IOERR_NOMEM &&
		     !is_damage(rc) && !sql_is_no_room(sql, rc);

	if (!fault && !is_damage(rc))
		return false;
	log_error("database %s: %s failed: %s (code %d, errno %d)", sql->name,
		  what, sqlite3_errstr(rc), rc, sql->committer.number);
	if (fault)
		sql->committer.faulty = true;
	else
		ck_pr_store_uint(&sql->damaged, 1);
	return fault;
}

enum err
sql_commit_err(const struct sql *sql, int rc)
{
	return sql_is_no_room(sql, rc) ? ERR_FULL : err_from_sqlite(rc);
}

void
sql_note_no_room(const struct sql *sql, int rc, struct sql_error *error)
{
	if (!sql_is_no_room(sql, rc))
		return;
	error->err = ERR_FULL;
	snprintf(error->message, sizeof(error->message), "%s",
		 err_text(ERR_FULL));
}

void
sql_write_fail(struct sql_write *write, unsigned op, enum err err,
	       const char *message)
{
	write->item.err = err;
	write->failed = op;
	write->seq = 0;
	write->error = (struct sql_error){ .err = err, .offset = -1 };
	snprintf(write->error.message, sizeof(write->error.message), "%s",
		 message);
}

static void
fail_all(struct lane_item **items, size_t count, enum err err)
{
	for (size_t i = 0; i < count; i++)
		sql_write_fail(write_of(items[i]), 0, err, err_text(err));
}

/* ---- the committer's own statements ------------------------------------- */

int
sql_fixed_run(struct sql *sql, enum sql_fixed fixed)
{
	sqlite3_stmt *stmt = sql->committer.fixed[fixed];
	int rc;

	/* The library tells its number for few failures, but leaves it. */
	errno = 0;
	rc = sqlite3_step(stmt);
	sql->committer.number = errno;
	/* The step's code says more; this only makes it ready again. */
	sqlite3_reset(stmt);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int
sql_run_commit(struct sql *sql)
{
	return sql_fixed_run(sql, SQL_FIXED_COMMIT);
}

bool
sql_in_transaction(struct sql *sql)
{
	return !sqlite3_get_autocommit(sql_committer_db(sql));
}

bool
sql_roll_back(struct sql *sql)
{
	int rc;

	if (!sql_in_transaction(sql))
		return true;
	rc = sql_fixed_run(sql, SQL_FIXED_ROLLBACK);
	if (!sql_in_transaction(sql))
		return true;
	log_error("database %s: cannot roll back: %s", sql->name,
		  sqlite3_errstr(rc));
	sql->committer.faulty = true;
	return false;
}

/* ---- publishing --------------------------------------------------------- */

void
sql_word_set_fill(struct sql_word_set *set)
{
	memset(set, 0xff, sizeof(*set));
}

static void
for_each_word(struct sql *sql, const struct sql_word_set *set,
	      void (*change)(uint64_t *word, uint64_t value), uint64_t value)
{
	for (unsigned i = 0; i < ARRAY_LEN(set->bits); i++)
		for (uint64_t bits = set->bits[i]; bits; bits &= bits - 1)
			change(&sql->words[i * 64 +
					   (unsigned)__builtin_ctzll(bits)],
			       value);
}

static void
make_odd(uint64_t *word, uint64_t value)
{
	version_word_odd(word);
}

/* Nothing has changed: what was kept with it is good again. */
static void
make_as_before(uint64_t *word, uint64_t value)
{
	version_word_set(word, *word & ~UINT64_C(1));
}

enum err
sql_take_numbers(struct sql *sql, uint64_t count, uint64_t *last)
{
	uint64_t first;
	enum err err;

	if (!sql->options.sequence) {
		*last = sql->committer.scratch_seq += count;
		return ERR_OK;
	}
	err = sequence_take(sql->options.sequence, count, &first);
	if (err == ERR_OK)
		*last = first + count - 1;
	return err;
}

int
sql_publish(struct sql *sql, const struct sql_word_set *set, uint64_t seq,
	    int (*run)(struct sql *sql))
{
	uint64_t start_ns = clock_mono_ns();
	int rc;

	sql->committer.hooked = false;
	for_each_word(sql, set, make_odd, 0);
	version_fence();
	rc = run(sql);
	/* Without a sequence they stay odd: see start_words(). */
	if (!sql->options.sequence)
		;
	else if (rc == SQLITE_OK && !sql->committer.hooked)
		for_each_word(sql, set, make_as_before, 0);
	else
		for_each_word(sql, set, version_word_set, 2 * seq);
	lane_count_sync(sql->lane, clock_mono_ns() - start_ns);
	if (sql->committer.hooked)
		sql_checkpoint_later(sql);
	return rc;
}

/* ---- a batch ------------------------------------------------------------ */

static int
begin(struct sql *sql)
{
	struct sql_committer *committer = &sql->committer;

	committer->written = (struct sql_word_set){ 0 };
	committer->numbered = 0;
	committer->batch_changes = 0;
	committer->touched = false;
	return sql_fixed_run(sql, SQL_FIXED_BEGIN);
}

/* Each write's seq is its place among those that changed something; it becomes
 * its number. */
static void
give_numbers(struct sql *sql, struct lane_item **items, size_t count,
	     uint64_t last)
{
	uint64_t below = last - sql->committer.numbered;

	for (size_t i = 0; i < count; i++)
		if (write_of(items[i])->seq)
			write_of(items[i])->seq += below;
}

/* A transaction in which nothing could have written costs nothing to end.
 * One with an UPDATE that met no row is published all the same, as its commit
 * may hold something that is not a row, such as the next AUTOINCREMENT. */
static enum ran
commit(struct sql *sql, struct lane_item **items, size_t count, enum err *err)
{
	struct sql_committer *committer = &sql->committer;
	uint64_t numbered = committer->numbered, last;
	int rc;

	if (!committer->touched) {
		rc = sql_run_commit(sql);
		*err = err_from_sqlite(rc);
		return rc == SQLITE_OK ? RAN_COMMITTED : RAN_REFUSED;
	}
	*err = sql_take_numbers(sql, numbered ? numbered : 1, &last);
	if (*err != ERR_OK)
		return *err == ERR_FAULT ? RAN_FAULT : RAN_REFUSED;
	sql_word_set_add(&committer->written, SQL_WORD_ANY);
	rc = sql_publish(sql, &committer->written, last, sql_run_commit);
	*err = sql_commit_err(sql, rc);
	if (rc != SQLITE_OK)
		return sql_is_fault(sql, rc, "a commit") ? RAN_FAULT
							 : RAN_REFUSED;
	give_numbers(sql, items, count, last);
	committer->changes += committer->batch_changes;
	return RAN_COMMITTED;
}

/* timed: until the time of a batch is over; *applied says how many. */
static enum ran
apply_batch(struct sql *sql, struct lane_item **items, size_t count, bool timed,
	    size_t *applied)
{
	uint64_t end_ns = clock_mono_ns() + sql->committer.tuning.batch_ns;

	for (*applied = 0; *applied < count; ++*applied) {
		if (timed && *applied > 0 && clock_mono_ns() >= end_ns)
			break;
		switch (sql_apply(sql, write_of(items[*applied]))) {
		case APPLIED:
		case APPLY_FAILED:
			break;
		case APPLY_ENDED:
			return RAN_INTO;
		case APPLY_FAULT:
			return RAN_FAULT;
		case APPLY_VACUUM:
			/* Alone in the next batch. */
			return *applied ? RAN_COMMITTED : RAN_VACUUM;
		}
	}
	return RAN_COMMITTED;
}

static enum ran
run(struct sql *sql, struct lane_item **items, size_t count, bool timed,
    size_t *applied, enum err *err)
{
	int rc = begin(sql);
	enum ran ran;

	*applied = 0;
	if (rc != SQLITE_OK) {
		*err = sql_commit_err(sql, rc);
		*applied = count;
		return sql_is_fault(sql, rc, "the beginning of a batch")
			       ? RAN_FAULT
			       : RAN_REFUSED;
	}
	ran = apply_batch(sql, items, count, timed, applied);
	if (ran == RAN_COMMITTED)
		ran = commit(sql, items, *applied, err);
	if (ran != RAN_COMMITTED && !sql_roll_back(sql))
		return RAN_FAULT;
	return ran;
}

static void
note_full(struct sql *sql, struct lane_item **items, size_t count)
{
	bool full = false, wrote = false;

	for (size_t i = 0; i < count; i++) {
		full |= items[i]->err == ERR_FULL;
		wrote |= write_of(items[i])->seq != 0;
	}
	if (full == ck_pr_load_uint(&sql->full) || !(full || wrote))
		return;
	ck_pr_store_uint(&sql->full, full);
	if (full)
		log_warn("database %s: it, or its disk, is full", sql->name);
	else
		log_info("database %s: it is not full any more", sql->name);
}

/* ---- the lane's call ---------------------------------------------------- */

static size_t
halve(struct sql *sql, struct lane_item **items, size_t n, enum err err)
{
	if (n == 1) {
		fail_all(items, 1, err);
		return 0;
	}
	return sql->committer.batch_max = n / 2;
}

static void
grow_batches(struct sql_committer *committer)
{
	if (committer->batch_max < LANE_BATCH_OPS)
		committer->batch_max *= 2;
	if (committer->batch_max > LANE_BATCH_OPS)
		committer->batch_max = LANE_BATCH_OPS;
}

/* Returns how many are decided; 0: a fault. */
static size_t
commit_batch(struct sql *sql, struct lane_item **items, size_t n)
{
	size_t applied, culprit = 0; /* its place; 0: there is none */
	enum err err = ERR_OK;

	for (;;) {
		switch (run(sql, items, n, culprit == 0, &applied, &err)) {
		case RAN_COMMITTED:
			grow_batches(&sql->committer);
			return culprit && applied == culprit ? culprit + 1
							     : applied;
		case RAN_INTO:
			if (applied == 0)
				return 1;
			n = culprit = applied;
			continue;
		case RAN_REFUSED:
			culprit = 0;
			/* Somebody has had a lock for seconds. */
			if (err == ERR_OVERLOADED) {
				fail_all(items, applied, err);
				return applied;
			}
			n = halve(sql, items, applied, err);
			if (n == 0)
				return 1;
			continue;
		case RAN_VACUUM:
			return sql_vacuum(sql, write_of(items[0])) ? 1 : 0;
		case RAN_FAULT:
			return 0;
		}
	}
}

/* Those before the first that is not made of statements. */
static size_t
statements_first(const struct sql *sql, struct lane_item **items, size_t count)
{
	size_t n = 0;

	while (n < count && n < sql->committer.batch_max &&
	       write_of(items[n])->count > 0)
		n++;
	return n;
}

static size_t
fault_all(struct sql *sql, struct lane_item **items, size_t count, bool *fault)
{
	fail_all(items, count, ERR_FAULT);
	sql->committer.faulty = *fault = true;
	return count;
}

size_t
sql_commit(void *store, struct lane_item **items, size_t count, bool *fault)
{
	struct sql *sql = store;
	size_t n = statements_first(sql, items, count), decided;

	if (!sql_checkpoint_if_long(sql))
		return fault_all(sql, items, count, fault);
	if (n == 0) {
		sql_script_run(sql, write_of(items[0]), fault);
		sql->committer.faulty |= *fault;
		return 1;
	}
	decided = commit_batch(sql, items, n);
	if (decided == 0)
		return fault_all(sql, items, n, fault);
	note_full(sql, items, decided);
	return decided;
}

enum err
sql_submit(struct sql *sql, struct sql_write *write)
{
	size_t bytes = 0;

	assert(write->count > 0);
	for (unsigned i = 0; i < write->count; i++) {
		const struct sql_op *op = &write->ops[i];

		bytes += op->text->text.len;
		for (unsigned j = 0; j < op->value_count; j++) {
			const struct sql_value *value = &op->values[j];

			bytes += sizeof(*value);
			if (value->kind == SQL_TEXT || value->kind == SQL_BLOB)
				bytes += value->bytes.len;
		}
	}
	sql_error_clear(&write->error);
	write->failed = 0;
	write->seq = write->run_ns = 0;
	write->item.ops = write->count;
	write->item.bytes = bytes;
	return lane_submit(sql->lane, &write->item);
}
