/* SPDX-License-Identifier: MIT */
#include "http/kept.h"

#include <ck_pr.h>
#include <stdlib.h>

#include "core/affinity.h"
#include "http/request.h"
#include "http/service/replies.h"

static struct bytes
put(char **out, struct bytes bytes)
{
	char *start = *out;

	*out = mempcpy(start, bytes.data, bytes.len);
	return (struct bytes){ start, bytes.len };
}

struct kept *
kept_create(uint64_t hash, struct bytes key, const struct kv_record *record)
{
	enum { MALLOC = 16 };
	size_t size = sizeof(struct kept) + key.len + record->type.len +
		      record->value.len;
	struct kept *kept = malloc(size);
	char *out;

	if (!kept)
		return NULL;
	out = kept->data;
	kept->entry.hash = hash;
	kept->entry.key = put(&out, key).data;
	kept->entry.key_len = (uint32_t)key.len;
	kept->entry.size = (uint32_t)size + MALLOC;
	kept->version = 0;
	kept->record = *record;
	kept->record.type = put(&out, record->type);
	kept->record.value = put(&out, record->value);
	kept->refs = 1;
	return kept;
}

void
kept_ref(struct kept *kept)
{
	ck_pr_inc_uint(&kept->refs);
}

void
kept_unref(struct kept *kept)
{
	bool last;

	HANDS_OVER(kept);
	/* Pairs with itself on another worker: whoever is last sees that the
	 * others are done with it. */
	ck_pr_fence_release();
	ck_pr_dec_uint_zero(&kept->refs, &last);
	if (!last)
		return;
	ck_pr_fence_acquire();
	TAKES_OVER(kept);
	free(kept);
}

/* Both kinds begin with their entry; their keys tell which it is. */
void
kept_free(struct cache_entry *entry)
{
	if (*(const uint8_t *)entry->key == TARGET_TAG)
		kept_reply_unref(CONTAINER_OF(entry, struct kept_reply, entry));
	else
		kept_unref(kept_of(entry));
}
