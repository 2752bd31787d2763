/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * killsnoop: signals, who sends them to whom.
 *
 *	TIME             PID    COMM   SIGNAL   TARGET_PID  TARGET_COMM  RESULT
 *	12:34:56.789012  4711   bash   SIGTERM  4720        sleep        delivered
 *
 * PID is the task that runs when the signal is made: the sender, or anybody for signals of timers and the kernel.
 * RESULT is what became of it: a signal that is ignored or already pending is not delivered.
 */
#include "anybpf.bpf.h"

enum result {
	delivered,
	ignored,
	already_pending,
	overflow_fail,
	lost_info,
};

struct event {
	u64 time AB_AS(ktime);
	u32 pid;
	char comm[16];
	u32 signal AB_AS(signal);
	u32 target_pid;
	char target_comm[16];
	enum result result;
};

AB_EVENTS(events, struct event);
AB_TARGET_PID(sender);
AB_PARAM(u32, signal, 0, "only this signal, by number; 0: all");

SEC("tracepoint/signal/signal_generate")
int signal_generate(struct trace_event_raw_signal_generate *ctx)
{
	struct event *e;

	if ((signal && (u32)ctx->sig != signal) || (sender && ab_pid() != (u32)sender))
		return 0;
	e = ab_reserve(events);
	if (!e)
		return 0;
	e->time = ab_ktime();
	e->pid = ab_pid();
	ab_comm(e->comm);
	e->signal = ctx->sig;
	e->target_pid = ctx->pid;
	bpf_probe_read_kernel(e->target_comm, sizeof(e->target_comm), ctx->comm);
	e->result = ctx->result;
	ab_submit(ctx, events, e);
	return 0;
}

AB_LICENSE("GPL");
