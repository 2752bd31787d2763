/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Channels of other kinds: a perf buffer, one without a type, events larger than usual, events with stacks. */
#include "anybpf.bpf.h"

struct typed { u32 number; };
struct large { u32 number; u8 bytes[2000] AB_AS(bytes); };
struct stack { u32 pid; char comm[16]; s32 user AB_AS(ustack); s32 kernel AB_AS(kstack); };

struct typed *in_btf; /* by this alone */

AB_STACKS(stacks, 16384);
AB_EVENTS(larges, struct large);
AB_EVENTS(calls, struct stack);
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, u32);
	__type(value, u32);
} perf SEC(".maps") AB_TAG("event=struct typed"), raw SEC(".maps");
AB_TARGET_PID(target_pid);

SEC("tracepoint/syscalls/sys_enter_getpgid")
int getpgid(struct trace_event_raw_sys_enter *ctx)
{
	struct typed typed = { ctx->args[0] };
	struct large *large;
	struct stack *stack;

	if (ab_pid() != (u32)target_pid)
		return 0;
	bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, &typed, sizeof(typed));
	bpf_perf_event_output(ctx, &raw, BPF_F_CURRENT_CPU, &typed, sizeof(typed));
	large = ab_reserve(larges);
	if (large) {
		large->number = typed.number;
		ab_submit(ctx, larges, large);
	}
	stack = ab_reserve(calls);
	if (stack) {
		stack->pid = ab_pid();
		ab_comm(stack->comm);
		stack->user = ab_ustack(ctx, stacks);
		stack->kernel = ab_kstack(ctx, stacks);
		ab_submit(ctx, calls, stack);
	}
	return 0;
}

AB_LICENSE("GPL");
