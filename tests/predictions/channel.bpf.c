/* SPDX-License-Identifier: GPL-2.0-only */
/* An event channel and a histogram: what tools are made of. */
#include "anybpf.bpf.h"

struct event {
	u32 pid;
	char comm[16];
};

AB_EVENTS(events, struct event);
AB_HIST_LOG2(sizes);
AB_PARAM(u32, only, 0, "only this process");

SEC("tp/sched/sched_process_exec")
int on_exec(void *ctx)
{
	struct event *e;

	if (only && ab_pid() != only)
		return 0;
	ab_log2_add(sizes, ab_pid());
	e = ab_reserve(events);
	if (!e)
		return 0;
	e->pid = ab_pid();
	ab_comm(e->comm);
	ab_submit(ctx, events, e);
	return 0;
}

AB_LICENSE("GPL");
