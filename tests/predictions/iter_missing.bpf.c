/* SPDX-License-Identifier: GPL-2.0-only */
/* An iterator that no kernel has. */
#include "anybpf.bpf.h"

SEC("iter/never_an_iterator")
int each(void *ctx)
{
	return 0;
}

AB_LICENSE("GPL");
