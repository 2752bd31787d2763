/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf lab and anybpf test outside anybpf-lab: starts that. */
#include "lab.h"

int run_lab(struct cli *cli, struct ab_error *err)
{
	return cli_start(cli, "anybpf-lab", "src/lab/", err);
}

int run_test(struct cli *cli, struct ab_error *err)
{
	return cli_start(cli, "anybpf-lab", "src/lab/", err);
}
