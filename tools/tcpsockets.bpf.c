/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tcpsockets: TCP sockets over IPv4 and IPv6, with what only the kernel knows of them.
 *
 *	STATE         UID       SENT   RECEIVED  RTT_US  CWND  RETRANS  LOCAL            REMOTE
 *	ESTABLISHED  1000         77      12345     512    10        0  10.0.0.2:41234   10.0.0.7:443
 *
 * An iterator: it prints once and ends. Kernel: 5.9.
 */
#include "anybpf.bpf.h"
#include "core_fixes.bpf.h"

AB_PARAM(bool, listening, true, "also sockets that listen");

static __always_inline const char *state_name(u32 state)
{
	switch (state) {
	case TCP_ESTABLISHED: return "ESTABLISHED";
	case TCP_SYN_SENT: return "SYN_SENT";
	case TCP_SYN_RECV: return "SYN_RECV";
	case TCP_FIN_WAIT1: return "FIN_WAIT1";
	case TCP_FIN_WAIT2: return "FIN_WAIT2";
	case TCP_TIME_WAIT: return "TIME_WAIT";
	case TCP_CLOSE: return "CLOSE";
	case TCP_CLOSE_WAIT: return "CLOSE_WAIT";
	case TCP_LAST_ACK: return "LAST_ACK";
	case TCP_LISTEN: return "LISTEN";
	case TCP_CLOSING: return "CLOSING";
	default: return "NEW_SYN_RECV";
	}
}

SEC("iter/tcp")
int sockets(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct seq_file *seq = ctx->meta->seq;
	struct tcp_sock *tcp;

	if (!common)
		return 0;
	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "STATE          UID       SENT   RECEIVED  RTT_US  CWND  RETRANS  LOCAL REMOTE\n");
	if (!listening && common->skc_state == TCP_LISTEN)
		return 0;
	BPF_SEQ_PRINTF(seq, "%-12s %5u ", state_name(common->skc_state), ctx->uid);
	/* Connections that wait to be made or to be forgotten are kept in smaller structs. */
	tcp = bpf_skc_to_tcp_sock(common);
	if (tcp)
		BPF_SEQ_PRINTF(seq, "%10llu %10llu %7u %5u %8u", ab_tcp_sent(tcp), tcp->bytes_received,
			       ab_tcp_srtt_us(tcp), tcp->snd_cwnd, tcp->total_retrans);
	else
		BPF_SEQ_PRINTF(seq, "%10s %10s %7s %5s %8s", "-", "-", "-", "-", "-");
	if (common->skc_family == AF_INET)
		BPF_SEQ_PRINTF(seq, "  %pI4:%u %pI4:%u\n", &common->skc_rcv_saddr, common->skc_num, &common->skc_daddr,
			       bpf_ntohs(common->skc_dport));
	else
		BPF_SEQ_PRINTF(seq, "  [%pI6]:%u [%pI6]:%u\n", &common->skc_v6_rcv_saddr, common->skc_num,
			       &common->skc_v6_daddr, bpf_ntohs(common->skc_dport));
	return 0;
}

AB_LICENSE("GPL");
