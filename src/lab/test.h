/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A test run and its report. */
#ifndef AB_LAB_TEST_H
#define AB_LAB_TEST_H

#include <glob.h>
#include "expect.h"
#include "lab.h"

struct test_object {
	const char *file;        /* as the user gave it */
	const char *path;        /* of the object */
	char *name, *guest_path;
	char hash[HASH_TEXT];
	struct expect expect;
	const char **args, **modules; /* strings of `expect` */
	const char **commands;        /* those of `setup`, then those of `workload` */
	glob_t files;                 /* of this machine */
	size_t arg_count, setup_count, command_count;
	bool foreign;                 /* wants files of this machine, which are for another architecture than the guest's */
	unsigned timeout_ms;
};

/* One object on one kernel. */
struct test_cell {
	json_t *doc;             /* what `result` points into */
	bool from_cache;
	struct ab_test_program *programs;
	struct ab_test_result result;
};

struct test {
	struct ab_lab *lab;
	const struct ab_test_opts *opts;
	struct test_object *objects;
	size_t object_count;
	char *anybpf, anybpf_hash[HASH_TEXT];
	pthread_mutex_t lock;    /* of `next`, cells and the report */
	size_t next;             /* image */
	struct test_cell *cells; /* of the report: image by image */
	struct ab_report *report;
};

/* ---- report.c ---- */

int ab_report_new(struct test *t, struct ab_report **ret_report, struct ab_error *err);
/* Makes the public result of a cell from its document. */
void ab_report_fill(struct test *t, size_t image, size_t object);
/* What the report calls a kernel: no two alike. */
const char *ab_report_image_name(const struct ab_report *report, size_t image);
/* Notes how long a guest took. Returns how many its kernel had, this one included. */
size_t ab_report_guest(struct test *t, size_t image, const struct ab_guest_result *result);

/* ---- verdict.c: verdicts of earlier runs ---- */

/* NULL: not known. Only what does not depend on luck is kept: passes and skips. */
json_t *ab_verdict_recall(struct test *t, size_t image, size_t object);
void ab_verdict_keep(struct test *t, size_t image, size_t object, json_t *doc);

#endif
