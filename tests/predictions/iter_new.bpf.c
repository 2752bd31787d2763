/* SPDX-License-Identifier: GPL-2.0-only */
/* The iterator over cgroups came with 6.1. */
#include "anybpf.bpf.h"

SEC("iter/cgroup")
int each(void *ctx)
{
	return 0;
}

AB_LICENSE("GPL");
