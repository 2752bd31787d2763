/* SPDX-License-Identifier: GPL-2.0-only */
/* A kprobe on a function that no kernel has. */
#include "anybpf.bpf.h"

AB_ARRAY(seen, u64, 1);

SEC("kprobe/never_a_function")
int on_call(void *ctx)
{
	u64 *slot = ab_first(&seen);

	if (slot)
		__sync_fetch_and_add(slot, 1);
	return 0;
}

AB_LICENSE("GPL");
