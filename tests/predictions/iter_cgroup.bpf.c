/* SPDX-License-Identifier: GPL-2.0-only */
/* The iterator over cgroups needs one, which no target can name. */
#include "anybpf.bpf.h"

SEC("iter/cgroup")
int each(void *ctx)
{
	return 0;
}

AB_LICENSE("GPL");
