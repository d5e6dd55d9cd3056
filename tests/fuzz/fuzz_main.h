/* SPDX-License-Identifier: MIT */
/*
 * What makes a program of a fuzz target. The target includes this, defines
 * LLVMFuzzerTestOneInput() and names its seeds:
 *
 *	FUZZ_SEEDS(20000, SEED("64M"), SEED("-1"));
 *
 * Run without arguments it tries that many mutations of the seeds, the same
 * ones every time (FUZZ_ROUNDS for another number, FUZZ_START for others),
 * and prints TAP. Run with files it tries these. A target says what is wrong
 * with FUZZ_CHECK(), and the input that did it goes to standard error.
 *
 * With libFuzzer: clang -fsanitize=fuzzer,address -DFUZZ_LIBFUZZER ...
 */
#ifndef TESTS_FUZZ_FUZZ_MAIN_H
#define TESTS_FUZZ_FUZZ_MAIN_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, \
				#condition); \
			abort(); \
		} \
	} while (0)

#define SEED(text) \
	{ \
		text, sizeof(text) - 1 \
	}

#ifdef FUZZ_LIBFUZZER
#define FUZZ_SEEDS(rounds, ...) struct fuzz_unused
#else
#define FUZZ_SEEDS(rounds, ...) \
	static const struct bytes fuzz_seeds[] = { __VA_ARGS__ }; \
	int main(int argc, char **argv) \
	{ \
		return fuzz_main(argc, argv, rounds, fuzz_seeds, \
				 ARRAY_LEN(fuzz_seeds)); \
	} \
	struct fuzz_unused

enum { FUZZ_INPUT_MAX = 4096 };

struct fuzz_input {
	uint8_t data[FUZZ_INPUT_MAX];
	size_t len;
};

/* For the signal handler. */
static struct fuzz_input fuzz_current;

static void
fuzz_show_input(int signal)
{
	dprintf(STDERR_FILENO, "the input, %zu bytes: ", fuzz_current.len);
	for (size_t i = 0; i < fuzz_current.len; i++) {
		uint8_t byte = fuzz_current.data[i];
		bool plain = byte >= 0x20 && byte < 0x7F && byte != '\\';

		dprintf(STDERR_FILENO, plain ? "%c" : "\\x%02x", byte);
	}
	dprintf(STDERR_FILENO, "\n");
	/* The default action follows: the handler is gone (SA_RESETHAND). */
	raise(signal);
}

static uint64_t
fuzz_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static size_t
fuzz_below(uint64_t *state, size_t n)
{
	return n ? fuzz_random(state) % n : 0;
}

/* Puts len bytes of data at a random place, as far as there is room. */
static void
fuzz_insert(struct fuzz_input *input, uint64_t *state, const uint8_t *data,
	    size_t len)
{
	size_t at = fuzz_below(state, input->len + 1);

	if (len > FUZZ_INPUT_MAX - input->len)
		len = FUZZ_INPUT_MAX - input->len;
	memmove(input->data + at + len, input->data + at, input->len - at);
	memcpy(input->data + at, data, len);
	input->len += len;
}

static void
fuzz_delete(struct fuzz_input *input, uint64_t *state)
{
	size_t at = fuzz_below(state, input->len);
	size_t most = input->len - at < 16 ? input->len - at : 16;
	size_t len = fuzz_below(state, most + 1);

	memmove(input->data + at, input->data + at + len,
		input->len - at - len);
	input->len -= len;
}

static void
fuzz_mutate(struct fuzz_input *input, uint64_t *state,
	    const struct bytes *seeds, size_t count)
{
	static const uint8_t known[] = "\0\x01\x7f\x80\xbf\xc0\xed\xf4\xff"
				       "\"'\\/#*+-.=%{}[](),$|:;\n\r\t 019aAfF";
	uint8_t byte = known[fuzz_below(state, sizeof(known) - 1)];
	const struct bytes *seed = &seeds[fuzz_below(state, count)];
	size_t at = fuzz_below(state, input->len);
	uint8_t part[64];
	size_t len;

	switch (fuzz_random(state) % 7) {
	case 0:
		if (input->len)
			input->data[at] ^= (uint8_t)(1 << fuzz_below(state, 8));
		break;
	case 1:
		if (input->len)
			input->data[at] = byte;
		break;
	case 2:
		if (input->len)
			input->data[at] = (uint8_t)fuzz_random(state);
		break;
	case 3:
		fuzz_insert(input, state, &byte, 1);
		break;
	case 4:
		fuzz_delete(input, state);
		break;
	case 5: /* a part of itself again */
		len = fuzz_below(state, input->len - at + 1);
		len = len < sizeof(part) ? len : sizeof(part);
		memcpy(part, input->data + at, len);
		fuzz_insert(input, state, part, len);
		break;
	case 6: /* a part of another seed */
		at = fuzz_below(state, seed->len);
		fuzz_insert(input, state, (const uint8_t *)seed->data + at,
			    fuzz_below(state, seed->len - at + 1));
		break;
	}
}

/* In memory of exactly its size, so that a sanitizer sees one byte more. */
static void
fuzz_try(void)
{
	uint8_t *copy = malloc(fuzz_current.len ? fuzz_current.len : 1);

	if (!copy)
		abort();
	memcpy(copy, fuzz_current.data, fuzz_current.len);
	LLVMFuzzerTestOneInput(copy, fuzz_current.len);
	free(copy);
}

static void
fuzz_rounds(unsigned long rounds, const struct bytes *seeds, size_t count)
{
	const char *start = getenv("FUZZ_START");
	uint64_t state = (start ? strtoull(start, NULL, 10) : 0) +
			 UINT64_C(0x9E3779B97F4A7C15);

	for (unsigned long i = 0; i < rounds; i++) {
		const struct bytes *seed = &seeds[i % count];
		/* Each seed first as it is, then changed more and more. */
		size_t changes = i < count ? 0 : 1 + fuzz_below(&state, 8);

		memcpy(fuzz_current.data, seed->data, seed->len);
		fuzz_current.len = seed->len;
		while (changes-- > 0)
			fuzz_mutate(&fuzz_current, &state, seeds, count);
		fuzz_try();
	}
}

static int
fuzz_file(const char *path)
{
	FILE *file = fopen(path, "rb");

	if (!file) {
		perror(path);
		return 2;
	}
	fuzz_current.len = fread(fuzz_current.data, 1, FUZZ_INPUT_MAX, file);
	fclose(file);
	fuzz_try();
	return 0;
}

static int
fuzz_main(int argc, char **argv, unsigned long rounds,
	  const struct bytes *seeds, size_t count)
{
	struct sigaction show = { .sa_handler = fuzz_show_input,
				  .sa_flags = (int)SA_RESETHAND };
	const char *number = getenv("FUZZ_ROUNDS");

	sigaction(SIGABRT, &show, NULL);
	for (int i = 1; i < argc; i++)
		if (fuzz_file(argv[i]))
			return 2;
	if (argc > 1)
		return 0;
	if (number)
		rounds = strtoul(number, NULL, 10);
	fuzz_rounds(rounds, seeds, count);
	printf("ok 1 - %lu mutations of %zu seeds\n1..1\n", rounds, count);
	return 0;
}
#endif

#endif
