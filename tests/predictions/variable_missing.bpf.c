/* SPDX-License-Identifier: GPL-2.0-only */
/* A variable that no kernel has. */
#include "anybpf.bpf.h"

extern const int never_a_variable __ksym;

AB_ARRAY(seen, int, 1);

SEC("raw_tp/sched_switch")
int on_switch(void *ctx)
{
	int *slot = ab_first(&seen);

	if (slot)
		*slot = *(int *)bpf_this_cpu_ptr(&never_a_variable);
	return 0;
}

AB_LICENSE("GPL");
