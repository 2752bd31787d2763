/* SPDX-License-Identifier: GPL-2.0-only */
/* A member that no kernel has, read without asking. */
#include "anybpf.bpf.h"

struct task_struct___never {
	int never_was;
} __attribute__((preserve_access_index));

AB_ARRAY(seen, int, 1);

SEC("raw_tp/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev)
{
	struct task_struct___never *task = (void *)prev;
	int *slot = ab_first(&seen);

	if (slot)
		*slot = ab_read(task->never_was);
	return 0;
}

AB_LICENSE("GPL");
