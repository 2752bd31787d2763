/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tcpreno: TCP congestion control in BPF: Reno's slow start, additive increase and halving, as struct_ops.
 *
 *	SOCKETS  ACKED   SLOW_START  LOSSES  UNDONE
 *	3        12034   118         2       0
 *
 * While it runs, sockets choose it by name, `setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "anybpf_reno", 11)`, or all
 * new ones take it by `sysctl net.ipv4.tcp_congestion_control=anybpf_reno`. Kernel: 5.6.
 */
#include "anybpf.bpf.h"

struct stats {
	u64 sockets;
	u64 acked;
	u64 slow_start;
	u64 losses;
	u64 undone;
};

AB_ARRAY(stats, struct stats, 1) AB_SHOW;

#define count(member, n)                                                \
	do {                                                            \
		struct stats *__stats = ab_first(&stats);               \
		if (__stats)                                            \
			__sync_fetch_and_add(&__stats->member, n);      \
	} while (0)

/* The kernel hands out tcp_socks as socks. */
static __always_inline struct tcp_sock *tcp_sk(struct sock *sk)
{
	return (struct tcp_sock *)sk;
}

static __always_inline bool is_slow_start(const struct tcp_sock *tcp)
{
	return tcp->snd_cwnd < tcp->snd_ssthresh;
}

/* Only a window that is used up may grow. */
static __always_inline bool is_cwnd_limited(struct tcp_sock *tcp)
{
	if (is_slow_start(tcp))
		return tcp->snd_cwnd < 2 * tcp->max_packets_out;
	return BPF_CORE_READ_BITFIELD(tcp, is_cwnd_limited);
}

SEC("struct_ops/reno_init")
void BPF_PROG(reno_init, struct sock *sk)
{
	count(sockets, 1);
}

SEC("struct_ops/reno_ssthresh")
u32 BPF_PROG(reno_ssthresh, struct sock *sk)
{
	u32 half = tcp_sk(sk)->snd_cwnd / 2;

	count(losses, 1);
	return half > 2 ? half : 2;
}

/* One more segment for each window that was acknowledged whole. */
static __always_inline void increase(struct tcp_sock *tcp, u32 acked)
{
	u32 cwnd = tcp->snd_cwnd, sum = tcp->snd_cwnd_cnt + acked;

	if (cwnd && sum >= cwnd) {
		u32 more = sum / cwnd;

		sum -= more * cwnd;
		cwnd += more;
	}
	tcp->snd_cwnd_cnt = sum;
	tcp->snd_cwnd = cwnd < tcp->snd_cwnd_clamp ? cwnd : tcp->snd_cwnd_clamp;
}

SEC("struct_ops/reno_cong_avoid")
void BPF_PROG(reno_cong_avoid, struct sock *sk, u32 ack, u32 acked)
{
	struct tcp_sock *tcp = tcp_sk(sk);

	count(acked, acked);
	if (!is_cwnd_limited(tcp))
		return;
	if (is_slow_start(tcp)) {
		u32 room = tcp->snd_ssthresh - tcp->snd_cwnd, grow = acked < room ? acked : room;
		u32 cwnd = tcp->snd_cwnd + grow;

		count(slow_start, grow);
		tcp->snd_cwnd = cwnd < tcp->snd_cwnd_clamp ? cwnd : tcp->snd_cwnd_clamp;
		acked -= grow;
		if (!acked)
			return;
	}
	increase(tcp, acked);
}

/* The loss was none: back to where it was before. */
SEC("struct_ops/reno_undo_cwnd")
u32 BPF_PROG(reno_undo_cwnd, struct sock *sk)
{
	const struct tcp_sock *tcp = tcp_sk(sk);

	count(undone, 1);
	return tcp->snd_cwnd > tcp->prior_cwnd ? tcp->snd_cwnd : tcp->prior_cwnd;
}

SEC(".struct_ops")
struct tcp_congestion_ops anybpf_reno = {
	.init = (void *)reno_init,
	.ssthresh = (void *)reno_ssthresh,
	.cong_avoid = (void *)reno_cong_avoid,
	.undo_cwnd = (void *)reno_undo_cwnd,
	.name = "anybpf_reno",
};

AB_LICENSE("GPL");
