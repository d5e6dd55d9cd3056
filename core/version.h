/* SPDX-License-Identifier: MIT */
/*
 * Version words: how a cached reply is known to be current.
 *
 * A table of words, striped over keys by their hash. A committer makes the
 * words that its batch touches odd before it commits, and even, one higher,
 * after; it acknowledges only then. A reader notes the word BEFORE it opens
 * its snapshot and keeps what it built with that number; the entry is good
 * while the word still has it. Where the word is odd the reader bypasses the
 * cache and must read from a snapshot opened after it saw the odd word.
 *
 * Each word has one writer at a time: the committer of the store that the
 * stripe belongs to. So a store owns a table of its own.
 */
#ifndef CORE_VERSION_H
#define CORE_VERSION_H

#include <ck_pr.h>

#include "core/base.h"

/* 4096 words, 32 KiB: with a batch of 1000 random keys one cached entry in
 * five is invalidated for nothing; with usual batches of tens, none. */
enum { VERSION_STRIPES = 4096 };

struct versions {
	/* Written by the store's committer, read by every worker. */
	alignas(64) uint64_t words[VERSION_STRIPES];
};

static inline unsigned
version_stripe(uint64_t hash)
{
	return (unsigned)(hash >> 20) & (VERSION_STRIPES - 1);
}

/*
 * Any thread. The fence pairs with the one in version_word_even(): a reader
 * that sees the new even word also sees, in loads that follow, the commit
 * number that the store published before it. Without it a reader could note
 * the new word, take its old snapshot for current, and keep an old value as
 * new.
 */
static inline uint64_t
version_word_note(const uint64_t *word)
{
	uint64_t value = ck_pr_load_64(word);

	ck_pr_fence_load();
	return value;
}

static inline uint64_t
version_note(const struct versions *versions, unsigned stripe)
{
	return version_word_note(&versions->words[stripe]);
}

static inline bool
version_is_odd(uint64_t word)
{
	return word & 1;
}

/*
 * Committer, before its commit. Idempotent within a batch. All odd words are
 * followed by one version_fence().
 */
static inline void
version_word_odd(uint64_t *word)
{
	ck_pr_store_64(word, *word | 1);
}

static inline void
version_odd(struct versions *versions, unsigned stripe)
{
	version_word_odd(&versions->words[stripe]);
}

/*
 * Between the odd words and the commit. Pairs with the load fence in
 * version_word_note(): who can see the commit sees an odd word. Without it a
 * reader could take the new value from the store while another still finds
 * an even word and is given the old value after it.
 */
static inline void
version_fence(void)
{
	ck_pr_fence_memory();
}

/* Committer, after its commit is published: the word is value from now on, an
 * even number that it never was before. */
static inline void
version_word_set(uint64_t *word, uint64_t value)
{
	/* Pairs with version_word_note(). */
	ck_pr_fence_store();
	ck_pr_store_64(word, value);
}

/* The same, one higher; does nothing to an even word, so a stripe may be
 * named twice. */
static inline void
version_word_even(uint64_t *word)
{
	version_word_set(word, *word + (*word & 1));
}

static inline void
version_even(struct versions *versions, unsigned stripe)
{
	version_word_even(&versions->words[stripe]);
}

#endif
