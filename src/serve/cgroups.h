/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Control groups for compilers: one each, with limits, below the group that this process has for itself, which systemd
 * gives with Delegate=. Where there is none, compiles have their other limits (docs/sandbox.md).
 */
#ifndef AB_SERVE_CGROUPS_H
#define AB_SERVE_CGROUPS_H

#include <base/base.h>

struct cgroup_limits {
	uint64_t memory; /* bytes */
	unsigned tasks;
	unsigned cpu_percent; /* of one CPU */
};

/*
 * Moves this process into the group `server` below its own, so that there can be others beside it. -EOPNOTSUPP/UNSUPPORTED
 * when this machine or whoever started the process gives no such group, with the reason; then nothing has changed.
 */
struct cgroups;
int ab_cgroups_open(const struct cgroup_limits *limits, struct cgroups **ret_all, struct ab_error *err);
void ab_cgroups_close(struct cgroups *all);

/* A new group: its directory, which the caller gives back when nothing runs in it any more. */
int ab_cgroups_take(struct cgroups *all, char **ret_dir, struct ab_error *err);
/* Takes over the directory's name. Kills what is left in the group. NULL is allowed. */
void ab_cgroups_give(char *dir);

#endif
