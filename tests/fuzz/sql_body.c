/* SPDX-License-Identifier: MIT */
/*
 * Any body of /v1/sql and any Accept: taken or refused with a reason, within
 * its limits. The first byte says how many of the next are the header.
 */
#include "http/sql/sql_call.h"
#include "http/sql/sql_reply.h"

#include "tests/fuzz/fuzz_main.h"

static void
check_statements(struct sql_call *call)
{
	FUZZ_CHECK(call->count >= 1 && call->count <= CALL_STATEMENTS_MAX);
	FUZZ_CHECK(call->several || call->count == 1);
	FUZZ_CHECK(call->limit >= 1);
	FUZZ_CHECK(call->form != ACCEPT_JSON || call->limit <= CALL_LIMIT_MAX);
	FUZZ_CHECK(call->timeout_ns >= 1000000);
	FUZZ_CHECK(call->timeout_ns <= call->max_timeout_ms * 1000000);
	for (unsigned i = 0; i < call->count; i++) {
		FUZZ_CHECK(call->statements[i].text.text.len <= SQL_TEXT_MAX);
		if (call_set_values(call, i, NULL))
			FUZZ_CHECK(call->ops[i].value_count <=
				   SQL_PARAMETERS_MAX);
		else
			FUZZ_CHECK(call->error.err && call->error.message[0]);
	}
}

static void
check_body(struct bytes body, enum accept form)
{
	struct request *request = calloc(1, sizeof(*request));
	struct sql_call *call = calloc(1, sizeof(*call));
	/* Not behind its end. */
	char *copy = malloc(body.len ? body.len : 1);

	memcpy(copy, body.data, body.len);
	request->body = copy;
	request->body_len = body.len;
	call->request = request;
	call->max_timeout_ms = 30000;
	call->index = -1;
	buffer_init(&call->out, 0);
	call_set_form(call, form);
	if (call_read_body(call)) {
		FUZZ_CHECK(call->error.err == ERR_OK);
		check_statements(call);
	} else {
		FUZZ_CHECK(call->error.err && sql_error_text(&call->error)[0]);
	}
	call_fini(call);
	free(copy);
	free(call);
	free(request);
}

/* A range that is nothing of ours changes nothing. */
static enum accept
check_accept(struct bytes header)
{
	static const char more[] = ",x/y;q=1";
	char *longer = malloc(header.len + sizeof(more));
	enum accept form = accept_choose(header);
	bool quoted = memchr(header.data, '"', header.len);

	FUZZ_CHECK(form < ACCEPT_COUNT);
	memcpy(longer, header.data, header.len);
	memcpy(longer + header.len, more, sizeof(more) - 1);
	FUZZ_CHECK(quoted ||
		   accept_choose((struct bytes){
			   longer, header.len + sizeof(more) - 1 }) == form);
	free(longer);
	return form;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t len;

	if (size < 1)
		return 0;
	len = data[0] < size ? data[0] : size - 1;
	check_body((struct bytes){ data + 1 + len, size - 1 - len },
		   check_accept((struct bytes){ data + 1, len }));
	return 0;
}

FUZZ_SEEDS(100000,
	   SEED("\0{\"sql\":\"SELECT ?\",\"params\":[1,null,true,"
		"\"x\",{\"base64\":\"AA==\"},1.5]}"),
	   SEED("\x08text/csv{\"sql\":\"x\",\"limit\":5,\"timeout\":\"5s\"}"),
	   SEED("\0{\"statements\":[{\"sql\":\"a\",\"params\":{\":a\":-1}},"
		"{\"sql\":\"b\",\"params\":[[]]}]}"),
	   SEED("\0{\"sql\":\"a\",\"params\":[9223372036854775808]}"),
	   SEED("\0[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["),
	   SEED("\x2e*/*;q=0.1, text/*;q=0.9,application/json;q=0.5{}"));
