/* SPDX-License-Identifier: GPL-2.0-only */
/* Latency of block device requests from issue to completion, by disk and kind. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define REQ_OP_MASK 0xff
#define MINORBITS 20

struct by_disk {
	u32 dev, op;
};

struct hist {
	u64 slots[32];
	u64 bytes, count;
};

struct event {
	char comm[16];
	u64 delta_us, sector;
	u32 pid, dev, len, op;
	int error;
};

struct issued {
	u64 ts;
	u32 pid;
	char comm[16];
};

const volatile u64 min_us = 0;
const volatile u32 targ_dev = 0;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, struct request *);
	__type(value, struct issued);
} start SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 256);
	__type(key, struct by_disk);
	__type(value, struct hist);
} hists SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} events SEC(".maps");

struct request___before {
	struct gendisk *rq_disk;
} __attribute__((preserve_access_index));

static __always_inline struct gendisk *disk_of(struct request *rq)
{
	struct request___before *old = (void *)rq;

	if (bpf_core_field_exists(old->rq_disk))
		return BPF_CORE_READ(old, rq_disk);
	return BPF_CORE_READ(rq, q, disk);
}

static __always_inline u32 dev_of(struct request *rq)
{
	struct gendisk *disk = disk_of(rq);

	return disk ? BPF_CORE_READ(disk, major) << MINORBITS | BPF_CORE_READ(disk, first_minor) : 0;
}

static __always_inline u32 slot_of(u64 v)
{
	u32 slot = 0;

	for (int i = 0; i < 31; i++) {
		v >>= 1;
		if (!v)
			break;
		slot++;
	}
	return slot;
}

SEC("raw_tp/block_rq_issue")
int BPF_PROG(block_rq_issue, struct request *rq)
{
	struct issued s = { .ts = bpf_ktime_get_ns() };

	if (targ_dev && targ_dev != dev_of(rq))
		return 0;
	s.pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(&s.comm, sizeof(s.comm));
	bpf_map_update_elem(&start, &rq, &s, BPF_ANY);
	return 0;
}

SEC("raw_tp/block_rq_complete")
int BPF_PROG(block_rq_complete, struct request *rq, int error, unsigned int nr_bytes)
{
	struct issued *s = bpf_map_lookup_elem(&start, &rq);
	struct hist *h, zero = {};
	struct event e = {};
	struct by_disk key = {};
	u64 delta;

	if (!s)
		return 0;
	delta = (bpf_ktime_get_ns() - s->ts) / 1000;
	if (delta < min_us)
		goto done;
	key.dev = dev_of(rq);
	key.op = BPF_CORE_READ(rq, cmd_flags) & REQ_OP_MASK;
	h = bpf_map_lookup_elem(&hists, &key);
	if (!h) {
		bpf_map_update_elem(&hists, &key, &zero, BPF_NOEXIST);
		h = bpf_map_lookup_elem(&hists, &key);
	}
	if (h) {
		h->slots[slot_of(delta) & 31]++;
		h->bytes += nr_bytes;
		h->count++;
	}
	__builtin_memcpy(e.comm, s->comm, sizeof(e.comm));
	e.pid = s->pid;
	e.delta_us = delta;
	e.dev = key.dev;
	e.op = key.op;
	e.len = BPF_CORE_READ(rq, __data_len);
	e.sector = BPF_CORE_READ(rq, __sector);
	e.error = error;
	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &e, sizeof(e));
done:
	bpf_map_delete_elem(&start, &rq);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
