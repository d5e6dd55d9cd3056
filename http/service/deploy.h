/* SPDX-License-Identifier: MIT */
/*
 * Deploying services: check, swap, keep the old one, roll back.
 *
 * Versions are kept in data_dir/services/NAME/: versions/N/ has the files of
 * version N, `current` names the one in force, `sql.db` is the database.
 * Nothing is changed until everything was checked: with migrations pending, on
 * a copy of the database.
 *
 * All of it: one at a time, under a lock, on a slow thread (or on main before
 * the workers start and while HUP is handled).
 */
#ifndef HTTP_SERVICE_DEPLOY_H
#define HTTP_SERVICE_DEPLOY_H

#include "http/server.h"
#include "http/service/service.h"

struct deploys;

MUST_CHECK enum err deploys_create(struct server *server, struct deploys **out);
/* After the workers have ended: closes the databases. */
void deploys_destroy(struct deploys *deploys);

/*
 * At the start, and on HUP: brings up what was deployed before, then deploys
 * the folders of service_dir that are new or have changed since they were last
 * loaded from there. A folder that is wrong is logged and left out, the old
 * version of it goes on; false: there was one.
 */
bool deploys_load(struct deploys *deploys);

/* Checks only: *pending counts migrations that would be applied. */
MUST_CHECK enum err deploys_check(struct deploys *deploys,
				  struct service_files *files,
				  unsigned *pending,
				  struct complaints *complaints);
/* Takes files. *version is the new one's; an unchanged service keeps its
 * version. */
MUST_CHECK enum err deploys_deploy(struct deploys *deploys,
				   struct service_files *files,
				   uint64_t *version,
				   struct complaints *complaints);
/* To the version before, which must fit the schema as it is now. ERR_NOTFOUND:
 * no such service, or no version before. */
MUST_CHECK enum err deploys_rollback(struct deploys *deploys, const char *name,
				     uint64_t *version,
				     struct complaints *complaints);
/* Out of service at once. Its database stays in data_dir unless purge. */
MUST_CHECK enum err deploys_remove(struct deploys *deploys, const char *name,
				   bool purge);

#endif
