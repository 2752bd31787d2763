/* SPDX-License-Identifier: GPL-2.0-only */
/* A new helper, asked for before. */
#include "anybpf.bpf.h"

SEC("raw_tp/sched_switch")
int on_switch(void *ctx)
{
	u64 now;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_ktime_get_tai_ns))
		now = bpf_ktime_get_tai_ns();
	else
		now = bpf_ktime_get_ns();
	bpf_printk("%llu", now);
	return 0;
}

AB_LICENSE("GPL");
