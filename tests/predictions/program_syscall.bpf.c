/* SPDX-License-Identifier: GPL-2.0-only */
/* Programs of type syscall came with 5.14. */
#include "anybpf.bpf.h"

SEC("syscall")
int run(void *ctx)
{
	return 0;
}

AB_LICENSE("GPL");
