/* SPDX-License-Identifier: MIT */
/*
 * What can go wrong that is not our mistake. Codes of other libraries are
 * translated once, where they come in; these become HTTP once, in
 * http_status().
 */
#ifndef CORE_ERR_H
#define CORE_ERR_H

#define ERR_LIST(X) \
	X(OK, "success") \
	X(NOMEM, "out of memory") \
	X(BAD, "malformed or not allowed here") \
	X(NOTFOUND, "no such key, store or file") \
	X(CONDITION, "a precondition does not hold") \
	X(TOO_LARGE, "larger than its limit") \
	X(NOT_NUMBER, "the value is not a 64-bit integer") \
	X(OVERFLOW, "the sum does not fit 64 bits") \
	X(FULL, "the store or its disk is full") \
	X(OVERLOADED, "too much is waiting already") \
	X(DRAINING, "the server is going down") \
	X(LOCKED, "another process holds it") \
	X(FAULT, "the file is damaged or could not be synced") \
	X(IO, "an input or output error") \
	X(SYNTAX, "the SQL is not valid") \
	X(CONFLICT, "a UNIQUE, PRIMARY KEY or FOREIGN KEY constraint") \
	X(CONSTRAINT, "a NOT NULL, CHECK or type constraint") \
	X(NOT_READONLY, "a write where only reads are allowed") \
	X(FORBIDDEN, "not allowed") \
	X(DEADLINE, "it took longer than its limit") \
	X(CANCELLED, "the client left") \
	X(STEPS, "more work than is done in place") \
	X(RATE, "more requests than the limit allows") \
	X(CHOSEN, "refused by the service")

enum err {
#define ERR_ENUM(name, text) ERR_##name,
	ERR_LIST(ERR_ENUM)
#undef ERR_ENUM
};

/* A short English phrase, never NULL. */
const char *err_text(enum err err);

/* The nearest code for an errno value. */
enum err err_from_errno(int number);

#endif
