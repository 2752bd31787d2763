/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * runqlat: how long tasks wait for a CPU after they could run, as a histogram.
 *
 *	     us              : count    distribution
 *	     0 -> 1          : 1203     |****************************************|
 *	     2 -> 3          : 418      |*************                           |
 *
 * --by_process: one histogram for each process name. Kernel: 4.17 (raw tracepoints).
 */
#include "anybpf.bpf.h"
#include "core_fixes.bpf.h"

struct by {
	char comm[16];
};

AB_HIST_LOG2(latency) AB_UNIT(us);
AB_HASH_LOG2(latency_by_process, struct by, 4096) AB_UNIT(us);
AB_HASH(waiting, u32, u64, 65536);
AB_TARGET_PID(target_pid);
AB_PARAM(bool, by_process, false, "one histogram for each process name");

static __always_inline void enqueue(struct task_struct *task)
{
	u32 tid = ab_read(task->pid);
	u64 now = ab_ktime();

	if (tid && (!target_pid || ab_read(task->tgid) == target_pid))
		bpf_map_update_elem(&waiting, &tid, &now, BPF_ANY);
}

SEC("raw_tp/sched_wakeup")
int BPF_PROG(wakeup, struct task_struct *task)
{
	enqueue(task);
	return 0;
}

SEC("raw_tp/sched_wakeup_new")
int BPF_PROG(wakeup_new, struct task_struct *task)
{
	enqueue(task);
	return 0;
}

SEC("raw_tp/sched_switch")
int BPF_PROG(sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	u32 tid = ab_read(next->pid);
	u64 *since, us;
	struct by key;

	/* Still running means preempted: it waits again. */
	if (ab_task_state(prev) == 0)
		enqueue(prev);
	since = bpf_map_lookup_elem(&waiting, &tid);
	if (!since)
		return 0;
	us = (ab_ktime() - *since) / 1000;
	bpf_map_delete_elem(&waiting, &tid);
	if (by_process) {
		bpf_probe_read_kernel(key.comm, sizeof(key.comm), next->comm);
		ab_hash_log2_add(latency_by_process, &key, us);
	} else {
		ab_log2_add(latency, us);
	}
	return 0;
}

AB_LICENSE("GPL");
