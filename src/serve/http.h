/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Listening: addresses, unix sockets and sockets from systemd, each with its threads of the HTTP library, and TLS. */
#ifndef AB_SERVE_HTTP_H
#define AB_SERVE_HTTP_H

#include "server.h"

struct http;
/* Listens and serves from now on; each place is logged as "listening". */
int ab_http_start(struct server *server, struct http **ret_http, struct ab_error *err);
/* Ends all connections; no request may be suspended. */
void ab_http_stop(struct http *http);
/* Reads certificate and key again; the old ones stay when they cannot be read. */
int ab_http_reload(struct http *http, const struct config *config, struct ab_error *err);

#endif
