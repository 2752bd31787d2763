/* SPDX-License-Identifier: GPL-2.0-only */
/* struct_ops of a type that no kernel has. */
#include "anybpf.bpf.h"

struct never_an_ops {
	int (*call)(void);
};

SEC("struct_ops/call")
int call(void *ctx)
{
	return 0;
}

SEC(".struct_ops")
struct never_an_ops never = {
	.call = (void *)call,
};

AB_LICENSE("GPL");
