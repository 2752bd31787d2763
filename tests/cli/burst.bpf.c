/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Two channels, the second too small for what getpgid(N) sends: N events at once. */
#include "anybpf.bpf.h"

struct one { u32 number; };
struct many { u32 number; u32 fill[14]; };

AB_EVENTS(single, struct one);
AB_EVENTS_SIZE(burst, struct many, 4096);
AB_TARGET_PID(target_pid);

SEC("tracepoint/syscalls/sys_enter_getpgid")
int getpgid(struct trace_event_raw_sys_enter *ctx)
{
	u32 count = ctx->args[0];
	struct one *one;

	if (ab_pid() != (u32)target_pid)
		return 0;
	for (u32 i = 0; i < count && i < 200; i++) {
		struct many *many = ab_reserve(burst);

		if (many) {
			many->number = i;
			ab_submit(ctx, burst, many);
		}
	}
	one = ab_reserve(single);
	if (one) {
		one->number = count;
		ab_submit(ctx, single, one);
	}
	bpf_printk("burst of %u", count);
	return 0;
}

/* No kernel has it: the run goes on without. */
SEC("tracepoint/syscalls/sys_enter_no_such_call") AB_OPTIONAL
int no_such_call(void *ctx)
{
	return 0;
}

AB_LICENSE("GPL");
