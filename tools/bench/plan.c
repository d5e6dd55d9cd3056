/* SPDX-License-Identifier: MIT */
#include "tools/bench/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/units.h"
#include "tools/bench/peer.h"
#include "tools/out.h"

/* ---- numbers ------------------------------------------------------------- */

/* The option's number, checked by options_parse() to be one, or otherwise. */
static uint64_t
number_of(const struct options *options, enum option_name name,
	  uint64_t otherwise)
{
	uint64_t number;

	if (!options->text[name] ||
	    !units_u64(bytes_of(options->text[name]), &number))
		return otherwise;
	return number;
}

static uint64_t
ns_of(const struct options *options, enum option_name name, uint64_t otherwise)
{
	uint64_t ms;

	if (!options->text[name] ||
	    !units_duration_ms(bytes_of(options->text[name]), &ms))
		return otherwise;
	return clock_ms_ns(ms);
}

static bool
in_range(enum option_name name, uint64_t number, uint64_t max)
{
	if (number <= max)
		return true;
	say("%s is at most %llu, not %llu", option_long(name),
	    (unsigned long long)max, (unsigned long long)number);
	return false;
}

/* A decimal number above 0 and nothing else. */
static bool
read_real(const char *text, double *number)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	*number = strtod(text, &end);
	return *end == '\0' && isfinite(*number) && *number > 0;
}

static bool
read_numbers(struct plan *plan, const struct options *options)
{
	/* A day: more is a slip of the keyboard. */
	const uint64_t longest = 24 * 3600 * NS_PER_S;
	uint64_t connections = number_of(options, OPTION_CONNECTIONS, 64);
	uint64_t threads = number_of(options, OPTION_THREADS, 0);

	plan->rate = number_of(options, OPTION_RATE, 0);
	plan->requests = number_of(options, OPTION_REQUESTS, 0);
	plan->keys = number_of(options, OPTION_KEYS, 0);
	plan->seed = number_of(options, OPTION_SEED, 1);
	plan->duration_ns = ns_of(options, OPTION_DURATION, 10 * NS_PER_S);
	plan->warmup_ns = ns_of(options, OPTION_WARMUP, NS_PER_S);
	plan->timeout_ns = ns_of(options, OPTION_TIMEOUT, 10 * NS_PER_S);
	if (!in_range(OPTION_CONNECTIONS, connections, CONNECTIONS_MAX) ||
	    !in_range(OPTION_THREADS, threads, THREADS_MAX) ||
	    !in_range(OPTION_RATE, plan->rate, 100 * 1000 * 1000) ||
	    !in_range(OPTION_KEYS, plan->keys, TEMPLATE_KEYS_MAX))
		return false;
	if (plan->duration_ns > longest || plan->warmup_ns > longest ||
	    plan->timeout_ns > longest) {
		say("a day is the longest duration");
		return false;
	}
	if (threads > connections) {
		say("--threads %llu is more than --connections %llu",
		    (unsigned long long)threads,
		    (unsigned long long)connections);
		return false;
	}
	plan->connections = (unsigned)connections;
	plan->threads = (unsigned)threads;
	return true;
}

static bool
read_zipf(struct plan *plan, const char *text)
{
	double exponent;

	if (!text)
		return true;
	if (!read_real(text, &exponent) || exponent > 10) {
		say("--zipf takes a number above 0 and up to 10, not '%s'",
		    text);
		return false;
	}
	if (!plan->keys) {
		say("--zipf needs --keys");
		return false;
	}
	plan->is_zipf = true;
	zipf_init(&plan->zipf, plan->keys, exponent);
	return true;
}

/* "p99.9=5ms" or with "us". */
static bool
read_find_rate(struct plan *plan, const char *text)
{
	const char *equals = strchr(text, '=');
	char percent[16];
	size_t len;
	uint64_t n;

	if (*text != 'p' || !equals)
		return false;
	len = (size_t)(equals - text) - 1;
	if (len >= sizeof(percent))
		return false;
	memcpy(percent, text + 1, len);
	percent[len] = '\0';
	if (!read_real(percent, &plan->find_percent) ||
	    plan->find_percent >= 100)
		return false;
	text = equals + 1;
	len = strlen(text);
	if (len > 2 && !strcmp(text + len - 2, "us") &&
	    units_u64((struct bytes){ text, len - 2 }, &n) && n < NS_PER_S)
		plan->find_ns = n * NS_PER_US;
	else if (units_duration_ms(bytes_of(text), &n) && n < NS_PER_S)
		plan->find_ns = n * NS_PER_MS;
	return plan->find_ns > 0;
}

/* ---- statuses ------------------------------------------------------------ */

/* "200" or "200-299" */
static bool
read_status(struct plan *plan, struct bytes item)
{
	const char *text = item.data;
	const char *dash = item.len ? memchr(text, '-', item.len) : NULL;
	struct bytes from = item, to = item;
	uint64_t first, last;

	if (dash) {
		from.len = (size_t)(dash - text);
		to = (struct bytes){ dash + 1, item.len - from.len - 1 };
	}
	if (!units_u64(from, &first) || !units_u64(to, &last) || first < 200 ||
	    last >= STATUS_END || first > last)
		return false;
	while (first <= last)
		plan->expected[first++] = true;
	return true;
}

static bool
read_expected(struct plan *plan, const char *list)
{
	const char *at = list;

	for (;;) {
		size_t len = strcspn(at, ",");

		if (!read_status(plan, (struct bytes){ at, len })) {
			say("--expect takes statuses such as 200-299,404, "
			    "not '%s'",
			    list);
			return false;
		}
		if (!at[len])
			return true;
		at += len + 1;
	}
}

/* ---- bodies -------------------------------------------------------------- */

static void
make_body(struct kind *kind, uint64_t size)
{
	char *at = buffer_reserve(&kind->body, size);

	kind->has_body = kind->body_is_made = true;
	if (!at)
		return;
	for (uint64_t i = 0; i < size; i++)
		at[i] = (char)('a' + i % 26);
	buffer_added(&kind->body, size);
}

static bool
read_body_file(struct kind *kind, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool good = fd >= 0 && buffer_read_all(&kind->body, fd);

	if (!good)
		say("%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return good;
}

/* TEXT or @FILE; %SIZE where the body stands in a --request. */
static bool
read_body(struct kind *kind, const char *text, bool may_be_made)
{
	uint64_t size;

	kind->has_body = true;
	if (*text == '@')
		return read_body_file(kind, text + 1);
	if (!may_be_made || *text != '%') {
		buffer_add_str(&kind->body, text);
		return true;
	}
	if (!units_size(bytes_of(text + 1), &size)) {
		say("a body of %%SIZE takes a size such as %%512 or %%64K, "
		    "not '%s'",
		    text);
		return false;
	}
	make_body(kind, size);
	return true;
}

/* ---- kinds --------------------------------------------------------------- */

static bool
is_token(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || (unsigned char)text[i] >= 0x7f ||
		    strchr("\"(),/:;<=>?@[\\]{}", text[i]))
			return false;
	return len > 0;
}

static bool
is_path(const char *path)
{
	if (*path != '/')
		return false;
	for (; *path; path++)
		if ((unsigned char)*path <= ' ' || *path == 0x7f ||
		    *path == '#')
			return false;
	return true;
}

static struct kind *
add_kind(struct plan *plan, uint64_t weight, const char *method, size_t len,
	 const char *path)
{
	struct kind *kind = &plan->kinds[plan->kind_count];

	if (plan->kind_count == KINDS_MAX) {
		say("there are more than %d kinds of requests", KINDS_MAX);
		return NULL;
	}
	if (!is_token(method, len)) {
		say("'%.*s' is no method", (int)len, method);
		return NULL;
	}
	if (!is_path(path)) {
		say("'%s' is no path: it begins with / and has no blanks",
		    path);
		return NULL;
	}
	*kind = (struct kind){ .weight = weight };
	buffer_init(&kind->headers, TEMPLATE_MAX);
	buffer_init(&kind->body, TEMPLATE_MAX);
	plan->kind_count++;
	plan->weights += weight;
	kind->is_head = len == 4 && !strncmp(method, "HEAD", len);
	kind->method = strndup(method, len);
	kind->path = strdup(path);
	if (kind->method && kind->path)
		return kind;
	say("%s", err_text(ERR_NOMEM));
	return NULL;
}

/* "WEIGHT METHOD PATH [BODY]" */
static bool
read_request(struct plan *plan, const char *text)
{
	const uint64_t heaviest = UINT64_C(1) << 32;
	size_t weight_len = strcspn(text, " ");
	const char *method = text + weight_len + (text[weight_len] == ' ');
	size_t method_len = strcspn(method, " ");
	const char *at = method + method_len + (method[method_len] == ' ');
	size_t path_len = strcspn(at, " ");
	struct kind *kind;
	uint64_t weight;
	char *path;

	if (!units_u64((struct bytes){ text, weight_len }, &weight) ||
	    weight == 0 || weight > heaviest || !*at) {
		say("--request takes 'WEIGHT METHOD PATH [BODY]', not '%s'",
		    text);
		return false;
	}
	path = strndup(at, path_len);
	if (!path)
		return false;
	kind = add_kind(plan, weight, method, method_len, path);
	free(path);
	if (!kind)
		return false;
	at += path_len;
	return !*at || read_body(kind, at + 1, true);
}

static bool
read_single(struct plan *plan, const struct options *options,
	    const char *target)
{
	const char *method = options->text[OPTION_METHOD];
	const char *body = options->text[OPTION_BODY];
	const char *size_text = options->text[OPTION_BODY_SIZE];
	struct kind *kind;
	uint64_t size;

	if (!target) {
		say("bench needs a TARGET or a --request");
		return false;
	}
	if (!method)
		method = "GET";
	kind = add_kind(plan, 1, method, strlen(method), target);
	if (!kind)
		return false;
	/* options_parse() has seen that it is a size. */
	if (size_text && units_size(bytes_of(size_text), &size))
		make_body(kind, size);
	return !body || read_body(kind, body, false);
}

static bool
read_kinds(struct plan *plan, const struct options *options, const char *target)
{
	const char *text;
	unsigned at = 0;

	if (!options->text[OPTION_REQUEST])
		return read_single(plan, options, target);
	if (target) {
		say("choose one of --request and '%s'", target);
		return false;
	}
	while ((text = options_next(options, OPTION_REQUEST, &at)))
		if (!read_request(plan, text))
			return false;
	return true;
}

/* ---- headers ------------------------------------------------------------- */

static bool
add_header(struct kind *kind, const char *text)
{
	size_t name_len = strcspn(text, ":");
	struct bytes name = { text, name_len };

	if (!text[name_len] || !is_token(text, name_len)) {
		say("a header is 'Name: value', not '%s'", text);
		return false;
	}
	for (const char *c = text; *c; c++)
		if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f) {
			say("a header has no control characters: '%s'", text);
			return false;
		}
	if (!strncasecmp(text, "content-length:", name.len + 1) ||
	    !strncasecmp(text, "transfer-encoding:", name.len + 1)) {
		say("the body decides what %.*s is", (int)name_len, text);
		return false;
	}
	if (!strncasecmp(text, "host:", name.len + 1))
		kind->has_host = true;
	buffer_addf(&kind->headers, "%s\r\n", text);
	return true;
}

/* "INDEX Name: value" */
static bool
read_kind_header(struct plan *plan, const char *text)
{
	size_t len = strcspn(text, " ");
	uint64_t index;

	if (!text[len] || !units_u64((struct bytes){ text, len }, &index) ||
	    index < 1 || index > plan->kind_count) {
		say("--request-header takes 'INDEX Name: value' with an INDEX "
		    "from 1 to %u, not '%s'",
		    plan->kind_count, text);
		return false;
	}
	return add_header(&plan->kinds[index - 1], text + len + 1);
}

static bool
read_headers(struct plan *plan, const struct options *options)
{
	const char *text;

	for (unsigned at = 0;
	     (text = options_next(options, OPTION_HEADER, &at));)
		for (unsigned i = 0; i < plan->kind_count; i++)
			if (!add_header(&plan->kinds[i], text))
				return false;
	for (unsigned at = 0;
	     (text = options_next(options, OPTION_REQUEST_HEADER, &at));)
		if (!read_kind_header(plan, text))
			return false;
	return true;
}

/* ---- what must fit together ---------------------------------------------- */

static bool
has_slot(const struct kind *kind)
{
	return template_has_slot(bytes_of(kind->path)) ||
	       (!kind->body_is_made &&
		template_has_slot(
			(struct bytes){ kind->body.data, kind->body.len }));
}

static bool
check_kinds(const struct plan *plan)
{
	for (unsigned i = 0; i < plan->kind_count; i++) {
		const struct kind *kind = &plan->kinds[i];
		enum err err =
			kind->body.err ? kind->body.err : kind->headers.err;

		if (err) {
			say("%s %s: %s", kind->method, kind->path,
			    err_text(err));
			return false;
		}
		if (!plan->keys && has_slot(kind)) {
			say("{key} and {n} need --keys");
			return false;
		}
	}
	return true;
}

static bool
read_all(struct plan *plan, const struct options *options, const char *target)
{
	const char *expected = options->text[OPTION_EXPECT];
	const char *find = options->text[OPTION_FIND_RATE];

	if (!read_numbers(plan, options) ||
	    !read_zipf(plan, options->text[OPTION_ZIPF]) ||
	    !read_expected(plan, expected ? expected : "200-299"))
		return false;
	if (find && !read_find_rate(plan, find)) {
		say("--find-rate takes a percentile and a duration such as "
		    "p99=5ms or p99.9=800us, not '%s'",
		    find);
		return false;
	}
	return read_kinds(plan, options, target) &&
	       read_headers(plan, options) && check_kinds(plan);
}

enum outcome
plan_init(struct plan *plan, const struct options *options, const char *target)
{
	*plan = (struct plan){ 0 };
	if (!read_all(plan, options, target))
		return OUTCOME_USAGE;
	return peer_resolve(plan, options);
}

void
plan_fini(struct plan *plan)
{
	for (unsigned i = 0; i < plan->kind_count; i++) {
		free(plan->kinds[i].method);
		free(plan->kinds[i].path);
		buffer_fini(&plan->kinds[i].headers);
		buffer_fini(&plan->kinds[i].body);
	}
}

/* ---- what the threads ask ------------------------------------------------ */

unsigned
plan_threads(const struct plan *plan, uint64_t rate)
{
	/* One thread sends and receives at least this many a second. In a
	 * closed loop each processor gets one: with fewer, threads of a server
	 * on this machine wait for the generator, and fall asleep and wake
	 * every few requests, which would be measured as theirs. */
	const uint64_t each = 50000;
	cpu_set_t set;
	uint64_t count = 1;

	if (plan->threads)
		return plan->threads;
	if (!sched_getaffinity(0, sizeof(set), &set))
		count = (uint64_t)CPU_COUNT(&set);
	if (rate > 0 && (rate + each - 1) / each < count)
		count = (rate + each - 1) / each;
	if (count > plan->connections)
		count = plan->connections;
	return count < THREADS_MAX ? (unsigned)count : THREADS_MAX;
}

struct pick
plan_pick(const struct plan *plan, uint64_t number)
{
	struct draw draw = draw_begin(plan->seed, number);
	struct pick pick = { 0 };

	if (plan->kind_count > 1) {
		uint64_t at = draw_below(&draw, plan->weights);

		while (at >= plan->kinds[pick.kind].weight)
			at -= plan->kinds[pick.kind++].weight;
	}
	if (plan->is_zipf)
		pick.key =
			scatter(zipf_draw(&plan->zipf, &draw) - 1, plan->keys);
	else if (plan->keys)
		pick.key = draw_below(&draw, plan->keys);
	return pick;
}

/* These have a body by their nature: without one they say so. */
static bool
wants_body(const char *method)
{
	return !strcmp(method, "POST") || !strcmp(method, "PUT") ||
	       !strcmp(method, "PATCH");
}

struct request_parts
plan_parts(const struct plan *plan, const struct kind *kind)
{
	return (struct request_parts){
		.method = kind->method,
		.path = kind->path,
		.host = kind->has_host ? NULL : plan->host,
		.headers = { kind->headers.data, kind->headers.len },
		.body = { kind->body.data, kind->body.len },
		.has_body = kind->has_body || wants_body(kind->method),
		.body_is_made = kind->body_is_made,
	};
}
