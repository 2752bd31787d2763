/* SPDX-License-Identifier: GPL-2.0-only */
/* An LSM hook that no kernel has. */
#include "anybpf.bpf.h"

SEC("lsm/never_a_hook")
int BPF_PROG(on_never)
{
	return 0;
}

AB_LICENSE("GPL");
