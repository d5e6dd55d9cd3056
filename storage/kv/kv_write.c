/* SPDX-License-Identifier: MIT */
/*
 * What each operation does, inside of a batch's transaction. An operation
 * sees those before it, of its own write and of others, as if they were
 * committed.
 *
 * Two kinds of failure: an outcome of one operation (no such key, a condition
 * that does not hold), which is returned; and one of the transaction, which
 * kv_check() keeps, and for which whatever is returned does not count, since
 * the batch is run again or fails as a whole.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/units.h"
#include "storage/kv/kv_internal.h"

enum {
	VALUE_MAX = INT32_MAX, /* LMDB has 32 bits for a size */
	NUMBER_TEXT_MAX = 24,  /* of 64 bits, with sign and NUL */
};

/* ---- undoing ------------------------------------------------------------ */

/* Before a change. LMDB's nested transactions would do this too, at 2 MiB of
 * allocation each. */
static enum err
note_undo(struct kv *kv, struct bytes key, const struct kv_found *old)
{
	struct kv_undo *undo;
	size_t size = old->stored ? old->size : 0;

	if (!kv->batch.undoable)
		return ERR_OK;
	undo = malloc(sizeof(*undo) + size);
	if (!undo)
		return ERR_NOMEM;
	*undo = (struct kv_undo){ .next = kv->batch.undo,
				  .key = key,
				  .stored = old->stored,
				  .size = size };
	if (old->stored)
		kv_record_encode(undo->record, &old->record);
	kv->batch.undo = undo;
	return ERR_OK;
}

static void
undo_one(struct kv *kv, const struct kv_undo *undo)
{
	struct kv_record record;
	struct kv_found now;

	if (!kv_find(kv, undo->key, &now))
		return;
	if (!undo->stored) {
		if (now.stored)
			kv_replace(kv, undo->key, &now, NULL);
		return;
	}
	if (!kv_record_decode(undo->record, undo->size, &record))
		kv_check(kv, MDB_CORRUPTED);
	else
		kv_replace(kv, undo->key, &now, &record);
}

/* Newest first, so that a key changed twice is as it was at the beginning. */
static void
end_undo(struct kv *kv, bool put_back)
{
	struct kv_batch *batch = &kv->batch;

	while (batch->undo) {
		struct kv_undo *undo = batch->undo;

		if (put_back && !batch->rc)
			undo_one(kv, undo);
		batch->undo = undo->next;
		free(undo);
	}
	batch->undoable = false;
}

/* ---- changing ----------------------------------------------------------- */

static enum err
take_seq(struct kv *kv, uint64_t *seq)
{
	enum err err = sequence_take(kv->sequence, 1, seq);

	if (err == ERR_FAULT)
		kv_check(kv, EIO);
	else if (err == ERR_OK)
		kv->batch.last_seq = *seq;
	return err;
}

/* Makes the key's record this one, and op's outcome that. */
static enum err
change(struct kv *kv, struct kv_op *op, struct kv_found *old,
       struct kv_record *record)
{
	enum err err;

	if (record->seq == 0) {
		err = take_seq(kv, &record->seq);
		if (err != ERR_OK)
			return err;
	}
	err = note_undo(kv, op->key, old);
	if (err != ERR_OK)
		return err;
	op->created = !old->live;
	op->seq = record->seq;
	op->expires_ms_now = record->expires_ms;
	kv_replace(kv, op->key, old, record);
	return ERR_OK;
}

static enum err
admit(struct kv *kv, struct kv_op *op, struct kv_found *old,
      const struct kv_record *record, size_t value_len)
{
	size_t size = KV_HEAD_SIZE + record->type.len + value_len;

	if (value_len > VALUE_MAX)
		return ERR_TOO_LARGE;
	return kv_space_admit(
		kv, op->key, old,
		kv_cost(kv, op->key.len, size, record->expires_ms != 0));
}

static uint64_t
after(uint64_t now_ms, uint64_t ttl_ms)
{
	if (ttl_ms == 0)
		return 0;
	return ttl_ms < UINT64_MAX - now_ms ? now_ms + ttl_ms : 0;
}

/* When a record that op makes anew expires. */
static uint64_t
expires_of_new(const struct kv *kv, const struct kv_op *op)
{
	if (op->expires_ms)
		return op->expires_ms;
	return after(kv->batch.now_ms,
		     op->has_ttl ? op->ttl_ms : kv->default_ttl_ms);
}

/* And one that it changes. */
static uint64_t
expires_of_changed(const struct kv *kv, const struct kv_op *op,
		   const struct kv_found *old)
{
	if (!old->live || op->has_ttl)
		return expires_of_new(kv, op);
	return old->record.expires_ms;
}

/* ---- the operations ----------------------------------------------------- */

static enum err
put(struct kv *kv, struct kv_op *op, struct kv_found *old)
{
	struct kv_record record = {
		.expires_ms = expires_of_new(kv, op),
		.modified_ms = kv->batch.now_ms,
		.type = op->type,
		.value = op->value,
	};
	enum err err = admit(kv, op, old, &record, op->value.len);

	return err == ERR_OK ? change(kv, op, old, &record) : err;
}

static enum err
remove_key(struct kv *kv, struct kv_op *op, struct kv_found *old)
{
	enum err err;

	if (!old->live)
		return ERR_NOTFOUND;
	kv_space_admit_shrink(kv, kv_cost_found(kv, op->key, old));
	err = take_seq(kv, &op->seq);
	if (err == ERR_OK)
		err = note_undo(kv, op->key, old);
	if (err == ERR_OK)
		kv_replace(kv, op->key, old, NULL);
	return err;
}

static enum err
add(const struct kv_op *op, const struct kv_found *old, int64_t *sum)
{
	int64_t number = op->initial;

	if (old->live && !units_i64(old->record.value, &number))
		return ERR_NOT_NUMBER;
	if (__builtin_add_overflow(number, op->by, sum))
		return ERR_OVERFLOW;
	return ERR_OK;
}

static enum err
incr(struct kv *kv, struct kv_op *op, struct kv_found *old)
{
	char text[NUMBER_TEXT_MAX], type[KV_TYPE_MAX];
	struct kv_record record = { .modified_ms = kv->batch.now_ms,
				    .type = op->type };
	enum err err = add(op, old, &op->number);

	if (err != ERR_OK)
		return err;
	record.value.data = text;
	record.value.len =
		(size_t)snprintf(text, sizeof(text), "%" PRId64, op->number);
	record.expires_ms = expires_of_changed(kv, op, old);
	if (old->live) {
		size_t len = old->record.type.len;

		if (len > sizeof(type))
			return kv_check(kv, MDB_CORRUPTED), ERR_FAULT;
		memcpy(type, old->record.type.data, len);
		record.type = (struct bytes){ type, len };
	}
	err = admit(kv, op, old, &record, record.value.len);
	return err == ERR_OK ? change(kv, op, old, &record) : err;
}

/* Type and value of old with more behind them, in memory of its own. */
static void *
joined(const struct kv_found *old, struct bytes more, struct kv_record *record)
{
	size_t type_len = old->record.type.len;
	size_t value_len = old->record.value.len;
	char *copy = malloc(type_len + value_len + more.len + 1);

	if (!copy)
		return NULL;
	memcpy(copy, old->record.type.data, type_len);
	memcpy(copy + type_len, old->record.value.data, value_len);
	if (more.len)
		memcpy(copy + type_len + value_len, more.data, more.len);
	record->type = (struct bytes){ copy, type_len };
	record->value = (struct bytes){ copy + type_len, value_len + more.len };
	return copy;
}

static enum err
append(struct kv *kv, struct kv_op *op, struct kv_found *old)
{
	size_t len = op->value.len + (old->live ? old->record.value.len : 0);
	struct kv_record record = {
		.expires_ms = expires_of_changed(kv, op, old),
		.modified_ms = kv->batch.now_ms,
		.type = old->live ? old->record.type : op->type,
	};
	void *copy;
	enum err err;

	if (op->value_max && len > op->value_max)
		return ERR_TOO_LARGE;
	if (!old->live)
		return put(kv, op, old);
	err = admit(kv, op, old, &record, len);
	if (err != ERR_OK)
		return err;
	copy = joined(old, op->value, &record);
	if (!copy)
		return ERR_NOMEM;
	err = change(kv, op, old, &record);
	free(copy);
	return err;
}

/* Not a new value: number and time of change stay. A longer life is allowed
 * to a full store, as the index entry is all that may come to it. */
static enum err
touch(struct kv *kv, struct kv_op *op, struct kv_found *old)
{
	struct kv_record record = old->record;
	void *copy;
	enum err err;

	if (!old->live)
		return ERR_NOTFOUND;
	record.expires_ms = after(kv->batch.now_ms, op->ttl_ms);
	kv_space_admit_shrink(kv, kv_cost_found(kv, op->key, old));
	copy = joined(old, (struct bytes){ 0 }, &record);
	if (!copy)
		return ERR_NOMEM;
	err = change(kv, op, old, &record);
	free(copy);
	return err;
}

/* The first value always fits, whatever the limits were when it was put. */
static bool
take_room(struct kv_batch *batch, size_t len)
{
	if (batch->out && batch->out + len > batch->out_max)
		return false;
	batch->out += len;
	return true;
}

/* Refused before it is copied, and before getdel() changes anything. */
static enum err
get(struct kv *kv, struct kv_op *op, const struct kv_found *found)
{
	if (!found->live)
		return ERR_NOTFOUND;
	if (!take_room(&kv->batch, found->record.value.len))
		return ERR_TOO_LARGE;
	op->out = found->record;
	op->out_memory = joined(found, (struct bytes){ 0 }, &op->out);
	if (!op->out_memory)
		return ERR_NOMEM;
	op->seq = found->record.seq;
	op->expires_ms_now = found->record.expires_ms;
	kv_touch_used(kv, kv_hash(kv, op->key));
	return ERR_OK;
}

static enum err
getdel(struct kv *kv, struct kv_op *op, struct kv_found *old)
{
	enum err err = get(kv, op, old);

	return err == ERR_OK ? remove_key(kv, op, old) : err;
}

/* ---- conditions --------------------------------------------------------- */

static bool
names(const struct kv_condition *condition, const struct kv_found *found)
{
	if (!found->live)
		return false;
	if (condition->any)
		return true;
	for (unsigned i = 0; i < condition->count; i++)
		if (condition->tags[i] == found->record.seq)
			return true;
	return false;
}

static bool
holds(const struct kv_op *op, const struct kv_found *found)
{
	if (op->if_match.present && !names(&op->if_match, found))
		return false;
	return !op->if_none_match.present || !names(&op->if_none_match, found);
}

/* ---- writes ------------------------------------------------------------- */

static enum err
dispatch(struct kv *kv, struct kv_op *op, struct kv_found *found)
{
	switch (op->kind) {
	case KV_PUT:
		return put(kv, op, found);
	case KV_DELETE:
		return remove_key(kv, op, found);
	case KV_INCR:
		return incr(kv, op, found);
	case KV_APPEND:
		return append(kv, op, found);
	case KV_TOUCH:
		return touch(kv, op, found);
	case KV_GETDEL:
		return getdel(kv, op, found);
	case KV_GET:
		return get(kv, op, found);
	}
	assert(!"unknown kind of operation");
	return ERR_BAD;
}

/* Also after a run that was given up: nothing of it is left in op. */
static void
reset(struct kv_op *op)
{
	free(op->out_memory);
	op->out_memory = NULL;
	op->out = (struct kv_record){ 0 };
	op->created = false;
	op->seq = op->expires_ms_now = 0;
	op->number = 0;
}

static enum err
apply_op(struct kv *kv, struct kv_op *op)
{
	struct kv_found found;

	reset(op);
	if (!kv_find(kv, op->key, &found))
		return ERR_FAULT;
	if (!holds(op, &found)) {
		op->seq = found.live ? found.record.seq : 0;
		return ERR_CONDITION;
	}
	return dispatch(kv, op, &found);
}

/* To find that a key is absent is an answer to a read. */
static bool
has_failed(const struct kv_op *op)
{
	return op->err != ERR_OK &&
	       !(op->kind == KV_GET && op->err == ERR_NOTFOUND);
}

void
kv_apply(struct kv *kv, struct kv_write *write)
{
	write->item.err = ERR_OK;
	kv->batch.out = 0;
	kv->batch.out_max = write->out_max ? write->out_max : UINT64_MAX;
	/* One operation alone changes nothing when it fails. */
	kv->batch.undoable = write->atomic && write->count > 1;
	for (unsigned i = 0; i < write->count && !kv->batch.rc; i++) {
		struct kv_op *op = &write->ops[i];

		op->err = apply_op(kv, op);
		if (has_failed(op) && write->atomic) {
			write->item.err = op->err;
			write->failed = i;
			break;
		}
	}
	end_undo(kv, write->item.err != ERR_OK);
}
