/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * syncsnoop: calls that wait for data to reach the disk, and for how long.
 *
 *	TIME             PID    COMM     CALL       RET  DURATION
 *	12:34:56.789012  4711   dpkg     fsync      0    12.41ms
 *
 * sync(2), syncfs(2), fsync(2), fdatasync(2), sync_file_range(2) and msync(2).
 */
#include "anybpf.bpf.h"

enum call {
	sync = 1,
	syncfs,
	fsync,
	fdatasync,
	sync_file_range,
	msync,
};

struct event {
	u64 time AB_AS(ktime);
	u32 pid;
	char comm[16];
	enum call call;
	s32 ret AB_AS(result);
	u64 duration AB_AS(duration);
};

AB_EVENTS(events, struct event);
AB_HASH(starts, u32, u64, 10240);
AB_TARGET_PID(target_pid);
AB_PARAM(u64, min_us, 0, "only what took longer");

static __always_inline int enter(void)
{
	u32 tid = ab_tid();
	u64 now = ab_ktime();

	if (!target_pid || ab_pid() == (u32)target_pid)
		bpf_map_update_elem(&starts, &tid, &now, BPF_ANY);
	return 0;
}

static __always_inline int leave(void *ctx, enum call call, long ret)
{
	u32 tid = ab_tid();
	u64 *start = bpf_map_lookup_elem(&starts, &tid), now = ab_ktime();
	struct event *e = NULL;

	if (!start)
		return 0;
	if (now - *start >= min_us * 1000)
		e = ab_reserve(events);
	if (e) {
		e->time = now;
		e->pid = ab_pid();
		ab_comm(e->comm);
		e->call = call;
		e->ret = ret;
		e->duration = now - *start;
		ab_submit(ctx, events, e);
	}
	bpf_map_delete_elem(&starts, &tid);
	return 0;
}

#define SYNC_CALL(name)                                                 \
	SEC("tracepoint/syscalls/sys_enter_" #name) AB_OPTIONAL         \
	int name##_enter(void *ctx)                                     \
	{                                                               \
		return enter();                                         \
	}                                                               \
	SEC("tracepoint/syscalls/sys_exit_" #name) AB_OPTIONAL          \
	int name##_leave(struct trace_event_raw_sys_exit *ctx)          \
	{                                                               \
		return leave(ctx, name, ctx->ret);                      \
	}

SYNC_CALL(sync)
SYNC_CALL(syncfs)
SYNC_CALL(fsync)
SYNC_CALL(fdatasync)
SYNC_CALL(sync_file_range)
SYNC_CALL(msync)

AB_LICENSE("GPL");
