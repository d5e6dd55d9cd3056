/* SPDX-License-Identifier: MIT */
/*
 * What the files of deploying share.
 *
 *	deploy.c        what is asked for: check, deploy, roll back
 *	deploy_remove.c removing
 *	deploy_turn.c   one after the other
 *	deploy_load.c   the start, and HUP
 *	deploy_try.c    a version is checked, without a trace
 *	deploy_swap.c   catalogs: publishing one, destroying what is unused
 *	deploy_disk.c   data_dir/services
 *	tenant.c        names, their databases and counters
 *	tenant_stores.c their stores
 *
 * All of it in a turn.
 */
#ifndef HTTP_SERVICE_DEPLOY_INTERNAL_H
#define HTTP_SERVICE_DEPLOY_INTERNAL_H

#include <limits.h>

#include "core/slow.h"
#include "http/service/deploy.h"

enum {
	/* Versions that a rollback can go through, the one in force
	 * included. */
	DEPLOY_HISTORY = 5,
	/* Own stores of all its versions: more than one can have, for it may
	 * have others later. */
	OWN_STORES_MAX = 2 * CONFIG_STORES_MAX,
};

/* What is known of a name. The first part is the file `current`. */
struct tenant_state {
	uint64_t history[DEPLOY_HISTORY]; /* newest first; the first is in
					     force */
	unsigned count;                   /* 0: it is not in service */
	uint64_t last; /* the highest version that there ever was */
	uint64_t deployed_ms;
	/* Of the folder in service_dir when it was last loaded from there. */
	bool loaded;
	uint64_t loaded_checksum;
	/* Its own stores, open or not, since it was last purged: "cart". */
	char own_stores[OWN_STORES_MAX][KV_NAME_MAX + 1];
	unsigned own_store_count;

	/* A version of before may have requests, and its SQL still sees the
	 * stores of both. */
	bool sees_old_stores;
	/* Removed, but requests of it run. */
	bool closing, purge;
	enum err purge_err; /* why the last try failed */
};

struct deploys {
	struct server *server;
	unsigned workers;
	char *dir; /* data_dir/services */

	/* Atomic: see deploy_turn.c. Pushed by any thread, taken whole in a
	 * turn; and how many there are, with the one that has its turn. */
	ck_stack_t fresh;
	unsigned turns;

	/* Atomic: that one waits for its turn. */
	unsigned reload_waits, reap_waits;
	struct deploys_turn reload, reap;

	/* Of who has the turn. */
	ck_stack_entry_t *backlog; /* oldest first */
	struct slow_job job;
	struct tenant *tenants;
	bool started; /* what was in force before is up again */
	/* As they were opened, by index in server->stores. */
	struct config_store stores[CONFIG_STORES_MAX];
};

/* ---- deploy_disk.c ------------------------------------------------------- */

/* A path below deploys->dir; asserts that it fits: names are short. */
void deploy_path(const struct deploys *deploys, char path[PATH_MAX],
		 const char *format, ...) PRINTF(3, 4);
/* The file `current`. ERR_NOTFOUND: there is none. ERR_BAD: it is damaged. */
MUST_CHECK enum err deploy_state_read(const struct deploys *deploys,
				      const char *name,
				      struct tenant_state *state);
MUST_CHECK enum err deploy_state_write(const struct deploys *deploys,
				       const struct tenant *tenant);
/* The same, with a complaint. */
MUST_CHECK enum err deploy_state_put(const struct deploys *deploys,
				     const struct tenant *tenant,
				     struct complaints *complaints);
/* The state of before, after an error: what was written, or was not quite, may
 * be on the disk. False: it may still be; logged. */
bool deploy_state_restore(const struct deploys *deploys, struct tenant *tenant,
			  const struct tenant_state *before);
/* A folder or file and all that is in it; what cannot be removed is logged. */
void deploy_remove_tree(const char *path);
/* All that is kept of a name but `current`: as long as that is there, a purge
 * that is not done is known. */
MUST_CHECK enum err deploy_remove_rest(const struct deploys *deploys,
				       const char *name);
/* Versions that are too old. */
void deploy_prune(const struct deploys *deploys, const struct tenant *tenant);
/* Calls see() for the names of folders in path, by name; hidden ones are left
 * out. */
MUST_CHECK enum err deploy_each_folder(const char *path,
				       void (*see)(void *arg, const char *name),
				       void *arg);

/* ---- tenant.c ------------------------------------------------------------ */

/* NULL: there is none. */
struct tenant *tenant_find(const struct deploys *deploys, const char *name);
/* The same; made if needed, with its state from the disk. ERR_BAD: that is
 * damaged. Complains. */
MUST_CHECK enum err tenant_get(struct deploys *deploys, const char *name,
			       struct tenant **out,
			       struct complaints *complaints);
/* A database of the configuration has the name: /v1/sql and metrics would mean
 * two by it. */
void tenant_check_name(const struct deploys *deploys,
		       const struct tenant *tenant,
		       struct complaints *complaints);
/* Its database is there, open or not. */
bool tenant_has_database(const struct deploys *deploys,
			 const struct tenant *tenant);
/* Opens it, or makes it; nothing where it is open. Complains. */
MUST_CHECK enum err tenant_open(struct deploys *deploys, struct tenant *tenant,
				const struct service_settings *settings,
				struct complaints *complaints);
/* Where nobody uses it. */
void tenant_close(struct tenant *tenant);
/* Counters for each route: those of before where there were any. */
MUST_CHECK enum err tenant_give_counters(const struct deploys *deploys,
					 struct tenant *tenant,
					 struct service *service);
/* A purge would find something. */
bool tenant_has_rest(const struct deploys *deploys,
		     const struct tenant *tenant);
/* Removed, and not used any more: closes it, and purges it where that was asked
 * for. A purge that fails stays to be done, and purge_err says why. */
void tenant_finish(struct deploys *deploys, struct tenant *tenant);
void tenant_destroy(struct tenant *tenant);

/* ---- tenant_stores.c ----------------------------------------------------- */

/* What is wrong with the stores that the settings name. Changes nothing. */
void tenant_check_stores(const struct deploys *deploys,
			 const struct tenant *tenant,
			 const struct service_settings *settings,
			 struct complaints *complaints);
/* Writes down the names of its own stores, before there are any: a purge finds
 * them by that. Complains. */
MUST_CHECK enum err tenant_note_stores(const struct deploys *deploys,
				       struct tenant *tenant,
				       const struct service_settings *settings,
				       struct complaints *complaints);
/* Opens its own stores, and has its database know those that the settings
 * name. Nothing else is seen by it than before. */
MUST_CHECK enum err tenant_give_stores(struct deploys *deploys,
				       struct tenant *tenant,
				       const struct service_settings *settings,
				       struct complaints *complaints);
/* From now on its SQL sees those, which were given; only: no others, since no
 * request has a version of before. */
void tenant_show_stores(const struct deploys *deploys,
			const struct tenant *tenant,
			const struct service_settings *settings, bool only);
/* Deletes what is in its own: of those that are open the keys, else all of
 * it. */
MUST_CHECK enum err tenant_purge_stores(const struct deploys *deploys,
					const struct tenant *tenant);

/* ---- deploy_try.c -------------------------------------------------------- */

/* A version on its way. */
struct attempt {
	struct deploys *deploys;
	struct tenant *tenant;
	struct complaints *complaints;
	struct service *service; /* made and prepared */
	unsigned pending;        /* migrations */
};

/* Takes files. ERR_BAD: complained. On an error there is no service. */
MUST_CHECK enum err attempt_check(struct attempt *attempt,
				  struct service_files *files);
/* Says which migration it is about, and where in it. */
void attempt_complain(struct attempt *attempt, const struct sql_error *error);

/* ---- deploy_swap.c ------------------------------------------------------- */

/* A catalog with service as name's, or without name. NULL: no memory. */
struct catalog *swap_prepare(struct deploys *deploys, struct tenant *tenant,
			     struct service *service);
/* In force, when it returns, for every request that begins. tenant: whose
 * version it has, or is without. */
void swap_publish(struct deploys *deploys, struct tenant *tenant,
		  struct catalog *catalog);
/* Destroys what nobody uses any more, and hides its stores. */
void swap_reap(struct deploys *deploys);
/* deploys->reap's. */
void swap_run_reap(struct deploys_turn *turn, enum err err);
/* NULL: it is not in force. */
const struct service *swap_current(const struct deploys *deploys,
				   const char *name);

/* ---- deploy_turn.c ------------------------------------------------------- */

/* deploys->job's: the oldest turn. */
void deploy_run_job(struct slow_job *job);
/* When nobody submits any more. */
void deploys_wait_idle(const struct deploys *deploys);

/* ---- deploy_load.c ------------------------------------------------------- */

/* deploys->reload's. */
void deploy_run_reload(struct deploys_turn *turn, enum err err);

/* ---- deploy.c ------------------------------------------------------------ */

/* deploys_deploy(); loaded: they are those of the folder in service_dir. */
MUST_CHECK enum err deploy_files(struct deploys *deploys,
				 struct service_files *files, bool loaded,
				 struct deploy_outcome *outcome,
				 struct complaints *complaints);
/* A version from the disk, parsed, as the attempt's service. */
MUST_CHECK enum err deploy_read_version(struct attempt *attempt,
					uint64_t version);
/* Everything about the attempt's service that can fail for want of memory or
 * room, before anything is changed for others. tenant->state names it. On
 * success it is the catalog's, which is to be published. */
MUST_CHECK enum err deploy_make_ready(struct attempt *attempt,
				      struct catalog **catalog);

#endif
