/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The server's certificate, replaceable while it serves, and the certificates that clients must have. */
#ifndef AB_SERVE_TLS_H
#define AB_SERVE_TLS_H

#include "server.h"

struct tls;
int ab_tls_new(const struct config *config, struct tls **ret_tls, struct ab_error *err);
void ab_tls_free(struct tls *tls);
int ab_tls_reload(struct tls *tls, const struct config *config, struct ab_error *err);
/* The HTTP library's options, at most three and the end. */
void ab_tls_options(struct tls *tls, struct MHD_OptionItem options[4]);
/* Whether the client of a TLS connection showed a certificate by the CA that clients need; true where none is needed. */
bool ab_tls_is_client_known(const struct config *config, struct MHD_Connection *c);

#endif
