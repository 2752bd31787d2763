/* SPDX-License-Identifier: GPL-2.0-only */
/* Asked in one function and read in another, neither inlined. */
#include "anybpf.bpf.h"

struct task_struct___never {
	int never_was;
} __attribute__((preserve_access_index));

AB_ARRAY(seen, int, 1);

static __noinline int has_member(void)
{
	return bpf_core_field_exists(struct task_struct___never, never_was) ? 7 : 3;
}

static __noinline int read_member(struct task_struct___never *task, int which)
{
	return which == 7 ? ab_read(task->never_was) : which;
}

SEC("raw_tp/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev)
{
	int *slot = ab_first(&seen);

	if (slot)
		*slot = read_member((void *)prev, has_member());
	return 0;
}

AB_LICENSE("GPL");
