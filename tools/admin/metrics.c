/* SPDX-License-Identifier: MIT */
#include "tools/admin/metrics.h"

#include <stdlib.h>

static struct bytes
take_line(struct bytes *text)
{
	const char *data = text->data;
	const char *end = memchr(data, '\n', text->len);
	struct bytes line = { data, end ? (size_t)(end - data) : text->len };
	size_t taken = line.len + (end ? 1 : 0);

	*text = (struct bytes){ data + taken, text->len - taken };
	return line;
}

/* Where the labels end: at a brace outside of quotes. */
static const char *
labels_end(const char *at, const char *end)
{
	bool quoted = false;

	for (; at < end; at++) {
		if (quoted && *at == '\\' && at + 1 < end)
			at++;
		else if (*at == '"')
			quoted = !quoted;
		else if (*at == '}' && !quoted)
			return at;
	}
	return NULL;
}

static bool
parse_number(const char *at, const char *end, double *number)
{
	char copy[64];
	size_t len = (size_t)(end - at);
	char *stop;

	if (len == 0 || len >= sizeof(copy) || *at != ' ')
		return false;
	memcpy(copy, at, len);
	copy[len] = '\0';
	*number = strtod(copy, &stop);
	return stop != copy;
}

static bool
parse(struct bytes line, struct sample *sample)
{
	const char *begin = line.data, *end = begin + line.len, *at = begin;

	if (at == end || *at == '#')
		return false;
	while (at < end && *at != '{' && *at != ' ')
		at++;
	sample->name = (struct bytes){ begin, (size_t)(at - begin) };
	sample->labels = (struct bytes){ at, 0 };
	if (at < end && *at == '{') {
		const char *close = labels_end(++at, end);

		if (!close)
			return false;
		sample->labels = (struct bytes){ at, (size_t)(close - at) };
		at = close + 1;
	}
	return parse_number(at, end, &sample->number);
}

bool
metrics_next(struct bytes *text, struct sample *sample)
{
	while (text->len > 0)
		if (parse(take_line(text), sample))
			return true;
	return false;
}

bool
sample_is(const struct sample *sample, const char *name)
{
	return bytes_equal(sample->name, bytes_of(name));
}

/* Ours come as name="value" without blanks, and no value holds name=". */
struct bytes
sample_label(const struct sample *sample, const char *label)
{
	const char *data = sample->labels.data,
		   *end = data + sample->labels.len;
	size_t len = strlen(label);

	for (const char *at = data; end - at > (ptrdiff_t)len + 2; at++) {
		const char *value = at + len + 2, *close;

		if ((at > data && at[-1] != ',') || memcmp(at, label, len) ||
		    at[len] != '=' || at[len + 1] != '"')
			continue;
		close = memchr(value, '"', (size_t)(end - value));
		if (close)
			return (struct bytes){ value, (size_t)(close - value) };
	}
	return (struct bytes){ end, 0 };
}

double
metrics_sum(struct bytes text, const char *name, const char *label,
	    struct bytes value)
{
	struct sample sample;
	double sum = 0;

	while (metrics_next(&text, &sample))
		if (sample_is(&sample, name) &&
		    (!label ||
		     bytes_equal(sample_label(&sample, label), value)))
			sum += sample.number;
	return sum;
}
