/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The first program of coolbpf's introduction, in our words: a kprobe, one member read by _(), a line of trace
 * output.
 */
#include "lbc.h"

SEC("kprobe/wake_up_new_task")
int on_new_task(struct pt_regs *ctx)
{
	struct task_struct *task = (struct task_struct *)PT_REGS_PARM1(ctx);

	bpf_printk("a new task of process %d\n", _(task->tgid));
	return 0;
}
char _license[] SEC("license") = "GPL";
