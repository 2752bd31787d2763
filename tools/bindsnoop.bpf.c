/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bindsnoop: addresses that processes bind sockets to, over IPv4 and IPv6.
 *
 *	TIME             PID    UID   COMM    FD  ADDRESS   PORT  RET
 *	12:34:56.789012  4711   1000  nginx   5   0.0.0.0   80    EACCES
 *
 * An event for every bind(2) to an Internet address, when it returns. Port 0 asks for any that is free.
 */
#include "anybpf.bpf.h"

struct event {
	u64 time AB_AS(ktime);
	u32 pid;
	u32 uid;
	char comm[16];
	s32 fd;
	u8 address[16] AB_AS(ip);
	u16 port;
	s32 ret AB_AS(result);
};

struct call {
	const void *address;
	u64 fd;
};

AB_EVENTS(events, struct event);
AB_HASH(calls, u32, struct call, 10240);
AB_TARGET_PID(target_pid);
AB_PARAM(bool, failed, false, "only calls that failed");
AB_PARAM(u16, port, 0, "only this port; 0: all");

SEC("tracepoint/syscalls/sys_enter_bind")
int bind_enter(struct trace_event_raw_sys_enter *ctx)
{
	struct call call = { (const void *)ctx->args[1], ctx->args[0] };
	u32 tid = ab_tid();

	if (!target_pid || ab_pid() == (u32)target_pid)
		bpf_map_update_elem(&calls, &tid, &call, BPF_ANY);
	return 0;
}

/* Both kinds of address begin with their family and, in network order, the port. */
union address {
	struct {
		u16 family;
		u16 port;
	};
	struct {
		u64 begin;
		u8 v6[16];
	} in6;
	struct {
		u32 begin;
		u8 v4[4];
	} in4;
};

static __always_inline bool read_address(struct event *e, const void *user)
{
	union address address = {};

	/* An IPv4 address may be the last thing before memory that can't be read. */
	if (bpf_probe_read_user(&address, sizeof(address.in4), user))
		return false;
	if (address.family == AF_INET6 && bpf_probe_read_user(&address, sizeof(address.in6), user))
		return false;
	e->port = bpf_ntohs(address.port);
	if (address.family == AF_INET6) {
		__builtin_memcpy(e->address, address.in6.v6, sizeof(e->address));
	} else if (address.family == AF_INET) {
		e->address[10] = 0xff;
		e->address[11] = 0xff;
		__builtin_memcpy(e->address + 12, address.in4.v4, sizeof(address.in4.v4));
	} else {
		return false;
	}
	return !port || e->port == port;
}

SEC("tracepoint/syscalls/sys_exit_bind")
int bind_leave(struct trace_event_raw_sys_exit *ctx)
{
	u32 tid = ab_tid();
	struct call *call = bpf_map_lookup_elem(&calls, &tid);
	struct event *e = NULL;

	if (!call)
		return 0;
	if (!failed || ctx->ret < 0)
		e = ab_reserve(events);
	if (e) {
		e->time = ab_ktime();
		e->pid = ab_pid();
		e->uid = ab_uid();
		ab_comm(e->comm);
		e->fd = call->fd;
		e->ret = ctx->ret;
		if (read_address(e, call->address))
			ab_submit(ctx, events, e);
		else
			ab_discard(events, e);
	}
	bpf_map_delete_elem(&calls, &tid);
	return 0;
}

AB_LICENSE("GPL");
