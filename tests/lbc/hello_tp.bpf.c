/* SPDX-License-Identifier: GPL-2.0-only */
/* hello.bpf.c for kernels without kprobes: the same read of the same task, at a raw tracepoint. */
#include "lbc.h"

SEC("raw_tracepoint/sched_wakeup_new")
int on_new_task(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];

	bpf_printk("a new task of process %d\n", _(task->tgid));
	return 0;
}
char _license[] SEC("license") = "GPL";
