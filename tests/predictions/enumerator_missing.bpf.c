/* SPDX-License-Identifier: GPL-2.0-only */
/* The value of an enumerator that came with 5.15. */
#include "anybpf.bpf.h"

enum bpf_func_id___new {
	BPF_FUNC_timer_init___new = 169,
};

AB_ARRAY(seen, u64, 1);

SEC("raw_tp/sched_switch")
int on_switch(void *ctx)
{
	u64 *slot = ab_first(&seen);

	if (slot)
		*slot = bpf_core_enum_value(enum bpf_func_id___new, BPF_FUNC_timer_init___new);
	return 0;
}

AB_LICENSE("GPL");
