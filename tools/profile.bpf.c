/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * profile: where CPUs spend their time: stacks of the kernel and of processes, sampled 99 times a second on each CPU.
 *
 *	COMM     PID    USER_STACK              KERNEL_STACK        COUNT
 *	gzip     4711   deflate+0x1f2           -                   204
 *
 * `anybpf run tools/profile.bpf.c --flamegraph out.svg` draws them. Another rate: `--attach sample=cpu-clock@997`.
 * Kernel: 4.9.
 */
#include "anybpf.bpf.h"

struct by {
	char comm[16];
	u32 pid;
	s32 user_stack AB_AS(ustack);
	s32 kernel_stack AB_AS(kstack);
};

AB_STACKS(stacks, 16384);
AB_HASH(samples, struct by, u64, 16384) AB_SHOW;
AB_TARGET_PID(target_pid);
AB_PARAM(bool, idle, false, "count idle CPUs too");
AB_PARAM(bool, user_only, false, "leave out the kernel's frames");
AB_PARAM(bool, kernel_only, false, "leave out the processes' frames");

SEC("perf_event") AB_ATTACH("cpu-clock@99")
int sample(struct bpf_perf_event_data *ctx)
{
	struct by key = { .pid = ab_pid(), .user_stack = -EFAULT, .kernel_stack = -EFAULT };

	if ((!idle && ab_tid() == 0) || (target_pid && key.pid != (u32)target_pid))
		return 0;
	ab_comm(key.comm);
	if (!kernel_only)
		key.user_stack = ab_ustack(ctx, stacks);
	if (!user_only)
		key.kernel_stack = ab_kstack(ctx, stacks);
	ab_count(samples, &key);
	return 0;
}

AB_LICENSE("GPL");
