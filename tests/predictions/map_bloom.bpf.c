/* SPDX-License-Identifier: GPL-2.0-only */
/* Bloom filters came with 5.16. */
#include "anybpf.bpf.h"

struct {
	__uint(type, 30 /* BPF_MAP_TYPE_BLOOM_FILTER */);
	__uint(max_entries, 16);
	__type(value, u32);
} filter SEC(".maps");

SEC("raw_tp/sched_switch")
int on_switch(void *ctx)
{
	u32 value = 1;

	bpf_map_push_elem(&filter, &value, 0);
	return 0;
}

AB_LICENSE("GPL");
