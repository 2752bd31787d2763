/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* docs/openapi.json, put into the program by the build. */
#ifndef AB_SERVE_OPENAPI_H
#define AB_SERVE_OPENAPI_H

#include <stddef.h>

extern const unsigned char ab_openapi[];
extern const size_t ab_openapi_size;

#endif
