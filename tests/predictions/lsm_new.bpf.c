/* SPDX-License-Identifier: GPL-2.0-only */
/* An LSM hook that came with 6.9. */
#include "anybpf.bpf.h"

SEC("lsm/file_release")
int BPF_PROG(on_release, struct file *file)
{
	return 0;
}

AB_LICENSE("GPL");
