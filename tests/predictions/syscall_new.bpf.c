/* SPDX-License-Identifier: GPL-2.0-only */
/* cachestat(2) came with 6.5. */
#include "anybpf.bpf.h"

SEC("tp/syscalls/sys_enter_cachestat")
int on_event(void *ctx)
{
	return 0;
}

AB_LICENSE("GPL");
