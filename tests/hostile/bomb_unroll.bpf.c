#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	int n = 0;
	#pragma unroll
	for (int i0 = 0; i0 < 1000; i0++)
	#pragma unroll
	for (int i1 = 0; i1 < 1000; i1++)
	#pragma unroll
	for (int i2 = 0; i2 < 1000; i2++)
	#pragma unroll
	for (int i3 = 0; i3 < 1000; i3++)
	#pragma unroll
	for (int i4 = 0; i4 < 1000; i4++)
		n += bpf_get_smp_processor_id() * (i0 ^ i1 ^ i2 ^ i3 ^ i4);
	return n;
}
char LICENSE[] SEC("license") = "GPL";
