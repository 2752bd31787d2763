/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The verifier refuses this: a map's value is used without looking whether it is there. */
#include "anybpf.bpf.h"

AB_HASH(counts, u32, u64, 16);

SEC("tracepoint/syscalls/sys_enter_getpgid")
int getpgid(void *ctx)
{
	u32 key = 1;
	u64 *value = bpf_map_lookup_elem(&counts, &key);

	return *value; /* not checked */
}

AB_LICENSE("GPL");
