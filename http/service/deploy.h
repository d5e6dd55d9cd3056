/* SPDX-License-Identifier: MIT */
/*
 * Deploying services: check, swap, keep the old one, roll back.
 *
 * Versions are kept in data_dir/services/NAME/: versions/N/ has the files of
 * version N, `current` names the one in force, `sql.db` is the database.
 * Nothing is changed until everything was checked: with migrations pending, on
 * a copy of the database.
 *
 * All of it is done in a turn, one after the other, on a slow thread (or on
 * main, before the workers start and after they have ended).
 */
#ifndef HTTP_SERVICE_DEPLOY_H
#define HTTP_SERVICE_DEPLOY_H

#include <ck_stack.h>

#include "http/server.h"
#include "http/service/service.h"

struct deploys;

/* Embedded in an object of its owner. Held from deploys_submit() until run(),
 * which may free it. */
struct deploys_turn {
	/* On a slow thread, and nobody else has a turn. err is ERR_NOMEM where
	 * there is no thread for it: then it is no turn, and on the thread that
	 * has submitted one. */
	void (*run)(struct deploys_turn *turn, enum err err);
	/* The deploys'. */
	ck_stack_entry_t link;
};

/* Publishes the first catalog, an empty one. What it opens it opens with
 * server's config, sequence, slow lane, stores and on_fault. */
MUST_CHECK enum err deploys_create(struct server *server, struct deploys **out);
/* After the workers have ended, before the shards: waits for the last turn,
 * then settles the databases of the services. */
void deploys_settle(struct deploys *deploys);
/* After the workers have ended: closes the databases. */
void deploys_destroy(struct deploys *deploys);
/* Services that are in force. In a turn, or before the workers start. */
unsigned deploys_count(const struct deploys *deploys);

/* Any thread, never blocks: turns come in the order in which they were
 * submitted, and no thread waits for one. */
void deploys_submit(struct deploys *deploys, struct deploys_turn *turn);
/* Nobody has a turn, or waits for one. */
bool deploys_are_idle(const struct deploys *deploys);

/*
 * At the start, before the workers: brings up what was deployed before, then
 * deploys the folders of service_dir that are new or have changed since they
 * were last loaded from there. A folder that is wrong is logged and left out,
 * the old version of it goes on; false: there was one.
 */
bool deploys_load(struct deploys *deploys);
/* On HUP: the folders again, in a turn. Where a load waits for its turn already
 * that one is enough; what has begun may have seen the folders of before. */
void deploys_reload(struct deploys *deploys);

struct deploy_outcome {
	uint64_t version;
	unsigned migrations; /* applied */
	bool unchanged;      /* the files are those in force: nothing was
				done, and version is theirs */
};

/*
 * Errors of all that follow. ERR_BAD: see complaints, which also get hints on
 * success. ERR_NOTFOUND: no such service. ERR_FULL, ERR_IO, ERR_FAULT,
 * ERR_NOMEM: the disk, or memory; complaints say what was done. On an error
 * the version in force goes on.
 */

/* Takes files. Checks only: *pending counts migrations that would be
 * applied. */
MUST_CHECK enum err deploys_check(struct deploys *deploys,
				  struct service_files *files,
				  unsigned *pending,
				  struct complaints *complaints);
/* Takes files. When it returns, no request begins with the old version. */
MUST_CHECK enum err deploys_deploy(struct deploys *deploys,
				   struct service_files *files,
				   struct deploy_outcome *outcome,
				   struct complaints *complaints);
/* To the version before, which must fit the schema as it is now. ERR_NOTFOUND
 * also: there is no version before. */
MUST_CHECK enum err deploys_rollback(struct deploys *deploys, const char *name,
				     uint64_t *version,
				     struct complaints *complaints);
/* Out of service when it returns. Its database stays in data_dir unless purge,
 * which also empties its own stores. The database is closed, and purged, when
 * the last request of the service has ended. On an error of the purge the rest
 * of it is left for the next start, or another call. */
MUST_CHECK enum err deploys_remove(struct deploys *deploys, const char *name,
				   bool purge, struct complaints *complaints);

#endif
