/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Programs that need to be told where to attach; they let everything pass. */
#include "anybpf.bpf.h"

AB_ARRAY(packets, u64, 4);

SEC("xdp")
int on_xdp(struct xdp_md *ctx)
{
	u32 slot = 1;

	ab_count(packets, &slot);
	return XDP_PASS;
}

SEC("tc")
int on_tc(struct __sk_buff *ctx)
{
	u32 slot = 2;

	ab_count(packets, &slot);
	return -1; /* TC_ACT_UNSPEC */
}

SEC("cgroup_skb/egress")
int on_cgroup(struct __sk_buff *ctx)
{
	u32 slot = 3;

	ab_count(packets, &slot);
	return 1;
}

AB_LICENSE("GPL");
