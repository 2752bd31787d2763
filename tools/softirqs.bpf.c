/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * softirqs: how long soft interrupts take, as a histogram for each kind.
 *
 *	vec=net_rx
 *	     us              : count    distribution
 *	     2 -> 3          : 418      |****************************************|
 *
 * Map `totals` has counts and the time of each.
 */
#include "anybpf.bpf.h"

/* The kernel's own enum has no name. */
enum softirq {
	hi,
	timer,
	net_tx,
	net_rx,
	block,
	irq_poll,
	tasklet,
	sched,
	hrtimer,
	rcu,
};

struct by {
	enum softirq vec;
};

struct total {
	u64 count;
	u64 time AB_AS(duration);
};

struct running {
	u64 start;
	u64 vec;
};

AB_HASH_LOG2(latency, struct by, 16) AB_UNIT(us);
AB_HASH(totals, struct by, struct total, 16) AB_SHOW;
AB_PERCPU_ARRAY(on_cpu, struct running, 1);

SEC("tracepoint/irq/softirq_entry")
int softirq_entry(struct trace_event_raw_softirq *ctx)
{
	struct running *running = ab_first(&on_cpu);

	if (running) {
		running->start = ab_ktime();
		running->vec = ctx->vec;
	}
	return 0;
}

SEC("tracepoint/irq/softirq_exit")
int softirq_exit(struct trace_event_raw_softirq *ctx)
{
	struct running *running = ab_first(&on_cpu);
	struct by by = { ctx->vec };
	struct total *total;
	u64 took;

	if (!running || !running->start || running->vec != ctx->vec)
		return 0;
	took = ab_ktime() - running->start;
	running->start = 0;
	ab_hash_log2_add(latency, &by, took / 1000);
	total = ab_lookup_or_zero(totals, &by);
	if (total) {
		__sync_fetch_and_add(&total->count, 1);
		__sync_fetch_and_add(&total->time, took);
	}
	return 0;
}

AB_LICENSE("GPL");
