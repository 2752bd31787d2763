/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cpudist: how long tasks stay on a CPU once they got one (or, with --off, away from it), as a histogram.
 *
 *	     us              : count    distribution
 *	     64 -> 127       : 83       |****************************************|
 *
 * Kernel: 4.17 (raw tracepoints).
 */
#include "anybpf.bpf.h"

AB_HIST_LOG2(times) AB_UNIT(us);
AB_HASH(since, u32, u64, 65536);
AB_TARGET_PID(target_pid);
AB_PARAM(bool, off, false, "time away from the CPU");

static __always_inline bool is_wanted(struct task_struct *task)
{
	return ab_read(task->pid) && (!target_pid || ab_read(task->tgid) == target_pid);
}

static __always_inline void begin(struct task_struct *task, u64 now)
{
	u32 tid = ab_read(task->pid);

	if (is_wanted(task))
		bpf_map_update_elem(&since, &tid, &now, BPF_ANY);
}

static __always_inline void end(struct task_struct *task, u64 now)
{
	u32 tid = ab_read(task->pid);
	u64 *start = bpf_map_lookup_elem(&since, &tid);

	if (!start)
		return;
	ab_log2_add(times, (now - *start) / 1000);
	bpf_map_delete_elem(&since, &tid);
}

SEC("raw_tp/sched_switch")
int BPF_PROG(sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	u64 now = ab_ktime();

	if (off) {
		end(next, now);
		begin(prev, now);
	} else {
		end(prev, now);
		begin(next, now);
	}
	return 0;
}

AB_LICENSE("GPL");
