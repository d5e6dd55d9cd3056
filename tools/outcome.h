/* SPDX-License-Identifier: MIT */
/*
 * How a command ended: the exit status of the program. These numbers are part
 * of its interface.
 */
#ifndef TOOLS_OUTCOME_H
#define TOOLS_OUTCOME_H

enum outcome {
	OUTCOME_OK = 0,
	OUTCOME_ERROR = 1,
	OUTCOME_USAGE = 2,
	OUTCOME_NOTFOUND = 3,
	OUTCOME_CONFLICT = 4, /* or a precondition that does not hold */
	OUTCOME_FORBIDDEN = 5,
	OUTCOME_UNREACHABLE = 6,
	OUTCOME_DEADLINE = 7,
	OUTCOME_OVERLOADED = 8,
};

#endif
