/* SPDX-License-Identifier: GPL-2.0-only */
/* bpf_ktime_get_tai_ns() came with 6.1. */
#include "anybpf.bpf.h"

AB_ARRAY(seen, u64, 1);

SEC("raw_tp/sched_switch")
int on_switch(void *ctx)
{
	u64 *slot = ab_first(&seen);

	if (slot)
		*slot = bpf_ktime_get_tai_ns();
	return 0;
}

AB_LICENSE("GPL");
