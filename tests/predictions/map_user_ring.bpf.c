/* SPDX-License-Identifier: GPL-2.0-only */
/* Ring buffers that user space writes came with 6.1. */
#include "anybpf.bpf.h"

struct {
	__uint(type, 31 /* BPF_MAP_TYPE_USER_RINGBUF */);
	__uint(max_entries, 4096);
} ring SEC(".maps");

SEC("raw_tp/sched_switch")
int on_switch(void *ctx)
{
	return 0;
}

AB_LICENSE("GPL");
