/* SPDX-License-Identifier: GPL-2.0-only */
/* task_struct.__state was called state before 5.14. */
#include "anybpf.bpf.h"

struct task_struct___new {
	unsigned int __state;
} __attribute__((preserve_access_index));

AB_ARRAY(seen, u32, 1);

SEC("raw_tp/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev)
{
	struct task_struct___new *task = (void *)prev;
	u32 *slot = ab_first(&seen);

	if (slot)
		*slot = ab_read(task->__state);
	return 0;
}

AB_LICENSE("GPL");
