/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* getpgid(N) of one process makes an event about N, a count, and a place in two histograms. */
#include "anybpf.bpf.h"

enum kind { KIND_EVEN, KIND_ODD };

struct pair { u8 small; s16 negative; };

struct event {
	u64 number;
	u64 big;
	enum kind kind;
	char text[8];
	u32 address AB_AS(ipv4);
	struct pair pair;
	u16 list[3];
	u64 size AB_AS(size) AB_UNIT(bytes);
};

AB_EVENTS(events, struct event);
AB_HASH(calls, u32, u64, 64) AB_HELP("calls by number");
AB_PERCPU_HASH(cpu_calls, u32, u64, 64);
AB_ARRAY(slots, u64, 4);
AB_HIST_LOG2(sizes) AB_UNIT(bytes);
AB_HASH_LOG2(sizes_by, u32, 16) AB_UNIT(bytes);
AB_TARGET_PID(target_pid);
AB_PARAM(bool, silent, false, "count only");
AB_PARAM(u32, add, 0, "added to every number");
AB_PARAM(enum kind, only_kind, KIND_ODD, "a kind by name");
AB_PARAM_TEXT(text, 8, "abc", "what events say");

SEC("tracepoint/syscalls/sys_enter_getpgid")
int getpgid(struct trace_event_raw_sys_enter *ctx)
{
	u32 number = (u32)ctx->args[0] + add, slot = number & 3;
	struct event *e;

	if (ab_pid() != (u32)target_pid)
		return 0;
	ab_count(calls, &number);
	ab_count(cpu_calls, &number);
	ab_count(slots, &slot);
	ab_log2_add(sizes, number);
	ab_hash_log2_add(sizes_by, &slot, number);
	if (silent)
		return 0;
	e = ab_reserve(events);
	if (!e)
		return 0;
	e->number = number;
	e->big = 0xffffffffffffffff - number;
	e->kind = number & 1 ? KIND_ODD : KIND_EVEN;
	for (u32 i = 0; i < sizeof(e->text); i++)
		e->text[i] = text[i];
	e->address = 0x0100007f;
	e->pair.small = number;
	e->pair.negative = -(s16)number;
	e->list[0] = number;
	e->list[1] = 2;
	e->list[2] = 3;
	e->size = (u64)number << 10;
	ab_submit(ctx, events, e);
	return 0;
}

AB_LICENSE("GPL");
