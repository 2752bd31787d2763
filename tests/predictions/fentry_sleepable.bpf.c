/* SPDX-License-Identifier: GPL-2.0-only */
/* A sleepable program on a system call. */
#include "anybpf.bpf.h"

AB_ARRAY(seen, u64, 1);

SEC("fentry.s/__x64_sys_getpgid")
int on_call(void *ctx)
{
	return 0;
}

AB_LICENSE("GPL");
