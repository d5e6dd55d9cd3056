/* SPDX-License-Identifier: MIT */
/*
 * How a store's file is laid out. All numbers of records are little endian.
 *
 *   database "kv":      key -> seq 8, expires_ms 8, modified_ms 8,
 *                              type length 2, type, value
 *   database "expiry":  expires_ms 8, seq 8 (both big endian, so that the
 *                       soonest comes first) -> key
 *   unnamed database:   "figures" -> live bytes 8, last seq 8
 *                       (its page is rewritten by every commit anyway)
 */
#ifndef STORAGE_KV_RECORD_H
#define STORAGE_KV_RECORD_H

#include <endian.h>

#include "core/base.h"
#include "storage/kv.h"

enum {
	KV_HEAD_SIZE = 26,
	KV_EXPIRY_KEY_SIZE = 16,
	KV_FIGURES_SIZE = 16,
};

static inline void
kv_put_le64(uint8_t *to, uint64_t number)
{
	number = htole64(number);
	memcpy(to, &number, sizeof(number));
}

static inline uint64_t
kv_get_le64(const uint8_t *from)
{
	uint64_t number;

	memcpy(&number, from, sizeof(number));
	return le64toh(number);
}

static inline size_t
kv_record_size(const struct kv_record *record)
{
	return KV_HEAD_SIZE + record->type.len + record->value.len;
}

/* Writes kv_record_size() bytes. */
static inline void
kv_record_encode(uint8_t *to, const struct kv_record *record)
{
	uint16_t type_len = htole16((uint16_t)record->type.len);

	kv_put_le64(to, record->seq);
	kv_put_le64(to + 8, record->expires_ms);
	kv_put_le64(to + 16, record->modified_ms);
	memcpy(to + 24, &type_len, sizeof(type_len));
	to += KV_HEAD_SIZE;
	if (record->type.len)
		memcpy(to, record->type.data, record->type.len);
	to += record->type.len;
	if (record->value.len)
		memcpy(to, record->value.data, record->value.len);
}

/* The record's type and value point into data. False: it is damaged. */
static inline bool
kv_record_decode(const void *data, size_t size, struct kv_record *record)
{
	const uint8_t *from = data;
	uint16_t type_len;

	if (size < KV_HEAD_SIZE)
		return false;
	memcpy(&type_len, from + 24, sizeof(type_len));
	type_len = le16toh(type_len);
	if (type_len > size - KV_HEAD_SIZE)
		return false;
	record->seq = kv_get_le64(from);
	record->expires_ms = kv_get_le64(from + 8);
	record->modified_ms = kv_get_le64(from + 16);
	record->type = (struct bytes){ from + KV_HEAD_SIZE, type_len };
	record->value = (struct bytes){ from + KV_HEAD_SIZE + type_len,
					size - KV_HEAD_SIZE - type_len };
	return true;
}

static inline bool
kv_record_is_live(const struct kv_record *record, uint64_t now_ms)
{
	return record->expires_ms == 0 || record->expires_ms > now_ms;
}

static inline void
kv_expiry_encode(uint8_t *to, uint64_t expires_ms, uint64_t seq)
{
	expires_ms = htobe64(expires_ms);
	seq = htobe64(seq);
	memcpy(to, &expires_ms, 8);
	memcpy(to + 8, &seq, 8);
}

static inline uint64_t
kv_expiry_ms(const void *from)
{
	uint64_t expires_ms;

	memcpy(&expires_ms, from, 8);
	return be64toh(expires_ms);
}

static inline uint64_t
kv_expiry_seq(const void *from)
{
	return kv_expiry_ms((const uint8_t *)from + 8);
}

#endif
