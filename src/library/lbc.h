/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the files of coolbpf's ABI share (docs/format-lbc.md). Linked into the library template alone. */
#ifndef AB_LBC_H
#define AB_LBC_H

#include <run/run.h>

/* The section of a library with what its server knows of it: `{"hash": …, "arch": …, "kern_version": …}`. */
#define LBC_SECTION ".anybpf.lbc"

/*
 * Appends the JSON of lbc_get_map_types() for an opened object; `labels` is the section's content, NULL if there is
 * none.
 */
int ab_lbc_describe(const struct ab_object *object, const char *labels, struct text *out, struct ab_error *err);

/* lbc_types.c: C declarations, as pylcc's cffi understands them, of types of the object and of what they contain. */
struct lbc_declarations {
	const struct ab_btf *btf;
	struct text out;
	struct strmap done; /* names that are declared */
};

/* lbc_perf.c: fills an attribute of a perf event from JSON, `{"type": "1", "sample_freq": "99"}`. */
struct perf_event_attr;
int ab_lbc_perf_attr(const char *json, struct perf_event_attr *ret_attr, struct ab_error *err);

/* library.c: a section of this library's own file, copied, for free(); NULL if there is none. */
char *ab_library_section(const char *name);

#endif
