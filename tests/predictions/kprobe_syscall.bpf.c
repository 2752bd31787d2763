/* SPDX-License-Identifier: GPL-2.0-only */
/* A system call's function by its name on x86, one without parameters. */
#include "anybpf.bpf.h"

SEC("kprobe/__x64_sys_sync")
int on_sync(void *ctx)
{
	return 0;
}

SEC("kprobe/__x64_sys_openat")
int on_open(void *ctx)
{
	return 0;
}

AB_LICENSE("GPL");
