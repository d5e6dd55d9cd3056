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

enum { TREE_PARAMETERS_MAX = 16 };

struct tree;
struct route;

/* What a path gave. Values are raw, not yet percent-decoded; names are the
 * tree's. */
struct tree_match {
	struct route *route; /* NULL: the path is known, the method is not */
	unsigned methods;    /* bit per enum method that the path has */
	unsigned count;
	struct bytes values[TREE_PARAMETERS_MAX];
};

MUST_CHECK enum err tree_create(struct tree **out);
void tree_destroy(struct tree *tree);
/* ERR_CONFLICT: another route has the same method and shape. ERR_BAD: the
 * template is malformed. The route's parameters are numbered in the order of
 * the template. */
MUST_CHECK enum err tree_add(struct tree *tree, enum method method,
			     const char *template, struct route *route);
/* path begins with "/", behind the service's name, raw. False: no such path. */
MUST_CHECK bool tree_find(const struct tree *tree, enum method method,
			  struct bytes path, struct tree_match *match);

#endif
