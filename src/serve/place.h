/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Where to listen, as the configuration says it. */
#ifndef AB_SERVE_PLACE_H
#define AB_SERVE_PLACE_H

#include <base/base.h>
#include <netdb.h>
#include <netinet/in.h>

/* ADDRESS:PORT or [ADDRESS]:PORT in numbers, for freeaddrinfo(); no address: any. False: it is none. */
bool ab_place_parse(const char *place, struct addrinfo **ret);
/* Whether it is such a place or unix:PATH; and http:PLACE or tcp:PLACE. */
int ab_place_check_listen(const char *place, struct ab_error *err);
int ab_place_check_lbc(const char *place, struct ab_error *err);
/* What an address counts with: of IPv6 its /64, all of which one client has. */
void ab_place_group(const char *address, char ret[INET6_ADDRSTRLEN]);

#endif
