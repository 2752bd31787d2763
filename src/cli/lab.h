/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf lab and anybpf test: their options. */
#ifndef AB_CLI_LAB_H
#define AB_CLI_LAB_H

#include "cli.h"

/* What both commands have. */
struct lab_common {
	struct common_opts common;
	struct list kernels;       /* lists of names */
	struct list kernel_files;
	const char *arch, *cache, *accel, *qemu, *guest_dir;
	struct list hide;
	int64_t jobs, memory, cache_limit;
	uint64_t timeout;
	bool offline;
};

enum { LAB_KERNELS, LAB_FETCH, LAB_SHELL, LAB_SURVEY, LAB_CLEAN };

struct lab_opts {
	struct lab_common lab;
	const char *output;
	const char *share;
	struct list modules;
};

struct test_opts {
	struct lab_common lab;
	const char *junit, *html, *log_dir;
	bool cached;
};

/*
 * In anybpf: starts anybpf-lab, which is the same program with the lab in it (lab_exec.c). There: does it (lab_run.c,
 * test_run.c).
 */
int run_lab(struct cli *cli, struct ab_error *err);
int run_test(struct cli *cli, struct ab_error *err);

#endif
