/* SPDX-License-Identifier: MIT */
/*
 * What was read, as version words with their values from before.
 */
#include "storage/sql/sql_internal.h"

void
sql_deps_init(struct sql_deps *deps)
{
	deps->count = 0;
	deps->odd = deps->lost = false;
	deps->expires_ms = 0;
}

void
sql_connection_lose(struct sql_connection *connection)
{
	struct sql_stmt *stmt = connection->running;

	if (stmt && stmt->limits && stmt->limits->deps)
		stmt->limits->deps->lost = true;
}

/* The value from the first time is the one that counts: it is from before all
 * that was read since. */
bool
sql_deps_has(const struct sql_deps *deps, const uint64_t *word)
{
	for (unsigned i = 0; i < deps->count; i++)
		if (deps->list[i].word == word)
			return true;
	return false;
}

bool
sql_deps_add(struct sql_deps *deps, const uint64_t *word, uint64_t value)
{
	if (deps->count == SQL_DEPS_MAX)
		return false;
	deps->list[deps->count].word = word;
	deps->list[deps->count++].value = value;
	deps->odd |= version_is_odd(value);
	return true;
}

static void
note_word(struct sql_deps *deps, const uint64_t *word)
{
	if (!sql_deps_has(deps, word) &&
	    !sql_deps_add(deps, word, version_word_note(word)))
		deps->lost = true;
}

static unsigned
count_bits(const struct sql_word_set *set)
{
	unsigned count = 0;

	for (size_t i = 0; i < ARRAY_LEN(set->bits); i++)
		count += (unsigned)__builtin_popcountll(set->bits[i]);
	return count;
}

void
sql_deps_note(struct sql_deps *deps, const struct sql_stmt *stmt)
{
	const uint64_t *words = sql_words(stmt->connection->sql);
	const struct sql_word_set *reads = &stmt->reads;

	/* One word stands for all, and for more than there is room for. */
	if (sql_word_set_has(reads, SQL_WORD_ANY) ||
	    deps->count + count_bits(reads) > SQL_DEPS_MAX) {
		note_word(deps, &words[SQL_WORD_ANY]);
		return;
	}
	for (unsigned i = 0; i < ARRAY_LEN(reads->bits); i++)
		for (uint64_t bits = reads->bits[i]; bits; bits &= bits - 1)
			note_word(deps,
				  &words[i * 64 +
					 (unsigned)__builtin_ctzll(bits)]);
}
