/* SPDX-License-Identifier: GPL-2.0-only */
/* A section that libbpf does not know. */
#include "anybpf.bpf.h"

SEC("never/a_section")
int run(void *ctx)
{
	return 0;
}

AB_LICENSE("GPL");
