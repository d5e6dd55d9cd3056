/* SPDX-License-Identifier: MIT */
#include "core/address.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include "core/units.h"

static bool
printable(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7F)
			return false;
	return true;
}

static bool
is_unix_address(const char *path)
{
	return *path == '/' && printable(path) &&
	       strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path);
}

/* The len bytes of host, as a number or localhost. */
static bool
is_host(const char *host, size_t len, bool bracketed)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address; /* the larger of the two */

	if (len >= sizeof(text))
		return false;
	memcpy(text, host, len);
	text[len] = '\0';
	if (bracketed)
		return inet_pton(AF_INET6, text, &address) == 1;
	return !strcmp(text, "localhost") ||
	       inet_pton(AF_INET, text, &address) == 1;
}

static bool
is_tcp_address(const char *text)
{
	const char *colon = strrchr(text, ':');
	uint64_t port;
	size_t len;

	if (!colon || !units_u64(bytes_of(colon + 1), &port) || port > 65535)
		return false;
	len = (size_t)(colon - text);
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']')
		return is_host(text + 1, len - 2, true);
	return is_host(text, len, false);
}

bool
address_is_valid(const char *text)
{
	if (!strncmp(text, "unix:", 5))
		return is_unix_address(text + 5);
	return is_tcp_address(text);
}
