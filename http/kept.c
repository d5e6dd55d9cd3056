/* SPDX-License-Identifier: MIT */
#include "http/kept.h"

#include <stdlib.h>

#include "core/refs.h"
#include "http/request.h"
#include "http/service/replies.h"

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
	kept->entry.key = bytes_put(&out, key).data;
	kept->entry.key_len = (uint32_t)key.len;
	kept->entry.size = (uint32_t)size + MALLOC;
	kept->version = 0;
	kept->record = *record;
	kept->record.type = bytes_put(&out, record->type);
	kept->record.value = bytes_put(&out, record->value);
	kept->refs = 1;
	return kept;
}

void
kept_ref(struct kept *kept)
{
	refs_take(&kept->refs);
}

void
kept_unref(struct kept *kept)
{
	if (refs_drop(&kept->refs, kept))
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
