/* SPDX-License-Identifier: GPL-2.0-only */
/* What is optional may be missing. */
#include "anybpf.bpf.h"

AB_ARRAY(seen, u64, 1);

static __always_inline int count(void)
{
	u64 *slot = ab_first(&seen);

	if (slot)
		__sync_fetch_and_add(slot, 1);
	return 0;
}

SEC("kprobe/never_a_function") AB_OPTIONAL
int on_never(void *ctx)
{
	return count();
}

SEC("?fentry/never_a_function")
int on_never_either(void *ctx)
{
	return count();
}

SEC("raw_tp/sched_switch")
int on_switch(void *ctx)
{
	return count();
}

AB_LICENSE("GPL");
