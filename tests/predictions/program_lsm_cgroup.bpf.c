/* SPDX-License-Identifier: GPL-2.0-only */
/* LSM programs for cgroups came with 6.0. */
#include "anybpf.bpf.h"

SEC("lsm_cgroup/socket_create") AB_ATTACH("/sys/fs/cgroup")
int BPF_PROG(on_create)
{
	return 1;
}

AB_LICENSE("GPL");
