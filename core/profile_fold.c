/* SPDX-License-Identifier: MIT */
/*
 * What was sampled: equal samples are one stack with a count. A hash table of
 * places in one growing array; addresses become names at the end.
 *
 * A stack: hash | kind << 32 | thread << 40, its count, the route's pointer,
 * the depth, and the addresses, the innermost first.
 */
#include <ck_pr.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/profile_internal.h"

enum {
	SLOTS_FIRST = 1 << 10,
	WORDS_FIRST = 1 << 14,
	/* 32 MiB of stacks: 100,000 of usual depth. With the default rate two
	 * threads come to 60,000 samples in the longest profile. */
	WORDS_MAX = 1 << 22,
	NAMES_MAX = 256,
	HEAD_WORDS = 4,
	/* All lines, before equal ones are one. */
	TEXT_MAX = 64 << 20,
};

static const char *const kind_names[PROFILE_KINDS] = {
#define KIND_NAME(name, text) text,
	PROFILE_KIND_LIST(KIND_NAME)
#undef KIND_NAME
};

/* ---- the table ----------------------------------------------------------- */

static bool
grow_slots(struct fold *fold)
{
	size_t count = fold->slot_count ? 2 * fold->slot_count : SLOTS_FIRST;
	uint32_t *slots;

	if (2 * fold->used < fold->slot_count)
		return true;
	slots = calloc(count, sizeof(*slots));
	if (!slots)
		return false;
	for (size_t at = 0; at < fold->len;
	     at += HEAD_WORDS + fold->words[at + 3]) {
		size_t slot = (uint32_t)fold->words[at] & (count - 1);

		while (slots[slot])
			slot = (slot + 1) & (count - 1);
		slots[slot] = (uint32_t)at + 1;
	}
	free(fold->slots);
	fold->slots = slots;
	fold->slot_count = count;
	return true;
}

static bool
grow_words(struct fold *fold, size_t need)
{
	size_t room = fold->room ? fold->room : WORDS_FIRST;
	uint64_t *words;

	while (room < need)
		room *= 2;
	if (room == fold->room)
		return true;
	words = room <= WORDS_MAX ? realloc(fold->words, room * sizeof(*words))
				  : NULL;
	if (!words)
		return false;
	fold->words = words;
	fold->room = room;
	return true;
}

/* -1: no memory. A slow thread may come again under the name it had. */
static int
find_name(struct fold *fold, const char *name)
{
	char(*names)[THREAD_NAME_MAX];

	for (unsigned i = 0; i < fold->name_count; i++)
		if (!strcmp(fold->names[i], name))
			return (int)i;
	if (fold->name_count == NAMES_MAX)
		return -1;
	names = realloc(fold->names, (fold->name_count + 1) * sizeof(*names));
	if (!names)
		return -1;
	fold->names = names;
	memcpy(names[fold->name_count], name, THREAD_NAME_MAX);
	return (int)fold->name_count++;
}

/* FNV-1a, by words, and its higher half into the lower. */
static uint32_t
hash_of(const uint64_t *stack, size_t len)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ stack[i]) * UINT64_C(0x100000001b3);
	return (uint32_t)(hash ^ hash >> 32);
}

/* stack: as in the table, with a count of 0 and without its hash. False: there
 * is no room. */
static bool
count_stack(struct fold *fold, uint64_t *stack, unsigned weight)
{
	size_t len = HEAD_WORDS + stack[3], slot;
	uint32_t hash = hash_of(stack, len);

	if (!grow_slots(fold) || !grow_words(fold, fold->len + len))
		return false;
	stack[0] |= hash;
	for (slot = hash & (fold->slot_count - 1); fold->slots[slot];
	     slot = (slot + 1) & (fold->slot_count - 1)) {
		uint64_t *other = &fold->words[fold->slots[slot] - 1];

		if (other[0] == stack[0] &&
		    !memcmp(other + 2, stack + 2, (len - 2) * sizeof(*stack))) {
			other[1] += weight;
			return true;
		}
	}
	fold->slots[slot] = (uint32_t)fold->len + 1;
	fold->used++;
	stack[1] = weight;
	memcpy(fold->words + fold->len, stack, len * sizeof(*stack));
	fold->len += len;
	return true;
}

/* ---- collecting ---------------------------------------------------------- */

static uint64_t
word_at(const struct recorder *recorder, uint64_t place)
{
	return recorder->words[place % RECORDER_WORDS];
}

void
fold_take(struct profile *profile, struct recorder *recorder)
{
	int name = find_name(&profile->fold, recorder->name);
	uint64_t tail = recorder->tail;
	uint64_t head = ck_pr_load_64(&recorder->head);
	uint64_t stack[HEAD_WORDS + PROFILE_DEPTH];

	/* Pairs with the fence in store(). */
	ck_pr_fence_load();
	while (tail < head) {
		uint64_t first = word_at(recorder, tail);
		unsigned depth = first & 0xffff;
		unsigned weight = (unsigned)(first >> 32);

		assert(depth <= PROFILE_DEPTH);
		stack[0] = (first >> 16 & 0xff) << 32 | (uint64_t)name << 40;
		stack[1] = 0;
		stack[2] = word_at(recorder, tail + 1);
		stack[3] = depth;
		for (unsigned i = 0; i < depth; i++)
			stack[HEAD_WORDS + i] = word_at(recorder, tail + 2 + i);
		tail += 2 + depth;
		profile->samples += weight;
		if (name < 0 || !count_stack(&profile->fold, stack, weight))
			profile->dropped += weight;
	}
	/* Pairs with the fence in store(): we have read what it writes over. */
	ck_pr_fence_load_store();
	ck_pr_store_64(&recorder->tail, tail);
}

void
fold_fini(struct fold *fold)
{
	free(fold->words);
	free(fold->slots);
	free(fold->names);
}

/* ---- text ---------------------------------------------------------------- */

/* Neither ends a field nor a line. */
static void
add_field(struct buffer *text, const char *field)
{
	size_t len = strlen(field);
	char *to = buffer_reserve(text, len);

	if (!to)
		return;
	for (size_t i = 0; i < len; i++)
		to[i] = field[i] == ';' || (unsigned char)field[i] < ' '
				? '_'
				: field[i];
	buffer_added(text, len);
}

static void
add_line(struct buffer *text, const struct fold *fold, const uint64_t *stack,
	 struct symbols *symbols)
{
	const char *route = (const char *)(uintptr_t)stack[2];
	unsigned depth = (unsigned)stack[3];

	add_field(text, fold->names[stack[0] >> 40]);
	buffer_add_str(text, route ? ";route " : ";no route");
	if (route)
		add_field(text, route);
	buffer_add_str(text, ";");
	buffer_add_str(text, kind_names[stack[0] >> 32 & 0xff]);
	if (depth == PROFILE_DEPTH)
		buffer_add_str(text, ";[cut off]");
	for (unsigned i = depth; i-- > 0;) {
		buffer_add_str(text, ";");
		add_field(text,
			  symbols_name(symbols, stack[HEAD_WORDS + i], i > 0));
	}
	buffer_add(text, "", 1);
}

struct line {
	size_t text; /* its place */
	uint64_t count;
};

static int
compare(const void *a, const void *b, void *text)
{
	const struct line *left = a, *right = b;

	return strcmp((const char *)text + left->text,
		      (const char *)text + right->text);
}

/* What finds no room is dropped. */
static size_t
make_lines(struct profile *profile, struct line *lines, struct buffer *text,
	   struct symbols *symbols)
{
	const struct fold *fold = &profile->fold;
	size_t count = 0;

	for (size_t at = 0; at < fold->len;
	     at += HEAD_WORDS + fold->words[at + 3]) {
		struct line line = { text->len, fold->words[at + 1] };

		add_line(text, fold, &fold->words[at], symbols);
		if (text->err)
			profile->dropped += line.count;
		else
			lines[count++] = line;
	}
	return count;
}

static void
put_lines(struct profile *profile, struct buffer *out, const struct line *lines,
	  size_t count, const char *text)
{
	for (size_t i = 0; i < count;) {
		const char *line = text + lines[i].text;
		uint64_t samples = 0;

		for (; i < count && !strcmp(text + lines[i].text, line); i++)
			samples += lines[i].count;
		if (strlen(line) + sizeof(" 18446744073709551615\n") >
		    out->max - out->len)
			profile->dropped += samples;
		else
			buffer_addf(out, "%s %llu\n", line,
				    (unsigned long long)samples);
	}
}

void
profile_write(struct profile *profile, struct buffer *out)
{
	struct line *lines = calloc(profile->fold.used + 1, sizeof(*lines));
	struct symbols *symbols = symbols_open();
	struct buffer text;

	buffer_init(&text, TEXT_MAX);
	if (lines && symbols) {
		size_t count = make_lines(profile, lines, &text, symbols);

		qsort_r(lines, count, sizeof(*lines), compare, text.data);
		put_lines(profile, out, lines, count, text.data);
	} else {
		out->err = ERR_NOMEM;
	}
	buffer_fini(&text);
	if (symbols)
		symbols_close(symbols);
	free(lines);
}
