/* SPDX-License-Identifier: GPL-2.0-only */
/* An atomic operation whose result is used: 5.12. */
/* isa: v3 */
#include "anybpf.bpf.h"

AB_ARRAY(seen, u64, 2);

SEC("raw_tp/sched_switch")
int on_switch(void *ctx)
{
	u64 *slot = ab_first(&seen);

	if (slot)
		slot[0] = __sync_fetch_and_or(slot, 4);
	return 0;
}

AB_LICENSE("GPL");
