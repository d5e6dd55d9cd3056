/* SPDX-License-Identifier: MIT */
#include <ck_pr.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/log.h"
#include "storage/sql/sql_internal.h"

/* ---- version words ------------------------------------------------------ */

/*
 * Tables of words whose database was closed. Who kept a number may still look
 * at them, so they are never freed, but used again: a number that a new
 * database puts there is new to all.
 */
struct words {
	alignas(CACHE_LINE) uint64_t list[SQL_WORDS];
	struct words *next;
};

static struct {
	pthread_mutex_t lock;
	struct words *first; /* under the lock */
} spare_words = { .lock = PTHREAD_MUTEX_INITIALIZER };

static uint64_t *
take_words(void)
{
	struct words *words;

	pthread_mutex_lock(&spare_words.lock);
	words = spare_words.first;
	if (words)
		spare_words.first = words->next;
	pthread_mutex_unlock(&spare_words.lock);
	if (words)
		return words->list;
	words = aligned_alloc(alignof(struct words), sizeof(*words));
	if (!words)
		return NULL;
	memset(words, 0, sizeof(*words));
	return words->list;
}

static void
give_words(uint64_t *list)
{
	struct words *words = CONTAINER_OF(list, struct words, list);

	pthread_mutex_lock(&spare_words.lock);
	words->next = spare_words.first;
	spare_words.first = words;
	pthread_mutex_unlock(&spare_words.lock);
}

/* Without a sequence there are no numbers that never were before: the words
 * are odd for good, and nothing that is read is kept. */
static enum err
start_words(struct sql *sql)
{
	uint64_t number = 0, value = 1;

	if (sql->options.sequence) {
		enum err err = sequence_take(sql->options.sequence, 1, &number);

		if (err != ERR_OK)
			return err;
		value = 2 * number;
	}
	for (unsigned i = 0; i < SQL_WORDS; i++)
		version_word_set(&sql->words[i], value);
	return ERR_OK;
}

/* ---- opening ------------------------------------------------------------ */

static enum err
make_parts(struct sql *sql, const struct sql_options *options)
{
	enum err err;

	sql->options = *options;
	err = sql_stores_init(sql, options);
	sql->name = strdup(options->name);
	sql->path = strdup(options->path);
	sql->words = take_words();
	if (err != ERR_OK || !sql->name || !sql->path || !sql->words)
		return ERR_NOMEM;
	sql->options.name = sql->name;
	sql->options.path = sql->path;
	return ERR_OK;
}

static void
free_parts(struct sql *sql)
{
	sql_stores_fini(sql);
	if (sql->words)
		give_words(sql->words);
	pthread_cond_destroy(&sql->check_ended);
	pthread_mutex_destroy(&sql->check_lock);
	free(sql->path);
	free(sql->name);
	free(sql);
}

/* Somebody stopped without having moved it to the file. One that is longer than
 * its own head may have commits. */
static bool
has_left_wal(const struct sql *sql)
{
	size_t size = strlen(sql->path) + sizeof("-wal");
	char *path = malloc(size);
	struct stat st;
	bool found;

	if (!path)
		return false;
	snprintf(path, size, "%s-wal", sql->path);
	found = stat(path, &st) == 0 && st.st_size > SQL_WAL_HEADER_SIZE;
	free(path);
	return found;
}

static enum err
open_lane(struct sql *sql)
{
	struct lane_options lane = {
		.name = sql->name,
		.store = sql,
		.commit = sql_commit,
		.idle = sql_idle,
		.max_age_ns = sql->options.max_age_ns,
		.on_fault = sql->options.on_fault,
		.on_fault_arg = sql->options.on_fault_arg,
	};

	return lane_open(&sql->lane, &lane);
}

static enum err
start_parts(struct sql *sql)
{
	enum err err = start_words(sql);

	if (err != ERR_OK)
		return err;
	err = sql_pools_init(sql);
	if (err != ERR_OK)
		return err;
	err = open_lane(sql);
	if (err != ERR_OK)
		sql_pools_fini(sql);
	return err;
}

static enum err
start(struct sql *sql, char *message, size_t size)
{
	bool unclean = has_left_wal(sql);
	enum err err = sql_committer_open(sql, message, size);

	if (err != ERR_OK)
		return err;
	err = start_parts(sql);
	if (err != ERR_OK) {
		sql_committer_close(sql, true);
		return sql_say(message, size, err,
			       "database %s: cannot start: %s", sql->name,
			       err_text(err));
	}
	if (unclean)
		sql_check_begin(sql);
	return ERR_OK;
}

enum err
sql_open_tuned(struct sql **out, const struct sql_options *options,
	       const struct sql_tuning *tuning, char *message,
	       size_t message_size)
{
	struct sql *sql;
	enum err err = sql_environ_init();

	assert(options->max_size > 0);
	assert(options->sequence || options->scratch);
	sql_say(message, message_size, ERR_NOMEM, "database %s: %s",
		options->name, err_text(ERR_NOMEM));
	if (err != ERR_OK)
		return err;
	sql = aligned_alloc(alignof(struct sql), sizeof(*sql));
	if (!sql)
		return ERR_NOMEM;
	memset(sql, 0, sizeof(*sql));
	pthread_mutex_init(&sql->check_lock, NULL);
	pthread_cond_init(&sql->check_ended, NULL);
	sql->committer.tuning = *tuning;
	err = make_parts(sql, options);
	if (err == ERR_OK)
		err = start(sql, message, message_size);
	if (err != ERR_OK) {
		free_parts(sql);
		return err;
	}
	sql_say(message, message_size, ERR_OK, "%s", "");
	*out = sql;
	return ERR_OK;
}

enum err
sql_open(struct sql **out, const struct sql_options *options, char *message,
	 size_t message_size)
{
	return sql_open_tuned(out, options, &sql_tuning, message, message_size);
}

void
sql_settle(struct sql *sql)
{
	ck_pr_store_uint(&sql->closing, 1);
	sql_check_end(sql);
	lane_settle(sql->lane);
}

void
sql_close(struct sql *sql)
{
	ck_pr_store_uint(&sql->closing, 1);
	sql_check_end(sql);
	lane_close(sql->lane);
	sql_pools_fini(sql);
	sql_committer_close(sql, !sql->committer.faulty);
	free_parts(sql);
}

/* ---- looking ------------------------------------------------------------ */

const char *
sql_name(const struct sql *sql)
{
	return sql->name;
}

struct lane *
sql_lane(struct sql *sql)
{
	return sql->lane;
}

const uint64_t *
sql_words(const struct sql *sql)
{
	return sql->words;
}

void
sql_stats(struct sql *sql, struct sql_stats *stats)
{
	*stats = (struct sql_stats){
		.file_bytes = ck_pr_load_64(&sql->file_bytes),
		.wal_bytes = ck_pr_load_64(&sql->wal_bytes),
		.max_size = sql->options.max_size,
		.checkpoints = ck_pr_load_64(&sql->checkpoints),
		.checkpoint_ns = ck_pr_load_64(&sql->checkpoint_ns),
		.statements_prepared = ck_pr_load_64(&sql->prepared),
		.full = ck_pr_load_uint(&sql->full),
		.checking = ck_pr_load_uint(&sql->checking),
		.damaged = ck_pr_load_uint(&sql->damaged),
	};
	sql_pools_count(sql, &stats->readers, &stats->readers_busy);
}
