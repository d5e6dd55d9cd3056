/* SPDX-License-Identifier: MIT */
#include <jansson.h>
#include <stdlib.h>

#include "core/log.h"
#include "http/service/files_internal.h"

/* jansson was told to refuse NULs in strings, so len is strlen(). */
static enum err
add_text(struct filling *filling, const char *path, const json_t *text)
{
	size_t len = json_string_length(text);
	char *copy;

	switch (file_kind(path)) {
	case FILE_LEFT_OUT:
		return ERR_OK;
	case FILE_REFUSED:
		return fill_refuse_path(filling, path);
	case FILE_TAKEN:
		break;
	}
	if (!json_is_string(text))
		return fill_refuse(filling, ERR_BAD,
				   "the content of %s is no string", path);
	copy = malloc(len + 1);
	if (!copy)
		return fill_refuse(filling, ERR_NOMEM, "%s",
				   err_text(ERR_NOMEM));
	memcpy(copy, json_string_value(text), len + 1);
	return fill_add(filling, path, copy, len);
}

static enum err
add_all(struct filling *filling, json_t *root)
{
	json_t *files = json_object_get(root, "files"), *text;
	const char *name;
	char quoted[100];
	enum err err;

	json_object_foreach(root, name, text)
	{
		if (strcmp(name, "files") != 0)
			return fill_refuse(filling, ERR_BAD,
					   "%s is not known: files is",
					   log_quote(quoted, sizeof(quoted),
						     bytes_of(name)));
	}
	if (!json_is_object(files))
		return fill_refuse(filling, ERR_BAD,
				   "an object {\"files\":{\"path\":\"text\"}} "
				   "is expected");
	json_object_foreach(files, name, text)
	{
		err = add_text(filling, name, text);
		if (err)
			return err;
	}
	return ERR_OK;
}

static enum err
load(struct filling *filling, struct bytes json)
{
	json_error_t error;
	json_t *root;
	enum err err;

	if (json.len > SERVICE_BODY_MAX)
		return fill_refuse(filling, ERR_TOO_LARGE,
				   "the JSON is larger than %d MiB",
				   SERVICE_BODY_MAX >> 20);
	root = json_loadb(json.data, json.len, JSON_REJECT_DUPLICATES, &error);
	if (!root)
		return fill_refuse(filling, ERR_BAD,
				   "the JSON is malformed, line %d column %d: "
				   "%s",
				   error.line, error.column, error.text);
	err = add_all(filling, root);
	json_decref(root);
	return err;
}

enum err
service_files_parse(struct service_files *files, struct bytes json,
		    const char *name, char *message, size_t message_size)
{
	struct filling filling;
	enum err err = fill_begin(&filling, files, name, message, message_size);

	if (!err)
		err = load(&filling, json);
	return fill_end(&filling, err);
}
