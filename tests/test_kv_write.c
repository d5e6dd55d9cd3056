/* SPDX-License-Identifier: MIT */
#include "core/units.h"
#include "tests/store.h"

static struct store store;

/* Atomic: what the store takes for now. */
static uint64_t now_ms = 1000000;

static uint64_t
fake_now(void)
{
	return __atomic_load_n(&now_ms, __ATOMIC_SEQ_CST);
}

static void
set_now(uint64_t ms)
{
	__atomic_store_n(&now_ms, ms, __ATOMIC_SEQ_CST);
}

static uint64_t
seq_of(const char *key)
{
	struct kv_record record;

	return store_get(&store, key, &record) == ERR_OK ? record.seq : 0;
}

static uint64_t
expires_of(const char *key)
{
	struct kv_record record;

	if (store_get(&store, key, &record) != ERR_OK)
		return UINT64_MAX;
	return record.expires_ms;
}

static bool
has_type(const char *key, const char *type)
{
	struct kv_record record;

	return store_get(&store, key, &record) == ERR_OK &&
	       bytes_equal(record.type, bytes_of(type));
}

/* ---- single operations -------------------------------------------------- */

static void
put_makes_and_replaces(void)
{
	struct kv_op op = op_of(KV_PUT, "put", "one");
	uint64_t first;

	op.type = bytes_of("text/plain");
	ok(store_op(&store, &op) == ERR_OK && op.created, "put makes a key");
	first = op.seq;
	ok(has_value(&store, "put", "one") && has_type("put", "text/plain"),
	   "with value and type");
	is_u64(seq_of("put"), first, "and the number of the operation");
	op = op_of(KV_PUT, "put", "");
	ok(store_op(&store, &op) == ERR_OK && !op.created, "put replaces it");
	ok(op.seq > first && seq_of("put") == op.seq, "with a higher number");
	ok(has_value(&store, "put", "") && has_type("put", ""),
	   "by an empty value without a type");
}

static void
keys_are_bytes(void)
{
	char longest[KV_KEY_MAX + 1] = "";
	struct kv_record record;
	struct kv_op op;

	memset(longest, 'k', KV_KEY_MAX);
	op = op_of(KV_PUT, longest, "longest");
	ok(store_op(&store, &op) == ERR_OK &&
		   has_value(&store, longest, "longest"),
	   "a key of the greatest length");
	op = op_of(KV_PUT, "a", "zero inside");
	op.key = (struct bytes){ "a\0b", 3 };
	ok(store_op(&store, &op) == ERR_OK, "a key with a zero");
	need(kv_read_renew(store.read, false) == ERR_OK, "cannot renew");
	ok(kv_get(store.read, op.key, fake_now(), &record) == ERR_OK &&
		   seq_of("a") == 0,
	   "is another key than without");
}

static void
values_of_any_size_come_back(void)
{
	static const size_t sizes[] = { 1,    100,  1900, 2000,  2037,
					2100, 4070, 4096, 65536, 1048576 };
	char *value = malloc(1048576);
	bool same = true;

	for (size_t i = 0; i < 1048576; i++)
		value[i] = (char)(i * 7 + i / 256);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct kv_op op = op_of(KV_PUT, "sizes", NULL);
		struct kv_record record;

		op.value = (struct bytes){ value, sizes[i] };
		same &= store_op(&store, &op) == ERR_OK &&
			store_get(&store, "sizes", &record) == ERR_OK &&
			bytes_equal(record.value, op.value);
	}
	ok(same, "from 1 byte to a mebibyte");
	free(value);
}

static void
delete_removes_once(void)
{
	struct kv_op op = op_of(KV_DELETE, "delete", NULL);

	store_put(&store, "delete", "x");
	ok(store_op(&store, &op) == ERR_OK && op.seq > 0, "delete, numbered");
	is_u64(seq_of("delete"), 0, "it is gone");
	ok(store_op(&store, &op) == ERR_NOTFOUND, "the second time not found");
}

static void
getdel_gives_the_last_value(void)
{
	struct kv_op op = op_of(KV_PUT, "getdel", "last");
	uint64_t seq;

	op.type = bytes_of("a/b");
	store_op(&store, &op);
	seq = op.seq;
	op = op_of(KV_GETDEL, "getdel", NULL);
	ok(store_op(&store, &op) == ERR_OK &&
		   bytes_equal(op.out.value, bytes_of("last")) &&
		   bytes_equal(op.out.type, bytes_of("a/b")) &&
		   op.out.seq == seq,
	   "getdel gives the record");
	free(op.out_memory);
	ok(op.seq > seq && seq_of("getdel") == 0, "and removes it");
	op = op_of(KV_GETDEL, "getdel", NULL);
	ok(store_op(&store, &op) == ERR_NOTFOUND && !op.out_memory,
	   "nothing is left");
}

static void
incr_counts(void)
{
	static const struct {
		const char *before; /* NULL: absent */
		int64_t initial, by;
		enum err err;
		int64_t number;
		const char *after;
	} cases[] = {
		{ NULL, 0, 1, ERR_OK, 1, "1" },
		{ NULL, 10, -3, ERR_OK, 7, "7" },
		{ NULL, INT64_MAX, 1, ERR_OVERFLOW, 0, NULL },
		{ "5", 100, 2, ERR_OK, 7, "7" },
		{ "-1", 0, 1, ERR_OK, 0, "0" },
		{ "9", 0, 1, ERR_OK, 10, "10" },
		{ "5", 0, 0, ERR_OK, 5, "5" },
		{ "9223372036854775806", 0, 1, ERR_OK, INT64_MAX,
		  "9223372036854775807" },
		{ "9223372036854775807", 0, 1, ERR_OVERFLOW, 0,
		  "9223372036854775807" },
		{ "-9223372036854775808", 0, -1, ERR_OVERFLOW, 0,
		  "-9223372036854775808" },
		{ "-9223372036854775808", 0, INT64_MAX, ERR_OK, -1, "-1" },
		{ "9223372036854775808", 0, 1, ERR_NOT_NUMBER, 0,
		  "9223372036854775808" },
		{ "", 0, 1, ERR_NOT_NUMBER, 0, "" },
		{ "x", 0, 1, ERR_NOT_NUMBER, 0, "x" },
		{ "01", 0, 1, ERR_NOT_NUMBER, 0, "01" },
		{ "1 ", 0, 1, ERR_NOT_NUMBER, 0, "1 " },
		{ "+1", 0, 1, ERR_NOT_NUMBER, 0, "+1" },
		{ "-0", 0, 1, ERR_NOT_NUMBER, 0, "-0" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct kv_op op = op_of(KV_DELETE, "incr", NULL);
		enum err err;

		(void)!store_op(&store, &op);
		if (cases[i].before)
			store_put(&store, "incr", cases[i].before);
		op = op_of(KV_INCR, "incr", NULL);
		op.by = cases[i].by;
		op.initial = cases[i].initial;
		err = store_op(&store, &op);
		ok(err == cases[i].err &&
			   (err || op.number == cases[i].number) &&
			   (err || op.created == !cases[i].before) &&
			   (cases[i].after
				    ? has_value(&store, "incr", cases[i].after)
				    : seq_of("incr") == 0),
		   "incr %s by %lld", cases[i].before ? cases[i].before : "-",
		   (long long)cases[i].by);
	}
}

static void
append_joins(void)
{
	struct kv_op op = op_of(KV_APPEND, "append", "ab");

	op.type = bytes_of("t/1");
	ok(store_op(&store, &op) == ERR_OK && op.created, "append makes a key");
	op = op_of(KV_APPEND, "append", "cd");
	op.type = bytes_of("t/2");
	op.value_max = 4;
	ok(store_op(&store, &op) == ERR_OK && !op.created, "and adds to it");
	ok(has_value(&store, "append", "abcd") && has_type("append", "t/1"),
	   "the type stays");
	op = op_of(KV_APPEND, "append", "e");
	op.value_max = 4;
	ok(store_op(&store, &op) == ERR_TOO_LARGE &&
		   has_value(&store, "append", "abcd"),
	   "not beyond the limit");
}

/* ---- expiry ------------------------------------------------------------- */

static void
expiry_is_set_kept_and_taken_away(void)
{
	struct kv_op op = op_of(KV_PUT, "ttl", "1");
	uint64_t seq;

	set_now(2000000);
	op.has_ttl = true;
	op.ttl_ms = 500;
	ok(store_op(&store, &op) == ERR_OK && op.expires_ms_now == 2000500,
	   "put with a ttl");
	seq = op.seq;
	is_u64(expires_of("ttl"), 2000500, "it is stored");
	op = op_of(KV_INCR, "ttl", NULL);
	op.by = 1;
	ok(store_op(&store, &op) == ERR_OK && expires_of("ttl") == 2000500,
	   "incr keeps it");
	ok(op.seq > seq, "and has a number of its own");
	seq = op.seq;
	op = op_of(KV_APPEND, "ttl", "0");
	ok(store_op(&store, &op) == ERR_OK && expires_of("ttl") == 2000500,
	   "append keeps it");
	seq = op.seq;
	op = op_of(KV_TOUCH, "ttl", NULL);
	op.ttl_ms = 900;
	ok(store_op(&store, &op) == ERR_OK && expires_of("ttl") == 2000900 &&
		   op.seq == seq && seq_of("ttl") == seq,
	   "touch moves it and keeps the number");
	op = op_of(KV_TOUCH, "ttl", NULL);
	ok(store_op(&store, &op) == ERR_OK && expires_of("ttl") == 0 &&
		   has_value(&store, "ttl", "20"),
	   "touch with 0 takes it away");
	op = op_of(KV_TOUCH, "no such key", NULL);
	ok(store_op(&store, &op) == ERR_NOTFOUND, "touch needs a key");
	op = op_of(KV_INCR, "ttl", NULL);
	op.has_ttl = true;
	op.ttl_ms = 100;
	ok(store_op(&store, &op) == ERR_OK && expires_of("ttl") == 2000100,
	   "incr with a ttl sets it");
	op = op_of(KV_PUT, "ttl", "2");
	ok(store_op(&store, &op) == ERR_OK && expires_of("ttl") == 0,
	   "put without one has none");
	op.expires_ms = 2000042;
	ok(store_op(&store, &op) == ERR_OK && expires_of("ttl") == 2000042,
	   "put with a time");
	op.expires_ms = 0;
	op.has_ttl = true;
	op.ttl_ms = UINT64_MAX;
	ok(store_op(&store, &op) == ERR_OK && expires_of("ttl") == 0,
	   "a ttl beyond all time is none");
}

static void
expire(const char *key)
{
	struct kv_op op = op_of(KV_PUT, key, "7");

	op.has_ttl = true;
	op.ttl_ms = 10;
	need(store_op(&store, &op) == ERR_OK, "cannot put");
	set_now(fake_now() + 10);
}

/* The sweeper may or may not have been there: the outcome is the same. */
static void
what_has_expired_is_absent(void)
{
	struct kv_op op;
	struct kv_record record;

	expire("gone");
	ok(store_get(&store, "gone", &record) == ERR_NOTFOUND, "to readers");
	expire("gone");
	op = op_of(KV_DELETE, "gone", NULL);
	ok(store_op(&store, &op) == ERR_NOTFOUND, "to delete");
	expire("gone");
	op = op_of(KV_GETDEL, "gone", NULL);
	ok(store_op(&store, &op) == ERR_NOTFOUND, "to getdel");
	expire("gone");
	op = op_of(KV_TOUCH, "gone", NULL);
	ok(store_op(&store, &op) == ERR_NOTFOUND, "to touch");
	expire("gone");
	op = op_of(KV_INCR, "gone", NULL);
	op.by = 1;
	ok(store_op(&store, &op) == ERR_OK && op.created && op.number == 1 &&
		   expires_of("gone") == 0,
	   "to incr, which begins anew without expiry");
	expire("gone");
	op = op_of(KV_APPEND, "gone", "a");
	ok(store_op(&store, &op) == ERR_OK && op.created &&
		   has_value(&store, "gone", "a"),
	   "to append");
	expire("gone");
	op = op_of(KV_PUT, "gone", "b");
	op.if_none_match =
		(struct kv_condition){ .present = true, .any = true };
	ok(store_op(&store, &op) == ERR_OK && op.created, "to If-None-Match");
	expire("gone");
	op = op_of(KV_PUT, "gone", "c");
	op.if_match = (struct kv_condition){ .present = true, .any = true };
	ok(store_op(&store, &op) == ERR_CONDITION && op.seq == 0,
	   "to If-Match");
}

static void
a_store_may_have_a_default_ttl(void)
{
	struct store other;
	struct kv_record record;
	struct kv_op op = op_of(KV_PUT, "a", "1");

	set_now(3000000);
	store_init(&other, "default-ttl", false);
	other.options.default_ttl_ms = 1000;
	other.tuning.now_ms = fake_now;
	store_open(&other);
	ok(store_op(&other, &op) == ERR_OK && op.expires_ms_now == 3001000,
	   "for a put without one");
	op.has_ttl = true;
	ok(store_op(&other, &op) == ERR_OK && op.expires_ms_now == 0,
	   "not where 0 is asked for");
	op = op_of(KV_INCR, "b", NULL);
	ok(store_op(&other, &op) == ERR_OK && op.expires_ms_now == 3001000,
	   "for a counter that incr makes");
	set_now(3000500);
	ok(store_op(&other, &op) == ERR_OK &&
		   store_get(&other, "b", &record) == ERR_OK &&
		   record.expires_ms == 3001000,
	   "which is not renewed by counting");
	store_close(&other);
}

/* ---- conditions --------------------------------------------------------- */

static void
conditions_compare_numbers(void)
{
	enum { ABSENT, CURRENT, OTHER, LIST, ANY };
	static const struct {
		bool exists;
		int if_match, if_none_match;
		enum err err;
		const char *name;
	} cases[] = {
		{ true, CURRENT, ABSENT, ERR_OK, "If-Match, the current" },
		{ true, OTHER, ABSENT, ERR_CONDITION, "If-Match, another" },
		{ true, LIST, ABSENT, ERR_OK, "If-Match, in a list" },
		{ true, ANY, ABSENT, ERR_OK, "If-Match *" },
		{ false, ANY, ABSENT, ERR_CONDITION, "If-Match *, absent" },
		{ false, OTHER, ABSENT, ERR_CONDITION, "If-Match, absent" },
		{ true, ABSENT, ANY, ERR_CONDITION, "If-None-Match *" },
		{ false, ABSENT, ANY, ERR_OK, "If-None-Match *, absent" },
		{ true, ABSENT, CURRENT, ERR_CONDITION,
		  "If-None-Match, the current" },
		{ true, ABSENT, LIST, ERR_CONDITION,
		  "If-None-Match, in a list" },
		{ true, ABSENT, OTHER, ERR_OK, "If-None-Match, another" },
		{ true, CURRENT, OTHER, ERR_OK, "both hold" },
		{ true, CURRENT, CURRENT, ERR_CONDITION, "one does not" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct kv_op op = op_of(KV_DELETE, "cond", NULL);
		const int kinds[2] = { cases[i].if_match,
				       cases[i].if_none_match };
		struct kv_condition *conditions[2];
		uint64_t seq;

		(void)!store_op(&store, &op);
		if (cases[i].exists)
			store_put(&store, "cond", "before");
		seq = seq_of("cond");
		op = op_of(KV_PUT, "cond", "after");
		conditions[0] = &op.if_match;
		conditions[1] = &op.if_none_match;
		for (unsigned j = 0; j < 2; j++) {
			struct kv_condition *condition = conditions[j];

			condition->present = kinds[j] != ABSENT;
			condition->any = kinds[j] == ANY;
			condition->count = kinds[j] == LIST ? 3 : 1;
			condition->tags[0] = seq + 1000;
			condition->tags[kinds[j] == LIST ? 2 : 0] +=
				kinds[j] == CURRENT ? -1000ull : 0;
			if (kinds[j] == LIST)
				condition->tags[2] = seq;
		}
		ok(store_op(&store, &op) == cases[i].err &&
			   (!cases[i].err || op.seq == seq) &&
			   (cases[i].err ? seq_of("cond") == seq
					 : has_value(&store, "cond", "after")),
		   "%s", cases[i].name);
	}
}

static void
of_two_cas_in_one_batch_one_wins(void)
{
	struct kv_op ops[2];
	uint64_t seq;

	store_put(&store, "cas", "0");
	seq = seq_of("cas");
	for (unsigned i = 0; i < 2; i++) {
		ops[i] = op_of(KV_PUT, "cas", i ? "second" : "first");
		ops[i].if_match = (struct kv_condition){ .present = true,
							 .count = 1,
							 .tags = { seq } };
	}
	ok(store_write(&store, ops, 2, false) == ERR_OK, "the write is done");
	ok(ops[0].err == ERR_OK && ops[1].err == ERR_CONDITION,
	   "the first one wins");
	ok(ops[1].seq == ops[0].seq && has_value(&store, "cas", "first"),
	   "and the second is told the winner's number");
}

/* ---- several operations ------------------------------------------------- */

static void
operations_see_those_before_them(void)
{
	struct kv_op ops[] = {
		op_of(KV_PUT, "chain", "1"),  op_of(KV_INCR, "chain", NULL),
		op_of(KV_GET, "chain", NULL), op_of(KV_APPEND, "chain", "0"),
		op_of(KV_GET, "chain", NULL), op_of(KV_DELETE, "chain", NULL),
		op_of(KV_GET, "chain", NULL),
	};

	ops[1].by = 4;
	ok(store_write(&store, ops, ARRAY_LEN(ops), false) == ERR_OK,
	   "seven operations on a key");
	ok(bytes_equal(ops[2].out.value, bytes_of("5")) &&
		   ops[2].seq == ops[1].seq,
	   "get sees incr");
	ok(bytes_equal(ops[4].out.value, bytes_of("50")), "and append");
	ok(ops[6].err == ERR_NOTFOUND, "and delete");
	free(ops[2].out_memory);
	free(ops[4].out_memory);
}

static void
without_atomic_each_has_its_own_outcome(void)
{
	struct kv_op ops[] = {
		op_of(KV_PUT, "own1", "1"),
		op_of(KV_DELETE, "not there", NULL),
		op_of(KV_PUT, "own2", "2"),
	};

	ok(store_write(&store, ops, 3, false) == ERR_OK, "the write is done");
	ok(ops[0].err == ERR_OK && ops[1].err == ERR_NOTFOUND &&
		   ops[2].err == ERR_OK,
	   "one did not find its key");
	ok(has_value(&store, "own1", "1") && has_value(&store, "own2", "2"),
	   "the others are done");
	ok(ops[2].seq > ops[0].seq, "numbers go up");
}

/* Everything that an atomic write can change and must put back. */
static unsigned
make_ops(struct kv_op *ops, const char *big)
{
	unsigned n = 0;

	ops[n++] = op_of(KV_PUT, "u/new", "new");
	ops[n++] = op_of(KV_PUT, "u/new", "newer");
	ops[n++] = op_of(KV_PUT, "u/plain", big);
	ops[n++] = op_of(KV_PUT, "u/big", "small now");
	ops[n] = op_of(KV_PUT, "u/ttl", "other");
	ops[n].has_ttl = true;
	ops[n++].ttl_ms = 77777;
	ops[n] = op_of(KV_TOUCH, "u/touched", NULL);
	ops[n++].ttl_ms = 55555;
	ops[n++] = op_of(KV_DELETE, "u/deleted", NULL);
	ops[n++] = op_of(KV_GETDEL, "u/getdel", NULL);
	ops[n] = op_of(KV_INCR, "u/count", NULL);
	ops[n++].by = 5;
	ops[n++] = op_of(KV_APPEND, "u/append", "more");
	ops[n++] = op_of(KV_DELETE, "u/plain", NULL);
	ops[n++] = op_of(KV_PUT, "u/deleted", "back");
	return n;
}

static void
prepare_for_undo(const char *big)
{
	static const char *const keys[] = { "u/plain",   "u/ttl",
					    "u/touched", "u/deleted",
					    "u/getdel",  "u/append" };
	struct kv_op op;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		op = op_of(KV_PUT, keys[i], "before");
		op.type = bytes_of("text/before");
		op.has_ttl = i % 2;
		op.ttl_ms = i % 2 ? 1000000 + i : 0;
		need(store_op(&store, &op) == ERR_OK, "cannot put");
	}
	store_put(&store, "u/big", big);
	store_put(&store, "u/count", "37");
	store_put(&store, "u/word", "no number");
}

static void
an_atomic_write_that_fails_changes_nothing(void)
{
	static char big[20001];
	struct kv_op ops[20];
	struct kv_stats stats, later;
	struct bytes before, after;
	unsigned n, failed;
	enum err err;

	memset(big, 'B', sizeof(big) - 1);
	prepare_for_undo(big);
	/* A change after which nothing is left to sweep or to publish. */
	need(store_put(&store, "u/last", "x") == ERR_OK, "cannot put");
	before = store_dump(&store);
	kv_stats(store.kv, &stats);
	n = make_ops(ops, big);
	ops[n++] = op_of(KV_INCR, "u/word", NULL);
	ops[n++] = op_of(KV_PUT, "u/never", "x");
	err = store_write_failed(&store, ops, n, true, &failed);
	for (unsigned i = 0; i < n; i++)
		free(ops[i].out_memory);
	ok(err == ERR_NOT_NUMBER && failed == n - 2,
	   "the error and the index of the failing one");
	after = store_dump(&store);
	ok(bytes_equal(before, after), "records and index are as before");
	kv_stats(store.kv, &later);
	is_u64(later.live_bytes, stats.live_bytes, "so are the figures");
	is_u64(later.entries, stats.entries, "and the number of keys");
	free((void *)(uintptr_t)before.data);
	free((void *)(uintptr_t)after.data);
}

static void
an_atomic_write_that_succeeds_changes_all(void)
{
	static char big[20001];
	struct kv_op ops[20];
	unsigned n = make_ops(ops, big);
	enum err err;

	memset(big, 'B', sizeof(big) - 1);
	err = store_write(&store, ops, n, true);
	for (unsigned i = 0; i < n; i++)
		free(ops[i].out_memory);
	ok(err == ERR_OK, "the same without the failing one");
	ok(has_value(&store, "u/new", "newer") &&
		   has_value(&store, "u/big", "small now") &&
		   has_value(&store, "u/count", "42") &&
		   has_value(&store, "u/append", "beforemore") &&
		   has_value(&store, "u/deleted", "back") &&
		   seq_of("u/plain") == 0 && seq_of("u/getdel") == 0,
	   "all is done");
}

static void
free_outs(struct kv_op *ops, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		free(ops[i].out_memory);
}

/* Ten bytes of values in three keys. */
static unsigned
make_reads(struct kv_op ops[4])
{
	need(store_put(&store, "out/a", "aaaa") == ERR_OK &&
		     store_put(&store, "out/b", "bbbb") == ERR_OK &&
		     store_put(&store, "out/c", "cc") == ERR_OK,
	     "cannot put");
	ops[0] = op_of(KV_PUT, "out/new", "new");
	ops[1] = op_of(KV_GETDEL, "out/a", NULL);
	ops[2] = op_of(KV_GET, "out/b", NULL);
	ops[3] = op_of(KV_GETDEL, "out/c", NULL);
	return 4;
}

static void
values_beyond_out_max_fail_before_anything_is_done(void)
{
	struct kv_op ops[4];
	struct kv_write write = { .ops = ops, .atomic = true, .out_max = 9 };
	enum err err;

	write.count = make_reads(ops);
	err = store_submit(&store, &write);
	free_outs(ops, write.count);
	ok(err == ERR_TOO_LARGE && write.failed == 3, "a byte too much");
	ok(has_value(&store, "out/a", "aaaa") &&
		   has_value(&store, "out/c", "cc") && !seq_of("out/new"),
	   "nothing was done");
	write.count = make_reads(ops);
	write.out_max = 10;
	err = store_submit(&store, &write);
	free_outs(ops, write.count);
	ok(err == ERR_OK && !seq_of("out/a") && seq_of("out/new"),
	   "as many as there may be");
	write = (struct kv_write){ .ops = ops, .atomic = true, .out_max = 1 };
	ops[0] = op_of(KV_GETDEL, "out/b", NULL);
	write.count = 1;
	err = store_submit(&store, &write);
	ok(err == ERR_OK && bytes_equal(ops[0].out.value, bytes_of("bbbb")) &&
		   !seq_of("out/b"),
	   "the first always fits");
	free_outs(ops, 1);
}

/* ---- many writers ------------------------------------------------------- */

enum { WRITERS = 4 };

static void *
increments(void *arg)
{
	unsigned long rounds = *(unsigned long *)arg;

	for (unsigned long i = 0; i < rounds; i++) {
		struct kv_op op = op_of(KV_INCR, "sum", NULL);
		enum err err;

		op.by = 1;
		err = store_op(&store, &op);
		if (err != ERR_OK) {
			printf("# %s\n", err_text(err));
			return arg;
		}
	}
	return NULL;
}

static void
increments_of_many_add_up(void)
{
	unsigned long rounds = tap_rounds("INCR_ROUNDS", 100);
	pthread_t threads[WRITERS];
	bool good = true;
	char sum[32];

	for (unsigned i = 0; i < WRITERS; i++)
		pthread_create(&threads[i], NULL, increments, &rounds);
	for (unsigned i = 0; i < WRITERS; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		good &= !failed;
	}
	snprintf(sum, sizeof(sum), "%lu", rounds * WRITERS);
	ok(good && has_value(&store, "sum", sum), "%u writers, sum %s", WRITERS,
	   sum);
}

/*
 * As a reader with a cache does: the word before the snapshot; where it is odd
 * a fresh snapshot. Neither may a value go back, nor may a reply that is kept
 * with an even word be good while a newer one was seen.
 */
struct watcher {
	pthread_t thread;
	struct kv_read *read;
	uint64_t stop, looks, went_back, stale;
};

static uint64_t highest; /* atomic: seen by any watcher */

static uint64_t
value_now(struct kv_read *read)
{
	struct kv_record record;
	int64_t number = 0;

	if (kv_get(read, bytes_of("watched"), fake_now(), &record) == ERR_OK &&
	    !units_i64(record.value, &number))
		number = 0;
	return (uint64_t)number;
}

static void *
watches(void *arg)
{
	struct watcher *watcher = arg;
	const struct versions *versions = kv_versions(store.kv);
	unsigned stripe =
		version_stripe(kv_hash(store.kv, bytes_of("watched")));
	uint64_t kept = 0, kept_word = UINT64_MAX;

	while (!ck_pr_load_64(&watcher->stop)) {
		uint64_t known = ck_pr_load_64(&highest), value, word;

		ck_pr_fence_load();
		word = version_note(versions, stripe);
		if (word == kept_word) {
			value = kept;
			watcher->stale += value < known;
		} else {
			if (kv_read_renew(watcher->read,
					  version_is_odd(word)) != ERR_OK)
				break;
			value = value_now(watcher->read);
			watcher->went_back += value < known;
			kept = value;
			kept_word = version_is_odd(word) ? UINT64_MAX : word;
		}
		while (known < value &&
		       !ck_pr_cas_64_value(&highest, known, value, &known))
			;
		watcher->looks++;
	}
	return NULL;
}

static void
readers_never_see_a_value_go_back(void)
{
	unsigned long rounds = tap_rounds("WATCH_ROUNDS", 400);
	struct watcher watchers[2] = { 0 };
	uint64_t looks = 0, went_back = 0, stale = 0;

	for (unsigned i = 0; i < 2; i++) {
		need(kv_read_create(store.kv, &watchers[i].read) == ERR_OK,
		     "cannot make a snapshot");
		pthread_create(&watchers[i].thread, NULL, watches,
			       &watchers[i]);
	}
	for (unsigned long i = 0; i < rounds; i++) {
		char text[32];

		snprintf(text, sizeof(text), "%lu", i + 1);
		if (store_put(&store, "watched", text) != ERR_OK)
			break;
		/* Who is answered sees it, and so does all that follows. */
		ck_pr_store_64(&highest, i + 1);
	}
	for (unsigned i = 0; i < 2; i++) {
		ck_pr_store_64(&watchers[i].stop, 1);
		pthread_join(watchers[i].thread, NULL);
		kv_read_destroy(watchers[i].read);
		looks += watchers[i].looks;
		went_back += watchers[i].went_back;
		stale += watchers[i].stale;
	}
	ok(went_back == 0 && stale == 0, "%llu looks at %lu values",
	   (unsigned long long)looks, rounds);
	printf("# went back %llu, stale %llu\n", (unsigned long long)went_back,
	       (unsigned long long)stale);
}

int
main(void)
{
	make_root();
	store_init(&store, "main", false);
	store.tuning.now_ms = fake_now;
	store_open(&store);
	put_makes_and_replaces();
	keys_are_bytes();
	values_of_any_size_come_back();
	delete_removes_once();
	getdel_gives_the_last_value();
	incr_counts();
	append_joins();
	expiry_is_set_kept_and_taken_away();
	what_has_expired_is_absent();
	conditions_compare_numbers();
	of_two_cas_in_one_batch_one_wins();
	operations_see_those_before_them();
	without_atomic_each_has_its_own_outcome();
	an_atomic_write_that_fails_changes_nothing();
	an_atomic_write_that_succeeds_changes_all();
	values_beyond_out_max_fail_before_anything_is_done();
	increments_of_many_add_up();
	store_close(&store);

	/* A volatile store commits in microseconds, which is harder. */
	store_init(&store, "quick", true);
	store.tuning.now_ms = fake_now;
	store_open(&store);
	increments_of_many_add_up();
	readers_never_see_a_value_go_back();
	store_close(&store);
	a_store_may_have_a_default_ttl();
	return tap_done();
}
