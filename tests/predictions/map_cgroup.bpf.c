/* SPDX-License-Identifier: GPL-2.0-only */
/* Storage of cgroups came with 6.2. */
#include "anybpf.bpf.h"

struct {
	__uint(type, 32 /* BPF_MAP_TYPE_CGRP_STORAGE */);
	__uint(map_flags, 1 /* BPF_F_NO_PREALLOC */);
	__type(key, int);
	__type(value, u32);
} storage SEC(".maps");

SEC("raw_tp/sched_switch")
int on_switch(void *ctx)
{
	return 0;
}

AB_LICENSE("GPL");
