/* SPDX-License-Identifier: GPL-2.0-only */
/* A tracepoint that no kernel has. */
#include "anybpf.bpf.h"

SEC("tp/sched/never_a_tracepoint")
int on_event(void *ctx)
{
	return 0;
}

AB_LICENSE("GPL");
