/* SPDX-License-Identifier: GPL-2.0-only */
/* The same, asked for before. */
#include "anybpf.bpf.h"

extern void bpf_rcu_read_lock(void) __ksym __weak;
extern void bpf_rcu_read_unlock(void) __ksym __weak;

SEC("tp_btf/sched_switch")
int on_switch(void *ctx)
{
	if (bpf_rcu_read_lock && bpf_rcu_read_unlock) {
		bpf_rcu_read_lock();
		bpf_rcu_read_unlock();
	}
	return 0;
}

AB_LICENSE("GPL");
