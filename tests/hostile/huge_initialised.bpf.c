#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
char x[1UL << 33] = { 1 };
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
