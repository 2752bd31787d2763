/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tcprtt: round-trip times of TCP connections, as a histogram over all, or for each remote address.
 *
 *	     us              : count    distribution
 *	     16 -> 31        : 418      |****************************************|
 *
 * The smoothed time that the kernel keeps is counted for each segment that comes in. Kernel: 4.16.
 */
#include "anybpf.bpf.h"
#include "core_fixes.bpf.h"

struct by {
	u8 remote[16] AB_AS(ip);
};

AB_HIST_LOG2(rtt) AB_UNIT(us);
AB_HASH_LOG2(rtt_by_remote, struct by, 4096) AB_UNIT(us);
AB_PARAM(bool, by_remote, false, "one histogram for each remote address");
AB_PARAM(u16, lport, 0, "only this local port; 0: all");
AB_PARAM(u16, rport, 0, "only this remote port; 0: all");

static __always_inline void read_remote(struct sock *sk, struct by *by)
{
	u32 v4;

	if (ab_read(sk->__sk_common.skc_family) == AF_INET6) {
		bpf_probe_read_kernel(by->remote, sizeof(by->remote), &sk->__sk_common.skc_v6_daddr);
		return;
	}
	v4 = ab_read(sk->__sk_common.skc_daddr);
	by->remote[10] = 0xff;
	by->remote[11] = 0xff;
	__builtin_memcpy(by->remote + 12, &v4, sizeof(v4));
}

SEC("raw_tp/tcp_probe")
int BPF_PROG(tcp_probe, struct sock *sk)
{
	u16 local = ab_read(sk->__sk_common.skc_num), remote = bpf_ntohs(ab_read(sk->__sk_common.skc_dport));
	struct by by = {};
	u32 us;

	if ((lport && local != lport) || (rport && remote != rport))
		return 0;
	us = ab_tcp_srtt_us(sk);
	if (!by_remote) {
		ab_log2_add(rtt, us);
		return 0;
	}
	read_remote(sk, &by);
	ab_hash_log2_add(rtt_by_remote, &by, us);
	return 0;
}

AB_LICENSE("GPL");
