/* SPDX-License-Identifier: GPL-2.0-only */
/* The iterator over links came with 5.19. */
#include "anybpf.bpf.h"

SEC("iter/bpf_link")
int each(void *ctx)
{
	return 0;
}

AB_LICENSE("GPL");
