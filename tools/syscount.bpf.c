/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * syscount: system calls by kind: how many, how long, how many failed.
 *
 *	PID  SYSCALL        COUNT    ERRORS  TIME
 *	0    epoll_wait     14       0       9.812s
 *	0    read           1203     3       12.01ms
 *
 * --by_process: a row for each process and call, else PID is 0. Calls in progress at the start are not counted.
 */
#include "anybpf.bpf.h"

struct by {
	u32 pid;
	u32 syscall AB_AS(syscall);
};

struct value {
	u64 count;
	u64 errors;
	u64 time AB_AS(duration);
};

struct call {
	u64 start;
	u64 syscall;
};

AB_HASH(syscalls, struct by, struct value, 10240) AB_SHOW;
AB_HASH(calls, u32, struct call, 65536);
AB_TARGET_PID(target_pid);
AB_PARAM(bool, by_process, false, "a row for each process and system call");

SEC("tracepoint/raw_syscalls/sys_enter")
int sys_enter(struct trace_event_raw_sys_enter *ctx)
{
	struct call call = { ab_ktime(), ctx->id };
	u32 tid = ab_tid();

	if (ctx->id >= 0 && (!target_pid || ab_pid() == (u32)target_pid))
		bpf_map_update_elem(&calls, &tid, &call, BPF_ANY);
	return 0;
}

SEC("tracepoint/raw_syscalls/sys_exit")
int sys_exit(struct trace_event_raw_sys_exit *ctx)
{
	u32 tid = ab_tid();
	struct call *call = bpf_map_lookup_elem(&calls, &tid);
	struct by key = {};
	struct value *value;

	if (!call)
		return 0;
	key.pid = by_process ? ab_pid() : 0;
	key.syscall = call->syscall;
	value = ab_lookup_or_zero(syscalls, &key);
	if (value) {
		__sync_fetch_and_add(&value->count, 1);
		__sync_fetch_and_add(&value->time, ab_ktime() - call->start);
		/* The kernel's error numbers; a large address is no error. */
		if (ctx->ret < 0 && ctx->ret >= -4095)
			__sync_fetch_and_add(&value->errors, 1);
	}
	bpf_map_delete_elem(&calls, &tid);
	return 0;
}

AB_LICENSE("GPL");
