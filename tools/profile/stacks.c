/* SPDX-License-Identifier: MIT */
#include "tools/profile/stacks.h"

#include <stdlib.h>

#include "core/units.h"
#include "tools/out.h"

/* ---- reading ------------------------------------------------------------- */

static size_t
count_of(struct bytes text, char wanted)
{
	const char *at = text.data;
	size_t count = 0;

	for (size_t i = 0; i < text.len; i++)
		count += at[i] == wanted;
	return count;
}

/* Cuts off what stands before the first c, or all. */
static struct bytes
take_until(struct bytes *text, char c)
{
	const char *end = memchr(text->data, c, text->len);
	size_t len = end ? (size_t)(end - (const char *)text->data) : text->len;
	struct bytes taken = { text->data, len };

	text->data = (const char *)text->data + len + (end != NULL);
	text->len -= len + (end != NULL);
	return taken;
}

static bool
parse_line(struct stack *stack, struct bytes line, struct bytes *frames)
{
	const char *space = memrchr(line.data, ' ', line.len);
	struct bytes number;

	if (!space)
		return false;
	number.data = space + 1;
	number.len = line.len - (size_t)(space + 1 - (const char *)line.data);
	line.len -= number.len + 1;
	*stack = (struct stack){ .frames = frames };
	do
		frames[stack->depth++] = take_until(&line, ';');
	while (line.len > 0);
	return frames[0].len > 0 && units_u64(number, &stack->samples);
}

/* Those of a server always are. Of a file the second frame tells: this program
 * writes a route there, and who folds what perf has found may write "-". */
static bool
is_labelled(const struct stack *stack)
{
	struct bytes route =
		stack->depth > STACKS_LABELS ? stack->frames[1] : bytes_of("");

	return bytes_begin(route, "route ") ||
	       bytes_equal(route, bytes_of("no route")) ||
	       bytes_equal(route, bytes_of("-"));
}

/* Sums up what was read, which only a server's figures do otherwise. */
static void
look_over(struct stacks *stacks)
{
	stacks->labels = STACKS_LABELS;
	if (stacks->hz)
		return;
	stacks->samples = 0;
	for (size_t i = 0; i < stacks->count; i++) {
		stacks->samples += stacks->list[i].samples;
		/* The process or the thread. */
		if (!is_labelled(&stacks->list[i]))
			stacks->labels = 1;
	}
}

bool
stacks_parse(struct stacks *stacks, struct bytes text)
{
	const char *at = text.data;
	/* A server's answer without its last line end was cut. */
	bool is_open = !stacks->hz && text.len > 0 && at[text.len - 1] != '\n';
	size_t lines = count_of(text, '\n') + is_open;
	size_t frames = count_of(text, ';') + lines, used = 0;

	/* Never none: an empty profile is one. */
	stacks->list = calloc(lines + 1, sizeof(*stacks->list));
	stacks->frames = calloc(frames + 1, sizeof(*stacks->frames));
	stacks->count = 0;
	if (!stacks->list || !stacks->frames) {
		say("%s", err_text(ERR_NOMEM));
		return false;
	}
	while (text.len > 0) {
		struct stack *stack = &stacks->list[stacks->count];

		if (stacks->count == lines ||
		    !parse_line(stack, take_until(&text, '\n'),
				stacks->frames + used) ||
		    (stacks->hz && stack->depth <= STACKS_LABELS)) {
			say("%s", stacks->hz ? "the server's answer is not a "
					       "profile"
					     : "these are no folded stacks");
			return false;
		}
		used += stack->depth;
		stacks->count++;
	}
	look_over(stacks);
	return true;
}

void
stacks_fini(struct stacks *stacks)
{
	free(stacks->list);
	free(stacks->frames);
}

struct bytes
stacks_route(struct bytes label)
{
	static const char prefix[] = "route ";
	size_t len = sizeof(prefix) - 1;

	if (!bytes_begin(label, prefix))
		return label;
	return (struct bytes){ (const char *)label.data + len,
			       label.len - len };
}

int
name_compare(struct bytes a, struct bytes b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len ? memcmp(a.data, b.data, len) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* ---- sums ---------------------------------------------------------------- */

static size_t
hash_of(struct bytes name)
{
	const unsigned char *at = name.data;
	size_t hash = 5381;

	for (size_t i = 0; i < name.len; i++)
		hash = hash * 33 ^ at[i];
	return hash;
}

/* There is a slot for each. */
static struct sum *
find(struct sums *sums, struct bytes name)
{
	size_t slot = hash_of(name) % sums->slot_count;

	for (; sums->slots[slot]; slot = (slot + 1) % sums->slot_count) {
		struct sum *sum = &sums->list[sums->slots[slot] - 1];

		if (bytes_equal(sum->name, name))
			return sum;
	}
	sums->list[sums->count].name = name;
	sums->slots[slot] = (uint32_t)++sums->count;
	return &sums->list[sums->count - 1];
}

static int
compare(const void *a, const void *b)
{
	const struct sum *left = a, *right = b;

	if (left->self != right->self)
		return left->self < right->self ? 1 : -1;
	if (left->total != right->total)
		return left->total < right->total ? 1 : -1;
	return name_compare(left->name, right->name);
}

static void
add_stack(struct sums *sums, const struct stack *stack, unsigned first,
	  unsigned last, size_t index)
{
	for (unsigned i = first; i < stack->depth && i <= last; i++) {
		struct sum *sum = find(sums, stack->frames[i]);

		/* A function that called itself counts once. */
		if (sum->last != index + 1)
			sum->total += stack->samples;
		if (i + 1 == stack->depth)
			sum->self += stack->samples;
		sum->last = index + 1;
	}
}

bool
sums_make(struct sums *sums, const struct stacks *stacks, unsigned first,
	  unsigned last)
{
	size_t most = 0;

	for (size_t i = 0; i < stacks->count; i++)
		most += stacks->list[i].depth;
	*sums = (struct sums){ .slot_count = 2 * most + 1 };
	sums->list = calloc(most + 1, sizeof(*sums->list));
	sums->slots = calloc(sums->slot_count, sizeof(*sums->slots));
	if (!sums->list || !sums->slots) {
		say("%s", err_text(ERR_NOMEM));
		return false;
	}
	for (size_t i = 0; i < stacks->count; i++)
		add_stack(sums, &stacks->list[i], first, last, i);
	qsort(sums->list, sums->count, sizeof(*sums->list), compare);
	return true;
}

void
sums_fini(struct sums *sums)
{
	free(sums->list);
	free(sums->slots);
}
