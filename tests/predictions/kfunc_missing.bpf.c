/* SPDX-License-Identifier: GPL-2.0-only */
/* A kernel function that no kernel has. */
#include "anybpf.bpf.h"

extern int bpf_never_a_kfunc(void) __ksym;

SEC("tp_btf/sched_switch")
int on_switch(void *ctx)
{
	return bpf_never_a_kfunc();
}

AB_LICENSE("GPL");
