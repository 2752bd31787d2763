/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Reports: verdicts as a table of kernels by objects, and reasons grouped by the kernels that they are about. */
#ifndef AB_CHECK_REPORT_H
#define AB_CHECK_REPORT_H

#include <anybpf/check.h>
#include <base/base.h>

struct ab_check_report {
	struct ab_kernel *kernels;      /* ordered when something is written */
	size_t n_kernels;
	char **objects;
	size_t n_objects;
	const struct ab_check_verdict **cells; /* [object * cap_kernels + kernel], NULL: not checked */
	size_t cap_kernels;
};

/* A reason of an object with the kernels that it is about. */
struct finding {
	const struct ab_check_reason *reason;
	uint32_t *kernels;              /* indices, ascending */
	size_t n_kernels;
};

struct findings {
	struct finding
		*list; /* fatal ones first, those about most kernels first; those about the same kernels together */
	size_t n;
	size_t results[4];              /* how many kernels have which enum ab_check_result */
};

bool ab_check_same_kernels(const struct finding *a, const struct finding *b);
/* Appends which kernels of the report they are: "all before 5.5", "aarch64 since 6.4", "5.10.0-8-amd64 and 3 more". */
void ab_check_say_kernels(const struct ab_check_report *report, size_t object, const uint32_t *kernels, size_t n,
			  struct text *out);

void ab_check_write_text(const struct ab_check_report *report, size_t object, const struct findings *findings,
			 struct text *out);
void ab_check_write_json(const struct ab_check_report *report, const struct findings *findings, struct text *out);
void ab_check_write_html(const struct ab_check_report *report, const struct findings *findings, struct text *out);

#endif
