/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tcpstates: TCP connections as they go from state to state.
 *
 *	TIME             PID    COMM   LADDR      LPORT  RADDR      RPORT  OLD        NEW          TIME_IN_OLD
 *	12:34:56.789012  4711   curl   10.0.0.2   0      10.0.0.7   443    CLOSE      SYN_SENT     0ns
 *	12:34:56.790012  0      swapp  10.0.0.2   41234  10.0.0.7   443    SYN_SENT   ESTABLISHED  1.000ms
 *
 * PID and COMM are those of the task that runs when the state changes, which for packets that come in is anybody.
 * Kernel: 4.16.
 */
#include "anybpf.bpf.h"

enum tcp_state {
	ESTABLISHED = 1,
	SYN_SENT,
	SYN_RECV,
	FIN_WAIT1,
	FIN_WAIT2,
	TIME_WAIT,
	CLOSE,
	CLOSE_WAIT,
	LAST_ACK,
	LISTEN,
	CLOSING,
	NEW_SYN_RECV,
};

struct event {
	u64 time AB_AS(ktime);
	u32 pid;
	char comm[16];
	u8 laddr[16] AB_AS(ip);
	u16 lport;
	u8 raddr[16] AB_AS(ip);
	u16 rport;
	enum tcp_state old_state;
	enum tcp_state new_state;
	u64 time_in_old AB_AS(duration);
};

AB_EVENTS(events, struct event);
AB_LRU_HASH(since, u64, u64, 65536);
AB_PARAM(u16, lport, 0, "only this local port; 0: all");
AB_PARAM(u16, rport, 0, "only this remote port; 0: all");

SEC("tracepoint/sock/inet_sock_set_state")
int set_state(struct trace_event_raw_inet_sock_set_state *ctx)
{
	u64 sock = (u64)ctx->skaddr, now = ab_ktime();
	u64 *start;
	struct event *e;

	if (ctx->protocol != IPPROTO_TCP || (lport && ctx->sport != lport) || (rport && ctx->dport != rport))
		return 0;
	start = bpf_map_lookup_elem(&since, &sock);
	e = ab_reserve(events);
	if (e) {
		e->time = now;
		e->pid = ab_pid();
		ab_comm(e->comm);
		/* IPv4 addresses are here too, mapped into IPv6 ones. */
		bpf_probe_read_kernel(e->laddr, sizeof(e->laddr), ctx->saddr_v6);
		bpf_probe_read_kernel(e->raddr, sizeof(e->raddr), ctx->daddr_v6);
		e->lport = ctx->sport;
		e->rport = ctx->dport;
		e->old_state = ctx->oldstate;
		e->new_state = ctx->newstate;
		e->time_in_old = start ? now - *start : 0;
		ab_submit(ctx, events, e);
	}
	if (ctx->newstate == CLOSE)
		bpf_map_delete_elem(&since, &sock);
	else
		bpf_map_update_elem(&since, &sock, &now, BPF_ANY);
	return 0;
}

AB_LICENSE("GPL");
