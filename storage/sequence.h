/* SPDX-License-Identifier: MIT */
/*
 * The sequence: one number for each committed operation of the whole process,
 * over restarts. An operation's number is the ETag of its key.
 *
 * A number is never given twice, whatever crashed: the file holds a mark that
 * is above every number given so far, moved ahead in blocks and synced before
 * a number of the next block is given. A start continues at the mark, so it
 * skips what was left of a block.
 *
 * The mark is written in place, in two slots by turns, so that it can move on
 * a full disk: deletes need numbers too.
 */
#ifndef STORAGE_SEQUENCE_H
#define STORAGE_SEQUENCE_H

#include "core/base.h"
#include "core/err.h"

/* Numbers reserved by one sync: at 100,000 writes a second, one in ten
 * seconds. */
enum { SEQUENCE_BLOCK = 1 << 20 };

struct sequence;

/* Opens or makes path. ERR_FAULT: the file is damaged. */
MUST_CHECK enum err sequence_open(struct sequence **out, const char *path);
void sequence_close(struct sequence *sequence);

/* Any thread that may block on the disk (committers). Gives count numbers in
 * a row, the first through *first; numbers start at 1. ERR_FAULT, ERR_FULL:
 * the mark could not be moved; no number was given. */
MUST_CHECK enum err sequence_take(struct sequence *sequence, uint64_t count,
				  uint64_t *first);
/* Any thread that may block: numbers from now on are above this one. For a
 * store that was made under another sequence file. */
MUST_CHECK enum err sequence_raise(struct sequence *sequence, uint64_t above);
/* Any thread: the highest number given so far. */
uint64_t sequence_last(const struct sequence *sequence);

#endif
