/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * execsnoop: programs as they start, with their arguments.
 *
 *	TIME             PID    PPID   UID  COMM       ARGS
 *	12:34:56.789012  4711   4700   1000 ls         ls --color=auto -l /tmp
 *
 * An event for every execve(2) or execveat(2) that succeeds. Arguments are read from the new program's memory, joined
 * by spaces and cut at 511 bytes.
 */
#include "anybpf.bpf.h"

#define ARGS_MAX 512

struct event {
	u64 time AB_AS(ktime);
	u32 pid;
	u32 ppid;
	u32 uid;
	char comm[16];
	char args[ARGS_MAX];
};

AB_EVENTS(events, struct event);
AB_PARAM(u32, target_ppid, 0, "only what this process starts; 0: all");
AB_PARAM(int, target_uid, -1, "only this user; -1: all");

/* Turns the NULs between arguments into spaces, eight bytes at a time. */
static __always_inline void join_args(u64 *words)
{
	const u64 low = 0x7f7f7f7f7f7f7f7fULL;

#pragma unroll
	for (int i = 0; i < ARGS_MAX / 8; i++) {
		u64 nuls = ~(((words[i] & low) + low) | words[i] | low);

		words[i] |= nuls >> 2;
	}
}

static __always_inline void read_args(struct event *e, struct task_struct *task)
{
	struct mm_struct *mm = ab_read(task->mm);
	u64 start = ab_read(mm->arg_start);
	u64 size = ab_read(mm->arg_end) - start;

	if (size == 0)
		return;
	if (size > ARGS_MAX - 1)
		size = ARGS_MAX - 1;
	if (bpf_probe_read_user(e->args, size, (void *)start))
		return;
	join_args((u64 *)e->args);
	/* The last argument's NUL, or the last byte that fits. */
	e->args[(size - 1) & (ARGS_MAX - 1)] = 0;
}

SEC("tracepoint/sched/sched_process_exec")
int exec(void *ctx)
{
	struct task_struct *task = ab_task();
	u32 ppid = ab_ppid(), uid = ab_uid();
	struct event *e;

	if ((target_ppid && ppid != target_ppid) || (target_uid != -1 && uid != (u32)target_uid))
		return 0;
	e = ab_reserve(events);
	if (!e)
		return 0;
	e->time = ab_ktime();
	e->pid = ab_pid();
	e->ppid = ppid;
	e->uid = uid;
	ab_comm(e->comm);
	read_args(e, task);
	ab_submit(ctx, events, e);
	return 0;
}

AB_LICENSE("GPL");
