/* SPDX-License-Identifier: GPL-2.0-only */
/* hrtimer_init was renamed in newer kernels. */
#include "anybpf.bpf.h"

SEC("raw_tp/hrtimer_init")
int on_event(void *ctx)
{
	return 0;
}

AB_LICENSE("GPL");
