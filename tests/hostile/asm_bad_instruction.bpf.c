#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
asm("r0 = *(u64 *)(r99 + 0)");
SEC("tp/sched/sched_process_exec")
int handle(void *ctx)
{
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
