/* SPDX-License-Identifier: GPL-2.0-only */
/* Files opened, by whom and with what result: a hash from enter to exit and a perf buffer. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct args {
	const char *name;
	int flags;
};

struct event {
	u64 ts;
	pid_t pid;
	uid_t uid;
	int ret, flags;
	char comm[16];
	char name[255];
};

const volatile pid_t targ_pid = 0;
const volatile uid_t targ_uid = -1;
const volatile bool only_failed = false;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, u32);
	__type(value, struct args);
} start SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} events SEC(".maps");

static __always_inline bool is_wanted(u32 tgid)
{
	u32 uid = bpf_get_current_uid_gid();

	if (targ_pid && targ_pid != tgid)
		return false;
	return targ_uid == (uid_t)-1 || targ_uid == uid;
}

static __always_inline int enter(const char *name, int flags)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tid = id;
	struct args a = { .name = name, .flags = flags };

	if (is_wanted(id >> 32))
		bpf_map_update_elem(&start, &tid, &a, 0);
	return 0;
}

static __always_inline int leave(struct trace_event_raw_sys_exit *ctx)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct args *a = bpf_map_lookup_elem(&start, &tid);
	struct event e = {};

	if (!a)
		return 0;
	if (only_failed && ctx->ret >= 0)
		goto done;
	e.ts = bpf_ktime_get_ns();
	e.pid = bpf_get_current_pid_tgid() >> 32;
	e.uid = bpf_get_current_uid_gid();
	e.ret = ctx->ret;
	e.flags = a->flags;
	bpf_get_current_comm(&e.comm, sizeof(e.comm));
	bpf_probe_read_user_str(&e.name, sizeof(e.name), a->name);
	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &e, sizeof(e));
done:
	bpf_map_delete_elem(&start, &tid);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_open")
int enter_open(struct trace_event_raw_sys_enter *ctx)
{
	return enter((const char *)ctx->args[0], ctx->args[1]);
}

SEC("tracepoint/syscalls/sys_enter_openat")
int enter_openat(struct trace_event_raw_sys_enter *ctx)
{
	return enter((const char *)ctx->args[1], ctx->args[2]);
}

SEC("tracepoint/syscalls/sys_exit_open")
int exit_open(struct trace_event_raw_sys_exit *ctx)
{
	return leave(ctx);
}

SEC("tracepoint/syscalls/sys_exit_openat")
int exit_openat(struct trace_event_raw_sys_exit *ctx)
{
	return leave(ctx);
}

char LICENSE[] SEC("license") = "GPL";
