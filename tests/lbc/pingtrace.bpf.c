/* SPDX-License-Identifier: GPL-2.0-only */
/* The maps of coolbpf's second listing, filled at a system call: an event, a count for each process, a stack. */
#include "lbc.h"

struct data_t {
	u32 pid;
	u32 stack;
	u64 bytes;
	char comm[16];
};

LBC_PERF_OUTPUT(e_out, struct data_t, 128);
LBC_HASH(pid_cnt, u32, u32, 1024);
LBC_STACK(call_stack,32);

SEC("tracepoint/syscalls/sys_enter_sendto")
int on_sendto(struct trace_event_raw_sys_enter *ctx)
{
	struct data_t data = {};
	u32 one = 1, *count;

	data.pid = bpf_get_current_pid_tgid() >> 32;
	data.bytes = ctx->args[2];
	data.stack = bpf_get_stackid(ctx, &call_stack, KERN_STACKID_FLAGS);
	bpf_get_current_comm(&data.comm, sizeof(data.comm));
	count = bpf_map_lookup_elem(&pid_cnt, &data.pid);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&pid_cnt, &data.pid, &one, BPF_ANY);
	bpf_perf_event_output(ctx, &e_out, BPF_F_CURRENT_CPU, &data, sizeof(data));
	return 0;
}
char _license[] SEC("license") = "GPL";
