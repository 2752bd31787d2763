/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Speaks by bpf_printk() alone. */
#include "anybpf.bpf.h"

SEC("tracepoint/syscalls/sys_enter_getpgid")
int getpgid(void *ctx)
{
	bpf_printk("asked");
	return 0;
}

AB_LICENSE("GPL");
