/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Addresses and ports (place.h), in numbers: a server that waits for a name server does not start. */
#include <arpa/inet.h>
#include <sys/un.h>
#include "place.h"

bool ab_place_parse(const char *place, struct addrinfo **ret)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM };
	const char *colon = strrchr(place, ':'), *port = colon ? colon + 1 : "";
	bool is_bracketed = colon && *place == '[' && colon > place + 1 && colon[-1] == ']';
	_free_ char *host = colon ? strndup(place + is_bracketed, colon - place - 2 * is_bracketed) : NULL;

	if (!host || !*port || strlen(port) > 5 || strspn(port, "0123456789") != strlen(port) ||
	    strtol(port, NULL, 10) > UINT16_MAX)
		return false;
	return getaddrinfo(*host ? host : NULL, port, &hints, ret) == 0;
}

static bool is_place(const char *place)
{
	struct addrinfo *found;

	if (!ab_place_parse(place, &found))
		return false;
	freeaddrinfo(found);
	return true;
}

int ab_place_check_listen(const char *place, struct ab_error *err)
{
	const size_t path_size = sizeof(((struct sockaddr_un *)NULL)->sun_path);

	if (str_starts(place, "unix:") && strlen(place + 5) >= path_size)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "listen: '%s' is longer than %zu bytes", place, path_size - 1);
	if (str_starts(place, "unix:") ? place[5] : is_place(place))
		return 0;
	return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "listen: '%s' is not ADDRESS:PORT, [ADDRESS]:PORT or unix:PATH", place);
}

int ab_place_check_lbc(const char *place, struct ab_error *err)
{
	const char *rest = str_starts(place, "http:") ? place + 5 : str_starts(place, "tcp:") ? place + 4 : "";

	return is_place(rest) ? 0 : ab_fail(err, AB_ERROR_USAGE, -EINVAL,
					    "lbc: '%s' is not http:ADDRESS:PORT or tcp:ADDRESS:PORT", place);
}

void ab_place_group(const char *address, char ret[INET6_ADDRSTRLEN])
{
	struct in6_addr a;

	if (inet_pton(AF_INET6, address, &a) != 1 || IN6_IS_ADDR_V4MAPPED(&a)) {
		snprintf(ret, INET6_ADDRSTRLEN, "%s", address);
		return;
	}
	memset(&a.s6_addr[8], 0, 8);
	inet_ntop(AF_INET6, &a, ret, INET6_ADDRSTRLEN);
}
