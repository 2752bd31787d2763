/* SPDX-License-Identifier: GPL-2.0-only */
/* Many functions at once: 5.18 and CONFIG_FPROBE. */
#include "anybpf.bpf.h"

AB_ARRAY(seen, u64, 1);

SEC("kprobe.multi/vfs_rea*")
int on_call(void *ctx)
{
	return 0;
}

AB_LICENSE("GPL");
