/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tcplife: TCP connections when they end: whose, between whom, how long and how much.
 *
 *	TIME             PID    COMM   LADDR      LPORT  RADDR      RPORT  SENT    RECEIVED  RTT     DURATION
 *	12:34:56.789012  4711   curl   10.0.0.2   41234  10.0.0.7   443    77      12.3K     512us   43.20ms
 *
 * The process is the one that connected, or that closed when it did not connect. Kernel: 4.16.
 */
#include "anybpf.bpf.h"
#include "core_fixes.bpf.h"

struct event {
	u64 time AB_AS(ktime);
	u32 pid;
	char comm[16];
	u8 laddr[16] AB_AS(ip);
	u16 lport;
	u8 raddr[16] AB_AS(ip);
	u16 rport;
	u64 sent AB_AS(size);
	u64 received AB_AS(size);
	u32 rtt AB_UNIT(us);
	u64 duration AB_AS(duration);
};

struct life {
	u64 start;
	u32 pid;
	char comm[16];
};

AB_EVENTS(events, struct event);
AB_LRU_HASH(lives, u64, struct life, 65536);
AB_TARGET_PID(target_pid);
AB_PARAM(u16, lport, 0, "only this local port; 0: all");
AB_PARAM(u16, rport, 0, "only this remote port; 0: all");

static __always_inline void begin(u64 sock, int state)
{
	struct life life = { .start = ab_ktime() };
	struct life *known = bpf_map_lookup_elem(&lives, &sock);

	/* Who is running did it only when it is a call that changes the state, not a packet. */
	if (state == TCP_SYN_SENT || state == TCP_LAST_ACK || state == TCP_FIN_WAIT1) {
		if (known && known->pid)
			return;
		life.pid = ab_pid();
		ab_comm(life.comm);
		if (known)
			life.start = known->start;
	} else if (known) {
		return;
	}
	bpf_map_update_elem(&lives, &sock, &life, BPF_ANY);
}

/* What the other side sent, less its FIN, which the kernel counts as a byte. */
static __always_inline u64 bytes_received(const struct tcp_sock *tcp, int state)
{
	u64 bytes = ab_read(tcp->bytes_received);
	bool has_fin = state == TCP_FIN_WAIT2 || state == TCP_LAST_ACK || state == TCP_CLOSING ||
		       state == TCP_TIME_WAIT;

	return has_fin && bytes ? bytes - 1 : bytes;
}

static __always_inline void end(struct trace_event_raw_inet_sock_set_state *ctx, struct life *life)
{
	struct tcp_sock *tcp = (void *)ctx->skaddr;
	struct event *e;

	if (target_pid && life->pid != (u32)target_pid)
		return;
	e = ab_reserve(events);
	if (!e)
		return;
	e->time = ab_ktime();
	e->pid = life->pid;
	__builtin_memcpy(e->comm, life->comm, sizeof(e->comm));
	bpf_probe_read_kernel(e->laddr, sizeof(e->laddr), ctx->saddr_v6);
	bpf_probe_read_kernel(e->raddr, sizeof(e->raddr), ctx->daddr_v6);
	e->lport = ctx->sport;
	e->rport = ctx->dport;
	e->sent = ab_tcp_sent(tcp);
	e->received = bytes_received(tcp, ctx->oldstate);
	e->rtt = ab_tcp_srtt_us(tcp);
	e->duration = e->time - life->start;
	ab_submit(ctx, events, e);
}

SEC("tracepoint/sock/inet_sock_set_state")
int set_state(struct trace_event_raw_inet_sock_set_state *ctx)
{
	u64 sock = (u64)ctx->skaddr;
	struct life *life;

	if (ctx->protocol != IPPROTO_TCP || (lport && ctx->sport != lport) || (rport && ctx->dport != rport))
		return 0;
	if (ctx->newstate != TCP_CLOSE) {
		if (ctx->newstate != TCP_LISTEN)
			begin(sock, ctx->newstate);
		return 0;
	}
	life = bpf_map_lookup_elem(&lives, &sock);
	if (life)
		end(ctx, life);
	bpf_map_delete_elem(&lives, &sock);
	return 0;
}

AB_LICENSE("GPL");
