/* SPDX-License-Identifier: MIT */
/*
 * Addresses to listen on, as the configuration and the command line write
 * them: "127.0.0.1:8080", "[::1]:8080", "localhost:8080", "unix:/run/a.sock".
 */
#ifndef CORE_ADDRESS_H
#define CORE_ADDRESS_H

#include "core/base.h"

/* Numeric hosts and localhost only: other names would make the start depend
 * on a resolver. Port 0 means any that is free. A socket's path is absolute. */
bool address_is_valid(const char *text);

#endif
