/* SPDX-License-Identifier: MIT */
/*
 * The statements of a route that reads: prepared, noted what they read from,
 * and run, unless the client has their reply already. Nothing in here knows
 * which thread it is on.
 */
#include "http/service/run.h"

#include "core/clock.h"
#include "http/conditional.h"
#include "http/reply.h"
#include "http/service/replies.h"

struct reading {
	struct run *run;
	struct sql_reader *reader;
	struct sql_stmt *stmts[ROUTE_STATEMENTS_MAX];
	unsigned prepared;
};

/* All are prepared, and what they read is noted, before the first is run. */
static enum err
prepare_all(struct reading *reading)
{
	struct run *run = reading->run;

	sql_deps_init(&run->deps);
	for (unsigned i = 0; i < run->route->statement_count; i++) {
		struct sql_stmt **stmt = &reading->stmts[i];
		enum err err = sql_prepare(reading->reader, run->ops[i].text,
					   stmt, &run->error);

		if (err)
			return err;
		reading->prepared++;
		sql_deps_note(&run->deps, *stmt);
	}
	return ERR_OK;
}

/*
 * Is the client's tag that of what would be read now? Then nothing is run. It
 * is sound also where a statement reads keys of stores: a reply that was
 * made from more than the tables has another tag.
 */
static bool
is_not_modified(struct run *run)
{
	const struct request *request = run->request;
	const struct server *server = run_server(run);
	uint64_t tag;

	if (!run->route->cacheable || run->route->spec->status >= 300 ||
	    !request->headers.has_if_none_match ||
	    !sql_deps_complete(&run->deps))
		return false;
	tag = reply_tag(server, run->route, &run->deps);
	run->not_modified =
		conditions_judge_tag(&request->headers, tag) ==
			VERDICT_NOT_MODIFIED &&
		reply_length_find(server->lengths,
				  reply_key_hash(reply_key(request)), tag,
				  &run->length);
	/* A run that is needed may find more to depend on, or that it cannot
	 * be kept: this is not yet its tag. */
	if (run->not_modified)
		run->tag = tag;
	return run->not_modified;
}

static bool
takes_one_row(const struct route *route)
{
	return route->spec->reply == REPLY_ONE ||
	       route->spec->reply == REPLY_VALUE;
}

static enum err
run_one(struct reading *reading, unsigned index)
{
	struct run *run = reading->run;
	struct sql_stmt *stmt = reading->stmts[index];
	const struct sql_op *op = &run->ops[index];
	bool last = index + 1 == run->route->statement_count;
	enum sql_step step;

	for (unsigned i = 0; i < op->value_count; i++) {
		enum err err = sql_bind(stmt, i, &op->values[i]);

		if (err)
			return err;
	}
	run_op_begin(run);
	sql_run(stmt, &run->limits);
	while ((step = sql_step(stmt, &run->error)) == SQL_ROW) {
		run->op_rows[index]++;
		if (!last)
			continue;
		if (!answer_row(run, stmt))
			break;
		/* Nobody sees the others, and a read has no effects. */
		if (takes_one_row(run->route)) {
			step = SQL_DONE;
			break;
		}
	}
	run_op_end(run, index);
	if (sql_longest_ns(stmt) > run->longest_ns)
		run->longest_ns = sql_longest_ns(stmt);
	if (step != SQL_DONE)
		return run->error.err;
	return last && !answer_end(run) ? run->error.err : ERR_OK;
}

static enum err
run_all(struct reading *reading)
{
	unsigned count = reading->run->route->statement_count;
	enum err err = ERR_OK;

	if (is_not_modified(reading->run))
		return ERR_OK;
	answer_begin(reading->run);
	if (count > 1)
		err = sql_begin(reading->reader);
	for (unsigned i = 0; !err && i < count; i++)
		err = run_one(reading, i);
	return err;
}

/* What was read may be newer than the words that were noted: then another
 * reply has their tag. So it is where a key that was read has expired
 * meanwhile: others may have been read after that, and not be there. */
static bool
deps_stand(const struct sql_deps *deps)
{
	/* Pairs with the stores of the words, before and after a commit: they
	 * are looked at after all that was read. */
	ck_pr_fence_load();
	for (unsigned i = 0; i < deps->count; i++)
		if (ck_pr_load_64(deps->list[i].word) != deps->list[i].value)
			return false;
	return !deps->expires_ms || clock_wall_ms() < deps->expires_ms;
}

void
run_read_rows(struct run *run, struct sql_reader *reader)
{
	struct reading reading = { .run = run, .reader = reader };
	uint64_t start = clock_mono_ns();

	run->error.err = ERR_OK;
	run->longest_ns = 0;
	run->tag = 0;
	run->ops_run = 0;
	run->limits.deps = &run->deps;
	sql_prepare_until(reader, run->limits.deadline_ns);
	run->err = prepare_all(&reading);
	if (!run->err)
		run->err = run_all(&reading);
	while (reading.prepared)
		sql_release(reading.stmts[--reading.prepared]);
	sql_reader_give(reader);
	run->run_ns = clock_mono_ns() - start;
	if (!run->err && run->route->cacheable &&
	    sql_deps_complete(&run->deps) && deps_stand(&run->deps))
		run->tag = reply_tag(run_server(run), run->route, &run->deps);
}
