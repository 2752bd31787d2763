/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The report's data, for its writers. */
#ifndef AB_LAB_REPORT_H
#define AB_LAB_REPORT_H

#include "test.h"

struct report_object {
	char *file, *name;
};

struct report_image {
	char *name, release[65];
	size_t guests;
	uint64_t boot_ns, ready_ns, total_ns; /* of the last guest; of all of them */
};

struct ab_report {
	struct test_cell *cells; /* image by image */
	struct report_object *objects;
	struct report_image *images;
	size_t object_count, image_count;
	struct ab_lab *lab;
	bool failed;
};

extern const char *const ab_verdict_words[];
/* Escaped for XML and HTML, text and attributes. */
void ab_xml_add(struct text *t, const char *s);
int ab_report_print(FILE *out, const struct text *t, struct ab_error *err);

#endif
