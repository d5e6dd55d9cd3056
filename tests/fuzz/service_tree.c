/* SPDX-License-Identifier: MIT */
/*
 * The tree finds what a slow and obvious search of all templates finds. The
 * input is a line for each route, of a method's letter and a template, and
 * behind a NUL a path for each method to find.
 */
#include "core/percent.h"
#include "http/service/tree.h"
#include "tests/fuzz/fuzz_main.h"

enum { ROUTES_MAX = 64, PATH_LEN_MAX = 512 };

static struct known {
	enum method method;
	struct template template;
	char text[PATH_LEN_MAX];
} known[ROUTES_MAX];
static unsigned known_count;

static struct route *
route(unsigned i)
{
	return (struct route *)(void *)&known[i];
}

/* ---- slowly -------------------------------------------------------------- */

static bool
same_literal(struct bytes literal, struct bytes segment)
{
	char plain[PATH_LEN_MAX];
	size_t len;

	if (segment.len > sizeof(plain) ||
	    !percent_decode(segment, PERCENT_PLUS, plain, &len))
		return false;
	return bytes_equal(literal, (struct bytes){ plain, len });
}

/* path is behind its first "/". */
static bool
matches(const struct template *template, struct bytes path,
	struct tree_match *match)
{
	match->count = 0;
	if (template->count == 0)
		return path.len == 0;
	for (unsigned i = 0; i < template->count; i++) {
		const struct template_part *part = &template->parts[i];
		const char *at = path.data;
		const char *slash = memchr(at, '/', path.len);
		struct bytes segment = { at, slash ? (size_t)(slash - at)
						   : path.len };
		bool last = i + 1 == template->count;

		if (part->kind == TEMPLATE_REST)
			segment = path;
		if (segment.len == 0)
			return false;
		if (part->kind != TEMPLATE_LITERAL)
			match->values[match->count++] = segment;
		else if (!same_literal(part->text, segment))
			return false;
		if (part->kind == TEMPLATE_REST)
			return true;
		if (last || !slash)
			return last && !slash;
		path.len -= segment.len + 1;
		path.data = slash + 1;
	}
	return false;
}

/* Is a more literal than b, at the first segment where they differ? */
static bool
is_better(const struct template *a, const struct template *b)
{
	for (unsigned i = 0; i < a->count && i < b->count; i++)
		if (a->parts[i].kind != b->parts[i].kind)
			return a->parts[i].kind < b->parts[i].kind;
	return false;
}

static bool
find_slowly(enum method method, struct bytes path, struct tree_match *match)
{
	const struct template *best = NULL;

	*match = (struct tree_match){ .route = NULL };
	if (path.len == 0 || *(const char *)path.data != '/')
		return false;
	path = (struct bytes){ (const char *)path.data + 1, path.len - 1 };
	if (method == METHOD_HEAD)
		method = METHOD_GET;
	for (unsigned i = 0; i < known_count; i++) {
		struct tree_match here = { .route = route(i) };

		if (!matches(&known[i].template, path, &here))
			continue;
		match->methods |= 1U << known[i].method;
		if (known[i].method == METHOD_GET)
			match->methods |= 1U << METHOD_HEAD;
		if (known[i].method != method ||
		    (best && !is_better(&known[i].template, best)))
			continue;
		best = &known[i].template;
		here.methods = match->methods;
		*match = here;
	}
	return match->methods != 0;
}

/* ---- compared ------------------------------------------------------------ */

static void
compare(const struct tree *tree, enum method method, struct bytes path)
{
	struct tree_match fast, slow;
	bool found = find_slowly(method, path, &slow);

	FUZZ_CHECK(tree_find(tree, method, path, &fast) == found);
	if (!found)
		return;
	FUZZ_CHECK(fast.route == slow.route);
	FUZZ_CHECK(fast.route || fast.methods == slow.methods);
	if (!fast.route)
		return;
	FUZZ_CHECK(fast.count == slow.count);
	for (unsigned i = 0; i < fast.count; i++)
		FUZZ_CHECK(fast.values[i].data == slow.values[i].data &&
			   fast.values[i].len == slow.values[i].len);
}

static enum method
method_of(char letter)
{
	return (enum method)((unsigned char)letter % METHOD_OPTIONS);
}

static void
add_line(struct tree *tree, struct bytes line)
{
	struct known *one = &known[known_count];
	char reason[256];
	bool good;
	enum err err;

	if (line.len < 1 || line.len > PATH_LEN_MAX ||
	    known_count == ROUTES_MAX)
		return;
	memcpy(one->text, (const char *)line.data + 1, line.len - 1);
	one->text[line.len - 1] = '\0';
	one->method = method_of(*(const char *)line.data);
	good = template_parse(&one->template, bytes_of(one->text), reason,
			      sizeof(reason));
	err = tree_add(tree, one->method, one->text, route(known_count));
	FUZZ_CHECK((err == ERR_BAD) == (!good || one->method == METHOD_HEAD));
	FUZZ_CHECK(err == ERR_OK || err == ERR_BAD || err == ERR_CONFLICT);
	known_count += err == ERR_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data, *end = at + size;
	const char *nul = size ? memchr(at, '\0', size) : NULL;
	const char *lines_end = nul ? nul : end;
	struct tree *tree;

	known_count = 0;
	FUZZ_CHECK(!tree_create(&tree));
	while (at < lines_end) {
		const char *newline =
			memchr(at, '\n', (size_t)(lines_end - at));
		const char *next = newline ? newline : lines_end;

		add_line(tree, (struct bytes){ at, (size_t)(next - at) });
		at = next + 1;
	}
	if (nul && end - nul - 1 <= PATH_LEN_MAX)
		for (unsigned i = 0; i <= METHOD_OTHER; i++)
			compare(tree, (enum method)i,
				(struct bytes){ nul + 1,
						(size_t)(end - nul - 1) });
	tree_destroy(tree);
	return 0;
}

/* GET is a letter that METHOD_OPTIONS divides: 'i', 'p', 'w'. */
FUZZ_SEEDS(100000, SEED(""), SEED("i/\0/"), SEED("i/a\nk/a\0/a"),
	   SEED("i/orders/{id}\nk/orders/{id}\nm/orders/new\ni/orders/new/x\n"
		"i/orders/{a}/items/{b}\0/orders/new"),
	   SEED("i/orders/{id}\nm/orders/new\ni/orders/new/x\n"
		"i/orders/{a}/items/{b}\0/orders/new/items/7"),
	   SEED("i/f/{p...}\nk/f/{n}\ni/f/a/b\ni/f/{x}/{y...}\0/f/a/b/c"),
	   SEED("i/{a}/{b}/{c}\ni/{a}/b/{c}\ni/a/{b}/c\nm/a/b/{c...}\0/a/b/c"),
	   SEED("i/a:b/c.d\ni/a:b/{x}\0/a%3Ab/c%2ed"),
	   SEED("i/a\ni/b\ni/c\ni/d\ni/e\ni/f\ni/g\ni/h\ni/i\0/g"));
