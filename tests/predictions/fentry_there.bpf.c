/* SPDX-License-Identifier: GPL-2.0-only */
/* fentry on a function that all kernels have. */
#include "anybpf.bpf.h"

AB_ARRAY(seen, u64, 1);

SEC("fentry/vfs_read")
int BPF_PROG(on_read, struct file *file)
{
	u64 *slot = ab_first(&seen);

	if (slot)
		*slot = (u64)file;
	return 0;
}

SEC("fexit/vfs_read")
int BPF_PROG(on_return, struct file *file)
{
	return 0;
}

AB_LICENSE("GPL");
