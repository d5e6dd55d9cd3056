/* SPDX-License-Identifier: MIT */
#include "http/service/tree.h"

#include <stdlib.h>
#include <xxhash.h>

#include "core/percent.h"

/* OPTIONS and unknown methods have no routes. */
enum { ROUTED_METHODS = METHOD_OPTIONS };

/* The routes of one shape. */
struct leaf {
	struct route *routes[ROUTED_METHODS];
};

/* A child by its literal. */
struct entry {
	uint64_t hash;
	char *name; /* NULL: free. Not terminated */
	size_t len;
	struct node *node;
};

struct node {
	struct leaf *leaf;      /* the path may end here */
	struct leaf *rest;      /* {name...} follows */
	struct node *parameter; /* {name} follows */
	/* Open addressing, linear probing; at most half of it is taken. */
	struct entry *entries;
	size_t size; /* a power of two, or 0 */
	size_t count;
};

struct tree {
	struct node root;
};

static bool
has_routes(enum method method)
{
	return method < METHOD_OPTIONS && method != METHOD_HEAD;
}

/* ---- the literals of a node ---------------------------------------------- */

static uint64_t
hash_of(struct bytes name)
{
	return XXH3_64bits(name.data, name.len);
}

/* The entry of name, or the free one where it would stand. There is one: see
 * struct node. */
static struct entry *
entry_find(const struct node *node, struct bytes name, uint64_t hash,
	   unsigned *steps)
{
	for (size_t i = hash;; i++) {
		struct entry *entry = &node->entries[i & (node->size - 1)];

		++*steps;
		if (!entry->name ||
		    (entry->hash == hash && entry->len == name.len &&
		     !memcmp(entry->name, name.data, name.len)))
			return entry;
	}
}

static bool
grow(struct node *node)
{
	struct node larger = { .size = node->size ? node->size * 2 : 4 };
	unsigned steps = 0;

	larger.entries = calloc(larger.size, sizeof(*larger.entries));
	if (!larger.entries)
		return false;
	for (size_t i = 0; i < node->size; i++) {
		const struct entry *entry = &node->entries[i];
		struct bytes name = { entry->name, entry->len };

		if (entry->name)
			*entry_find(&larger, name, entry->hash, &steps) =
				*entry;
	}
	free(node->entries);
	node->entries = larger.entries;
	node->size = larger.size;
	return true;
}

static struct node *
literal_get_or_add(struct node *node, struct bytes name)
{
	uint64_t hash = hash_of(name);
	unsigned steps = 0;
	struct entry *entry;
	struct node *child;
	char *copy;

	if (node->count * 2 >= node->size && !grow(node))
		return NULL;
	entry = entry_find(node, name, hash, &steps);
	if (entry->name)
		return entry->node;
	child = calloc(1, sizeof(*child));
	copy = malloc(name.len);
	if (!child || !copy) {
		free(child);
		free(copy);
		return NULL;
	}
	memcpy(copy, name.data, name.len);
	*entry = (struct entry){ hash, copy, name.len, child };
	node->count++;
	return child;
}

/* ---- building ------------------------------------------------------------ */

enum err
tree_create(struct tree **out)
{
	struct tree *tree = calloc(1, sizeof(*tree));

	if (!tree)
		return ERR_NOMEM;
	*out = tree;
	return ERR_OK;
}

/* As deep as a template is long. */
static void
node_fini(struct node *node)
{
	for (size_t i = 0; i < node->size; i++) {
		if (!node->entries[i].name)
			continue;
		node_fini(node->entries[i].node);
		free(node->entries[i].node);
		free(node->entries[i].name);
	}
	free(node->entries);
	if (node->parameter)
		node_fini(node->parameter);
	free(node->parameter);
	free(node->leaf);
	free(node->rest);
}

void
tree_destroy(struct tree *tree)
{
	if (!tree)
		return;
	node_fini(&tree->root);
	free(tree);
}

/* Where the routes of this shape stand; NULL: no memory. */
static struct leaf **
place_of(struct tree *tree, const struct template *template)
{
	struct node *node = &tree->root;

	for (unsigned i = 0; i < template->count; i++) {
		const struct template_part *part = &template->parts[i];

		switch (part->kind) {
		case TEMPLATE_LITERAL:
			node = literal_get_or_add(node, part->text);
			break;
		case TEMPLATE_PARAMETER:
			if (!node->parameter)
				node->parameter = calloc(1, sizeof(*node));
			node = node->parameter;
			break;
		case TEMPLATE_REST: /* the last one */
			return &node->rest;
		}
		if (!node)
			return NULL;
	}
	return &node->leaf;
}

enum err
tree_add(struct tree *tree, enum method method, const char *template,
	 struct route *route)
{
	struct template parts;
	struct leaf **place;
	char reason[256];

	if (!has_routes(method) ||
	    !template_parse(&parts, bytes_of(template), reason, sizeof(reason)))
		return ERR_BAD;
	place = place_of(tree, &parts);
	if (!place)
		return ERR_NOMEM;
	if (!*place)
		*place = calloc(1, sizeof(**place));
	if (!*place)
		return ERR_NOMEM;
	if ((*place)->routes[method])
		return ERR_CONFLICT;
	(*place)->routes[method] = route;
	return ERR_OK;
}

/* ---- finding ------------------------------------------------------------- */

struct walk {
	enum method method;
	struct tree_match *match;
};

/* Is this it? If not, its methods are noted. */
static bool
ends_at(struct walk *walk, const struct leaf *leaf)
{
	struct tree_match *match = walk->match;

	if (!leaf)
		return false;
	if (has_routes(walk->method) && leaf->routes[walk->method]) {
		match->route = leaf->routes[walk->method];
		return true;
	}
	for (unsigned i = 0; i < ROUTED_METHODS; i++)
		if (leaf->routes[i])
			match->methods |= 1U << i;
	return false;
}

/*
 * The child for a segment of a path. Encoded and plain are the same (RFC 3986,
 * section 6.2.2.2); a segment that is longer than any literal, encoded, is none
 * of them.
 */
static const struct node *
literal_find(const struct node *node, struct bytes segment, unsigned *steps)
{
	char plain[TEMPLATE_LITERAL_MAX * 3];

	if (node->count == 0)
		return NULL;
	if (memchr(segment.data, '%', segment.len)) {
		if (segment.len > sizeof(plain) ||
		    !percent_decode(segment, PERCENT_PLUS, plain, &segment.len))
			return NULL;
		segment.data = plain;
	}
	return entry_find(node, segment, hash_of(segment), steps)->node;
}

static bool walk_from(struct walk *walk, const struct node *node,
		      struct bytes path);

/* value is the parameter that leads there. */
static bool
walk_parameter(struct walk *walk, const struct node *node, struct bytes value,
	       struct bytes path)
{
	struct tree_match *match = walk->match;

	match->values[match->count++] = value;
	if (walk_from(walk, node, path))
		return true;
	match->count--;
	return false;
}

/* path is what is left behind node: empty, or "/" and a segment. As deep as
 * the tree. */
static bool
walk_from(struct walk *walk, const struct node *node, struct bytes path)
{
	const struct node *literal;
	struct bytes segment, left;
	const char *begin, *slash;

	walk->match->steps++;
	if (path.len == 0)
		return ends_at(walk, node->leaf);
	begin = (const char *)path.data + 1;
	path = (struct bytes){ begin, path.len - 1 };
	slash = memchr(begin, '/', path.len);
	segment.data = begin;
	segment.len = slash ? (size_t)(slash - begin) : path.len;
	left.data = begin + segment.len;
	left.len = path.len - segment.len;
	if (segment.len > 0) {
		literal = literal_find(node, segment, &walk->match->steps);
		if (literal && walk_from(walk, literal, left))
			return true;
		if (node->parameter &&
		    walk_parameter(walk, node->parameter, segment, left))
			return true;
	}
	if (path.len == 0 || !ends_at(walk, node->rest))
		return false;
	walk->match->values[walk->match->count++] = path;
	return true;
}

bool
tree_find(const struct tree *tree, enum method method, struct bytes path,
	  struct tree_match *match)
{
	struct walk walk = {
		.method = method == METHOD_HEAD ? METHOD_GET : method,
		.match = match,
	};

	match->route = NULL;
	match->methods = match->count = match->steps = 0;
	if (path.len == 0 || *(const char *)path.data != '/')
		return false;
	/* "/" alone is the root, not an empty segment below it. */
	if (path.len == 1)
		path.len = 0;
	if (walk_from(&walk, &tree->root, path))
		return true;
	if (match->methods & 1U << METHOD_GET)
		match->methods |= 1U << METHOD_HEAD;
	return match->methods != 0;
}
