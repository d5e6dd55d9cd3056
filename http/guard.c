/* SPDX-License-Identifier: MIT */
#include "http/guard.h"

#include <strings.h>

#include "core/units.h"

void
guard_begin(struct headers *headers)
{
	memset(headers, 0, sizeof(*headers));
}

void
guard_refuse(struct headers *headers, unsigned status, const char *why)
{
	if (headers->refused)
		return;
	headers->refused = why;
	headers->status = status;
}

/* RFC 9110, section 5.6.2: tchar. */
static bool
is_token(struct bytes name)
{
	static const bool tchar[256] = {
		['!'] = 1,         ['#'] = 1,         ['$'] = 1,
		['%'] = 1,         ['&'] = 1,         ['\''] = 1,
		['*'] = 1,         ['+'] = 1,         ['-'] = 1,
		['.'] = 1,         ['^'] = 1,         ['_'] = 1,
		['`'] = 1,         ['|'] = 1,         ['~'] = 1,
		['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
	};
	const unsigned char *c = name.data;

	for (size_t i = 0; i < name.len; i++)
		if (!tchar[c[i]])
			return false;
	return name.len > 0;
}

bool
guard_has_control(struct bytes value)
{
	const unsigned char *c = value.data;

	for (size_t i = 0; i < value.len; i++)
		if ((c[i] < 0x20 && c[i] != '\t') || c[i] == 0x7f)
			return true;
	return false;
}

static bool
named(struct bytes name, const char *lower)
{
	return !strncasecmp(name.data, lower, name.len);
}

static void
once(struct headers *headers, bool *seen, const char *why)
{
	if (*seen)
		guard_refuse(headers, 400, why);
	*seen = true;
}

/*
 * A header that may come once. A second one of a header that we compare or
 * cut would be silently ignored, so it is refused as well.
 */
static void
note(struct headers *headers, struct bytes *slot, struct bytes value,
     const char *why)
{
	if (slot->data)
		guard_refuse(headers, 400, why);
	*slot = value;
}

/* value as it came: with a blank behind it libmicrohttpd 0.9.75 reads no
 * chunks, but all that comes until the connection ends. */
static void
transfer_encoding(struct headers *headers, struct bytes value)
{
	once(headers, &headers->chunked, "Transfer-Encoding came twice");
	if (value.len != 7 || !named(value, "chunked"))
		guard_refuse(headers, 400,
			     "Transfer-Encoding must be exactly \"chunked\"");
}

static void
content_length(struct headers *headers, struct bytes value)
{
	once(headers, &headers->has_length, "Content-Length came twice");
	if (!units_u64(value, &headers->content_length))
		guard_refuse(headers, 400, "Content-Length is not a number");
}

/* Blanks behind a value are not of it (RFC 9112, section 5). Those before it
 * libmicrohttpd has taken away. */
static struct bytes
without_blanks(struct bytes value)
{
	const char *c = value.data;

	while (value.len &&
	       (c[value.len - 1] == ' ' || c[value.len - 1] == '\t'))
		value.len--;
	return value;
}

/* Told apart by length first: most headers match no case and cost a jump. */
static void
note_field(struct headers *h, struct bytes name, struct bytes raw)
{
	struct bytes value = without_blanks(raw);

	switch (name.len) {
	case 4:
		if (named(name, "host"))
			once(h, &h->has_host, "Host came twice");
		break;
	case 5:
		if (named(name, "range"))
			note(h, &h->range, value, "Range came twice");
		break;
	case 6:
		if (named(name, "accept"))
			h->accept = value;
		break;
	case 8:
		if (named(name, "if-match")) {
			h->has_if_match = true;
			note(h, &h->if_match, value, "If-Match came twice");
		} else if (named(name, "if-range")) {
			note(h, &h->if_range, value, "If-Range came twice");
		}
		break;
	case 11:
		if (named(name, "traceparent"))
			h->traceparent = value;
		break;
	case 12:
		if (named(name, "content-type"))
			note(h, &h->content_type, value,
			     "Content-Type came twice");
		else if (named(name, "x-request-id"))
			h->request_id = value;
		break;
	case 13:
		if (named(name, "if-none-match")) {
			h->has_if_none_match = true;
			note(h, &h->if_none_match, value,
			     "If-None-Match came twice");
		} else if (named(name, "content-range")) {
			h->has_content_range = true;
		} else if (named(name, "authorization")) {
			once(h, &h->has_authorization,
			     "Authorization came twice");
		}
		break;
	case 14:
		if (named(name, "content-length"))
			content_length(h, value);
		break;
	case 17:
		if (named(name, "transfer-encoding"))
			transfer_encoding(h, raw);
		else if (named(name, "if-modified-since"))
			note(h, &h->if_modified_since, value,
			     "If-Modified-Since came twice");
		break;
	case 19:
		if (named(name, "if-unmodified-since"))
			note(h, &h->if_unmodified_since, value,
			     "If-Unmodified-Since came twice");
		break;
	}
}

void
guard_field(struct headers *headers, struct bytes name, struct bytes value)
{
	headers->size += name.len + value.len;
	headers->fields++;
	if (!is_token(name))
		guard_refuse(headers, 400,
			     "a header name is empty or has a blank "
			     "or a control byte in it");
	else if (guard_has_control(value))
		guard_refuse(headers, 400,
			     "a header value has a control byte in it");
	else
		note_field(headers, name, value);
}

static bool
target_is_clean(struct bytes target)
{
	const unsigned char *c = target.data;

	for (size_t i = 0; i < target.len; i++) {
		if (c[i] <= 0x20 || c[i] == 0x7f)
			return false;
		if (c[i] == '%' && i + 2 < target.len && c[i + 1] == '0' &&
		    c[i + 2] == '0')
			return false;
	}
	return true;
}

bool
guard_target_path(struct bytes *target, bool is_options)
{
	const char *start = target->data, *end = start + target->len;
	const char *path = start;

	if (target->len >= 7 && !strncasecmp(start, "http://", 7)) {
		path = start + 7;
		while (path < end && !strchr("/?#", *path))
			path++;
		*target = (struct bytes){ path, (size_t)(end - path) };
		return path > start + 7 &&
		       (path == end || *path == '/' || *path == '?');
	}
	if (target->len && *path == '/')
		return true;
	return is_options && target->len == 1 && *path == '*';
}

bool
guard_end(struct headers *headers, bool http10, struct bytes target,
	  enum method method)
{
	if (!target_is_clean(target))
		guard_refuse(
			headers, 400,
			"the target has %00, a blank or a control byte in it");
	if (!guard_target_path(&target, method == METHOD_OPTIONS))
		guard_refuse(headers, 400, "the target must begin with /");
	if (headers->chunked && headers->has_length)
		guard_refuse(
			headers, 400,
			"Transfer-Encoding and Content-Length exclude another");
	if (headers->chunked && http10)
		guard_refuse(headers, 400, "HTTP/1.0 has no Transfer-Encoding");
	if (!headers->has_host && !http10)
		guard_refuse(headers, 400, "HTTP/1.1 needs a Host header");
	/* Who sends a part would have it taken for the whole (RFC 9110, section
	 * 14.5). With other methods it means nothing. */
	if (headers->has_content_range &&
	    (method == METHOD_PUT || method == METHOD_POST))
		guard_refuse(headers, 400,
			     "Content-Range: a part cannot be written, only "
			     "a whole value");
	if (headers->size > GUARD_HEADERS_MAX)
		guard_refuse(headers, 431,
			     "the headers are larger than 4096 bytes");
	if (headers->fields > GUARD_FIELDS_MAX)
		guard_refuse(headers, 431, "there are more than 48 headers");
	return !headers->refused;
}
