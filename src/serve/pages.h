/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The files of web/, put into the program by the build. */
#ifndef AB_SERVE_PAGES_H
#define AB_SERVE_PAGES_H

#include <stddef.h>

struct page_file {
	const char *name, *type, *etag;
	const unsigned char *data;
	size_t size;
};

/* Ends with one without a name. */
extern const struct page_file ab_page_files[];
/* Of all files together; a part of the addresses that index.html names. */
extern const char ab_pages_version[];

#endif
