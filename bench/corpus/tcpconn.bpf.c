/* SPDX-License-Identifier: GPL-2.0-only */
/* TCP connections as they are made, accepted and closed, IPv4 and IPv6, from kernel functions. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>

#define AF_INET 2
#define AF_INET6 10

enum kind { CONNECT, ACCEPT, CLOSE };

struct tuple {
	union {
		u32 v4;
		u8 v6[16];
	} saddr, daddr;
	u16 sport, dport, family;
	u32 netns;
};

struct event {
	struct tuple tuple;
	u64 ts, rx, tx;
	u32 pid, uid;
	enum kind kind;
	int ret;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct sock *);
} connecting SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct tuple);
	__type(value, struct event);
} known SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} events SEC(".maps");

const volatile u32 filter_pid = 0, filter_uid = -1;
const volatile u16 filter_ports[8] = {};
const volatile int filter_port_count = 0;

static __always_inline bool is_filtered_port(u16 port)
{
	for (int i = 0; i < 8 && i < filter_port_count; i++)
		if (port == filter_ports[i])
			return false;
	return filter_port_count != 0;
}

static __always_inline bool read_tuple(struct sock *sk, struct tuple *t)
{
	t->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	t->sport = BPF_CORE_READ(sk, __sk_common.skc_num);
	t->dport = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	t->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	if (t->family == AF_INET) {
		t->saddr.v4 = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		t->daddr.v4 = BPF_CORE_READ(sk, __sk_common.skc_daddr);
		return t->daddr.v4 != 0;
	}
	if (t->family != AF_INET6)
		return false;
	BPF_CORE_READ_INTO(&t->saddr.v6, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32);
	BPF_CORE_READ_INTO(&t->daddr.v6, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32);
	return true;
}

static __always_inline void report(struct sock *sk, enum kind kind, int ret)
{
	u64 id = bpf_get_current_pid_tgid();
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	struct event *e, copy = {};

	if (filter_pid && id >> 32 != filter_pid)
		return;
	if (!read_tuple(sk, &copy.tuple) || is_filtered_port(copy.tuple.dport))
		return;
	copy.kind = kind;
	copy.ret = ret;
	copy.ts = bpf_ktime_get_ns();
	copy.pid = id >> 32;
	copy.uid = bpf_get_current_uid_gid();
	if (filter_uid != (u32)-1 && copy.uid != filter_uid)
		return;
	copy.rx = BPF_CORE_READ(tp, bytes_received);
	copy.tx = BPF_CORE_READ(tp, bytes_acked);
	bpf_get_current_comm(&copy.comm, sizeof(copy.comm));
	bpf_map_update_elem(&known, &copy.tuple, &copy, BPF_ANY);
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return;
	*e = copy;
	bpf_ringbuf_submit(e, 0);
}

SEC("kprobe/tcp_v4_connect")
int BPF_KPROBE(enter_v4, struct sock *sk)
{
	u32 tid = bpf_get_current_pid_tgid();

	bpf_map_update_elem(&connecting, &tid, &sk, 0);
	return 0;
}

SEC("kprobe/tcp_v6_connect")
int BPF_KPROBE(enter_v6, struct sock *sk)
{
	u32 tid = bpf_get_current_pid_tgid();

	bpf_map_update_elem(&connecting, &tid, &sk, 0);
	return 0;
}

static __always_inline int leave(int ret)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct sock **sk = bpf_map_lookup_elem(&connecting, &tid);

	if (!sk)
		return 0;
	report(*sk, CONNECT, ret);
	bpf_map_delete_elem(&connecting, &tid);
	return 0;
}

SEC("kretprobe/tcp_v4_connect")
int BPF_KRETPROBE(leave_v4, int ret)
{
	return leave(ret);
}

SEC("kretprobe/tcp_v6_connect")
int BPF_KRETPROBE(leave_v6, int ret)
{
	return leave(ret);
}

SEC("kretprobe/inet_csk_accept")
int BPF_KRETPROBE(accepted, struct sock *sk)
{
	if (sk)
		report(sk, ACCEPT, 0);
	return 0;
}

SEC("kprobe/tcp_close")
int BPF_KPROBE(closing, struct sock *sk)
{
	report(sk, CLOSE, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
