/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * exitsnoop: processes as they end: how, and after how long.
 *
 *	TIME             PID    PPID   COMM       STATUS  SIGNAL   AGE       PEAK
 *	12:34:56.789012  4711   4700   sleep      0       0        1.002s    1.8M
 *	12:34:57.012345  4712   4700   sleep      0       SIGKILL  210.1ms   1.8M
 *
 * An event for each process when its last thread ends. STATUS is what it gave to exit(2), SIGNAL what killed it, PEAK
 * the most memory that it had resident.
 */
#include "anybpf.bpf.h"
#include "core_fixes.bpf.h"

struct event {
	u64 time AB_AS(ktime);
	u32 pid;
	u32 ppid;
	char comm[16];
	u32 status;
	u32 signal AB_AS(signal);
	u64 age AB_AS(duration);
	bool core;
	u64 peak AB_AS(size);
};

AB_EVENTS(events, struct event);
AB_TARGET_PID(target_pid);
AB_PARAM(bool, failed, false, "only what ended with a status other than 0 or by a signal");
AB_PARAM(u32, page_size, 4096, "bytes of a page of this kernel");

SEC("tracepoint/sched/sched_process_exit")
int process_exit(void *ctx)
{
	struct task_struct *task = ab_task();
	struct signal_struct *signal = ab_read(task->signal);
	struct task_struct *leader = ab_read(task->group_leader);
	struct event *e;
	u32 code;

	/* The kernel has counted this thread out already: other threads live on while this is not zero. */
	if (ab_read(signal->live.counter) != 0 || (target_pid && ab_pid() != (u32)target_pid))
		return 0;
	code = ab_read(signal->group_exit_code);
	if (!code)
		code = ab_read(task->exit_code);
	if (failed && !code)
		return 0;
	e = ab_reserve(events);
	if (!e)
		return 0;
	e->time = ab_ktime();
	e->pid = ab_pid();
	e->ppid = ab_ppid();
	ab_comm(e->comm);
	e->status = code >> 8 & 0xff;
	e->signal = code & 0x7f;
	e->core = code & 0x80;
	e->age = e->time - ab_task_start_ktime(leader);
	e->peak = (u64)ab_read(signal->maxrss) * page_size;
	ab_submit(ctx, events, e);
	return 0;
}

AB_LICENSE("GPL");
