/* SPDX-License-Identifier: GPL-2.0-only */
/* The member that the kernel's version says. */
#include "anybpf.bpf.h"

extern int LINUX_KERNEL_VERSION __kconfig;

struct task_struct___new {
	unsigned int __state;
} __attribute__((preserve_access_index));
struct task_struct___old {
	long state;
} __attribute__((preserve_access_index));

AB_ARRAY(seen, u64, 1);

SEC("raw_tp/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev)
{
	struct task_struct___new *new = (void *)prev;
	struct task_struct___old *old = (void *)prev;
	u64 *slot = ab_first(&seen);

	if (!slot)
		return 0;
	if (LINUX_KERNEL_VERSION >= 0x050e00)
		*slot = ab_read(new->__state);
	else
		*slot = ab_read(old->state);
	return 0;
}

AB_LICENSE("GPL");
