/* SPDX-License-Identifier: GPL-2.0-only */
/* An LSM hook that all kernels have. */
#include "anybpf.bpf.h"

SEC("lsm/file_open")
int BPF_PROG(on_open, struct file *file)
{
	return 0;
}

AB_LICENSE("GPL");
