/* SPDX-License-Identifier: GPL-2.0-only */
/* Jumps that compare 32 bits: 5.1. */
/* isa: v3 */
#include "anybpf.bpf.h"

AB_ARRAY(seen, u32, 1);

SEC("raw_tp/sched_switch")
int on_switch(void *ctx)
{
	u32 *slot = ab_first(&seen);

	if (slot && *slot < 1000)
		*slot += 1;
	return 0;
}

AB_LICENSE("GPL");
