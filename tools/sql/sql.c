/* SPDX-License-Identifier: MIT */
#include "tools/sql/sql.h"

#include <stdlib.h>
#include <stdio.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/json.h"
#include "core/units.h"
#include "tools/out.h"
#include "tools/path.h"
#include "tools/sql/result.h"

enum {
	/* More than the server takes: it says what its limit is. */
	BODY_MAX = 64 << 20,
	/* The server ends a statement in time; when it does not, we do. */
	GRACE_MS = 2000,
	/* Of session_rows(). */
	ROWS_MAX = 10000,
};

static const struct {
	const char *name;
	const char *accept;
} forms[] = {
	/* Lines, because they are streamed and have no limit. */
	[FORM_TABLE] = { "table", "application/x-ndjson" },
	[FORM_JSON] = { "json", "application/json" },
	[FORM_NDJSON] = { "ndjson", "application/x-ndjson" },
	[FORM_CSV] = { "csv", "text/csv" },
};

bool
form_find(struct bytes name, enum form *form)
{
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (!bytes_equal(name, bytes_of(forms[i].name)))
			continue;
		*form = (enum form)i;
		return true;
	}
	return false;
}

const char *
form_name(enum form form)
{
	return forms[form].name;
}

/* ---- requests ----------------------------------------------------------- */

static void
add_options(struct json *json, const struct options *options)
{
	const char *timeout = options->text[OPTION_TIMEOUT];
	const char *limit = options->text[OPTION_LIMIT];
	uint64_t rows;

	if (timeout) {
		json_name(json, "timeout");
		json_text(json, bytes_of(timeout));
	}
	if (limit && units_u64(bytes_of(limit), &rows)) {
		json_name(json, "limit");
		json_u64(json, rows);
	}
}

/* params NULL: it is the user's statement. False, after saying why. */
static bool
make_body(const struct session *session, struct bytes sql, const json_t *params,
	  struct buffer *body)
{
	char *text = params ? json_dumps(params, JSON_COMPACT) : NULL;
	struct json json;

	buffer_init(body, BODY_MAX);
	if (!json_is_utf8(sql)) {
		say("the statement is not UTF-8");
		free(text);
		return false;
	}
	json_begin(&json, body);
	json_object_begin(&json);
	json_name(&json, "sql");
	json_text(&json, sql);
	if (params) {
		/* A question of ours; more rows nobody would read. */
		json_name(&json, "limit");
		json_u64(&json, ROWS_MAX);
		json_name(&json, "params");
		/* The writer does not see it: nothing may follow. */
		buffer_add_str(body, text ? text : "null");
	} else {
		add_options(&json, session->call->options);
	}
	json_object_end(&json);
	free(text);
	if (body->err)
		say("the statement: %s", err_text(body->err));
	return !body->err;
}

static enum outcome
post(const struct session *session, const char *target, struct bytes body,
     struct request *request, struct reply *reply)
{
	uint64_t timeout_ms = session->call->options->timeout_ms;

	request->method = "POST";
	request->target = target;
	request->type = "application/json";
	request->has_body = true;
	request->body = body;
	request->cancel = session->cancel;
	if (timeout_ms &&
	    __builtin_add_overflow(timeout_ms, GRACE_MS, &request->timeout_ms))
		request->timeout_ms = UINT64_MAX;
	return client_call(session->call->client, request, reply);
}

/* what: "" or "/explain". The reply is the caller's to finish, whatever is
 * returned. */
static enum outcome
send_sql(const struct session *session, const char *what, struct bytes sql,
	 const json_t *params, struct request *request, struct reply *reply)
{
	enum outcome outcome = OUTCOME_ERROR;
	const char *target;
	struct buffer path, body;

	*reply = (struct reply){ 0 };
	path_named(&path, "/v1/sql", session->database);
	buffer_add_str(&path, what);
	target = path_text(&path);
	if (make_body(session, sql, params, &body) && target)
		outcome = post(session, target,
			       (struct bytes){ body.data, body.len }, request,
			       reply);
	buffer_fini(&body);
	buffer_fini(&path);
	return outcome;
}

/* ---- statements --------------------------------------------------------- */

static bool
is_cancelled(const struct session *session)
{
	return session->cancel && *session->cancel;
}

static void
print_time(uint64_t begin_ns)
{
	double ms = (double)(clock_mono_ns() - begin_ns) / NS_PER_MS;

	printf(ms < 10000 ? "%.1f ms\n" : "%.0f ms\n", ms);
}

enum outcome
session_run(const struct session *session, struct bytes sql)
{
	uint64_t begin_ns = clock_mono_ns();
	struct request request = { .accept = forms[session->form].accept,
				   .on_data = result_data };
	enum outcome outcome;
	struct result result;
	struct reply reply;

	result_init(&result, session, sql);
	request.data_arg = &result;
	outcome = send_sql(session, "", sql, NULL, &request, &reply);
	if (outcome == OUTCOME_OK)
		outcome = result_end(&result);
	else
		result_break(&result);
	if (session->timer && !is_cancelled(session))
		print_time(begin_ns);
	result_fini(&result);
	reply_fini(&reply);
	return outcome;
}

/* The reply as JSON; NULL, after saying why. */
static json_t *
ask(const struct session *session, const char *what, struct bytes sql,
    json_t *params, enum outcome *outcome)
{
	struct request request = { .accept = "application/json" };
	json_t *answer = NULL;
	struct reply reply;

	*outcome = send_sql(session, what, sql, params, &request, &reply);
	json_decref(params);
	if (*outcome == OUTCOME_OK) {
		if (reply.body.len > 0)
			answer = json_loadb(reply.body.data, reply.body.len,
					    JSON_ALLOW_NUL, NULL);
		if (!answer) {
			say("the server's answer is not JSON");
			*outcome = OUTCOME_ERROR;
		}
	}
	reply_fini(&reply);
	return answer;
}

enum outcome
session_explain(const struct session *session, struct bytes sql)
{
	enum outcome outcome;
	json_t *answer = ask(session, "/explain", sql, NULL, &outcome);
	const char *plan = json_string_value(json_object_get(answer, "plan"));

	if (outcome == OUTCOME_OK && !plan) {
		say("the server's answer has no plan");
		outcome = OUTCOME_ERROR;
	} else if (outcome == OUTCOME_OK) {
		size_t len = strlen(plan);

		out_lines(bytes_of(plan));
		if (len > 0 && plan[len - 1] != '\n')
			putchar('\n');
	}
	json_decref(answer);
	return outcome;
}

enum outcome
session_rows(const struct session *session, const char *sql, json_t *params,
	     json_t **rows)
{
	enum outcome outcome;
	json_t *answer = ask(session, "", bytes_of(sql), params, &outcome);

	*rows = json_incref(json_object_get(answer, "rows"));
	if (outcome == OUTCOME_OK && !json_is_array(*rows)) {
		say("the server's answer has no rows");
		outcome = OUTCOME_ERROR;
	}
	json_decref(answer);
	return outcome;
}

/* ---- the command -------------------------------------------------------- */

static enum outcome
run_arguments(const struct session *session)
{
	const struct options *options = session->call->options;
	enum outcome outcome = OUTCOME_OK;
	const char *text;
	unsigned at = 0;

	while (outcome == OUTCOME_OK &&
	       (text = options_next(options, OPTION_EXECUTE, &at)))
		outcome = script_text(session, bytes_of(text));
	return outcome;
}

enum outcome
sql_run(const struct call *call)
{
	const char *form = call->options->text[OPTION_OUTPUT];
	const char *file = call->options->text[OPTION_FILE];
	struct session session = { .call = call, .database = "main" };

	/* command_check() has seen that it is one. */
	if (form && !form_find(bytes_of(form), &session.form))
		return OUTCOME_USAGE;
	if (call->argument)
		session.database = call->argument;
	if (!*session.database) {
		say("sql needs the name of a DATABASE");
		return OUTCOME_USAGE;
	}
	text_begin();
	if (call->options->text[OPTION_EXECUTE])
		return run_arguments(&session);
	if (file && strcmp(file, "-"))
		return script_run(&session, file);
	if (!file && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		return prompt_run(&session);
	return script_run(&session, NULL);
}
