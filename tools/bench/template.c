/* SPDX-License-Identifier: MIT */
#include "tools/bench/template.h"

#include <stdlib.h>

static const char key_slot[] = "{key}";
static const char number_slot[] = "{n}";

/* The bytes before the first slot of text, all of them where none is left;
 * slot_len is then 0. */
static size_t
plain_run(struct bytes text, size_t *slot_len)
{
	const char *begin = text.data, *end = begin + text.len;
	const char *at = begin;

	for (; at < end && (at = memchr(at, '{', (size_t)(end - at))); at++) {
		struct bytes rest = { at, (size_t)(end - at) };

		*slot_len = bytes_begin(rest, key_slot) ? sizeof(key_slot) - 1
			    : bytes_begin(rest, number_slot)
				    ? sizeof(number_slot) - 1
				    : 0;
		if (*slot_len)
			return (size_t)(at - begin);
	}
	*slot_len = 0;
	return text.len;
}

bool
template_has_slot(struct bytes text)
{
	size_t slot_len;

	plain_run(text, &slot_len);
	return slot_len > 0;
}

static bool
has_number_slot(struct bytes text)
{
	return text.len && memmem(text.data, text.len, number_slot,
				  sizeof(number_slot) - 1);
}

/* ---- one shape ----------------------------------------------------------- */

struct making {
	struct buffer out, slots;
	unsigned digits; /* of {n} */
};

static void
add_slot(struct making *making, unsigned digits)
{
	static const char zeros[TEMPLATE_KEY_DIGITS + 1] = "00000000";
	struct template_slot slot = { making->out.len, digits };

	buffer_add(&making->out, zeros, digits);
	buffer_add(&making->slots, &slot, sizeof(slot));
}

static void
add_text(struct making *making, struct bytes text)
{
	while (text.len > 0) {
		size_t slot_len, run = plain_run(text, &slot_len);

		buffer_add(&making->out, text.data, run);
		if (slot_len)
			add_slot(making, slot_len == sizeof(key_slot) - 1
						 ? TEMPLATE_KEY_DIGITS
						 : making->digits);
		text.data = (const char *)text.data + run + slot_len;
		text.len -= run + slot_len;
	}
}

/* Bytes of text once its slots are filled. */
static size_t
filled_len(struct bytes text, unsigned digits)
{
	size_t len = 0;

	while (text.len > 0) {
		size_t slot_len, run = plain_run(text, &slot_len);

		len += run;
		if (slot_len)
			len += slot_len == sizeof(key_slot) - 1
				       ? TEMPLATE_KEY_DIGITS
				       : digits;
		text.data = (const char *)text.data + run + slot_len;
		text.len -= run + slot_len;
	}
	return len;
}

static void
add_request(struct making *making, const struct request_parts *parts)
{
	buffer_addf(&making->out, "%s ", parts->method);
	add_text(making, bytes_of(parts->path));
	buffer_add_str(&making->out, " HTTP/1.1\r\n");
	if (parts->host)
		buffer_addf(&making->out, "Host: %s\r\n", parts->host);
	buffer_add(&making->out, parts->headers.data, parts->headers.len);
	if (parts->has_body)
		buffer_addf(&making->out, "Content-Length: %zu\r\n",
			    parts->body_is_made
				    ? parts->body.len
				    : filled_len(parts->body, making->digits));
	buffer_add_str(&making->out, "\r\n");
	if (!parts->has_body)
		return;
	if (parts->body_is_made)
		buffer_add(&making->out, parts->body.data, parts->body.len);
	else
		add_text(making, parts->body);
}

static enum err
shape_init(struct template_shape *shape, const struct request_parts *parts,
	   unsigned digits)
{
	struct making making = { .digits = digits };
	size_t slots_size;
	enum err err;

	buffer_init(&making.out, TEMPLATE_MAX);
	buffer_init(&making.slots, TEMPLATE_MAX);
	add_request(&making, parts);
	err = making.out.err ? making.out.err : making.slots.err;
	if (err) {
		buffer_fini(&making.out);
		buffer_fini(&making.slots);
		return err;
	}
	shape->data = buffer_take(&making.out, &shape->len);
	shape->slots = (void *)buffer_take(&making.slots, &slots_size);
	shape->slot_count = (unsigned)(slots_size / sizeof(*shape->slots));
	return ERR_OK;
}

/* ---- all of them --------------------------------------------------------- */

static unsigned
digits_of(uint64_t number)
{
	unsigned digits = 1;

	while (number >= 10) {
		number /= 10;
		digits++;
	}
	return digits;
}

enum err
template_init(struct template *template, const struct request_parts *parts,
	      uint64_t keys)
{
	unsigned count = 1;
	enum err err = ERR_OK;

	assert(keys <= TEMPLATE_KEYS_MAX);
	*template = (struct template){ 0 };
	if (keys > 0 &&
	    (has_number_slot(bytes_of(parts->path)) ||
	     (!parts->body_is_made && has_number_slot(parts->body))))
		count = digits_of(keys - 1);
	for (unsigned i = 0; i < count && !err; i++) {
		err = shape_init(&template->shapes[i], parts, i + 1);
		template->shape_count = i + 1;
	}
	if (err)
		template_fini(template);
	return err;
}

void
template_fini(struct template *template)
{
	for (unsigned i = 0; i < template->shape_count; i++) {
		free(template->shapes[i].data);
		free(template->shapes[i].slots);
	}
	template->shape_count = 0;
}

static void
write_digits(char *at, unsigned digits, uint64_t number)
{
	while (digits-- > 0) {
		at[digits] = (char)('0' + number % 10);
		number /= 10;
	}
}

struct bytes
template_make(struct template *template, uint64_t key)
{
	struct template_shape *shape = template->shapes;

	if (template->shape_count > 1)
		shape += digits_of(key) - 1;
	for (unsigned i = 0; i < shape->slot_count; i++)
		write_digits(shape->data + shape->slots[i].at,
			     shape->slots[i].digits, key);
	return (struct bytes){ shape->data, shape->len };
}
