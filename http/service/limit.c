/* SPDX-License-Identifier: MIT */
/*
 * What a service may use.
 *
 * Requests a second: the generic cell rate algorithm (ITU-T I.371, annex A).
 * One word a service says when the next request is due if all came evenly; a
 * request may come up to a second early, so a second's worth may come at once.
 */
#include "core/clock.h"
#include "http/reply.h"
#include "http/service/run.h"

#define BURST_NS NS_PER_S

static bool
take_cell(struct tenant *tenant, uint64_t per_s)
{
	uint64_t interval = NS_PER_S / per_s, now = clock_mono_ns();
	uint64_t due = ck_pr_load_64(&tenant->due_ns);

	for (;;) {
		uint64_t from = due > now ? due : now;

		if (from + interval > now + BURST_NS)
			return false;
		/* Says nothing of other memory: no fence. */
		if (ck_pr_cas_64_value(&tenant->due_ns, due, from + interval,
				       &due))
			return true;
	}
}

bool
limit_admit(struct request *request)
{
	const struct service *service = request->service;
	uint64_t per_s = service->spec.settings.requests_per_s;

	if (!per_s || take_cell(service->tenant, per_s))
		return true;
	ck_pr_inc_64(&service->tenant->refused_rate);
	reply_problem_header(request, 429,
			     "more requests a second than the service allows",
			     "Retry-After", "1");
	return false;
}

bool
limit_statement_begin(const struct service *service)
{
	struct tenant *tenant = service->tenant;
	uint64_t max = service->spec.settings.max_statements;

	if (ck_pr_faa_uint(&tenant->statements, 1) < max)
		return true;
	ck_pr_dec_uint(&tenant->statements);
	ck_pr_inc_64(&tenant->refused_statements);
	return false;
}

void
limit_statement_end(const struct service *service)
{
	ck_pr_dec_uint(&service->tenant->statements);
}
