/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "storage/files.h"
#include "storage/sequence.h"
#include "tests/store.h"

enum { SLOT_SIZE = 4096, THREADS = 4 };

static char path[PATH_MAX];

static struct sequence *
open_at(const char *name)
{
	struct sequence *sequence;

	under_root(name, path);
	need(sequence_open(&sequence, path) == ERR_OK, "cannot open");
	return sequence;
}

static uint64_t
take(struct sequence *sequence, uint64_t count)
{
	uint64_t first = 0;

	if (sequence_take(sequence, count, &first) != ERR_OK)
		return 0;
	return first;
}

static void
patch(off_t offset, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY);

	need(fd >= 0 && pwrite(fd, data, len, offset) == (ssize_t)len,
	     "cannot patch");
	close(fd);
}

static void
numbers_start_at_one_and_follow_each_other(void)
{
	struct sequence *sequence = open_at("fresh");

	is_u64(sequence_last(sequence), 0, "none was given");
	is_u64(take(sequence, 1), 1, "the first is 1");
	is_u64(take(sequence, 10), 2, "ten in a row");
	is_u64(take(sequence, 1), 12, "and the next");
	is_u64(sequence_last(sequence), 12, "the highest given");
	sequence_close(sequence);
}

static void
a_start_continues_above_all_that_was_given(void)
{
	struct sequence *sequence;
	uint64_t last = 0;
	bool above = true;

	for (unsigned i = 0; i < 5; i++) {
		sequence = open_at("restarts");
		above &= sequence_last(sequence) >= last;
		above &= take(sequence, 1) > last;
		take(sequence, i * 1000 + 1);
		last = sequence_last(sequence);
		sequence_close(sequence);
	}
	ok(above, "five starts never repeat a number");
	ok(last < 20 * (uint64_t)SEQUENCE_BLOCK, "and skip a few blocks: %llu",
	   (unsigned long long)last);
}

/* What a kill would leave: the file, without a close. */
static void
the_mark_is_ahead_of_every_number(void)
{
	struct sequence *sequence = open_at("ahead"), *other;
	bool ahead = true;

	for (unsigned i = 0; i < 40; i++) {
		uint64_t first = take(sequence, SEQUENCE_BLOCK / 8);

		if (sequence_open(&other, path) != ERR_OK) {
			ahead = false;
			continue;
		}
		ahead &= take(other, 1) >= first + SEQUENCE_BLOCK / 8;
		sequence_close(other);
	}
	ok(ahead, "after each of 40 takes the file is above what was given");
	sequence_close(sequence);
}

static void
a_torn_slot_loses_nothing(void)
{
	for (unsigned slot = 0; slot < 2; slot++) {
		struct sequence *sequence = open_at(slot ? "torn1" : "torn0");
		uint64_t last;

		take(sequence, SEQUENCE_BLOCK);
		take(sequence, SEQUENCE_BLOCK);
		last = sequence_last(sequence);
		sequence_close(sequence);
		patch(slot * SLOT_SIZE + 9, "torn", 4);
		sequence = open_at(slot ? "torn1" : "torn0");
		ok(take(sequence, 1) > last, "without slot %u it goes on above",
		   slot);
		sequence_close(sequence);
	}
}

static void
a_damaged_file_is_a_fault(void)
{
	static const struct {
		const char *name;
		off_t size;
	} cases[] = { { "empty", 0 }, { "short", 100 }, { "half", SLOT_SIZE } };
	struct sequence *sequence = open_at("damaged");

	take(sequence, 1);
	sequence_close(sequence);
	patch(9, "both", 4);
	patch(SLOT_SIZE + 9, "both", 4);
	ok(sequence_open(&sequence, path) == ERR_FAULT, "both slots torn");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		need(truncate(path, cases[i].size) == 0, "cannot truncate");
		ok(sequence_open(&sequence, path) == ERR_FAULT, "%s",
		   cases[i].name);
	}
	ok(sequence_open(&sequence, "/proc/no/such") != ERR_OK,
	   "a folder that is not there");
}

static void
raising_goes_up_only(void)
{
	struct sequence *sequence = open_at("raised");
	const uint64_t far = 5 * (uint64_t)SEQUENCE_BLOCK;

	take(sequence, 1);
	ok(sequence_raise(sequence, far) == ERR_OK, "it can be raised");
	is_u64(take(sequence, 1), far + 1, "and goes on above");
	ok(sequence_raise(sequence, 10) == ERR_OK, "to less: nothing happens");
	is_u64(take(sequence, 1), far + 2, "it goes on");
	sequence_close(sequence);
	sequence = open_at("raised");
	ok(take(sequence, 1) > far + 2, "also after a start");
	sequence_close(sequence);
}

/* RLIMIT_FSIZE makes each write fail with EFBIG, as a full disk would with
 * ENOSPC. */
static void
limit_writes(bool on)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = on ? 1 : limit.rlim_max;
	setrlimit(RLIMIT_FSIZE, &limit);
}

static void
no_number_is_given_beyond_a_mark_that_cannot_move(void)
{
	struct sequence *sequence = open_at("full"), *other;
	uint64_t first = 0, given = 0, last = 0;
	enum err err = ERR_OK;

	take(sequence, 1);
	limit_writes(true);
	for (unsigned i = 0; i < 64 && err == ERR_OK; i++) {
		err = sequence_take(sequence, SEQUENCE_BLOCK / 16, &first);
		if (err == ERR_OK) {
			given++;
			last = first + SEQUENCE_BLOCK / 16 - 1;
		}
	}
	limit_writes(false);
	ok(err == ERR_FULL, "the end is told as a full disk");
	ok(given >= 8, "what was left of the block was given: %llu parts",
	   (unsigned long long)given);
	need(sequence_open(&other, path) == ERR_OK, "cannot open");
	ok(sequence_last(other) >= last, "the mark is above all of it");
	sequence_close(other);
	ok(take(sequence, 1) > last, "it heals, and does not repeat");
	sequence_close(sequence);
}

/* ---- a crowd ------------------------------------------------------------ */

struct taker {
	pthread_t thread;
	struct sequence *sequence;
	uint64_t count, rounds, *firsts;
};

static void *
takes(void *arg)
{
	struct taker *taker = arg;

	for (uint64_t i = 0; i < taker->rounds; i++)
		taker->firsts[i] = take(taker->sequence, taker->count);
	return NULL;
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
threads_never_get_the_same_number(void)
{
	const uint64_t rounds = tap_rounds("SEQUENCE_ROUNDS", 20000);
	const uint64_t count = 500; /* crosses tens of blocks */
	struct sequence *sequence = open_at("crowd");
	uint64_t *firsts = calloc(THREADS * rounds, sizeof(*firsts));
	struct taker takers[THREADS];
	bool apart = true;

	for (unsigned i = 0; i < THREADS; i++) {
		takers[i] = (struct taker){ .sequence = sequence,
					    .count = count,
					    .rounds = rounds,
					    .firsts = firsts + i * rounds };
		pthread_create(&takers[i].thread, NULL, takes, &takers[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(takers[i].thread, NULL);
	qsort(firsts, THREADS * rounds, sizeof(*firsts), by_value);
	apart = firsts[0] >= 1;
	for (uint64_t i = 1; i < THREADS * rounds; i++)
		apart &= firsts[i] >= firsts[i - 1] + count;
	ok(apart, "%u threads, %llu takes of %llu", THREADS,
	   (unsigned long long)(THREADS * rounds), (unsigned long long)count);
	free(firsts);
	sequence_close(sequence);
}

int
main(void)
{
	signal(SIGXFSZ, SIG_IGN);
	make_root();
	numbers_start_at_one_and_follow_each_other();
	a_start_continues_above_all_that_was_given();
	the_mark_is_ahead_of_every_number();
	a_torn_slot_loses_nothing();
	a_damaged_file_is_a_fault();
	raising_goes_up_only();
	no_number_is_given_beyond_a_mark_that_cannot_move();
	threads_never_get_the_same_number();
	return tap_done();
}
