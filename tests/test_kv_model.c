/* SPDX-License-Identifier: MIT */
/*
 * Random operations, alone and in atomic writes, against a model of a few
 * lines. KV_MODEL_ROUNDS and KV_MODEL_SEED from the environment.
 */
#include <inttypes.h>

#include "core/units.h"
#include "tests/store.h"

enum { KEYS = 60, VALUE_MAX = 9000, OPS_MAX = 6 };

struct model_key {
	char name[16];
	bool exists;
	uint64_t seq, expires_ms;
	size_t len;
	char value[VALUE_MAX];
};

static struct store store;
static struct model_key model[KEYS], saved[KEYS];
static uint64_t now_ms = 1000000; /* atomic */
static uint64_t seed;

static uint64_t
fake_now(void)
{
	return __atomic_load_n(&now_ms, __ATOMIC_SEQ_CST);
}

static unsigned
pick(unsigned below)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (unsigned)(seed >> 33) % below;
}

/* ---- the model ---------------------------------------------------------- */

static bool
is_live(const struct model_key *key)
{
	return key->exists &&
	       (!key->expires_ms || key->expires_ms > fake_now());
}

static void
set_value(struct model_key *key, const void *data, size_t len)
{
	memmove(key->value, data, len);
	key->len = len;
	key->exists = true;
}

static uint64_t
ttl_of(const struct kv_op *op)
{
	return op->has_ttl && op->ttl_ms ? fake_now() + op->ttl_ms : 0;
}

static enum err
model_incr(struct model_key *key, const struct kv_op *op)
{
	struct bytes text = { key->value, key->len };
	int64_t number = op->initial;
	char sum[32];

	if (is_live(key) && !units_i64(text, &number))
		return ERR_NOT_NUMBER;
	if (!is_live(key) || op->has_ttl)
		key->expires_ms = ttl_of(op);
	snprintf(sum, sizeof(sum), "%" PRId64, number + op->by);
	set_value(key, sum, strlen(sum));
	return ERR_OK;
}

static enum err
model_append(struct model_key *key, const struct kv_op *op)
{
	size_t len = is_live(key) ? key->len : 0;

	if (len + op->value.len > op->value_max)
		return ERR_TOO_LARGE;
	if (!is_live(key) || op->has_ttl)
		key->expires_ms = ttl_of(op);
	memcpy(key->value + len, op->value.data, op->value.len);
	key->len = len + op->value.len;
	key->exists = true;
	return ERR_OK;
}

static bool
model_holds(const struct model_key *key, const struct kv_op *op)
{
	const struct kv_condition *match = &op->if_match;
	const struct kv_condition *none = &op->if_none_match;

	if (match->present &&
	    !(is_live(key) && (match->any || match->tags[0] == key->seq)))
		return false;
	return !(none->present && is_live(key));
}

static enum err
model_apply(struct model_key *key, const struct kv_op *op)
{
	if (!model_holds(key, op))
		return ERR_CONDITION;
	switch (op->kind) {
	case KV_PUT:
		set_value(key, op->value.data, op->value.len);
		key->expires_ms = ttl_of(op);
		return ERR_OK;
	case KV_DELETE:
	case KV_GETDEL:
		if (!is_live(key))
			return ERR_NOTFOUND;
		key->exists = false;
		return ERR_OK;
	case KV_INCR:
		return model_incr(key, op);
	case KV_APPEND:
		return model_append(key, op);
	case KV_TOUCH:
		if (!is_live(key))
			return ERR_NOTFOUND;
		key->expires_ms = op->ttl_ms ? fake_now() + op->ttl_ms : 0;
		return ERR_OK;
	case KV_GET:
		return is_live(key) ? ERR_OK : ERR_NOTFOUND;
	}
	return ERR_BAD;
}

/* ---- random operations -------------------------------------------------- */

static struct kv_op
random_op(struct model_key *key)
{
	static char noise[VALUE_MAX];
	static const size_t sizes[] = { 1, 50, 500, 2000, 2100, 4090, 8500 };
	struct kv_op op = op_of(pick(KV_GET + 1), key->name, NULL);

	for (unsigned i = 0; i < 64; i++)
		noise[pick(VALUE_MAX)] = (char)pick(256);
	op.value.data = noise;
	op.value.len = sizes[pick(ARRAY_LEN(sizes))];
	if (pick(3) == 0)
		op.value = bytes_of("41");
	op.value_max = VALUE_MAX;
	op.has_ttl = pick(4) == 0;
	op.ttl_ms = pick(3) ? pick(2000) : 0;
	op.by = pick(100);
	op.if_match.present = pick(8) == 0;
	op.if_match.any = pick(2);
	op.if_match.count = 1;
	op.if_match.tags[0] = pick(3) ? key->seq : 1;
	op.if_none_match.present = pick(12) == 0;
	op.if_none_match.any = true;
	return op;
}

/* What an operation told, against what the model holds after it. */
static bool
outcome_fits(struct model_key *key, const struct kv_op *op, enum err expected)
{
	if (op->err != expected)
		return false;
	if (expected == ERR_CONDITION)
		return op->seq == (is_live(key) ? key->seq : 0);
	if (expected != ERR_OK)
		return true;
	if (op->kind == KV_GET)
		return op->seq == key->seq &&
		       bytes_equal(op->out.value,
				   (struct bytes){ key->value, key->len });
	if (op->kind == KV_TOUCH)
		return op->seq == key->seq;
	if (op->seq <= key->seq)
		return false;
	key->seq = op->seq;
	return true;
}

/* The value of a GET or GETDEL is compared when its time comes, so operations
 * of one write are on keys of their own. */
static bool
run_write(unsigned count, bool atomic)
{
	struct kv_op ops[OPS_MAX];
	struct model_key *keys[OPS_MAX];
	void *copies[OPS_MAX];
	enum err expected[OPS_MAX], err;
	unsigned first = pick(KEYS - OPS_MAX), failed = 0, decided;
	bool good = true;

	memcpy(saved, model, sizeof(model));
	for (unsigned i = 0; i < count; i++) {
		keys[i] = &model[first + i];
		ops[i] = random_op(keys[i]);
		/* random_op() has one buffer of values. */
		copies[i] = malloc(ops[i].value.len);
		memcpy(copies[i], ops[i].value.data, ops[i].value.len);
		ops[i].value.data = copies[i];
		expected[i] = model_apply(keys[i], &ops[i]);
	}
	err = store_write_failed(&store, ops, count, atomic, &failed);
	decided = err == ERR_OK ? count : failed + 1;
	for (unsigned i = 0; i < decided; i++)
		good &= outcome_fits(keys[i], &ops[i], expected[i]);
	if (err != ERR_OK) {
		good &= atomic && expected[failed] == err;
		memcpy(model, saved, sizeof(model));
	} else if (atomic) {
		/* That a key is absent is an answer to KV_GET. */
		for (unsigned i = 0; i < count; i++)
			good &= expected[i] == ERR_OK ||
				(ops[i].kind == KV_GET &&
				 expected[i] == ERR_NOTFOUND);
	}
	for (unsigned i = 0; i < count; i++) {
		free(copies[i]);
		free(ops[i].out_memory);
	}
	return good;
}

/* ---- comparing ---------------------------------------------------------- */

static bool
key_fits(const struct model_key *key)
{
	struct kv_record record;
	enum err err = store_get(&store, key->name, &record);

	if (!is_live(key))
		return err == ERR_NOTFOUND;
	return err == ERR_OK && record.seq == key->seq &&
	       record.expires_ms == key->expires_ms &&
	       bytes_equal(record.value,
			   (struct bytes){ key->value, key->len });
}

static bool
all_fits(void)
{
	struct kv_stats before, after;
	bool good, index_fits;
	uint64_t bytes;

	do { /* the sweeper may come in between */
		kv_stats(store.kv, &before);
		bytes = store_count_bytes(&store, &index_fits);
		kv_stats(store.kv, &after);
	} while (before.live_bytes != after.live_bytes);
	good = bytes == after.live_bytes;
	for (unsigned i = 0; i < KEYS; i++)
		good &= key_fits(&model[i]);
	return good && index_fits;
}

static void
a_store_does_what_the_model_does(unsigned long rounds)
{
	unsigned long wrong = 0, unlike = 0;

	for (unsigned long i = 0; i < rounds; i++) {
		unsigned count = pick(3) ? 1 : 1 + pick(OPS_MAX);

		wrong += !run_write(count, pick(2));
		if (pick(16) == 0)
			__atomic_add_fetch(&now_ms, pick(500),
					   __ATOMIC_SEQ_CST);
		if (i % 64 == 0)
			unlike += !all_fits();
		if (i % 1000 == 500)
			store_reopen(&store);
	}
	is_u64(wrong, 0, "outcomes");
	is_u64(unlike, 0, "contents, index, figures");
	ok(all_fits(), "at the end");
}

int
main(void)
{
	seed = tap_rounds("KV_MODEL_SEED", (unsigned long)getpid());
	printf("# KV_MODEL_SEED=%llu\n", (unsigned long long)seed);
	for (unsigned i = 0; i < KEYS; i++)
		snprintf(model[i].name, sizeof(model[i].name), "key-%02u", i);
	make_root();
	/* Without syncs, and far from being full. */
	store_init(&store, "model", true);
	store.tuning.now_ms = fake_now;
	store.tuning.sweep_pause_ms = 5;
	store_open(&store);
	a_store_does_what_the_model_does(tap_rounds("KV_MODEL_ROUNDS", 6000));
	store_close(&store);
	return tap_done();
}
