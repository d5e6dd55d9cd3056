/* SPDX-License-Identifier: MIT */
#include "tools/sql/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/err.h"
#include "tools/out.h"

/* Entries that are kept. */
enum { HISTORY_MAX = 1000 };

struct prompt {
	EditLine *edit;
	History *history;
	char *path; /* of the history; NULL: there is no file */
	char *last; /* that was remembered */
	const char *text;
	bool cleared; /* by ^C */
};

/* ---- history --------------------------------------------------------------
 */

static char *
history_path(void)
{
	const char *path = getenv("JACKDAW_HISTORY");
	const char *home = getenv("HOME");
	char *made;

	if (path)
		return *path ? strdup(path) : NULL;
	if (!home || !*home)
		return NULL;
	return asprintf(&made, "%s/.jackdaw_history", home) < 0 ? NULL : made;
}

/* libedit changes the mode of what it saves to: that must be a file, never a
 * device. NULL: no file, or not for us; a history is not worth a complaint. */
static FILE *
open_history(const char *path, int flags)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
	struct stat stat;
	FILE *file;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode)) {
		file = fdopen(fd, flags & O_APPEND ? "a" : "w");
		if (file && fseek(file, 0, SEEK_END) == 0)
			return file;
		if (file) {
			fclose(file);
			return NULL;
		}
	}
	close(fd);
	return NULL;
}

static void
save(History *history_, const char *path, int flags)
{
	FILE *file = open_history(path, flags);
	HistEvent event;

	if (!file)
		return;
	history(history_, &event, H_SAVE_FP, file);
	fclose(file);
}

/* The file grows by what is added, so that two prompts do not take each
 * other's entries away, and is cut when it is read. */
static void
load(struct prompt *prompt)
{
	HistEvent event;

	if (history(prompt->history, &event, H_LOAD, prompt->path) >
	    HISTORY_MAX)
		save(prompt->history, prompt->path, O_TRUNC);
}

/* H_NSAVE_FP saves one more than it is asked for: a history of one entry does
 * not. */
static void
append(const char *path, const char *text)
{
	History *one = history_init();
	HistEvent event;

	if (!one)
		return;
	history(one, &event, H_SETSIZE, 1);
	history(one, &event, H_ENTER, text);
	save(one, path, O_APPEND);
	history_end(one);
}

void
prompt_remember(struct prompt *prompt, const char *text)
{
	HistEvent event;

	if (prompt->last && !strcmp(prompt->last, text))
		return;
	history(prompt->history, &event, H_ENTER, text);
	if (prompt->path)
		append(prompt->path, text);
	free(prompt->last);
	prompt->last = strdup(text);
}

/* ---- lines ------------------------------------------------------------------
 */

static char *
show_text(EditLine *edit)
{
	struct prompt *prompt = NULL;

	el_get(edit, EL_CLIENTDATA, &prompt);
	return (char *)prompt->text;
}

static unsigned char
on_clear(EditLine *edit, int key)
{
	struct prompt *prompt = NULL;

	el_get(edit, EL_CLIENTDATA, &prompt);
	prompt->cleared = true;
	return CC_NEWLINE;
}

/* With EL_SIGNAL libedit gives the terminal back before the signal has its
 * usual effect, and takes it again when we go on. */
static unsigned char
on_stop(EditLine *edit, int key)
{
	raise(SIGTSTP);
	return CC_REDISPLAY;
}

static unsigned char
on_quit(EditLine *edit, int key)
{
	raise(SIGQUIT);
	return CC_REDISPLAY;
}

/* The terminal gives us ^C, ^Z and ^\\ as characters: a signal that came while
 * libedit does not wait for a character would be noticed only with the next. */
static void
take_signals(EditLine *edit)
{
	el_set(edit, EL_SETTY, "-d", "-isig", NULL);
	/* el_set() would copy the names, and never free them. */
	el_wset(edit, EL_ADDFN, L"jackdaw-clear", L"Clear the line", on_clear);
	el_set(edit, EL_BIND, "^C", "jackdaw-clear", NULL);
	el_wset(edit, EL_ADDFN, L"jackdaw-stop", L"Stop the program", on_stop);
	el_set(edit, EL_BIND, "^Z", "jackdaw-stop", NULL);
	el_wset(edit, EL_ADDFN, L"jackdaw-quit", L"Quit the program", on_quit);
	el_set(edit, EL_BIND, "\\034", "jackdaw-quit", NULL);
}

static void
set_up(struct prompt *prompt)
{
	EditLine *edit = prompt->edit;

	el_set(edit, EL_CLIENTDATA, prompt);
	el_set(edit, EL_PROMPT, show_text);
	el_set(edit, EL_EDITOR, "emacs");
	el_set(edit, EL_SIGNAL, 1);
	el_set(edit, EL_HIST, history, prompt->history);
	el_set(edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
	/* Indented SQL may be pasted. */
	el_set(edit, EL_BIND, "\\t", "ed-insert", NULL);
	el_source(edit, NULL);
	take_signals(edit);
}

struct prompt *
prompt_create(void)
{
	struct prompt *prompt = calloc(1, sizeof(*prompt));
	HistEvent event;

	if (!prompt)
		goto out_of_memory;
	prompt->history = history_init();
	if (!prompt->history)
		goto free_prompt;
	prompt->edit = el_init("jackdaw", stdin, stdout, stderr);
	if (!prompt->edit)
		goto end_history;
	history(prompt->history, &event, H_SETSIZE, HISTORY_MAX);
	prompt->path = history_path();
	if (prompt->path)
		load(prompt);
	set_up(prompt);
	return prompt;

end_history:
	history_end(prompt->history);
free_prompt:
	free(prompt);
out_of_memory:
	say("no prompt: %s", err_text(ERR_NOMEM));
	return NULL;
}

void
prompt_destroy(struct prompt *prompt)
{
	el_end(prompt->edit);
	history_end(prompt->history);
	free(prompt->path);
	free(prompt->last);
	free(prompt);
}

enum typed
prompt_line(struct prompt *prompt, const char *text, struct bytes *line)
{
	const char *data;
	int len;

	prompt->text = text;
	do {
		/* el_gets() would show the text before it has the terminal
		 * give it single characters: ^D is lost meanwhile. */
		el_set(prompt->edit, EL_PREP_TERM, 1);
		prompt->cleared = false;
		errno = 0;
		len = 0;
		data = el_gets(prompt->edit, &len);
		/* A signal that has done what it does: we are here again. */
	} while (!data && !prompt->cleared && errno == EINTR);
	if (prompt->cleared)
		return TYPED_INTERRUPT;
	if (!data || len <= 0)
		return TYPED_END;
	if (data[len - 1] == '\n')
		len--;
	*line = (struct bytes){ data, (size_t)len };
	return TYPED_LINE;
}
