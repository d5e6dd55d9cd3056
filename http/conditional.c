/* SPDX-License-Identifier: MIT */
#include "http/conditional.h"

#include "core/units.h"
#include "http/date.h"

/* ---- entity tags -------------------------------------------------------- */

struct tag {
	bool weak;
	uint64_t seq; /* 0: not one of ours */
};

static bool
take_char(struct bytes *text, char c)
{
	const char *data = text->data;

	if (!text->len || data[0] != c)
		return false;
	*text = (struct bytes){ data + 1, text->len - 1 };
	return true;
}

static void
skip_blanks(struct bytes *text)
{
	while (take_char(text, ' ') || take_char(text, '\t'))
		;
}

/* A tag is text: "07" is not "7". */
uint64_t
etag_parse(struct bytes text)
{
	int64_t seq;

	return units_i64(text, &seq) && seq > 0 ? (uint64_t)seq : 0;
}

/* entity-tag = [ "W/" ] DQUOTE *etagc DQUOTE */
static bool
take_tag(struct bytes *text, struct tag *tag)
{
	const char *quote;
	struct bytes inside;

	tag->weak = take_char(text, 'W');
	if (tag->weak && !take_char(text, '/'))
		return false;
	if (!take_char(text, '"'))
		return false;
	quote = memchr(text->data, '"', text->len);
	if (!quote)
		return false;
	inside = (struct bytes){ text->data,
				 (size_t)(quote - (const char *)text->data) };
	*text = (struct bytes){ quote + 1, text->len - inside.len - 1 };
	tag->seq = etag_parse(inside);
	return true;
}

/* Empty elements are ignored (RFC 9110, section 5.6.1.2). */
static bool
is_empty_element(struct bytes rest)
{
	return !rest.len || *(const char *)rest.data == ',';
}

/*
 * Calls each(arg, tag) for every tag of a list; for "*" sets *any. False: it
 * is malformed, or a list of none, of which nobody can mean anything.
 */
static bool
each_tag(struct bytes header, bool *any,
	 bool (*each)(void *arg, const struct tag *tag), void *arg)
{
	struct tag tag;
	bool some = false;

	skip_blanks(&header);
	*any = take_char(&header, '*');
	if (*any) {
		skip_blanks(&header);
		return !header.len;
	}
	do {
		skip_blanks(&header);
		if (is_empty_element(header))
			continue;
		if (!take_tag(&header, &tag) || !each(arg, &tag))
			return false;
		some = true;
		skip_blanks(&header);
	} while (take_char(&header, ','));
	return some && !header.len;
}

struct collect {
	struct kv_condition *condition;
	bool strong, too_many;
};

static bool
collect_tag(void *arg, const struct tag *tag)
{
	struct collect *collect = arg;
	struct kv_condition *condition = collect->condition;

	if (!tag->seq || (tag->weak && collect->strong))
		return true;
	collect->too_many = condition->count == KV_TAGS_MAX;
	if (!collect->too_many)
		condition->tags[condition->count++] = tag->seq;
	return !collect->too_many;
}

const char *
condition_parse(struct bytes header, bool strong,
		struct kv_condition *condition)
{
	struct collect collect = { condition, strong, false };

	condition->present = true;
	condition->count = 0;
	if (each_tag(header, &condition->any, collect_tag, &collect))
		return NULL;
	return collect.too_many ? "there are more than 16 entity tags"
				: "an entity tag is malformed: \"123\" or *";
}

const char *
conditions_parse(const struct headers *headers, struct kv_condition *if_match,
		 struct kv_condition *if_none_match)
{
	const char *wrong = NULL;

	if_match->present = if_none_match->present = false;
	/* To ignore one would do what the client wanted prevented. */
	if (headers->if_unmodified_since.data)
		return "If-Unmodified-Since is too coarse for writes: use "
		       "If-Match with the ETag";
	if (headers->has_if_match)
		wrong = condition_parse(headers->if_match, true, if_match);
	if (!wrong && headers->has_if_none_match)
		wrong = condition_parse(headers->if_none_match, false,
					if_none_match);
	return wrong;
}

struct search {
	uint64_t seq;
	bool strong, found;
};

static bool
search_tag(void *arg, const struct tag *tag)
{
	struct search *search = arg;

	search->found |=
		tag->seq == search->seq && !(tag->weak && search->strong);
	return true;
}

/* -1: malformed. */
static int
names(struct bytes header, uint64_t seq, bool strong)
{
	struct search search = { seq, strong, false };
	bool any;

	if (!each_tag(header, &any, search_tag, &search))
		return -1;
	return any || search.found;
}

/* An invalid date counts as none (RFC 9110, section 13.1.3). */
static bool
modified_after(struct bytes date, uint64_t modified_ms, bool otherwise)
{
	uint64_t seconds;

	if (!date.data || !http_date_parse(date, &seconds))
		return otherwise;
	return modified_ms / 1000 > seconds;
}

enum verdict
conditions_judge(const struct headers *headers, uint64_t seq,
		 uint64_t modified_ms)
{
	int named;

	if (headers->has_if_match) {
		named = names(headers->if_match, seq, true);
		if (named < 1)
			return named ? VERDICT_MALFORMED : VERDICT_FAILED;
	} else if (modified_after(headers->if_unmodified_since, modified_ms,
				  false)) {
		return VERDICT_FAILED;
	}
	if (headers->has_if_none_match) {
		named = names(headers->if_none_match, seq, false);
		if (named)
			return named < 0 ? VERDICT_MALFORMED
					 : VERDICT_NOT_MODIFIED;
	} else if (!modified_after(headers->if_modified_since, modified_ms,
				   true)) {
		return VERDICT_NOT_MODIFIED;
	}
	return VERDICT_SEND;
}

enum verdict
conditions_judge_tag(const struct headers *headers, uint64_t tag)
{
	int named;

	if (headers->has_if_match) {
		named = names(headers->if_match, tag, true);
		if (named < 1)
			return named ? VERDICT_MALFORMED : VERDICT_FAILED;
	}
	if (headers->has_if_none_match) {
		named = names(headers->if_none_match, tag, false);
		if (named)
			return named < 0 ? VERDICT_MALFORMED
					 : VERDICT_NOT_MODIFIED;
	}
	return VERDICT_SEND;
}

/* ---- ranges ------------------------------------------------------------- */

/*
 * If-Range: the range is of this very representation. A date never says so: two
 * writes within a second have the same, which makes it a weak validator (RFC
 * 9110, sections 8.8.2.2 and 13.1.5), and there is always a tag to ask with.
 */
static bool
range_is_meant(const struct headers *headers, uint64_t seq)
{
	struct bytes text = headers->if_range;
	struct tag tag;

	if (!text.data)
		return true;
	return take_tag(&text, &tag) && !text.len && !tag.weak &&
	       tag.seq == seq;
}

static bool
take_number(struct bytes *text, uint64_t *number)
{
	const char *data = text->data;
	size_t len = 0;

	while (len < text->len && data[len] >= '0' && data[len] <= '9')
		len++;
	if (!len)
		return false;
	/* Too large a number is behind the end, like any other. */
	if (!units_u64((struct bytes){ data, len }, number))
		*number = UINT64_MAX;
	*text = (struct bytes){ data + len, text->len - len };
	return true;
}

/* "-n": the last n bytes. */
static enum range
suffix_range(struct bytes text, size_t size, size_t *first, size_t *last)
{
	uint64_t n;

	if (!take_number(&text, &n) || text.len)
		return RANGE_NONE;
	if (n == 0 || size == 0)
		return RANGE_OUTSIDE;
	*first = n < size ? size - (size_t)n : 0;
	*last = size - 1;
	return RANGE_SOME;
}

enum range
range_parse(const struct headers *headers, uint64_t seq, size_t size,
	    size_t *first, size_t *last)
{
	struct bytes text = headers->range;
	uint64_t from, to = UINT64_MAX;

	if (text.len < 6 || memcmp(text.data, "bytes=", 6) ||
	    !range_is_meant(headers, seq))
		return RANGE_NONE;
	text = (struct bytes){ (const char *)text.data + 6, text.len - 6 };
	if (take_char(&text, '-'))
		return suffix_range(text, size, first, last);
	if (!take_number(&text, &from) || !take_char(&text, '-') ||
	    (text.len && !take_number(&text, &to)) || text.len || to < from)
		return RANGE_NONE;
	if (from >= size)
		return RANGE_OUTSIDE;
	*first = (size_t)from;
	*last = to < size ? (size_t)to : size - 1;
	return RANGE_SOME;
}
