/* SPDX-License-Identifier: MIT */
/*
 * Finding a route by its path: a tree of segments. A look-up walks the path
 * once, whatever the number of routes: at each segment a hash of the literal
 * names, then the parameter. A literal wins over a parameter, that over the
 * rest ({name...}); a branch that leads nowhere is gone back from.
 *
 * Built once, then only read, by any thread.
 */
#ifndef HTTP_SERVICE_TREE_H
#define HTTP_SERVICE_TREE_H

#include "core/base.h"
#include "core/err.h"
#include "http/action.h"
#include "http/service/template.h"

enum { TREE_PARAMETERS_MAX = TEMPLATE_SEGMENTS_MAX };

struct tree;
struct route;

/* What a path gave. Values are raw, not yet percent-decoded, in the order of
 * the template. */
struct tree_match {
	struct route *route; /* NULL: the path is known, the method is not */
	/* With route NULL: a bit for each enum method that the path has,
	 * METHOD_HEAD beside METHOD_GET. */
	unsigned methods;
	unsigned count;
	struct bytes values[TREE_PARAMETERS_MAX];
	unsigned steps; /* nodes and names that were looked at, for tests */
};

MUST_CHECK enum err tree_create(struct tree **out);
void tree_destroy(struct tree *tree);
/* template is as template.h says, and copied. ERR_CONFLICT: another route has
 * the same method and shape. ERR_BAD: the template is malformed. On an error
 * the tree finds what it found before. */
MUST_CHECK enum err tree_add(struct tree *tree, enum method method,
			     const char *template, struct route *route);
/*
 * path is raw, what stands behind the service's name; one that does not begin
 * with "/" is not found. HEAD finds GET's. Parameters are not empty, and a "/"
 * at the end makes another path. Nothing is allocated.
 *
 * Where the first that matches lacks the method, a less literal one that has it
 * is found. False: no such path.
 */
MUST_CHECK bool tree_find(const struct tree *tree, enum method method,
			  struct bytes path, struct tree_match *match);

#endif
