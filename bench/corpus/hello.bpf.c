/* SPDX-License-Identifier: GPL-2.0-only */
/* The smallest useful program: says which process writes. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

int my_pid = 0;

SEC("tp/syscalls/sys_enter_write")
int handle_write(void *ctx)
{
	int pid = bpf_get_current_pid_tgid() >> 32;

	if (pid == my_pid)
		bpf_printk("write by %d", pid);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
