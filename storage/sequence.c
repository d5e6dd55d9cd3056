/* SPDX-License-Identifier: MIT */
#include "storage/sequence.h"

#include <ck_pr.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "storage/files.h"

enum {
	/* Apart, so that a torn write of one cannot reach the other. */
	SLOT_DISTANCE = 4096,
	SLOTS = 2,
	/* After a failed early move of the mark: numbers until the next try. */
	RETRY_AFTER = 4096,
};

static const char slot_magic[8] = "jdwseq1\n";

struct slot {
	char magic[8];
	uint64_t mark;  /* little endian */
	uint64_t check; /* of the two above */
};

struct sequence {
	/* Set by sequence_open(), then never changed. */
	int fd;

	/* Held while the mark moves. */
	pthread_mutex_t lock;
	/* Under the lock. */
	unsigned slot; /* the one to write next, the older one */
	bool broken;   /* a sync failed */

	/* Atomic: added to by whoever takes numbers. */
	alignas(64) uint64_t next;

	/* Atomic, moved under the lock: numbers below it may be given. */
	alignas(64) uint64_t mark;
	/* Atomic: no early move before this number. */
	uint64_t retry_at;
};

static uint64_t
slot_check(const struct slot *slot)
{
	return htole64(XXH3_64bits(slot, offsetof(struct slot, check)));
}

static struct slot
slot_of(uint64_t mark)
{
	struct slot slot = { .mark = htole64(mark) };

	memcpy(slot.magic, slot_magic, sizeof(slot.magic));
	slot.check = slot_check(&slot);
	return slot;
}

/* 0: the slot is not whole. A mark is at least 1. */
static uint64_t
slot_mark(const void *data)
{
	struct slot slot;

	memcpy(&slot, data, sizeof(slot));
	if (memcmp(slot.magic, slot_magic, sizeof(slot.magic)) != 0 ||
	    slot.check != slot_check(&slot))
		return 0;
	return le64toh(slot.mark);
}

static enum err
create_file(const char *path)
{
	static char blank[SLOTS * SLOT_DISTANCE];
	char content[sizeof(blank)];
	struct slot slot = slot_of(1);

	memset(content, 0, sizeof(content));
	for (unsigned i = 0; i < SLOTS; i++)
		memcpy(content + i * SLOT_DISTANCE, &slot, sizeof(slot));
	return files_replace(path, content, sizeof(content));
}

/* The caller holds the lock, or is the only one who knows the sequence. */
static enum err
move_mark_locked(struct sequence *sequence, uint64_t mark)
{
	struct slot slot = slot_of(mark);
	enum err err;

	if (sequence->broken)
		return ERR_FAULT;
	err = files_overwrite(sequence->fd, &slot, sizeof(slot),
			      (uint64_t)sequence->slot * SLOT_DISTANCE);
	if (err != ERR_OK) {
		sequence->broken = err == ERR_FAULT;
		return err;
	}
	sequence->slot ^= 1;
	ck_pr_store_64(&sequence->mark, mark);
	return ERR_OK;
}

static enum err
read_marks(struct sequence *sequence, const char *path)
{
	char content[SLOTS * SLOT_DISTANCE];
	uint64_t mark[SLOTS], newest;
	size_t len;
	enum err err = files_read(path, content, sizeof(content), &len);

	if (err != ERR_OK)
		return err;
	if (len != sizeof(content))
		return ERR_FAULT;
	for (unsigned i = 0; i < SLOTS; i++)
		mark[i] = slot_mark(content + i * SLOT_DISTANCE);
	sequence->slot = mark[1] < mark[0];
	newest = mark[0] > mark[1] ? mark[0] : mark[1];
	if (newest == 0)
		return ERR_FAULT;
	/* One slot is not whole. Usually its write was cut, and none of its
	 * numbers was given. But should it have rotted later, it was at most
	 * one move ahead, and one move is at most raise plus a block. */
	if (mark[0] == 0 || mark[1] == 0)
		newest += 2 * (uint64_t)SEQUENCE_BLOCK;
	sequence->mark = sequence->next = newest;
	return ERR_OK;
}

static enum err
open_file(struct sequence *sequence, const char *path)
{
	enum err err;

	if (access(path, F_OK) < 0 && errno == ENOENT) {
		err = create_file(path);
		if (err != ERR_OK)
			return err;
	}
	err = read_marks(sequence, path);
	if (err != ERR_OK)
		return err;
	sequence->fd = open(path, O_WRONLY | O_CLOEXEC);
	return sequence->fd < 0 ? err_from_errno(errno) : ERR_OK;
}

enum err
sequence_open(struct sequence **out, const char *path)
{
	struct sequence *sequence =
		aligned_alloc(alignof(struct sequence), sizeof(*sequence));
	enum err err;

	if (!sequence)
		return ERR_NOMEM;
	memset(sequence, 0, sizeof(*sequence));
	err = open_file(sequence, path);
	if (err != ERR_OK) {
		free(sequence);
		return err;
	}
	pthread_mutex_init(&sequence->lock, NULL);
	*out = sequence;
	return ERR_OK;
}

void
sequence_close(struct sequence *sequence)
{
	pthread_mutex_destroy(&sequence->lock);
	close(sequence->fd);
	free(sequence);
}

/* Makes the mark at least `end`, with a block to spare. */
static enum err
reach(struct sequence *sequence, uint64_t end)
{
	enum err err = ERR_OK;

	pthread_mutex_lock(&sequence->lock);
	if (sequence->mark < end)
		err = move_mark_locked(sequence, end + SEQUENCE_BLOCK);
	pthread_mutex_unlock(&sequence->lock);
	return err;
}

/* Moves the mark while half a block is left, so that nobody waits when it
 * ends. A failure is told only when numbers run out. */
static void
reach_early(struct sequence *sequence, uint64_t end)
{
	uint64_t mark = ck_pr_load_64(&sequence->mark);

	if (mark - end > SEQUENCE_BLOCK / 2 ||
	    end < ck_pr_load_64(&sequence->retry_at))
		return;
	if (pthread_mutex_trylock(&sequence->lock) != 0)
		return; /* someone does it */
	if (sequence->mark == mark &&
	    move_mark_locked(sequence, mark + SEQUENCE_BLOCK) != ERR_OK)
		ck_pr_store_64(&sequence->retry_at, end + RETRY_AFTER);
	pthread_mutex_unlock(&sequence->lock);
}

enum err
sequence_take(struct sequence *sequence, uint64_t count, uint64_t *first)
{
	uint64_t mine = ck_pr_faa_64(&sequence->next, count);
	uint64_t end = mine + count;
	enum err err;

	assert(count > 0);
	if (ck_pr_load_64(&sequence->mark) < end) {
		err = reach(sequence, end);
		if (err != ERR_OK)
			return err;
	} else {
		reach_early(sequence, end);
	}
	*first = mine;
	return ERR_OK;
}

enum err
sequence_raise(struct sequence *sequence, uint64_t above)
{
	uint64_t next = ck_pr_load_64(&sequence->next);

	while (next <= above)
		if (ck_pr_cas_64_value(&sequence->next, next, above + 1, &next))
			next = above + 1;
	return reach(sequence, above + 1);
}

uint64_t
sequence_last(const struct sequence *sequence)
{
	uint64_t next = ck_pr_load_64(&sequence->next);
	uint64_t mark = ck_pr_load_64(&sequence->mark);

	/* Numbers at or above the mark were asked for in vain. */
	return (next < mark ? next : mark) - 1;
}
