/* SPDX-License-Identifier: MIT */
/*
 * /v1/admin/profile: a CPU profile of this daemon, taken for some seconds.
 *
 * A slow thread begins it, since that may load a library; a fiber sleeps
 * beside it and takes over what was sampled; a slow thread ends it, looks the
 * names up, and writes it. So it holds neither a worker nor a slow thread
 * while it is taken.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/profile.h"
#include "core/units.h"
#include "http/admin/admin.h"
#include "http/shard.h"

enum {
	SECONDS_DEFAULT = 10,
	SECONDS_MAX = 300,
	/* Not 100: what happens every so many ms is met at all its points. */
	HZ_DEFAULT = 99,
	BODY_MAX = 32 << 20,
};

struct taking {
	uint64_t seconds, hz;
	struct profile *profile;
	uint64_t begun_ns, took_ns;
	struct profile_figures figures;
	enum err err;
	struct buffer body;
};

static void
free_taking(void *work)
{
	struct taking *taking = work;

	if (taking->profile) {
		profile_end(taking->profile);
		profile_destroy(taking->profile);
	}
	buffer_fini(&taking->body);
	free(taking);
}

/* ---- the end ------------------------------------------------------------- */

static void
finish(struct request *request) ON_WORKER
{
	struct taking *taking = request->work;
	struct reply reply;

	if (taking->err == ERR_LOCKED) {
		reply_problem(request, 409, NULL,
			      "a profile is being taken already: one at a "
			      "time");
		return;
	}
	if (taking->err) {
		reply_error(request, taking->err);
		return;
	}
	reply_begin(&reply, request, 200);
	reply_header(&reply, "Content-Type",
		     bytes_of("text/plain; charset=utf-8"));
	reply_header(&reply, "Cache-Control", bytes_of("no-store"));
	/* RFC 8941: a dictionary. */
	reply_headerf(&reply, "Jackdaw-Profile",
		      "hz=%llu, ms=%llu, samples=%llu, dropped=%llu",
		      (unsigned long long)taking->hz,
		      (unsigned long long)(taking->took_ns / NS_PER_MS),
		      (unsigned long long)taking->figures.samples,
		      (unsigned long long)taking->figures.dropped);
	reply_send_buffer(&reply, &taking->body);
}

static void
end(struct taking *taking)
{
	profile_end(taking->profile);
	taking->took_ns = clock_mono_ns() - taking->begun_ns;
}

static void
run_end(struct request *request)
{
	struct taking *taking = request->work;

	end(taking);
	/* Nobody reads it where the client has left. */
	if (!ck_pr_load_uint(&request->cancelled))
		profile_write(taking->profile, &taking->body);
	profile_figures(taking->profile, &taking->figures);
	request_post(request, finish);
}

/* ---- sampling ------------------------------------------------------------ */

/* Not at the end of a drain, which waits for this. */
static bool
goes_on(const struct request *request, uint64_t end_ns)
{
	return clock_mono_ns() < end_ns &&
	       !ck_pr_load_uint(&request->cancelled) &&
	       !server_draining(shard_server(request->shard));
}

/* On a fiber. */
static void
run_sampling(struct request *request)
{
	struct taking *taking = request->work;
	uint64_t end_ns = taking->begun_ns + taking->seconds * NS_PER_S;

	while (goes_on(request, end_ns)) {
		uint64_t next_ns =
			clock_mono_ns() + PROFILE_COLLECT_MS * NS_PER_MS;

		/* Nobody wakes it. */
		(void)fiber_wait(next_ns < end_ns ? next_ns : end_ns);
		profile_collect(taking->profile);
	}
	taking->err = request_pass_slow(request, run_end);
	if (!taking->err)
		return;
	end(taking);
	request_post(request, finish);
}

static void
run_begin(struct request *request)
{
	struct taking *taking = request->work;

	taking->begun_ns = clock_mono_ns();
	taking->err = profile_begin(&taking->profile, (unsigned)taking->hz);
	if (taking->err) {
		request_post(request, finish);
		return;
	}
	log_info("profiling seconds=%llu hz=%llu",
		 (unsigned long long)taking->seconds,
		 (unsigned long long)taking->hz);
	request_pass_fiber(request, run_sampling);
}

/* ---- the beginning ------------------------------------------------------- */

/* False: answered. */
static bool
take_number(struct request *request, const char *name, uint64_t max,
	    uint64_t *number) ON_WORKER
{
	struct bytes text = request_parameter(request, name);

	if (!text.data ||
	    (units_u64(text, number) && *number >= 1 && *number <= max))
		return true;
	reply_problem(request, 400, NULL, "%s must be from 1 to %llu", name,
		      (unsigned long long)max);
	return false;
}

void
admin_profile(struct request *request)
{
	uint64_t seconds = SECONDS_DEFAULT, hz = HZ_DEFAULT;
	struct taking *taking;

	if (!take_number(request, "seconds", SECONDS_MAX, &seconds) ||
	    !take_number(request, "hz", PROFILE_HZ_MAX, &hz))
		return;
	if (!profile_is_possible()) {
		reply_problem(request, 501, NULL,
			      "this daemon was built with the thread "
			      "sanitizer, which keeps signals back: it cannot "
			      "be profiled");
		return;
	}
	taking = calloc(1, sizeof(*taking));
	if (!taking) {
		reply_error(request, ERR_NOMEM);
		return;
	}
	taking->seconds = seconds;
	taking->hz = hz;
	buffer_init(&taking->body, BODY_MAX);
	request->slow_wait = true;
	request->work = taking;
	request->free_work = free_taking;
	/* Otherwise it is answered. */
	if (request_wait_slow(request, run_begin))
		return;
}
