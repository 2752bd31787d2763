/* SPDX-License-Identifier: GPL-2.0-only */
/* A parameter's default value leaves the code out. */
#include "anybpf.bpf.h"

AB_PARAM(bool, brave, false, "read what no kernel has");

struct task_struct___never {
	int never_was;
} __attribute__((preserve_access_index));

AB_ARRAY(seen, int, 1);

SEC("raw_tp/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev)
{
	struct task_struct___never *task = (void *)prev;
	int *slot = ab_first(&seen);

	if (slot && brave)
		*slot = ab_read(task->never_was);
	return 0;
}

AB_LICENSE("GPL");
