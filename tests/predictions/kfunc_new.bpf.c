/* SPDX-License-Identifier: GPL-2.0-only */
/* bpf_rcu_read_lock() came with 6.2. */
#include "anybpf.bpf.h"

extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

SEC("tp_btf/sched_switch")
int on_switch(void *ctx)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return 0;
}

AB_LICENSE("GPL");
