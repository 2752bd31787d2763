/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Stacks of getpgid() in one process, as a map and as events. */
#include "anybpf.bpf.h"

struct by { u32 pid; char comm[16]; s32 user AB_AS(ustack); s32 kernel AB_AS(kstack); };

AB_STACKS(stacks, 16384);
AB_HASH(by_stack, struct by, u64, 64) AB_SHOW;
AB_TARGET_PID(target_pid);

SEC("tracepoint/syscalls/sys_enter_getpgid")
int getpgid(void *ctx)
{
	struct by key = { .pid = ab_pid() };

	if (key.pid != (u32)target_pid)
		return 0;
	ab_comm(key.comm);
	key.user = ab_ustack(ctx, stacks);
	key.kernel = ab_kstack(ctx, stacks);
	ab_count(by_stack, &key);
	return 0;
}

AB_LICENSE("GPL");
