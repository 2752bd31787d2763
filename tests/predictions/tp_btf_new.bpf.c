/* SPDX-License-Identifier: GPL-2.0-only */
/* A typed tracepoint that came with 5.19. */
#include "anybpf.bpf.h"

SEC("tp_btf/contention_begin")
int on_event(void *ctx)
{
	return 0;
}

AB_LICENSE("GPL");
