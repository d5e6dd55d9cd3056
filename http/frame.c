/* SPDX-License-Identifier: MIT */
#include "http/frame.h"

#include <microhttpd.h>
#include <stdlib.h>

char *
frame_add_head(struct MHD_Response *response, size_t len)
{
	char blank[HEAD_MAX + 1];

	assert(len > 0 && len <= HEAD_MAX);
	memset(blank, '.', len);
	blank[len] = '\0';
	if (!MHD_add_response_header(response, FRAME_HEADER, blank))
		return NULL;
	return (char *)(uintptr_t)MHD_get_response_header(response,
							  FRAME_HEADER);
}

static size_t
size_of(const struct frame *frame)
{
	enum { RESPONSE = 208, HEADER = 56, NAME = 16, MALLOC = 16 };

	return sizeof(*frame) + frame->body_len + frame->head_len + RESPONSE +
	       HEADER + NAME + 5 * MALLOC;
}

static struct frame *
frame_create(size_t head_len, size_t body_len)
{
	struct frame *frame = malloc(sizeof(*frame) + body_len);

	if (!frame)
		return NULL;
	frame->head_len = (unsigned)head_len;
	frame->body_len = (unsigned)body_len;
	frame->response = MHD_create_response_from_buffer(
		body_len, frame->body, MHD_RESPMEM_PERSISTENT);
	if (frame->response) {
		frame->head = frame_add_head(frame->response, head_len);
		if (frame->head)
			return frame;
		MHD_destroy_response(frame->response);
	}
	free(frame);
	return NULL;
}

static void
frame_destroy(struct frame *frame)
{
	MHD_destroy_response(frame->response);
	free(frame);
}

static struct frame **
bucket(struct frames *frames, size_t head_len, size_t body_len)
{
	return &frames->buckets[(head_len + body_len * 7) % FRAME_BUCKETS];
}

struct frame *
frame_take(struct frames *frames, size_t head_len, size_t body_len)
{
	struct frame **at = bucket(frames, head_len, body_len);
	struct frame *frame;

	assert(body_len <= FRAME_BODY_MAX);
	for (; (frame = *at); at = &frame->next) {
		if (frame->head_len != head_len || frame->body_len != body_len)
			continue;
		*at = frame->next;
		frames->kept -= size_of(frame);
		return frame;
	}
	return frame_create(head_len, body_len);
}

/* A bucket's list is a stack: what was not used for long is at its end, and
 * goes when the worker keeps too much. */
static void
drop_last(struct frames *frames, struct frame **at)
{
	struct frame *frame;

	if (!*at)
		return;
	while ((*at)->next)
		at = &(*at)->next;
	frame = *at;
	*at = NULL;
	frames->kept -= size_of(frame);
	frame_destroy(frame);
}

void
frame_give(struct frames *frames, struct frame *frame)
{
	struct frame **at = bucket(frames, frame->head_len, frame->body_len);

	frame->next = *at;
	*at = frame;
	frames->kept += size_of(frame);
	for (unsigned i = 0; frames->kept > FRAMES_KEEP; i++)
		drop_last(frames, &frames->buckets[i % FRAME_BUCKETS]);
}

void
frames_fini(struct frames *frames)
{
	for (unsigned i = 0; i < FRAME_BUCKETS; i++)
		while (frames->buckets[i])
			drop_last(frames, &frames->buckets[i]);
}
