/* SPDX-License-Identifier: MIT */
/*
 * Services: list, check, deploy, rollback, remove.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/admin/folder.h"
#include "tools/answer.h"
#include "tools/command.h"
#include "tools/out.h"
#include "tools/path.h"
#include "tools/table.h"

static const char base[] = "/v1/admin/services";

/* Migrations of a large database take their time. */
enum { DEPLOY_TIMEOUT_MS = 60 * 60 * 1000 };

/* ---- complaints --------------------------------------------------------- */

static const char *
string(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static void
print_error(const char *text)
{
	char *shown = strdup(text);

	/* Where there is no memory nothing is better than what steers. */
	if (shown)
		fputs(blot(shown), stderr);
	free(shown);
}

/* "orders.sql:3: hint: text", as compilers write it. dir: where the files are,
 * NULL: the server's. */
static void
print_complaint(const char *dir, const char *service, const json_t *complaint,
		bool hint)
{
	const char *file = string(complaint, "file");
	json_int_t line = answer_integer(complaint, "line");
	const char *text = string(complaint, "text");

	if (file && dir) {
		print_error(dir);
		fputc('/', stderr);
	}
	print_error(file ? file : service);
	if (file && line > 0)
		fprintf(stderr, ":%" JSON_INTEGER_FORMAT, line);
	fputs(hint ? ": hint: " : ": ", stderr);
	print_error(text ? text : "");
	fputc('\n', stderr);
}

static void
print_complaints(const char *dir, const char *service, const json_t *list,
		 bool hints)
{
	const json_t *complaint;
	size_t i;

	fflush(stdout);
	json_array_foreach(list, i, complaint) print_complaint(
		dir, service, complaint,
		hints || json_is_true(json_object_get(complaint, "hint")));
}

/* ---- requests ----------------------------------------------------------- */

/* One call of the admin interface, and what it answered. */
struct visit {
	const struct call *call;
	const char *name; /* of the service */
	const char *dir;  /* its files; NULL: none were sent */
	json_t *answer;   /* NULL: none, or no JSON */
	long status;
	struct reply reply;
};

static struct bytes
body_of(const struct visit *visit)
{
	return (struct bytes){ visit->reply.body.data, visit->reply.body.len };
}

static void
visit_fini(struct visit *visit)
{
	json_decref(visit->answer);
	reply_fini(&visit->reply);
}

/* {"name":...,"complaints":[...]}: also a failure has a form for programs. */
static void
print_refusal(const struct visit *visit, json_t *complaints)
{
	json_t *result = json_pack("{s:s,s:O}", "name", visit->name,
				   "complaints", complaints);

	if (result)
		json_dumpf(result, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(result);
}

/* The reply was no success: says so. */
static enum outcome
refuse(struct visit *visit)
{
	json_t *complaints = json_object_get(visit->answer, "complaints");

	if (!json_is_array(complaints) || json_array_size(complaints) == 0)
		return answer_problem(
			visit->status, body_of(visit),
			client_header(visit->call->client, "X-Request-Id"));
	if (visit->call->options->json)
		print_refusal(visit, complaints);
	else
		print_complaints(visit->dir, visit->name, complaints, false);
	return OUTCOME_ERROR;
}

/* Sends; OUTCOME_OK: with success, and an answer where a body is expected. */
static enum outcome
visit_send(struct visit *visit, struct request *request, struct buffer *path)
{
	enum outcome outcome = OUTCOME_ERROR;

	request->target = path_text(path);
	if (request->target)
		outcome = client_send(visit->call->client, request,
				      &visit->reply);
	if (outcome != OUTCOME_OK)
		return outcome;
	visit->status = visit->reply.status;
	if (visit->reply.body.len > 0)
		visit->answer =
			json_loadb(visit->reply.body.data,
				   visit->reply.body.len, JSON_ALLOW_NUL, NULL);
	if (!answer_is_success(visit->status))
		return refuse(visit);
	if (visit->status != 204 && !json_is_object(visit->answer)) {
		say("the server's answer is not JSON");
		return OUTCOME_ERROR;
	}
	return OUTCOME_OK;
}

/* As the server gives it, a line. */
static void
print_answer(const struct visit *visit)
{
	json_dumpf(visit->answer, stdout, JSON_COMPACT);
	putchar('\n');
}

/* ---- list --------------------------------------------------------------- */

static void
add_service(struct table *table, const json_t *service)
{
	const char *name = string(service, "name");
	int64_t deployed = answer_integer(service, "deployed") / 1000;
	char size[HUMAN_SIZE], time[HUMAN_TIME_SIZE];

	table_cell(table, bytes_of(name ? name : ""), ALIGN_LEFT);
	table_number(table, answer_integer(service, "version"));
	if (json_is_integer(json_object_get(service, "previous")))
		table_number(table, answer_integer(service, "previous"));
	else
		table_cell(table, bytes_of("-"), ALIGN_RIGHT);
	table_number(table, answer_integer(service, "routes"));
	human_size(size, (double)answer_integer(service, "database_bytes"));
	table_cell(table, bytes_of(size), ALIGN_RIGHT);
	table_cell(table, bytes_of(human_time(time, deployed)), ALIGN_LEFT);
}

static enum outcome
print_services(const json_t *services)
{
	static const char *const names[] = { "NAME",   "VERSION",  "PREVIOUS",
					     "ROUTES", "DATABASE", "DEPLOYED" };
	const json_t *service;
	struct table table;
	bool good = true;
	size_t i;

	if (!json_is_array(services)) {
		say("the server's answer is not a list of services");
		return OUTCOME_ERROR;
	}
	table_init(&table, 0);
	for (i = 0; i < ARRAY_LEN(names) && good; i++)
		good = table_column(&table, bytes_of(names[i]));
	json_array_foreach(services, i, service) add_service(&table, service);
	good = table_end(&table) && good;
	table_fini(&table);
	return good ? OUTCOME_OK : OUTCOME_ERROR;
}

/* The list as it was answered, in visit. */
static enum outcome
fetch_list(struct visit *visit)
{
	struct request request = { .method = "GET" };
	enum outcome outcome;
	struct buffer path;

	path_named(&path, "/v1/admin", "services");
	outcome = visit_send(visit, &request, &path);
	buffer_fini(&path);
	return outcome;
}

enum outcome
service_list(const struct call *call)
{
	struct visit visit = { .call = call, .name = "" };
	enum outcome outcome = fetch_list(&visit);

	if (outcome == OUTCOME_OK && call->options->json)
		print_answer(&visit);
	else if (outcome == OUTCOME_OK)
		outcome = print_services(
			json_object_get(visit.answer, "services"));
	visit_fini(&visit);
	return outcome;
}

/* ---- check and deploy --------------------------------------------------- */

static const char *
migrations(json_int_t count)
{
	return count == 1 ? "migration" : "migrations";
}

static void
print_checked(const struct visit *visit)
{
	json_int_t pending = answer_integer(visit->answer, "pending");

	printf("%s: good", visit->name);
	if (pending > 0)
		printf(", %" JSON_INTEGER_FORMAT " %s would be applied",
		       pending, migrations(pending));
	putchar('\n');
}

static void
print_deployed(const struct visit *visit)
{
	json_int_t version = answer_integer(visit->answer, "version");
	json_int_t applied = answer_integer(visit->answer, "migrations");

	if (json_is_true(json_object_get(visit->answer, "unchanged"))) {
		printf("%s: nothing has changed (version %" JSON_INTEGER_FORMAT
		       ")\n",
		       visit->name, version);
		return;
	}
	printf("%s: version %" JSON_INTEGER_FORMAT " deployed", visit->name,
	       version);
	if (applied > 0)
		printf(" (%" JSON_INTEGER_FORMAT " %s applied)", applied,
		       migrations(applied));
	putchar('\n');
}

/* Sends the files; the answer's hints are on standard error. */
static enum outcome
send_files(struct visit *visit, const char *method, const char *op,
	   struct bytes body)
{
	struct request request = { .method = method,
				   .type = "application/json",
				   .has_body = true,
				   .body = body };
	enum outcome outcome;
	struct buffer path;

	if (!visit->call->options->timeout_ms)
		request.timeout_ms = DEPLOY_TIMEOUT_MS;
	path_named(&path, base, visit->name);
	path_query(&path, "op", op);
	outcome = visit_send(visit, &request, &path);
	buffer_fini(&path);
	if (outcome == OUTCOME_OK && visit->call->options->json)
		print_answer(visit);
	else if (outcome == OUTCOME_OK)
		print_complaints(visit->dir, visit->name,
				 json_object_get(visit->answer, "hints"), true);
	return outcome;
}

/* "shop/" and "shop" are the same in front of a file's name. */
static char *
without_slash(const char *dir)
{
	size_t len = strlen(dir);

	while (len > 1 && dir[len - 1] == '/')
		len--;
	return strndup(dir, len);
}

/* print: says what was done. */
static enum outcome
with_files(const struct call *call, const char *method, const char *op,
	   void (*print)(const struct visit *visit))
{
	const char *given = call->options->text[OPTION_NAME];
	char *name = given ? strdup(given) : folder_name(call->argument);
	char *dir = without_slash(call->argument);
	struct visit visit = { .call = call, .name = name, .dir = dir };
	enum outcome outcome = OUTCOME_ERROR;
	struct buffer body;

	buffer_init(&body, 0);
	if (name && dir && folder_read(dir, &body))
		outcome = send_files(&visit, method, op,
				     (struct bytes){ body.data, body.len });
	if (outcome == OUTCOME_OK && !call->options->json)
		print(&visit);
	visit_fini(&visit);
	buffer_fini(&body);
	free(name);
	free(dir);
	return outcome;
}

enum outcome
service_check(const struct call *call)
{
	return with_files(call, "POST", "check", print_checked);
}

enum outcome
service_deploy(const struct call *call)
{
	return with_files(call, "PUT", NULL, print_deployed);
}

/* ---- rollback ----------------------------------------------------------- */

enum outcome
service_rollback(const struct call *call)
{
	struct visit visit = { .call = call, .name = call->argument };
	struct request request = { .method = "POST", .has_body = true };
	enum outcome outcome;
	struct buffer path;

	path_named(&path, base, visit.name);
	path_query(&path, "op", "rollback");
	outcome = visit_send(&visit, &request, &path);
	buffer_fini(&path);
	if (outcome == OUTCOME_OK && call->options->json)
		print_answer(&visit);
	else if (outcome == OUTCOME_OK)
		printf("%s: back at version %" JSON_INTEGER_FORMAT "\n",
		       visit.name, answer_integer(visit.answer, "version"));
	visit_fini(&visit);
	return outcome;
}

/* ---- remove
 * ----------------------------------------------------------------------------
 */

static const json_t *
find_service(const json_t *services, const char *name)
{
	const json_t *service;
	size_t i;

	json_array_foreach(services, i, service)
	{
		const char *its_name = string(service, "name");

		if (its_name && !strcmp(its_name, name))
			return service;
	}
	return NULL;
}

/* On standard error, where the question is asked. False: there is nothing to
 * ask about. service NULL: none of that name is deployed. */
static bool
tell_loss(const struct call *call, const json_t *service)
{
	bool purge = call->options->text[OPTION_PURGE];
	char size[HUMAN_SIZE];

	human_size(size, (double)answer_integer(service, "database_bytes"));
	if (!service && !purge) {
		say("there is no service '%s'", call->argument);
		return false;
	}
	print_error(call->argument);
	if (!service)
		fputs(": is not deployed; the data that it left will be "
		      "lost.\n",
		      stderr);
	else if (purge)
		fprintf(stderr,
			": its database of %s, its stores and all its "
			"versions will be lost.\n",
			size);
	else
		fprintf(stderr,
			": its %" JSON_INTEGER_FORMAT " routes will be gone; "
			"its database of %s stays.\n",
			answer_integer(service, "routes"), size);
	return true;
}

/* OUTCOME_OK: there is something to ask about. */
static enum outcome
tell(const struct call *call)
{
	struct visit visit = { .call = call, .name = "" };
	enum outcome outcome = fetch_list(&visit);
	const json_t *services = json_object_get(visit.answer, "services");

	if (outcome == OUTCOME_OK &&
	    !tell_loss(call, find_service(services, call->argument)))
		outcome = OUTCOME_NOTFOUND;
	visit_fini(&visit);
	return outcome;
}

static bool
answers_yes(void)
{
	char *line = NULL;
	size_t size = 0;
	bool yes;

	fputs("Remove it? [y/N] ", stderr);
	fflush(stderr);
	yes = getline(&line, &size, stdin) > 0 &&
	      (line[0] == 'y' || line[0] == 'Y');
	free(line);
	if (!yes)
		fputs("Nothing was done.\n", stderr);
	return yes;
}

/* OUTCOME_OK: go on. */
static enum outcome
confirm(const struct call *call)
{
	enum outcome outcome;

	if (call->options->text[OPTION_YES])
		return OUTCOME_OK;
	if (!isatty(STDIN_FILENO)) {
		if (!call->options->text[OPTION_PURGE])
			return OUTCOME_OK;
		say("--purge without a terminal needs --yes");
		return OUTCOME_USAGE;
	}
	outcome = tell(call);
	if (outcome != OUTCOME_OK)
		return outcome;
	return answers_yes() ? OUTCOME_OK : OUTCOME_ERROR;
}

static void
print_removed(const struct call *call)
{
	bool purged = call->options->text[OPTION_PURGE];

	if (call->options->json)
		printf("{\"removed\":true,\"purged\":%s}\n",
		       purged ? "true" : "false");
	else if (purged)
		printf("%s: removed, with its data\n", call->argument);
	else
		printf("%s: removed, its data stays\n", call->argument);
}

enum outcome
service_remove(const struct call *call)
{
	struct visit visit = { .call = call, .name = call->argument };
	struct request request = { .method = "DELETE" };
	enum outcome outcome = confirm(call);
	struct buffer path;

	if (outcome != OUTCOME_OK)
		return outcome;
	path_named(&path, base, visit.name);
	path_query(&path, "purge",
		   call->options->text[OPTION_PURGE] ? "1" : NULL);
	outcome = visit_send(&visit, &request, &path);
	buffer_fini(&path);
	if (outcome == OUTCOME_OK)
		print_removed(call);
	visit_fini(&visit);
	return outcome;
}
