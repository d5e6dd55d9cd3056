/* SPDX-License-Identifier: MIT */
/*
 * kv import and kv export: NDJSON, streamed, in constant memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/answer.h"
#include "tools/command.h"
#include "tools/out.h"
#include "tools/path.h"
#include "tools/progress.h"
#include "tools/kv/target.h"

static const char ndjson[] = "application/x-ndjson";

/* ---- import ------------------------------------------------------------ */

/* Bytes of a regular file; 0: not known. */
static uint64_t
size_of(int fd)
{
	struct stat stat;

	if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode))
		return 0;
	return (uint64_t)stat.st_size;
}

static enum outcome
print_imported(const struct call *call, const struct reply *reply)
{
	struct bytes body = { reply->body.data, reply->body.len };
	int64_t imported, expired = 0;

	if (call->options->json) {
		out_bytes(body);
		return OUTCOME_OK;
	}
	if (!answer_number(body, "imported", &imported)) {
		say("the server's answer has no count");
		return OUTCOME_ERROR;
	}
	printf("%" PRId64 " imported", imported);
	if (answer_number(body, "expired", &expired) && expired > 0)
		printf(", %" PRId64 " had expired", expired);
	putchar('\n');
	return OUTCOME_OK;
}

static enum outcome
import_from(const struct call *call, int fd)
{
	struct progress progress;
	struct request request = { .method = "PUT",
				   .type = ndjson,
				   .has_source = true,
				   .source = fd,
				   .progress = &progress };
	enum outcome outcome = OUTCOME_ERROR;
	struct reply reply = { 0 };
	struct buffer path;

	path_kv(&path, call->store, "");
	path_query(&path, "op", "import");
	request.target = path_text(&path);
	progress_begin(&progress, "import", size_of(fd));
	if (request.target)
		outcome = client_call(call->client, &request, &reply);
	if (outcome == OUTCOME_OK)
		outcome = print_imported(call, &reply);
	reply_fini(&reply);
	buffer_fini(&path);
	return outcome;
}

enum outcome
transfer_import(const struct call *call)
{
	const char *file = call->argument;
	enum outcome outcome;
	int fd;

	if (!file || !strcmp(file, "-"))
		return import_from(call, STDIN_FILENO);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		say("%s: %s", file, strerror(errno));
		return OUTCOME_ERROR;
	}
	outcome = import_from(call, fd);
	close(fd);
	return outcome;
}

/* ---- export ------------------------------------------------------------ */

static enum outcome
export_to(const struct call *call, FILE *sink, struct progress *progress)
{
	struct request request = { .method = "GET",
				   .accept = ndjson,
				   .sink = sink,
				   .progress = progress };
	enum outcome outcome = OUTCOME_ERROR;
	struct reply reply = { 0 };
	struct buffer path;

	path_kv(&path, call->store, "");
	path_query(&path, "op", "export");
	path_query(&path, "prefix", call->options->text[OPTION_PREFIX]);
	request.target = path_text(&path);
	progress_begin(progress, "export", 0);
	if (request.target)
		outcome = client_call(call->client, &request, &reply);
	reply_fini(&reply);
	buffer_fini(&path);
	/* libcurl knows a cut stream by its framing; one that something in
	 * between has framed anew ends within a line. */
	if (outcome == OUTCOME_OK && progress->line_is_open) {
		say("the export ends within a line");
		outcome = OUTCOME_ERROR;
	}
	return outcome;
}

enum outcome
transfer_export(const struct call *call)
{
	struct progress progress;
	struct target target;
	enum outcome outcome;
	bool to_file;

	if (!target_open(&target, call->argument))
		return OUTCOME_ERROR;
	to_file = target.file != stdout;
	outcome = export_to(call, target.file, &progress);
	if (outcome != OUTCOME_OK) {
		target_abort(&target);
		return outcome;
	}
	if (!target_commit(&target))
		return OUTCOME_ERROR;
	if (to_file && call->options->json)
		printf("{\"items\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n",
		       progress.items, progress.bytes);
	return OUTCOME_OK;
}
