#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	volatile char x[1UL << 32];
	x[0] = 1;
	return x[5];
}
char LICENSE[] SEC("license") = "GPL";
