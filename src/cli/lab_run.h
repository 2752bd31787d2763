/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What `anybpf lab` and `anybpf test` share in anybpf-lab. */
#ifndef AB_CLI_LAB_RUN_H
#define AB_CLI_LAB_RUN_H

#include <anybpf/lab.h>
#include "lab.h"

struct lab_run {
	struct cli *cli;
	const struct lab_common *opts;
	struct ab_lab *lab;
	struct ab_image **images;
	size_t image_count;
	char *guest_anybpf; /* path */
	bool progress;
	bool lenient;       /* kernels that cannot be had become broken images */
};

int lab_run_open(struct cli *cli, const struct lab_common *opts, struct lab_run *run, struct ab_error *err);
void lab_run_close(struct lab_run *run);
/* Fetches kernels of the archive by a list of names. */
int lab_run_add_kernels(struct lab_run *run, const char *spec, struct ab_error *err);
/* Those of --kernels and --kernel. */
int lab_run_add_images(struct lab_run *run, struct ab_error *err);
unsigned lab_run_jobs(const struct lab_run *run);

#endif
