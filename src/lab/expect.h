/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Expectation files (docs/format-test.md), and judging what `anybpf run --json` printed by them. */
#ifndef AB_LAB_EXPECT_H
#define AB_LAB_EXPECT_H

/* Both jansson and our JSON writer have a json_null(); jansson's is not used. */
#define json_null jansson_null
#include <jansson.h>
#undef json_null
#include "base/base.h"

struct expect {
	json_t *root;           /* an object; what is left out is absent */
	char *text;             /* the file's bytes, for verdicts' keys; "" when there is none */
};

/* Reads and checks a file; a path that does not exist expects load and attach. */
int ab_expect_open(const char *path, struct expect *ret, struct ab_error *err);
void ab_expect_close(struct expect *expect);
/* Strings of an array; the result is the caller's to free, the strings are not. NULL when memory ran out. */
const char **ab_expect_strings(const struct expect *expect, const char *key, size_t *ret_count);
unsigned ab_expect_number(const struct expect *expect, const char *key, unsigned fallback);

/* Whether a kernel's release ("6.1.0-56-amd64") is in a range ("< 5.8"). */
bool ab_range_has(const char *range, const char *release);
/* Checks the form of a range. */
bool ab_range_valid(const char *range);

/* What one run of an object came to. */
struct run_output {
	const char *out, *err;      /* standard output and error of `anybpf run --json`; `out` may hold NULs */
	size_t out_size;
	bool ended;
	int status;
	unsigned timeout_s;         /* how long it had to attach */
	const char *release, *arch; /* of the guest's kernel */
};

/*
 * Judges: fills *ret_doc with programs, counts, verdict ("pass", "fail", "skip"), reason and detail, as in the JSON report.
 */
int ab_expect_judge(const struct expect *expect, const struct run_output *run, json_t **ret_doc, struct ab_error *err);

/* A JSON string of text from a guest, which need not be UTF-8. */
json_t *ab_expect_text(const char *text);

#endif
