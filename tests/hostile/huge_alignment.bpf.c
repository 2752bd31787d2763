#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
int x __attribute__((aligned(1UL << 32)));
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
