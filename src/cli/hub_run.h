/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the files of anybpf hub share in anybpf-hub. */
#ifndef AB_CLI_HUB_RUN_H
#define AB_CLI_HUB_RUN_H

#include <anybpf/hub.h>
#include <pthread.h>
#include "hub.h"
#include "packages/packages.h"

struct hub_run {
	struct cli *cli;
	const struct hub_opts *opts;
	bool progress;
	struct ab_pack_writer *writer; /* NULL: no pack */
	pthread_rwlock_t writing;      /* written to while a writer is replaced */
	pthread_mutex_t lock;          /* of all below, and of output */
	size_t added, known, failed;
};

/* Callbacks of ab_import(); `ctx` is the run. */
int hub_take_found(void *ctx, const struct ab_found *found, struct ab_error *err);
int hub_crawl(struct hub_run *run, const char *sources, struct ab_error *err);
int hub_status(struct hub_run *run, struct ab_error *err);

#endif
