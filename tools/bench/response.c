/* SPDX-License-Identifier: MIT */
#include "tools/bench/response.h"

#include <strings.h>

#include "core/units.h"

/* A line of a head without its end. */
struct line {
	struct bytes text;
	bool cut; /* text is only its beginning */
};

void
response_begin(struct response *response, bool to_head)
{
	/* Not line: it is of no meaning while line_len is 0. */
	response->status = 0;
	response->closes = false;
	response->step = STEP_STATUS_LINE;
	response->to_head = to_head;
	response->chunked = false;
	response->has_length = response->has_coding = false;
	response->left = 0;
	response->head_len = response->line_len = 0;
}

/* ---- lines --------------------------------------------------------------- */

static void
keep(struct response *response, const char *data, size_t len)
{
	size_t at = response->line_len;

	if (at < RESPONSE_LINE_MAX)
		memcpy(response->line + at, data,
		       len < RESPONSE_LINE_MAX - at ? len
						    : RESPONSE_LINE_MAX - at);
	response->line_len += (unsigned)len;
}

/* The first bytes of a line, without its end if that is among them: the same
 * whether a piece cuts it or not. */
static struct line
line_of(const char *data, size_t len)
{
	struct line line = { .text = { data, len } };

	if (len > RESPONSE_LINE_MAX) {
		line.text.len = RESPONSE_LINE_MAX;
		line.cut = true;
	} else if (len > 0 && data[len - 1] == '\r') {
		line.text.len--;
	}
	return line;
}

/* Takes a line, or what there is of one, and returns how much that is; more
 * than RESPONSE_HEAD_MAX is left to the caller to see. */
static size_t
take_line(struct response *response, const char *data, size_t len,
	  struct line *line, bool *whole)
{
	const char *end = memchr(data, '\n', len);
	size_t used = end ? (size_t)(end - data) : len;

	*whole = end != NULL;
	if (used > RESPONSE_HEAD_MAX)
		used = RESPONSE_HEAD_MAX + 1;
	response->head_len += (unsigned)used + *whole;
	if (response->head_len > RESPONSE_HEAD_MAX)
		return used;
	if (end && response->line_len == 0) {
		*line = line_of(data, used);
		return used + 1;
	}
	keep(response, data, used);
	if (!end)
		return used;
	*line = line_of(response->line, response->line_len);
	response->line_len = 0;
	return used + 1;
}

/* ---- what stands in them ------------------------------------------------- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
read_status_line(struct response *response, struct bytes line)
{
	const char *text = line.data; /* "HTTP/1.1 200", and a reason or none */

	if (line.len < 12 || !bytes_begin(line, "HTTP/1.") ||
	    !is_digit(text[7]) || text[8] != ' ' || !is_digit(text[9]) ||
	    !is_digit(text[10]) || !is_digit(text[11]))
		return false;
	if (line.len > 12 && text[12] != ' ')
		return false;
	response->closes = text[7] == '0';
	response->status = (unsigned)(text[9] - '0') * 100 +
			   (unsigned)(text[10] - '0') * 10 +
			   (unsigned)(text[11] - '0');
	return response->status >= 100 && response->status < 600 &&
	       response->status != 101; /* nobody asked for that */
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct bytes
trimmed(const char *begin, const char *end)
{
	while (begin < end && is_blank(*begin))
		begin++;
	while (end > begin && is_blank(end[-1]))
		end--;
	return (struct bytes){ begin, (size_t)(end - begin) };
}

static bool
same_word(struct bytes text, const char *word)
{
	return text.len == strlen(word) &&
	       !strncasecmp(text.data, word, text.len);
}

/* What stands behind the last comma of a list. */
static struct bytes
last_of(struct bytes list)
{
	const char *begin = list.data, *end = begin + list.len;
	const char *comma = list.len ? memrchr(begin, ',', list.len) : NULL;

	return trimmed(comma ? comma + 1 : begin, end);
}

static bool
in_list(struct bytes list, const char *word)
{
	const char *at = list.data, *end = at + list.len;

	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		const char *stop = comma ? comma : end;

		if (same_word(trimmed(at, stop), word))
			return true;
		at = stop + 1;
	}
	return false;
}

static bool
read_length(struct response *response, struct bytes value)
{
	uint64_t length;

	if (!units_u64(value, &length))
		return false;
	if (response->has_length && response->left != length)
		return false;
	response->has_length = true;
	response->left = length;
	return true;
}

static bool
read_coding(struct response *response, struct bytes value)
{
	/* Chunks are what the last coding makes, or there are none. */
	if (response->chunked)
		return false;
	response->has_coding = true;
	response->chunked = same_word(last_of(value), "chunked");
	return true;
}

static void
read_connection(struct response *response, struct bytes value)
{
	if (in_list(value, "close"))
		response->closes = true;
	else if (in_list(value, "keep-alive"))
		response->closes = false;
}

static bool
read_field(struct response *response, const struct line *line)
{
	const char *begin = line->text.data, *end = begin + line->text.len;
	const char *colon = memchr(begin, ':', line->text.len);
	struct bytes name, value;

	if (!colon)
		return line->cut && !is_blank(*begin);
	if (colon == begin || is_blank(*begin) || is_blank(colon[-1]))
		return false;
	/* All that matter begin with a C or a T. */
	if (((*begin | 0x20) != 'c' && (*begin | 0x20) != 't'))
		return true;
	name = (struct bytes){ begin, (size_t)(colon - begin) };
	value = trimmed(colon + 1, end);
	if (same_word(name, "content-length"))
		return !line->cut && read_length(response, value);
	if (same_word(name, "transfer-encoding"))
		return !line->cut && read_coding(response, value);
	if (same_word(name, "connection"))
		read_connection(response, value);
	return true;
}

static unsigned
hex_value(char c)
{
	if (is_digit(c))
		return (unsigned)(c - '0');
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

static bool
read_chunk_size(struct response *response, struct bytes line)
{
	const char *begin = line.data, *end = begin + line.len, *at = begin;

	response->left = 0;
	while (at < end && hex_value(*at) < 16) {
		if (response->left >> 60)
			return false;
		response->left = response->left << 4 | hex_value(*at++);
	}
	if (at == begin || (at < end && *at != ';' && !is_blank(*at)))
		return false;
	response->head_len = 0;
	response->step = response->left ? STEP_CHUNK : STEP_TRAILER;
	return true;
}

/* ---- steps --------------------------------------------------------------- */

/* The empty line behind the fields. */
static enum response_state
end_head(struct response *response)
{
	unsigned status = response->status;

	if (status < 200) {
		/* An interim reply; the head's bound holds for all together. */
		unsigned head_len = response->head_len;

		response_begin(response, response->to_head);
		response->head_len = head_len;
		return RESPONSE_MORE;
	}
	if (response->has_coding && response->has_length)
		return RESPONSE_MALFORMED;
	if (response->to_head || status == 204 || status == 304)
		return RESPONSE_DONE;
	response->head_len = 0;
	if (response->chunked) {
		response->step = STEP_CHUNK_SIZE;
	} else if (response->has_length) {
		response->step = STEP_BODY;
		if (response->left == 0)
			return RESPONSE_DONE;
	} else {
		response->step = STEP_UNTIL_CLOSE;
		response->closes = true;
	}
	return RESPONSE_MORE;
}

static enum response_state
read_line(struct response *response, const struct line *line)
{
	bool good = true;

	switch (response->step) {
	case STEP_STATUS_LINE:
		good = read_status_line(response, line->text);
		response->step = STEP_FIELDS;
		break;
	case STEP_FIELDS:
		if (line->text.len == 0)
			return end_head(response);
		good = read_field(response, line);
		break;
	case STEP_CHUNK_SIZE:
		good = read_chunk_size(response, line->text);
		break;
	case STEP_CHUNK_END:
		good = line->text.len == 0;
		response->head_len = 0;
		response->step = STEP_CHUNK_SIZE;
		break;
	case STEP_TRAILER:
		if (line->text.len == 0)
			return RESPONSE_DONE;
		break;
	case STEP_BODY:
	case STEP_CHUNK:
	case STEP_UNTIL_CLOSE:
		assert(!"a line in a body");
	}
	return good ? RESPONSE_MORE : RESPONSE_MALFORMED;
}

static enum response_state
skip(struct response *response, size_t len, size_t *used)
{
	if (response->step == STEP_UNTIL_CLOSE) {
		*used += len;
		return RESPONSE_MORE;
	}
	if (len > response->left)
		len = response->left;
	*used += len;
	response->left -= len;
	if (response->left > 0)
		return RESPONSE_MORE;
	if (response->step == STEP_BODY)
		return RESPONSE_DONE;
	response->step = STEP_CHUNK_END;
	return RESPONSE_MORE;
}

static bool
in_body(const struct response *response)
{
	return response->step == STEP_BODY || response->step == STEP_CHUNK ||
	       response->step == STEP_UNTIL_CLOSE;
}

enum response_state
response_read(struct response *response, const char *data, size_t len,
	      size_t *used)
{
	enum response_state state = RESPONSE_MORE;

	*used = 0;
	while (state == RESPONSE_MORE && *used < len) {
		struct line line = { 0 };
		bool whole;

		if (in_body(response)) {
			state = skip(response, len - *used, used);
			continue;
		}
		*used += take_line(response, data + *used, len - *used, &line,
				   &whole);
		if (response->head_len > RESPONSE_HEAD_MAX)
			state = RESPONSE_MALFORMED;
		else if (whole)
			state = read_line(response, &line);
	}
	return state;
}

enum response_state
response_closed(const struct response *response)
{
	return response->step == STEP_UNTIL_CLOSE ? RESPONSE_DONE
						  : RESPONSE_MORE;
}
