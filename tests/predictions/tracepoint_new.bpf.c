/* SPDX-License-Identifier: GPL-2.0-only */
/* lock:contention_begin came with 5.19. */
#include "anybpf.bpf.h"

SEC("tp/lock/contention_begin")
int on_event(void *ctx)
{
	return 0;
}

AB_LICENSE("GPL");
