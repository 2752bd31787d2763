/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * offcpu: where processes wait: time away from the CPU by the stacks that led there.
 *
 *	COMM     PID    USER_STACK              KERNEL_STACK        COUNT  TIME
 *	sleep    4711   clock_nanosleep+0x5f    __schedule+0x2d1    1      1.000s
 *
 * `--flamegraph out.svg` draws them, by time. Kernel: 4.17 (raw tracepoints).
 */
#include "anybpf.bpf.h"
#include "core_fixes.bpf.h"

struct by {
	char comm[16];
	u32 pid;
	s32 user_stack AB_AS(ustack);
	s32 kernel_stack AB_AS(kstack);
};

struct off {
	u64 time AB_AS(duration);
	u64 count;
};

struct wait {
	u64 start;
	struct by by;
};

AB_STACKS(stacks, 16384);
AB_HASH(off_cpu, struct by, struct off, 16384) AB_SHOW;
AB_LRU_HASH(waits, u32, struct wait, 65536);
AB_TARGET_PID(target_pid);
AB_PARAM(u64, min_us, 0, "leave out shorter waits");
AB_PARAM(bool, blocked, false, "only tasks that wait for something, not those that others pushed from the CPU");

static __always_inline void leave_cpu(void *ctx, struct task_struct *task, u64 now)
{
	struct wait wait = { .start = now };
	u32 tid = ab_tid();

	wait.by.pid = ab_pid();
	if (!tid || (target_pid && wait.by.pid != (u32)target_pid) || (blocked && ab_task_state(task) == 0))
		return;
	ab_comm(wait.by.comm);
	wait.by.user_stack = ab_ustack(ctx, stacks);
	wait.by.kernel_stack = ab_kstack(ctx, stacks);
	bpf_map_update_elem(&waits, &tid, &wait, BPF_ANY);
}

static __always_inline void take_cpu(struct task_struct *task, u64 now)
{
	u32 tid = ab_read(task->pid);
	struct wait *wait = bpf_map_lookup_elem(&waits, &tid);
	struct off *off;
	u64 took;

	if (!wait)
		return;
	took = now - wait->start;
	if (took >= min_us * 1000) {
		struct by by = wait->by;

		off = ab_lookup_or_zero(off_cpu, &by);
		if (off) {
			__sync_fetch_and_add(&off->time, took);
			__sync_fetch_and_add(&off->count, 1);
		}
	}
	bpf_map_delete_elem(&waits, &tid);
}

SEC("raw_tp/sched_switch")
int BPF_PROG(sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	u64 now = ab_ktime();

	leave_cpu(ctx, prev, now);
	take_cpu(next, now);
	return 0;
}

AB_LICENSE("GPL");
