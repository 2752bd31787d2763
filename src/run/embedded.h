/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The section of a made library that holds its object: docs/format-so.md. */
#ifndef AB_EMBEDDED_H
#define AB_EMBEDDED_H

#include <base/base.h>

#define EMBEDDED_SECTION ".anybpf.object"

enum { EMBEDDED_HEADER_SIZE = 32, EMBEDDED_VERSION = 1 };

/* Writes the header that stands before an object. */
void ab_embedded_header(const void *object, size_t size, uint8_t ret_header[EMBEDDED_HEADER_SIZE]);
/* Checks a section's content and gives the object in it. -EBADMSG/FORMAT: truncated, damaged, or of a newer format. */
int ab_embedded_object(const void *section, size_t size, const void **ret_object, size_t *ret_size, struct ab_error *err);

#endif
