/* SPDX-License-Identifier: MIT */
/*
 * Small files and folders that must survive a power cut.
 *
 * A failed sync is ERR_FAULT: the file's state is not known any more, and
 * trying again proves nothing.
 */
#ifndef STORAGE_FILES_H
#define STORAGE_FILES_H

#include "core/base.h"
#include "core/err.h"

/* Makes the folder and those above it; an existing one is success. */
MUST_CHECK enum err files_make_dir(const char *path);
/* Makes names that were added to or removed from the folder durable. */
MUST_CHECK enum err files_sync_dir(const char *path);
/* The same for the folder that path is in. */
MUST_CHECK enum err files_sync_parent(const char *path);

/* Puts a file with this content at path, all of it or nothing, durably. */
MUST_CHECK enum err files_replace(const char *path, const void *data,
				  size_t len);
/* Reads at most size bytes from the start. ERR_NOTFOUND: there is no file. */
MUST_CHECK enum err files_read(const char *path, void *data, size_t size,
			       size_t *len);
/* Writes all at offset of an existing file, and syncs its data. Needs no new
 * block, so it also works on a full disk. */
MUST_CHECK enum err files_overwrite(int fd, const void *data, size_t len,
				    uint64_t offset);

#endif
