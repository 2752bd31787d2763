/* SPDX-License-Identifier: GPL-2.0-only */
/* A kprobe on a function that is gone in newer kernels. */
#include "anybpf.bpf.h"

AB_ARRAY(seen, u64, 1);

SEC("kprobe/__tcp_ecn_check_ce")
int on_call(void *ctx)
{
	u64 *slot = ab_first(&seen);

	if (slot)
		__sync_fetch_and_add(slot, 1);
	return 0;
}

AB_LICENSE("GPL");
