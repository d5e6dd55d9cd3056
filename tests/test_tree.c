/* SPDX-License-Identifier: MIT */
#include "http/service/tree.h"

#include "tests/tap.h"

/* The tree never looks into a route: numbers do. */
static char routes[4096];

static struct route *
route(unsigned number)
{
	return (struct route *)(void *)&routes[number];
}

static unsigned
number_of(const struct route *found)
{
	return (unsigned)((const char *)(const void *)found - routes);
}

static void
add(struct tree *tree, enum method method, const char *template,
    unsigned number)
{
	if (tree_add(tree, method, template, route(number)))
		abort();
}

/* "3 a b": the route's number and its values; "-": no such path; "GET,PUT": no
 * such method, but these. */
static const char *
find(const struct tree *tree, enum method method, const char *path)
{
	static char text[1024];
	struct tree_match match;
	size_t len = 0;

	if (!tree_find(tree, method, bytes_of(path), &match))
		return "-";
	text[0] = '\0';
	if (!match.route) {
		for (unsigned i = 0; i < METHOD_OTHER; i++)
			if (match.methods & 1U << i)
				len += (size_t)sprintf(
					text + len, "%s%s", len ? "," : "",
					method_name((enum method)i));
		return text;
	}
	len = (size_t)sprintf(text, "%u", number_of(match.route));
	for (unsigned i = 0; i < match.count; i++)
		len += (size_t)sprintf(text + len, " %.*s",
				       (int)match.values[i].len,
				       (const char *)match.values[i].data);
	return text;
}

static struct tree *
make_tree(void)
{
	struct tree *tree;

	if (tree_create(&tree))
		abort();
	return tree;
}

static const struct {
	enum method method;
	const char *template;
} shop[] = {
	{ METHOD_GET, "/" }, /* 0 */
	{ METHOD_GET, "/orders" },
	{ METHOD_POST, "/orders" },
	{ METHOD_GET, "/orders/{id}" }, /* 3 */
	{ METHOD_DELETE, "/orders/{id}" },
	{ METHOD_POST, "/orders/new" },
	{ METHOD_GET, "/orders/{id}/items/{item}" }, /* 6 */
	{ METHOD_GET, "/orders/new/form" },
	{ METHOD_GET, "/files/{path...}" }, /* 8 */
	{ METHOD_PUT, "/files/{name}" },
	{ METHOD_GET, "/files/a/b" }, /* 10 */
	{ METHOD_QUERY, "/search:now" },
	{ METHOD_GET, "/x/{a}/c" }, /* 12 */
	{ METHOD_GET, "/x/b/{c}" },
	{ METHOD_GET, "/x/b/{rest...}" }, /* 14 */
	{ METHOD_PATCH, "/x/b/c/d/e" },
};

static struct tree *
make_shop(void)
{
	struct tree *tree = make_tree();

	for (unsigned i = 0; i < ARRAY_LEN(shop); i++)
		add(tree, shop[i].method, shop[i].template, i);
	return tree;
}

static void
paths_find_the_most_literal_route(void)
{
	static const struct {
		enum method method;
		const char *path, *found;
	} cases[] = {
		{ METHOD_GET, "/", "0" },
		{ METHOD_GET, "/orders", "1" },
		{ METHOD_HEAD, "/orders", "1" },
		{ METHOD_POST, "/orders", "2" },
		{ METHOD_GET, "/orders/7", "3 7" },
		{ METHOD_GET, "/orders/{id}", "3 {id}" },
		{ METHOD_DELETE, "/orders/7", "4 7" },
		{ METHOD_POST, "/orders/new", "5" },
		/* The literal one has no GET: the parameter's is found. */
		{ METHOD_GET, "/orders/new", "3 new" },
		{ METHOD_HEAD, "/orders/new", "3 new" },
		{ METHOD_GET, "/orders/7/items/a%2Fb", "6 7 a%2Fb" },
		{ METHOD_GET, "/orders/new/form", "7" },
		/* Back from the literal branch. */
		{ METHOD_GET, "/orders/new/items/1", "6 new 1" },
		{ METHOD_GET, "/files/a", "8 a" },
		{ METHOD_PUT, "/files/a", "9 a" },
		{ METHOD_GET, "/files/a/b", "10" },
		{ METHOD_GET, "/files/a/b/", "8 a/b/" },
		{ METHOD_GET, "/files/a/c", "8 a/c" },
		{ METHOD_GET, "/files//a", "8 /a" },
		{ METHOD_QUERY, "/search:now", "11" },
		{ METHOD_GET, "/x/b/c", "13 c" },
		{ METHOD_GET, "/x/a/c", "12 a" },
		{ METHOD_GET, "/x/b/c/d", "14 c/d" },
		{ METHOD_GET, "/x/b/c/d/e", "14 c/d/e" },
		{ METHOD_PATCH, "/x/b/c/d/e", "15" },
		/* Other methods of all that match. */
		{ METHOD_PUT, "/orders", "GET,HEAD,POST" },
		{ METHOD_PUT, "/orders/7", "GET,HEAD,DELETE" },
		{ METHOD_PUT, "/orders/new", "GET,HEAD,DELETE,POST" },
		{ METHOD_OPTIONS, "/files/a", "GET,HEAD,PUT" },
		{ METHOD_OPTIONS, "/files/a/b", "GET,HEAD" },
		{ METHOD_OTHER, "/x/b/c/d/e", "GET,HEAD,PATCH" },
		{ METHOD_HEAD, "/search:now", "QUERY" },
		{ METHOD_GET, "/search:now", "QUERY" },
		/* A slash at the end is another path; nothing is empty. */
		{ METHOD_GET, "", "-" },
		{ METHOD_GET, "orders", "-" },
		{ METHOD_GET, "//", "-" },
		{ METHOD_GET, "/orders/", "-" },
		{ METHOD_GET, "/orders/7/", "-" },
		{ METHOD_GET, "/orders//items/1", "-" },
		{ METHOD_GET, "//orders", "-" },
		{ METHOD_GET, "/files", "-" },
		{ METHOD_GET, "/files/", "-" },
		{ METHOD_GET, "/order", "-" },
		{ METHOD_GET, "/orderss", "-" },
		{ METHOD_GET, "/Orders", "-" },
		{ METHOD_GET, "/orders/7/items", "-" },
		{ METHOD_GET, "/orders/7/items/1/2", "-" },
		{ METHOD_GET, "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s", "-" },
	};
	struct tree *tree = make_shop();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *found = find(tree, cases[i].method, cases[i].path);

		if (!ok(!strcmp(found, cases[i].found), "%s %s is %s",
			method_name(cases[i].method), cases[i].path,
			cases[i].found))
			printf("# got %s\n", found);
	}
	tree_destroy(tree);
}

static void
encoded_literals_are_the_same(void)
{
	struct tree *tree = make_shop();
	char path[400] = "/";

	is_str(find(tree, METHOD_GET, "/%6Frders"), "1", "%6F is o");
	is_str(find(tree, METHOD_GET, "/%6f%72%64%65%72%73/%6F"), "3 %6F",
	       "a parameter stays as it is");
	is_str(find(tree, METHOD_QUERY, "/search%3Anow"), "11", "%3A is :");
	is_str(find(tree, METHOD_GET, "/orders%2F7"), "-", "%2F is no slash");
	is_str(find(tree, METHOD_GET, "/order%"), "-", "a lonely %");
	is_str(find(tree, METHOD_GET, "/order%7"), "-", "half an octet");
	is_str(find(tree, METHOD_GET, "/orders/%zz"), "3 %zz",
	       "a malformed value is the route's business");
	is_str(find(tree, METHOD_GET, "/orders%00"), "-", "a NUL");
	for (unsigned i = 0; i < 100; i++)
		strcat(path, "%6F");
	is_str(find(tree, METHOD_GET, path), "-", "as long as a literal");
	strcat(path, "%6F");
	is_str(find(tree, METHOD_GET, path), "-", "longer");
	memset(path + 4, 'a', sizeof(path) - 5);
	is_str(find(tree, METHOD_GET, path), "-", "longer, decoded");
	tree_destroy(tree);
}

static void
the_same_shape_is_a_conflict(void)
{
	static const struct {
		enum method method;
		const char *template;
		enum err err;
	} cases[] = {
		{ METHOD_GET, "/orders", ERR_CONFLICT },
		{ METHOD_GET, "/orders/{other}", ERR_CONFLICT },
		{ METHOD_GET, "/files/{rest...}", ERR_CONFLICT },
		{ METHOD_GET, "/files/{name}", ERR_OK },
		{ METHOD_PUT, "/orders/{other}", ERR_OK },
		{ METHOD_GET, "/orders/{id}/items", ERR_OK },
		{ METHOD_HEAD, "/head", ERR_BAD },
		{ METHOD_OPTIONS, "/options", ERR_BAD },
		{ METHOD_OTHER, "/other", ERR_BAD },
		{ METHOD_GET, "", ERR_BAD },
		{ METHOD_GET, "/a/", ERR_BAD },
	};
	struct tree *tree = make_shop();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		is_u64(tree_add(tree, cases[i].method, cases[i].template,
				route(100)),
		       cases[i].err, cases[i].template);
	is_str(find(tree, METHOD_GET, "/orders/7"), "3 7",
	       "the first one stays");
	is_str(find(tree, METHOD_GET, "/head"), "-", "the bad left nothing");
	tree_destroy(tree);
	tree_destroy(NULL);
}

static void
templates_are_checked(void)
{
	static const struct {
		const char *text, *reason; /* NULL: good */
	} cases[] = {
		{ "/", NULL },
		{ "/a", NULL },
		{ "/A-z0.9_~/b:c@d!e$f&g'h(i)j*k+l,m;n=o", NULL },
		{ "/{a}", NULL },
		{ "/{a_1}/{b}/c/{d...}", NULL },
		{ "/...", NULL },
		{ "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16", NULL },
		{ "", "begins with \"/\"" },
		{ "a", "begins with \"/\"" },
		{ "//", "an empty segment" },
		{ "/a//b", "an empty segment" },
		{ "/a/", "ends without \"/\"" },
		{ "/a b", "has a character that" },
		{ "/a?b", "has a character that" },
		{ "/a#b", "has a character that" },
		{ "/\xc3\xbc", "has a character that" },
		{ "/a%20b", "without percent-encoding" },
		{ "/.", "no segment" },
		{ "/a/../b", "no segment" },
		{ "/a{b}", "a whole segment" },
		{ "/{a}b", "a whole segment" },
		{ "/{a}{b}", "a parameter's name is" },
		{ "/{", "a whole segment" },
		{ "/}", "a whole segment" },
		{ "/{}", "a parameter's name is" },
		{ "/{...}", "a parameter's name is" },
		{ "/{a..}", "a parameter's name is" },
		{ "/{1a}", "a parameter's name is" },
		{ "/{A}", "a parameter's name is" },
		{ "/{a-b}", "a parameter's name is" },
		{ "/{_a}", "a parameter's name is" },
		{ "/{ a }", "a parameter's name is" },
		{ "/{a}/{a}", "{a} is there twice" },
		{ "/{a}/{a...}", "{a} is there twice" },
		{ "/{a...}/b", "takes the rest" },
		{ "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17",
		  "more than 16 segments" },
		{ "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		  "more than 100 bytes" },
		{ "/{aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		  "aaaaaaaa}",
		  "at most 64 bytes" },
	};
	struct template template;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char reason[256] = "";
		bool good = template_parse(&template, bytes_of(cases[i].text),
					   reason, sizeof(reason));

		if (!ok(good == !cases[i].reason &&
				(good || strstr(reason, cases[i].reason)),
			"template %s", cases[i].text))
			printf("# %s\n", reason);
	}
	ok(template_parse(&template, bytes_of("/a/{b}/{c...}"),
			  (char[256]){ 0 }, 256) &&
		   template.count == 3 &&
		   template.parts[0].kind == TEMPLATE_LITERAL &&
		   template.parts[1].kind == TEMPLATE_PARAMETER &&
		   template.parts[2].kind == TEMPLATE_REST &&
		   bytes_equal(template.parts[2].text, bytes_of("c")),
	   "a template's parts");
}

/* The steps of finding each of count routes: the mean, times 100. */
static unsigned
mean_steps(unsigned count, unsigned *most)
{
	struct tree *tree = make_tree();
	unsigned sum = 0;
	char path[64];

	for (unsigned i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "/thing%u/{id}/part", i);
		add(tree, METHOD_GET, path, i);
	}
	*most = 0;
	for (unsigned i = 0; i < count; i++) {
		struct tree_match match;

		snprintf(path, sizeof(path), "/thing%u/7/part", i);
		if (!tree_find(tree, METHOD_GET, bytes_of(path), &match) ||
		    match.route != route(i))
			abort();
		sum += match.steps;
		if (match.steps > *most)
			*most = match.steps;
	}
	tree_destroy(tree);
	return sum * 100 / count;
}

static void
work_does_not_grow_with_the_routes(void)
{
	unsigned most_few, most_many;
	unsigned few = mean_steps(10, &most_few);
	unsigned many = mean_steps(2000, &most_many);

	printf("# steps, mean times 100: 10 routes %u, 2000 routes %u; most "
	       "%u and %u\n",
	       few, many, most_few, most_many);
	/* Four nodes, one name in the last, and the name among the many, for
	 * which half of the table is free: by Knuth's sums for linear probing
	 * 1.5 looks at most, on average. */
	ok(few >= 550 && few <= 700, "with 10 routes");
	ok(many >= 550 && many <= 700, "with 2000, the same");
	ok(most_many < 30, "none is far from its place");
}

/* Literals at many levels: each is found again after all growing. */
static void
many_routes_are_all_found(void)
{
	struct tree *tree = make_tree();
	unsigned wrong = 0;
	char path[64];

	for (unsigned i = 0; i < 2000; i++) {
		snprintf(path, sizeof(path), "/a%u/b%u/c%u", i % 7, i % 91, i);
		add(tree, METHOD_PUT, path, i);
	}
	for (unsigned i = 0; i < 2000; i++) {
		struct tree_match match;

		snprintf(path, sizeof(path), "/a%u/b%u/c%u", i % 7, i % 91, i);
		wrong += !tree_find(tree, METHOD_PUT, bytes_of(path), &match) ||
			 match.route != route(i);
		snprintf(path, sizeof(path), "/a%u/b%u/c%u", i % 7, i % 91,
			 i + 2000);
		wrong += tree_find(tree, METHOD_PUT, bytes_of(path), &match);
	}
	is_u64(wrong, 0, "2000 routes are found, and no others");
	tree_destroy(tree);
}

int
main(void)
{
	paths_find_the_most_literal_route();
	encoded_literals_are_the_same();
	the_same_shape_is_a_conflict();
	templates_are_checked();
	work_does_not_grow_with_the_routes();
	many_routes_are_all_found();
	return tap_done();
}
