/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * xdpcount: packets that a network interface takes in, by protocol and length.
 *
 *	ETHERTYPE  PROTOCOL  PACKETS  BYTES
 *	ip         tcp       1203     1.2M
 *	arp        0         3        126
 *
 * `anybpf run tools/xdpcount.bpf.c --attach count=eth0`. Everything passes. Kernel: 4.12 (generic XDP).
 */
#include "anybpf.bpf.h"

enum ethertype {
	ip = ETH_P_IP,
	arp = ETH_P_ARP,
	vlan = ETH_P_8021Q,
	ip6 = ETH_P_IPV6,
};

enum protocol {
	icmp = 1,
	igmp = 2,
	tcp = 6,
	udp = 17,
	gre = 47,
	esp = 50,
	icmp6 = 58,
	sctp = 132,
};

struct by {
	enum ethertype ethertype;
	enum protocol protocol;
};

struct traffic {
	u64 packets;
	u64 bytes AB_AS(size);
};

AB_HASH(traffic, struct by, struct traffic, 1024) AB_SHOW;
AB_HIST_LINEAR(length, 0, 128, 13) AB_UNIT(bytes);

SEC("xdp") AB_ATTACH("lo")
int count(struct ab_xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	u64 bytes = end - data;
	struct ethhdr *eth = data;
	struct by by = {};
	struct traffic *sum;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	by.ethertype = bpf_ntohs(eth->h_proto);
	if (by.ethertype == ip) {
		struct iphdr *header = (void *)(eth + 1);

		if ((void *)(header + 1) <= end)
			by.protocol = header->protocol;
	} else if (by.ethertype == ip6) {
		struct ipv6hdr *header = (void *)(eth + 1);

		if ((void *)(header + 1) <= end)
			by.protocol = header->nexthdr;
	}
	sum = ab_lookup_or_zero(traffic, &by);
	if (sum) {
		__sync_fetch_and_add(&sum->packets, 1);
		__sync_fetch_and_add(&sum->bytes, bytes);
	}
	ab_linear_add(length, bytes);
	return XDP_PASS;
}

AB_LICENSE("GPL");
