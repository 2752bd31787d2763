/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * opensnoop: files that processes open, and what came of it.
 *
 *	TIME             PID    TID    UID  COMM       RET     FLAGS     FILE
 *	12:34:56.789012  4711   4711   1000 bash       3       0x8000    /etc/passwd
 *	12:34:56.789345  4711   4711   1000 bash       ENOENT  0x0       /etc/nothing
 *
 * An event for every open(2), openat(2), openat2(2) and creat(2) when it returns.
 */
#include "anybpf.bpf.h"

struct event {
	u64 time AB_AS(ktime);
	u32 pid;
	u32 tid;
	u32 uid;
	char comm[16];
	s32 ret AB_AS(result);
	u32 flags AB_AS(hex);
	char file[256];
};

/* What a thread's call was given, until it returns: the name is in memory for sure only then. */
struct call {
	const char *file;
	u64 flags;
};

AB_EVENTS(events, struct event);
AB_HASH(calls, u32, struct call, 10240);
AB_TARGET_PID(target_pid);
AB_PARAM(int, target_uid, -1, "only this user; -1: all");
AB_PARAM(bool, failed, false, "only calls that failed");

static __always_inline int enter(const char *file, u64 flags)
{
	struct call call = { file, flags };
	u32 tid = ab_tid();

	if ((target_pid && ab_pid() != (u32)target_pid) || (target_uid != -1 && ab_uid() != (u32)target_uid))
		return 0;
	bpf_map_update_elem(&calls, &tid, &call, BPF_ANY);
	return 0;
}

static __always_inline int leave(void *ctx, long ret)
{
	u32 tid = ab_tid();
	struct call *call = bpf_map_lookup_elem(&calls, &tid);
	struct event *e = NULL;

	if (!call)
		return 0;
	if (!failed || ret < 0)
		e = ab_reserve(events);
	if (e) {
		e->time = ab_ktime();
		e->pid = ab_pid();
		e->tid = tid;
		e->uid = ab_uid();
		ab_comm(e->comm);
		e->ret = ret;
		e->flags = call->flags;
		ab_read_user_str(e->file, call->file);
		ab_submit(ctx, events, e);
	}
	bpf_map_delete_elem(&calls, &tid);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_openat")
int openat_enter(struct trace_event_raw_sys_enter *ctx)
{
	return enter((const char *)ctx->args[1], ctx->args[2]);
}

SEC("tracepoint/syscalls/sys_exit_openat")
int openat_leave(struct trace_event_raw_sys_exit *ctx)
{
	return leave(ctx, ctx->ret);
}

/* openat2() is new in 5.6, open() and creat() are absent on newer architectures. */
SEC("tracepoint/syscalls/sys_enter_openat2") AB_OPTIONAL
int openat2_enter(struct trace_event_raw_sys_enter *ctx)
{
	u64 flags = 0;

	/* struct open_how begins with its flags. */
	bpf_probe_read_user(&flags, sizeof(flags), (void *)ctx->args[2]);
	return enter((const char *)ctx->args[1], flags);
}

SEC("tracepoint/syscalls/sys_exit_openat2") AB_OPTIONAL
int openat2_leave(struct trace_event_raw_sys_exit *ctx)
{
	return leave(ctx, ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_open") AB_OPTIONAL
int open_enter(struct trace_event_raw_sys_enter *ctx)
{
	return enter((const char *)ctx->args[0], ctx->args[1]);
}

SEC("tracepoint/syscalls/sys_exit_open") AB_OPTIONAL
int open_leave(struct trace_event_raw_sys_exit *ctx)
{
	return leave(ctx, ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_creat") AB_OPTIONAL
int creat_enter(struct trace_event_raw_sys_enter *ctx)
{
	return enter((const char *)ctx->args[0], O_CREAT | O_WRONLY | O_TRUNC);
}

SEC("tracepoint/syscalls/sys_exit_creat") AB_OPTIONAL
int creat_leave(struct trace_event_raw_sys_exit *ctx)
{
	return leave(ctx, ctx->ret);
}

AB_LICENSE("GPL");
