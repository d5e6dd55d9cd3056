/* SPDX-License-Identifier: MIT */
/*
 * Labels: routes' names that outlive their services. A sample keeps a label's
 * address, and a fiber that is interrupted while its service is taken out has
 * a name still. A route that is deployed again gets the one it had, so they
 * grow with the number of different routes only.
 */
#include <pthread.h>
#include <stdlib.h>

#include "core/profile.h"

enum { BUCKETS = 1024 };

struct label {
	struct label *next;
	char text[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Under the lock. */
static struct label *buckets[BUCKETS];

static unsigned
bucket_of(const char *text)
{
	uint32_t hash = 5381;

	while (*text)
		hash = hash * 33 ^ (unsigned char)*text++;
	return hash % BUCKETS;
}

static struct label *
find_or_make_locked(const char *text)
{
	struct label **bucket = &buckets[bucket_of(text)], *label;
	size_t size = strlen(text) + 1;

	for (label = *bucket; label; label = label->next)
		if (!strcmp(label->text, text))
			return label;
	label = malloc(sizeof(*label) + size);
	if (!label)
		return NULL;
	memcpy(label->text, text, size);
	label->next = *bucket;
	*bucket = label;
	return label;
}

const char *
profile_label(const char *text)
{
	struct label *label;

	pthread_mutex_lock(&lock);
	label = find_or_make_locked(text);
	pthread_mutex_unlock(&lock);
	return label ? label->text : NULL;
}
