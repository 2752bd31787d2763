/* SPDX-License-Identifier: GPL-2.0-only */
/* bpf_loop() came with 5.17. */
#include "anybpf.bpf.h"

static long body(u32 i, void *ctx)
{
	return 0;
}

SEC("raw_tp/sched_switch")
int on_switch(void *ctx)
{
	bpf_loop(3, body, NULL, 0);
	return 0;
}

AB_LICENSE("GPL");
