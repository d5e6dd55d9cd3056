/* SPDX-License-Identifier: MIT */
#include "core/config_file.h"

#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/buffer.h"
#include "core/config_scan.h"

enum { FILE_MAX = 1 << 20, SECTION_KEYS_MAX = 31, SECTIONS_MAX = 7 };

/* libconfuse's scanner is global, so there is one reader at a time. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The file that is being read, under the lock. libconfuse hands its callbacks
 * no argument of ours, so it is here. */
static struct reading {
	const char *path;
	const struct config_visitor *visitor;
	char *message;
	size_t size;
	enum err err; /* the first error wins */
} * reading;

static void
fail(int line, const char *reason)
{
	if (reading->err)
		return;
	reading->err = ERR_BAD;
	snprintf(reading->message, reading->size, "%s:%d: %s", reading->path,
		 line, reason);
}

/* ---- libconfuse's callbacks --------------------------------------------- */

static void on_error(cfg_t *cfg, const char *format, va_list args) PRINTF(2, 0);

static void
on_error(cfg_t *cfg, const char *format, va_list args)
{
	char reason[256];

	vsnprintf(reason, sizeof(reason), format, args);
	fail(cfg->line, reason);
}

static int
visit(const struct config_entry *entry)
{
	char reason[256] = "";

	if (reading->visitor->entry(reading->visitor->arg, entry, reason,
				    sizeof(reason)))
		return 0;
	fail(entry->line, reason);
	return -1;
}

/* The name of the section that cfg is, as struct config_key has it. */
static const char *
section_name(cfg_t *cfg)
{
	/* libconfuse calls the top level "root". No section of ours is. */
	return strcmp(cfg_name(cfg), "root") ? cfg_name(cfg) : "";
}

static struct config_entry
entry_of(cfg_t *cfg, cfg_opt_t *opt)
{
	return (struct config_entry){
		.section = section_name(cfg),
		.title = cfg_title(cfg) ? cfg_title(cfg) : "",
		.key = cfg_opt_name(opt),
		.line = cfg->line,
	};
}

/* A single value. libconfuse takes the last of several; what is meant is not
 * to be guessed, so the comment of the option remembers the first line. */
static int
on_value(cfg_t *cfg, cfg_opt_t *opt)
{
	struct config_entry entry = entry_of(cfg, opt);
	const char *first = cfg_opt_getcomment(opt);
	char text[128];

	if (first) {
		snprintf(text, sizeof(text),
			 "%.60s is given twice, first on line %.12s", entry.key,
			 first);
		fail(cfg->line, text);
		return -1;
	}
	snprintf(text, sizeof(text), "%d", cfg->line);
	cfg_opt_setcomment(opt, text);
	entry.value = cfg_opt_getnstr(opt, 0);
	return visit(&entry);
}

/* Called after each value and again at the closing brace. */
static int
on_list(cfg_t *cfg, cfg_opt_t *opt)
{
	struct config_entry entry = entry_of(cfg, opt);

	for (entry.index = 0; entry.index < cfg_opt_size(opt); entry.index++) {
		entry.value = cfg_opt_getnstr(opt, entry.index);
		if (visit(&entry))
			return -1;
	}
	return 0;
}

/* At the closing brace of a titled section, which is opt's last. */
static int
on_section_end(cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);

	return visit(&(struct config_entry){
		.section = cfg_opt_name(opt),
		.title = cfg_title(section),
		.line = cfg->line,
	});
}

/* ---- what libconfuse shall know ----------------------------------------- */

/* The keys of one section. Zeroed options end the list, as CFG_END() does. */
struct section {
	const char *name;
	cfg_opt_t opts[SECTION_KEYS_MAX + SECTIONS_MAX + 1];
	unsigned count;
};

/* Sections by name; the top level is the first. */
struct grammar {
	struct section sections[SECTIONS_MAX + 1];
	unsigned count;
};

static void
add_option(struct section *section, cfg_opt_t opt,
	   cfg_validate_callback_t callback)
{
	assert(section->count + 1 < ARRAY_LEN(section->opts));
	opt.validcb = callback;
	section->opts[section->count++] = opt;
}

static struct section *
section_get_or_add(struct grammar *grammar, const char *name)
{
	for (unsigned i = 0; i < grammar->count; i++)
		if (!strcmp(grammar->sections[i].name, name))
			return &grammar->sections[i];
	assert(grammar->count < ARRAY_LEN(grammar->sections));
	grammar->sections[grammar->count].name = name;
	return &grammar->sections[grammar->count++];
}

static void
add_key(struct grammar *grammar, const struct config_key *key)
{
	struct section *section = section_get_or_add(grammar, key->section);
	cfg_opt_t list = CFG_STR_LIST(key->key, NULL, CFGF_NODEFAULT);
	cfg_opt_t single = CFG_STR(key->key, NULL, CFGF_NODEFAULT);

	add_option(section, key->list ? list : single,
		   key->list ? on_list : on_value);
}

/* Makes each section an option of the top level, once its keys are known. */
static void
add_sections(struct grammar *grammar, const struct config_key *keys,
	     unsigned count)
{
	for (unsigned i = 1; i < grammar->count; i++) {
		struct section *section = &grammar->sections[i];
		cfg_opt_t many =
			CFG_SEC(section->name, section->opts,
				CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
		cfg_opt_t one =
			CFG_SEC(section->name, section->opts, CFGF_NONE);
		bool titled = false;

		for (unsigned k = 0; k < count; k++)
			titled |= keys[k].titled &&
				  !strcmp(keys[k].section, section->name);
		add_option(&grammar->sections[0], titled ? many : one,
			   titled ? on_section_end : NULL);
	}
}

static enum err
parse(const struct buffer *text, const struct config_key *keys, unsigned count)
{
	struct grammar grammar = { .count = 1, .sections[0].name = "" };
	FILE *file;
	cfg_t *cfg;
	int rc;

	for (unsigned i = 0; i < count; i++)
		add_key(&grammar, &keys[i]);
	add_sections(&grammar, keys, count);
	file = fmemopen(text->data, text->len, "r");
	if (!file)
		return ERR_NOMEM;
	cfg = cfg_init(grammar.sections[0].opts, CFGF_NONE);
	if (!cfg) {
		fclose(file);
		return ERR_NOMEM;
	}
	cfg_set_error_function(cfg, on_error);
	errno = 0;
	rc = cfg_parse_fp(cfg, file);
	/* The one error that libconfuse has no word for, but memory. In a
	 * section the line is the section's. */
	if (rc != CFG_SUCCESS && errno != ENOMEM)
		fail(cfg->line, "a key without a name");
	fclose(file);
	cfg_free(cfg);
	if (reading->err)
		return reading->err;
	return rc == CFG_SUCCESS ? ERR_OK : ERR_NOMEM;
}

/* ---- the file ----------------------------------------------------------- */

/* Not left to libconfuse, whose scanner ends the process when a read fails,
 * as it does on a folder. */
static enum err
load(const char *path, struct buffer *text, char *message, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	enum err err = ERR_OK;

	if (fd < 0 || !buffer_read_all(text, fd)) {
		err = text->err ? text->err : err_from_errno(errno);
		snprintf(message, size, "%s: %s", path,
			 text->err ? err_text(err) : strerror(errno));
	}
	if (fd >= 0)
		close(fd);
	return err;
}

static enum err
parse_locked(struct reading *this, struct buffer *text,
	     const struct config_key *keys, unsigned count)
{
	const char *reason;
	enum err err;
	int line;

	reading = this;
	if (config_scan(text->data, text->len, &line, &reason)) {
		err = parse(text, keys, count);
	} else {
		fail(line, reason);
		err = ERR_BAD;
	}
	if (err == ERR_NOMEM)
		snprintf(this->message, this->size, "%s: %s", this->path,
			 err_text(err));
	reading = NULL;
	return err;
}

static enum err
read_text(const char *path, struct buffer *text, const struct config_key *keys,
	  unsigned count, const struct config_visitor *visitor, char *message,
	  size_t size)
{
	struct reading this = {
		.path = path,
		.visitor = visitor,
		.message = message,
		.size = size,
	};
	enum err err;

	pthread_mutex_lock(&lock);
	err = parse_locked(&this, text, keys, count);
	pthread_mutex_unlock(&lock);
	return err;
}

enum err
config_file_read(const char *path, const struct config_key *keys,
		 unsigned count, const struct config_visitor *visitor,
		 char *message, size_t size)
{
	struct buffer text;
	enum err err;

	buffer_init(&text, FILE_MAX);
	err = load(path, &text, message, size);
	if (!err)
		err = read_text(path, &text, keys, count, visitor, message,
				size);
	buffer_fini(&text);
	return err;
}

enum err
config_file_parse(const char *name, struct bytes bytes,
		  const struct config_key *keys, unsigned count,
		  const struct config_visitor *visitor, char *message,
		  size_t size)
{
	struct buffer text;
	enum err err;

	buffer_init(&text, FILE_MAX);
	buffer_add(&text, bytes.data, bytes.len);
	err = text.err;
	if (err)
		snprintf(message, size, "%s: %s", name, err_text(err));
	else
		err = read_text(name, &text, keys, count, visitor, message,
				size);
	buffer_fini(&text);
	return err;
}
