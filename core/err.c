/* SPDX-License-Identifier: MIT */
#include "core/err.h"

#include <errno.h>

const char *
err_text(enum err err)
{
	switch (err) {
#define ERR_CASE(name, text) \
	case ERR_##name: \
		return text;
		ERR_LIST(ERR_CASE)
#undef ERR_CASE
	}
	return "unknown error";
}

enum err
err_from_errno(int number)
{
	switch (number) {
	case 0:
		return ERR_OK;
	case ENOMEM:
		return ERR_NOMEM;
	case ENOENT:
		return ERR_NOTFOUND;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERR_FULL;
	case EAGAIN:
		return ERR_LOCKED;
	default:
		return ERR_IO;
	}
}
