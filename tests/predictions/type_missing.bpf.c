/* SPDX-License-Identifier: GPL-2.0-only */
/* The size of a type that no kernel has. */
#include "anybpf.bpf.h"

struct never_a_type {
	int x;
} __attribute__((preserve_access_index));

AB_ARRAY(seen, u64, 1);

SEC("raw_tp/sched_switch")
int on_switch(void *ctx)
{
	u64 *slot = ab_first(&seen);

	if (slot)
		*slot = bpf_core_field_size(struct never_a_type, x);
	return 0;
}

AB_LICENSE("GPL");
