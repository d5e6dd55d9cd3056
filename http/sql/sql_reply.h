/* SPDX-License-Identifier: MIT */
/*
 * What a statement that failed is for the client.
 */
#ifndef HTTP_SQL_SQL_REPLY_H
#define HTTP_SQL_SQL_REPLY_H

#include "core/affinity.h"
#include "storage/sql.h"

struct request;

/* Its status and code; never ERR_OK's. fail() may choose any status from 400
 * on: one that is not ours is 400 or 500, whichever has the same meaning for
 * a client (RFC 9110, section 15). */
unsigned sql_error_status(const struct sql_error *error, const char **code);
/* What is said about it; borrowed from error. */
const char *sql_error_text(const struct sql_error *error);

/* Answers with the problem. */
void reply_sql_error(struct request *request,
		     const struct sql_error *error) ON_WORKER;
/* The same with the index of the statement that it is about; -1: none. */
void reply_sql_error_index(struct request *request,
			   const struct sql_error *error, int index) ON_WORKER;
/* A reader could not be taken, for this reason. */
void sql_error_busy(struct sql_error *error, enum err err);
void reply_sql_busy(struct request *request, enum err err) ON_WORKER;

/* An error of ours in the form of a statement's. message NULL: err's text. */
void sql_error_set(struct sql_error *error, enum err err, const char *message,
		   ...) PRINTF(3, 4);

#endif
