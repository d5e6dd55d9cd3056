/* SPDX-License-Identifier: MIT */
#include "tools/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/clock.h"
#include "tools/out.h"
#include "tools/answer.h"

enum {
	/* A reply that is kept in memory: a page of a scan, or a value, which
	 * is printed whole or not at all. */
	REPLY_MAX = 256 << 20,
	CONNECT_TIMEOUT_MS = 10000,
	/* For a request of bounded size, where no --timeout is given. Long
	 * enough for a server that syncs to a slow disk. */
	REQUEST_TIMEOUT_MS = 30000,
	/* libcurl's buffer for streams; its default is 16 to 64 KiB. */
	STREAM_BUFFER = 256 << 10,
};

struct client {
	CURL *easy;
	char *url;            /* no '/' at the end */
	const char *socket;   /* NULL: TCP */
	bool is_admin;        /* that is the admin socket */
	uint64_t deadline_ns; /* UINT64_MAX: none */
	char error[CURL_ERROR_SIZE];
};

/* One request on its way. */
struct exchange {
	struct client *client;
	const struct request *request;
	struct reply *reply;
	int sink_errno, source_errno;
	bool refused; /* by on_data */
};

/* ---- the client -------------------------------------------------------- */

static bool
set_address(struct client *client, const struct options *options,
	    enum place place)
{
	struct endpoint endpoint;
	size_t len;

	endpoint_find(&endpoint, options, place);
	client->socket = endpoint.socket;
	client->is_admin = endpoint.is_admin;
	client->url =
		strdup(client->socket ? "http://localhost" : endpoint.url);
	if (!client->url)
		return false;
	for (len = strlen(client->url); len && client->url[len - 1] == '/';)
		client->url[--len] = '\0';
	return true;
}

/* One that is too far to be told is none. */
static uint64_t
deadline(uint64_t timeout_ms)
{
	uint64_t now_ns = clock_mono_ns(), ns = clock_ms_ns(timeout_ms);

	return timeout_ms && ns < UINT64_MAX - now_ns ? now_ns + ns
						      : UINT64_MAX;
}

struct client *
client_create(const struct options *options, enum place place)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		goto out_of_memory;
	client->easy = curl_easy_init();
	if (!client->easy || !set_address(client, options, place))
		goto cleanup;
	client->deadline_ns = deadline(options->timeout_ms);
	return client;

cleanup:
	curl_easy_cleanup(client->easy);
	curl_global_cleanup();
out_of_memory:
	free(client);
	say("%s", err_text(ERR_NOMEM));
	return NULL;
}

void
client_destroy(struct client *client)
{
	curl_easy_cleanup(client->easy);
	curl_global_cleanup();
	free(client->url);
	free(client);
}

const char *
client_name(const struct client *client)
{
	return client->socket ? client->socket : client->url;
}

const char *
client_header(struct client *client, const char *name)
{
	struct curl_header *header;

	if (curl_easy_header(client->easy, name, 0, CURLH_HEADER, -1,
			     &header) != CURLHE_OK)
		return NULL;
	return header->value;
}

void
reply_fini(struct reply *reply)
{
	buffer_fini(&reply->body);
}

/* ---- what libcurl calls ------------------------------------------------ */

/* Does the body of a reply go elsewhere? */
static bool
takes_body(const struct request *request)
{
	return request->sink || request->on_data;
}

/* Fewer than len returned: libcurl gives up with CURLE_WRITE_ERROR. */
static size_t
on_body(char *data, size_t unit, size_t len, void *arg)
{
	struct exchange *exchange = arg;
	const struct request *request = exchange->request;
	long status = 0;

	curl_easy_getinfo(exchange->client->easy, CURLINFO_RESPONSE_CODE,
			  &status);
	if (!takes_body(request) || !answer_is_success(status)) {
		buffer_add(&exchange->reply->body, data, len);
		return exchange->reply->body.err ? 0 : len;
	}
	if (request->on_data) {
		exchange->refused = !request->on_data(
			request->data_arg, (struct bytes){ data, len });
		return exchange->refused ? 0 : len;
	}
	progress_add(request->progress, data, len);
	if (fwrite(data, 1, len, request->sink) == len)
		return len;
	exchange->sink_errno = errno;
	return 0;
}

/* read(), not fread(): what comes in slowly goes out at once. */
static size_t
on_source(char *data, size_t unit, size_t size, void *arg)
{
	struct exchange *exchange = arg;
	const struct request *request = exchange->request;
	ssize_t len;

	do
		len = read(request->source, data, unit * size);
	while (len < 0 && errno == EINTR);
	if (len < 0) {
		exchange->source_errno = errno;
		return CURL_READFUNC_ABORT;
	}
	progress_add(request->progress, data, (size_t)len);
	return (size_t)len;
}

static int
on_progress(void *arg, curl_off_t down_total, curl_off_t down,
	    curl_off_t up_total, curl_off_t up)
{
	const struct request *request = arg;

	if (request->progress)
		progress_draw(request->progress);
	return request->cancel && *request->cancel;
}

/* ---- a request --------------------------------------------------------- */

static bool
streams(const struct request *request)
{
	return request->has_source || takes_body(request);
}

/* libcurl counts milliseconds in 32 bits. */
static long
curl_ms(uint64_t ms)
{
	return (long)(ms < INT32_MAX ? ms : INT32_MAX);
}

/* Milliseconds, never 0, which would be no limit. */
static long
time_left_ms(const struct client *client, const struct request *request)
{
	uint64_t now_ns = clock_mono_ns();

	if (request->timeout_ms)
		return curl_ms(request->timeout_ms);
	if (client->deadline_ns == UINT64_MAX)
		return streams(request) ? 0 : REQUEST_TIMEOUT_MS;
	if (now_ns >= client->deadline_ns)
		return 1;
	return curl_ms((client->deadline_ns - now_ns) / NS_PER_MS + 1);
}

static bool
add_header(struct curl_slist **list, const char *name, const char *value)
{
	struct curl_slist *longer;
	struct buffer line;

	if (!value)
		return true;
	buffer_init(&line, REPLY_MAX);
	/* An empty value takes the field out, which libcurl writes so. */
	buffer_addf(&line, "%s:%s%s", name, *value ? " " : "", value);
	buffer_add(&line, "", 1);
	longer = line.err ? NULL : curl_slist_append(*list, line.data);
	buffer_fini(&line);
	if (longer)
		*list = longer;
	return longer;
}

static bool
make_headers(const struct request *request, struct curl_slist **list)
{
	bool has_body = request->has_body || request->has_source;
	/* libcurl would call a body a form. */
	const char *type = request->type ? request->type : has_body ? "" : NULL;

	return add_header(list, "Accept", request->accept) &&
	       add_header(list, "Content-Type", type) &&
	       add_header(list, "If-Match", request->if_match) &&
	       add_header(list, "If-None-Match", request->if_none_match);
}

static void
set_connection(struct client *client, const struct request *request)
{
	CURL *easy = client->easy;

	curl_easy_reset(easy);
	client->error[0] = '\0';
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, client->error);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_DEFAULT_PROTOCOL, "http");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	/* The server is the one that was named: no proxy in between. */
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, client->socket);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)CONNECT_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
			 time_left_ms(client, request));
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "jackdaw/" VERSION);
}

static void
set_request(struct exchange *exchange, const char *url)
{
	const struct request *request = exchange->request;
	CURL *easy = exchange->client->easy;

	curl_easy_setopt(easy, CURLOPT_URL, url);
	/* A key may hold "/../". */
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
	if (request->has_body) {
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
				 (curl_off_t)request->body.len);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
				 request->body.len ? request->body.data : "");
	}
	if (request->has_source) {
		curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_source);
		curl_easy_setopt(easy, CURLOPT_READDATA, exchange);
		curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE,
				 (long)STREAM_BUFFER);
	}
	if (takes_body(request))
		curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)STREAM_BUFFER);
	if (request->progress || request->cancel) {
		curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
		curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
		curl_easy_setopt(easy, CURLOPT_XFERINFODATA, request);
	}
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

/* ---- what went wrong --------------------------------------------------- */

/* A timeout before the connection was there. */
static bool
is_unconnected(CURL *easy)
{
	curl_off_t when = 0;

	curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &when);
	return when == 0;
}

/* What to add where a request may have been done or not. */
static const char *
doubt(const struct request *request)
{
	return strcmp(request->method, "GET")
		       ? "; whether it was done is not known"
		       : "";
}

/* libcurl's own text about a socket speaks of a port and of localhost. */
static enum outcome
say_unreachable(const struct client *client, const char *why)
{
	long error = 0;

	curl_easy_getinfo(client->easy, CURLINFO_OS_ERRNO, &error);
	if (client->socket && error)
		why = strerror((int)error);
	if (client->is_admin)
		say("cannot reach the admin socket %s: %s: is jackdawd "
		    "running, and are you its user or root?",
		    client->socket, why);
	else
		say("cannot connect to %s: %s", client_name(client), why);
	return OUTCOME_UNREACHABLE;
}

static enum outcome
say_local(const struct exchange *exchange)
{
	if (exchange->refused)
		return OUTCOME_ERROR;
	if (exchange->reply->body.err == ERR_TOO_LARGE) {
		say("the reply is larger than %d MiB, which is what fits here",
		    REPLY_MAX >> 20);
		return OUTCOME_ERROR;
	}
	if (exchange->reply->body.err) {
		say("the reply: %s", err_text(exchange->reply->body.err));
		return OUTCOME_ERROR;
	}
	if (exchange->request->sink == stdout)
		return out_failed(exchange->sink_errno);
	say("cannot write: %s", strerror(exchange->sink_errno));
	return OUTCOME_ERROR;
}

static enum outcome
say_failure(const struct exchange *exchange, CURLcode code)
{
	struct client *client = exchange->client;
	const char *why =
		client->error[0] ? client->error : curl_easy_strerror(code);

	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
		return say_unreachable(client, why);
	case CURLE_OPERATION_TIMEDOUT:
		if (is_unconnected(client->easy))
			return say_unreachable(client, why);
		say("no answer in time%s", doubt(exchange->request));
		return OUTCOME_DEADLINE;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		say("'%s' is not the URL of a server: %s", client->url, why);
		return OUTCOME_USAGE;
	case CURLE_WRITE_ERROR:
		return say_local(exchange);
	case CURLE_ABORTED_BY_CALLBACK:
		if (exchange->request->cancel && *exchange->request->cancel)
			return OUTCOME_ERROR;
		say("cannot read the input: %s",
		    strerror(exchange->source_errno));
		return OUTCOME_ERROR;
	default:
		say("the connection to %s broke: %s%s", client_name(client),
		    why, doubt(exchange->request));
		return OUTCOME_ERROR;
	}
}

enum outcome
client_send(struct client *client, const struct request *request,
	    struct reply *reply)
{
	struct exchange exchange = { .client = client,
				     .request = request,
				     .reply = reply };
	struct curl_slist *headers = NULL;
	CURLcode code = CURLE_OUT_OF_MEMORY;
	struct buffer url;

	*reply = (struct reply){ 0 };
	buffer_init(&reply->body, REPLY_MAX);
	buffer_init(&url, REPLY_MAX);
	buffer_add_str(&url, client->url);
	buffer_add(&url, request->target, strlen(request->target) + 1);
	set_connection(client, request);
	if (!url.err && make_headers(request, &headers)) {
		set_request(&exchange, url.data);
		curl_easy_setopt(client->easy, CURLOPT_HTTPHEADER, headers);
		code = curl_easy_perform(client->easy);
		/* Before anything else is printed. */
		if (request->progress)
			progress_end(request->progress);
	}
	buffer_fini(&url);
	curl_slist_free_all(headers);
	curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &reply->status);
	return code == CURLE_OK ? OUTCOME_OK : say_failure(&exchange, code);
}

enum outcome
client_call(struct client *client, const struct request *request,
	    struct reply *reply)
{
	enum outcome outcome = client_send(client, request, reply);

	if (outcome != OUTCOME_OK || answer_is_success(reply->status))
		return outcome;
	return answer_problem(
		reply->status,
		(struct bytes){ reply->body.data, reply->body.len },
		client_header(client, "X-Request-Id"));
}
