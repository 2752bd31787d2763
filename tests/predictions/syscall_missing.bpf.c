/* SPDX-License-Identifier: GPL-2.0-only */
/* A system call that no kernel has. */
#include "anybpf.bpf.h"

SEC("tp/syscalls/sys_enter_never")
int on_event(void *ctx)
{
	return 0;
}

AB_LICENSE("GPL");
