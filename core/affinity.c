/* SPDX-License-Identifier: MIT */
#include "core/affinity.h"

/* Names for clang's analysis; nothing reads them. */
struct thread_role worker_thread, committer_thread;
