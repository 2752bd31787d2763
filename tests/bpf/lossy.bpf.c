/* SPDX-License-Identifier: GPL-2.0-only */
/* Sends more at once than a small ring holds: each event has to be seen or be counted as lost. */
#include "anybpf.bpf.h"

struct numbered {
	u64 number;
	u64 filling[63];
};

AB_EVENTS_SIZE(events, struct numbered, 65536);
AB_TARGET_PID(target_pid);
AB_ARRAY(next, u64, 1);

SEC("tracepoint/syscalls/sys_enter_getpgid")
int burst(struct trace_event_raw_sys_enter *ctx)
{
	u64 *number = ab_first(&next);
	struct numbered *e;

	if (!number || ab_pid() != (u32)target_pid)
		return 0;
#pragma unroll
	for (int i = 0; i < 16; i++) {
		*number += 1;
		e = ab_reserve(events);
		if (!e)
			continue;
		e->number = *number;
		ab_submit(ctx, events, e);
	}
	return 0;
}

AB_LICENSE("GPL");
