/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints of system calls with and without parameters. */
#include "anybpf.bpf.h"

SEC("tp/syscalls/sys_enter_sync")
int on_sync(void *ctx)
{
	return 0;
}

SEC("tp/syscalls/sys_exit_openat")
int on_open(void *ctx)
{
	return 0;
}

SEC("tp/raw_syscalls/sys_enter")
int on_any(void *ctx)
{
	return 0;
}

AB_LICENSE("GPL");
