/* SPDX-License-Identifier: GPL-2.0-only */
/* The result of a function that errors may not be injected into, and of an LSM hook. */
#include "anybpf.bpf.h"

SEC("fmod_ret/security_file_open")
int BPF_PROG(on_open, struct file *file, int ret)
{
	return ret;
}

SEC("?fmod_ret/vfs_read")
int BPF_PROG(on_read, struct file *file)
{
	return 0;
}

AB_LICENSE("GPL");
