/* SPDX-License-Identifier: MIT */
#include "http/admin/admin.h"

void
admin_put_text(struct json *json, const char *name, const char *text)
{
	json_name(json, name);
	if (text)
		json_text(json, bytes_of(text));
	else
		json_none(json);
}

void
admin_put_number(struct json *json, const char *name, uint64_t number)
{
	json_name(json, name);
	json_u64(json, number);
}

void
admin_send(struct request *request, struct buffer *body)
{
	struct reply reply;

	buffer_add(body, "\n", 1);
	reply_begin(&reply, request, 200);
	reply_header(&reply, "Content-Type", bytes_of("application/json"));
	reply_header(&reply, "Cache-Control", bytes_of("no-store"));
	reply_send_buffer(&reply, body);
}
