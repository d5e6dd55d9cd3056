/* SPDX-License-Identifier: MIT */
/*
 * Commands on one key: get, put, del, incr.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "core/json.h"
#include "core/units.h"
#include "tools/command.h"
#include "tools/out.h"
#include "tools/path.h"
#include "tools/answer.h"

/* A value that we read, as large as one that client.h takes, and a line of JSON
 * with one in base64. */
enum { VALUE_MAX = 256 << 20, LINE_MAX_LEN = VALUE_MAX / 2 * 3 };

/* Sends the request to the key; query NULL: none. The reply is the caller's
 * to finish, whatever is returned. */
static enum outcome
send_to_key(const struct call *call, struct buffer *path,
	    struct request *request, struct reply *reply)
{
	enum outcome outcome = OUTCOME_ERROR;

	*reply = (struct reply){ 0 };
	request->target = path_text(path);
	if (request->target)
		outcome = client_call(call->client, request, reply);
	buffer_fini(path);
	return outcome;
}

/* An entity tag as people write it: ours are numbers in quotes, which a shell
 * takes away. Anything but a bare number is sent as it is. */
struct tag {
	char text[32];
};

static const char *
tag_field(struct tag *tag, const char *text)
{
	uint64_t number;

	if (!text || !units_u64(bytes_of(text), &number))
		return text;
	snprintf(tag->text, sizeof(tag->text), "\"%" PRIu64 "\"", number);
	return tag->text;
}

/* ---- JSON results ------------------------------------------------------ */

struct line {
	struct json json;
	struct buffer buffer;
};

static void
line_begin(struct line *line)
{
	buffer_init(&line->buffer, LINE_MAX_LEN);
	json_begin(&line->json, &line->buffer);
	json_object_begin(&line->json);
}

static void
line_text(struct line *line, const char *name, const char *text)
{
	if (!text || !json_is_utf8(bytes_of(text)))
		return;
	json_name(&line->json, name);
	json_text(&line->json, bytes_of(text));
}

/* As it stands in the server's JSON: without its quotes. */
static void
line_etag(struct line *line, const char *etag)
{
	size_t len = etag ? strlen(etag) : 0;
	bool quoted = len >= 2 && etag[0] == '"' && etag[len - 1] == '"';

	if (!len || !json_is_utf8(bytes_of(etag)))
		return;
	json_name(&line->json, "etag");
	json_text(&line->json,
		  (struct bytes){ etag + quoted, len - 2 * quoted });
}

static enum outcome
line_print(struct line *line)
{
	enum outcome outcome = OUTCOME_OK;

	json_object_end(&line->json);
	buffer_add(&line->buffer, "\n", 1);
	if (line->buffer.err) {
		say("the result: %s", err_text(line->buffer.err));
		outcome = OUTCOME_ERROR;
	} else {
		out_bytes(
			(struct bytes){ line->buffer.data, line->buffer.len });
	}
	buffer_fini(&line->buffer);
	return outcome;
}

/* ---- get --------------------------------------------------------------- */

static void
line_value(struct line *line, struct bytes value)
{
	bool text = json_is_utf8(value);

	json_name(&line->json, text ? "value" : "base64");
	if (text)
		json_text(&line->json, value);
	else
		json_base64(&line->json, value);
	json_name(&line->json, "size");
	json_u64(&line->json, value.len);
}

/* Seconds left, which a reply gives where the key expires. */
static void
line_ttl(struct line *line, const char *cache_control)
{
	static const char name[] = "max-age=";
	const char *at = cache_control ? strstr(cache_control, name) : NULL;
	uint64_t seconds;

	if (!at)
		return;
	at += sizeof(name) - 1;
	if (!units_u64((struct bytes){ at, strspn(at, "0123456789") },
		       &seconds))
		return;
	json_name(&line->json, "ttl_seconds");
	json_u64(&line->json, seconds);
}

static enum outcome
print_record(const struct call *call, struct bytes value)
{
	struct line line;

	line_begin(&line);
	json_text_or_base64(&line.json, "key", bytes_of(call->argument));
	line_text(&line, "type", client_header(call->client, "Content-Type"));
	line_etag(&line, client_header(call->client, "ETag"));
	line_ttl(&line, client_header(call->client, "Cache-Control"));
	line_value(&line, value);
	return line_print(&line);
}

enum outcome
kv_get(const struct call *call)
{
	struct request request = { .method = "GET" };
	enum outcome outcome;
	struct buffer path;
	struct reply reply;
	struct bytes value;

	path_kv(&path, call->store, call->argument);
	outcome = send_to_key(call, &path, &request, &reply);
	value = (struct bytes){ reply.body.data, reply.body.len };
	if (outcome == OUTCOME_OK && call->options->json)
		outcome = print_record(call, value);
	else if (outcome == OUTCOME_OK)
		out_bytes(value);
	reply_fini(&reply);
	return outcome;
}

/* ---- put --------------------------------------------------------------- */

/* From --value, --file or standard input. False, after saying why, when it
 * cannot be read. */
static bool
take_value(const struct options *options, struct buffer *value)
{
	const char *text = options->text[OPTION_VALUE];
	const char *file = options->text[OPTION_FILE];
	int fd = STDIN_FILENO;
	bool good;

	buffer_init(value, VALUE_MAX);
	if (text) {
		buffer_add_str(value, text);
		return !value->err;
	}
	if (file && strcmp(file, "-"))
		fd = open(file, O_RDONLY | O_CLOEXEC);
	good = fd >= 0 && buffer_read_all(value, fd);
	if (value->err == ERR_TOO_LARGE)
		say("%s is larger than %d MiB, which is what fits here",
		    file ? file : "standard input", VALUE_MAX >> 20);
	else if (!good)
		say("%s: %s", file ? file : "standard input", strerror(errno));
	if (fd > STDIN_FILENO)
		close(fd);
	return good;
}

static enum outcome
print_put(const struct call *call, long status)
{
	struct line line;

	line_begin(&line);
	json_name(&line.json, "created");
	json_bool(&line.json, status == 201);
	line_etag(&line, client_header(call->client, "ETag"));
	return line_print(&line);
}

static enum outcome
put_value(const struct call *call, struct bytes value)
{
	const char *const *text = call->options->text;
	struct request request = { .method = "PUT",
				   .has_body = true,
				   .body = value,
				   .type = text[OPTION_TYPE] };
	struct tag if_match, if_none_match;
	enum outcome outcome;
	struct buffer path;
	struct reply reply;

	request.if_match = tag_field(&if_match, text[OPTION_IF_MATCH]);
	request.if_none_match =
		tag_field(&if_none_match, text[OPTION_IF_NONE_MATCH]);
	path_kv(&path, call->store, call->argument);
	path_query(&path, "ttl", text[OPTION_TTL]);
	outcome = send_to_key(call, &path, &request, &reply);
	if (outcome == OUTCOME_OK && call->options->json)
		outcome = print_put(call, reply.status);
	reply_fini(&reply);
	return outcome;
}

enum outcome
kv_put(const struct call *call)
{
	enum outcome outcome = OUTCOME_ERROR;
	struct buffer value;

	if (take_value(call->options, &value))
		outcome = put_value(call,
				    (struct bytes){ value.data, value.len });
	buffer_fini(&value);
	return outcome;
}

/* ---- del --------------------------------------------------------------- */

enum outcome
kv_del(const struct call *call)
{
	struct request request = { .method = "DELETE" };
	enum outcome outcome;
	struct buffer path;
	struct reply reply;
	struct line line;
	struct tag tag;

	request.if_match =
		tag_field(&tag, call->options->text[OPTION_IF_MATCH]);
	path_kv(&path, call->store, call->argument);
	outcome = send_to_key(call, &path, &request, &reply);
	if (outcome == OUTCOME_OK && call->options->json) {
		line_begin(&line);
		json_name(&line.json, "deleted");
		json_bool(&line.json, true);
		outcome = line_print(&line);
	}
	reply_fini(&reply);
	return outcome;
}

/* ---- incr -------------------------------------------------------------- */

static enum outcome
print_counter(const struct call *call, struct bytes body)
{
	int64_t number;

	if (!answer_number(body, "value", &number)) {
		say("the server's answer has no number");
		return OUTCOME_ERROR;
	}
	if (call->options->json)
		printf("{\"value\":%" PRId64 "}\n", number);
	else
		printf("%" PRId64 "\n", number);
	return OUTCOME_OK;
}

/* The options were checked: they are numbers as JSON writes them. */
static void
incr_body(struct buffer *body, const struct options *options)
{
	const char *by = options->text[OPTION_BY];
	const char *initial = options->text[OPTION_INITIAL];

	buffer_init(body, VALUE_MAX);
	buffer_addf(body, "{\"by\":%s,\"initial\":%s}", by ? by : "1",
		    initial ? initial : "0");
}

enum outcome
kv_incr(const struct call *call)
{
	struct request request = { .method = "POST",
				   .has_body = true,
				   .type = "application/json" };
	struct buffer path, body;
	enum outcome outcome;
	struct reply reply;

	incr_body(&body, call->options);
	request.body = (struct bytes){ body.data, body.len };
	path_kv(&path, call->store, call->argument);
	path_query(&path, "op", "incr");
	path_query(&path, "ttl", call->options->text[OPTION_TTL]);
	outcome = send_to_key(call, &path, &request, &reply);
	if (outcome == OUTCOME_OK)
		outcome = print_counter(call, (struct bytes){ reply.body.data,
							      reply.body.len });
	reply_fini(&reply);
	buffer_fini(&body);
	return outcome;
}
