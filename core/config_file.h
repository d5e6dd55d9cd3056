/* SPDX-License-Identifier: MIT */
/*
 * A configuration file, entry by entry: libconfuse's home. What keys there
 * are, and what their values may be, is core/config.c's business.
 */
#ifndef CORE_CONFIG_FILE_H
#define CORE_CONFIG_FILE_H

#include "core/base.h"
#include "core/err.h"

/* A key that may occur. Sections: "" (the top level), and any other name, with
 * a title where titled is set. */
struct config_key {
	const char *section;
	const char *key;
	bool titled; /* section NAME { ... }, several */
	bool list;   /* {"a", "b"}, or one alone; += adds */
};

/* Borrowed for the call. */
struct config_entry {
	const char *section, *title, *key;
	const char *value;
	unsigned index; /* place in a list; 0 begins the list anew */
	int line;
};

struct config_visitor {
	/* Called for each value in order, a list's values again whenever one
	 * is added. key is NULL at the end of a titled section. False: reason
	 * says why not, and reading ends. Reads no other file. */
	bool (*entry)(void *arg, const struct config_entry *entry, char *reason,
		      size_t size);
	void *arg;
};

/*
 * Reads path. On an error, message says "path:line: reason". Any thread; they
 * wait for each other, because libconfuse's scanner is global.
 *
 * Stricter than libconfuse: no ${VARIABLES} and no functions, so a file means
 * the same for everybody who reads it; no key twice; a string ends on its
 * line, and "\\", "\"" and "\$" are its only escapes.
 */
MUST_CHECK enum err config_file_read(const char *path,
				     const struct config_key *keys,
				     unsigned count,
				     const struct config_visitor *visitor,
				     char *message, size_t size);
/* The same for text that is in memory already; name stands for its path. */
MUST_CHECK enum err config_file_parse(const char *name, struct bytes text,
				      const struct config_key *keys,
				      unsigned count,
				      const struct config_visitor *visitor,
				      char *message, size_t size);

#endif
