/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* anybpf hub: its options. */
#ifndef AB_CLI_HUB_H
#define AB_CLI_HUB_H

#include "cli.h"

enum { HUB_IMPORT, HUB_CRAWL, HUB_STATUS };

struct hub_opts {
	struct common_opts common;
	const char *pack, *output, *state, *cache, *queue, *tmp_dir;
	const char *release, *arch, *distribution, *flavour;
	struct list only;
	int64_t jobs, downloads, rate;
	bool modules, list, retry;
};

/* In anybpf: starts anybpf-hub, which is the same program with the hub in it (hub_exec.c). There: does it (hub_run.c). */
int run_hub(struct cli *cli, struct ab_error *err);

#endif
