/* SPDX-License-Identifier: GPL-2.0-only */
/* A per-CPU variable that all kernels have. */
#include "anybpf.bpf.h"

extern const struct rq runqueues __ksym;

AB_ARRAY(seen, u64, 1);

SEC("raw_tp/sched_switch")
int on_switch(void *ctx)
{
	struct rq *rq = bpf_this_cpu_ptr(&runqueues);
	u64 *slot = ab_first(&seen);

	if (slot)
		*slot = rq->nr_running;
	return 0;
}

AB_LICENSE("GPL");
